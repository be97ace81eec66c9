"""Debian's Prometheus over the nodes of a Ray cluster, as cluster/README.md sets it up, and what
the Grafana board asks of it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
PATIENCE_S = 60

needed = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="no Prometheus here: apt-get install prometheus"
)


@dataclass(frozen=True)
class Prometheus:
    """Attributes:
    address: of its HTTP interface, on loopback.
    began: unix seconds at which it started to read.
    """

    address: str
    began: float

    def series(self, query: str, step_s: float = 1.0) -> list[dict[str, Any]]:
        """`metric` and `values` (unix seconds, text) of every series, from the start until now."""
        words = {"query": query, "start": self.began, "end": time.time(), "step": step_s}
        url = f"{self.address}/api/v1/query_range?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]["result"]


def board() -> list[dict[str, Any]]:
    """The panels of the Grafana board."""
    return json.loads((REPOSITORY / "cluster/grafana-recscale.json").read_text())["panels"]


def asked(target: dict[str, Any]) -> str:
    """The query of a panel, of all sweeps."""
    return target["expr"].replace("$sweep", ".*")


@contextmanager
def prometheus(ray: Path, folder: Path) -> Iterator[Prometheus]:
    """Reads all nodes every second through the file that Ray keeps in its folder `ray`; its data
    lies in `folder` and is as short-lived."""
    readme = (REPOSITORY / "cluster/README.md").read_text()
    block = next(b for b in readme.split("```yaml\n")[1:] if b.startswith("scrape_configs"))
    config = yaml.safe_load(block.split("```")[0].replace("/tmp/ray", str(ray)))
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    for job in config["scrape_configs"]:
        for files in job["file_sd_configs"]:
            files["refresh_interval"] = "1s"
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        "prometheus", f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
    found = Prometheus(f"http://127.0.0.1:{port}", time.time())
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                urllib.request.urlopen(f"{found.address}/-/ready", timeout=5).close()
                break
            except OSError:
                log_text = (folder / "prometheus.log").read_text()
                assert process.poll() is None and time.monotonic() < deadline, log_text
                time.sleep(0.2)
        yield found
    finally:
        process.terminate()
        process.wait(timeout=30)
