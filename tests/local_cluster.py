"""A head on loopback with Ray's own autoscaler over fake nodes, started as `cluster/README.md` says
but for the ports: no CPU on the head, workers 0 to 2, token authentication on."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[1]
PATIENCE_S = 240


@dataclass(frozen=True)
class LocalCluster:
    folder: Path
    dashboard: str
    env: dict[str, str]

    def submit(self, job: str, *entrypoint: str | Path) -> list[str]:
        """The words of a job's submission from the repository's root, which follows its log."""
        return self.ray("job", "submit", "--submission-id", job, "--working-dir", str(REPOSITORY),
                        "--", *map(str, entrypoint))  # fmt: skip

    def ray(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "ray.scripts.scripts", *words]

    def workers(self) -> set[str]:
        """Ids of the worker nodes that are alive."""
        nodes = self._ask("/nodes?view=summary")["data"]["summary"]
        alive = [n["raylet"] for n in nodes if n["raylet"].get("state") == "ALIVE"]
        return {n["nodeId"] for n in alive if not n["isHeadNode"]}

    def scrape(self) -> str:
        """What Prometheus would read now, from every node that Ray tells it of."""
        targets = json.loads((self.folder / "ray/prom_metrics_service_discovery.json").read_text())
        pages = []
        for target in (t for group in targets for t in group["targets"]):
            try:
                with urllib.request.urlopen(f"http://{target}/metrics", timeout=10) as page:
                    pages.append(page.read().decode())
            except OSError:  # a node that has gone stays in the file for a while
                continue
        return "\n".join(pages)

    def _ask(self, path: str) -> Any:
        token = {"Authorization": f"Bearer {self.env['RAY_AUTH_TOKEN']}"}
        with urllib.request.urlopen(
            urllib.request.Request(self.dashboard + path, headers=token)
        ) as page:
            return json.load(page)


@contextmanager
def local_cluster(**settings: Any) -> Iterator[LocalCluster]:
    """The cluster of `cluster/local-fake.yaml`, changed by `settings` where they are given. Its
    folder has a short name, for the names of Ray's sockets must fit into 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="rs-", ignore_cleanup_errors=True) as folder:
        yield from _started(Path(folder), settings)


def _started(folder: Path, settings: dict[str, Any]) -> Iterator[LocalCluster]:
    gcs, dashboard, agent, metrics, client, autoscaler, of_dashboard = _free_ports(7)
    config = yaml.safe_load((REPOSITORY / "cluster/local-fake.yaml").read_text()) | settings
    config["provider"]["gcs_address"] = f"127.0.0.1:{gcs}"
    (folder / "cluster.yaml").write_text(yaml.safe_dump(config))
    head = config["provider"]["head_node_id"]
    env = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TMPDIR": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ADDRESS": f"http://127.0.0.1:{dashboard}",
    }
    of_head = {
        **{k: v for k, v in env.items() if k != "RAY_ADDRESS"},
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": head,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": head,
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_metrics_report_interval_ms": "3000",
        "AUTOSCALER_METRIC_PORT": str(autoscaler),
        "DASHBOARD_METRIC_PORT": str(of_dashboard),
    }
    cluster = LocalCluster(folder, env["RAY_ADDRESS"], env)
    words = cluster.ray(
        "start", "--head", "--block", "--num-cpus=0", "--disable-usage-stats",
        f"--port={gcs}", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}",
        f"--metrics-export-port={metrics}", f"--ray-client-server-port={client}",
        f"--temp-dir={folder / 'ray'}", f"--autoscaling-config={folder / 'cluster.yaml'}",
    )  # fmt: skip
    log = (folder / "head.log").open("w")
    process = subprocess.Popen(words, env=of_head, stdout=log, stderr=subprocess.STDOUT)
    try:
        _await(cluster, agent, process, folder / "head.log")
        yield cluster
    finally:
        process.terminate()
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in _ours(env["RAY_AUTH_TOKEN"]):
                os.kill(pid, number)
            time.sleep(1)
        process.wait()


def _await(cluster: LocalCluster, agent: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the dashboard answers and the agent that starts jobs listens."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            cluster.workers()
            socket.create_connection(("127.0.0.1", agent), 1).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text())


def _ours(token: str) -> list[int]:
    """Processes that inherited this cluster's token: Ray's, and nobody else's."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if token.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for s in held:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports
