"""Every command block of the READMEs is run as it stands, in a folder laid out as the repository.

A block is known by its first command. Those that need a cloud or a standing cluster are named with
what tries them instead; a block that is not named here fails.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import with_ray

REPOSITORY = Path(__file__).parents[1]
TABLES = Path(os.environ.get("RECSCALE_TABLES", REPOSITORY / "../shared/tables"))
BANDIT = Path(os.environ.get("OPEN_BANDIT", REPOSITORY / "../shared/data/open_bandit_sample"))
PATIENCE_S = 600
ELSEWHERE = {
    "make demo": "builds an environment, as CI does by `make test`",
    "export RAY_AUTH_MODE=token RAY_API_SERVER_ADDRESS": "needs a cluster: see tests/test_jobs.py",
    "ray get-auth-token --generate": "writes into the home folder: tests/test_jobs.py has its own",
    ". .venv/bin/activate": "starts a head for good: tests/local_cluster.py starts it likewise",
    "ray up cluster/aws.yaml": "needs a cloud: tests/test_clusters.py holds the file against Ray",
    "kubectl create configmap": "needs Kubernetes: tests/test_clusters.py holds every field",
    "recscale/": "is a map of the sources",
}
RUN = {
    ".venv/bin/recscale new mine --from": with_ray[2],
    "export RECSCALE_FAMILIES=sweeps": (),
    ".venv/bin/recscale plan sweeps/own_trainer.yaml": (),
    ".venv/bin/recscale log runs/notebook": (),
    "recscale fit epoch_chinchilla.csv": pytest.mark.skipif(
        not (TABLES / "epoch_chinchilla.csv").is_file(),
        reason="epoch_chinchilla.csv not found; set RECSCALE_TABLES to the published tables",
    ),
}


def blocks(language: str) -> list[tuple[str, str]]:
    """(file, text) of every fenced block in that language."""
    found = []
    for name in ("README.md", "cluster/README.md"):
        text = (REPOSITORY / name).read_text()
        fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        found += [(name, body) for kind, body in fenced if kind == language]
    return found


def way(text: str, ways: Iterable[str]) -> str | None:
    return next((first for first in ways if text.startswith(first)), None)


def cases() -> list[object]:
    out = []
    for name, text in blocks(""):
        title = f"{name}: {text.splitlines()[0][:40]}"
        if key := way(text, RUN):
            out.append(pytest.param(text, marks=RUN[key], id=title))
        elif key := way(text, ELSEWHERE):
            out.append(pytest.param(text, marks=pytest.mark.skip(reason=ELSEWHERE[key]), id=title))
        else:
            out.append(pytest.param(text, id=title))
    return out


def clicks() -> pd.DataFrame:
    """A newcomer's log: a part of the Open Bandit sample where there is one, else a made-up one."""
    if files := sorted(BANDIT.glob("*_men.csv")):
        return pd.concat([pd.read_csv(f, index_col=0) for f in files], ignore_index=True).iloc[::5]
    rng, n = np.random.default_rng(0), 4000
    return pd.DataFrame(
        {
            "user": rng.integers(0, 200, n),
            "item": rng.integers(0, 100, n),
            "time": 1_700_000_000 + 60 * np.arange(n),
            "country": rng.choice(list("abcd"), n),
            "clicked": rng.integers(0, 2, n),
        }
    )


@pytest.fixture
def laid_out(tmp_path: Path) -> Path:
    """The repository's folders, a log, and the published table."""
    for name in ("recscale", "sweeps", "cluster", "README.md"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    own = tmp_path / ".venv" / "bin" / "recscale"
    own.write_text(f'#!/bin/sh\nexec {sys.executable} -m recscale.cli "$@"\n')
    own.chmod(0o755)
    if (TABLES / "epoch_chinchilla.csv").is_file():
        (tmp_path / "epoch_chinchilla.csv").symlink_to((TABLES / "epoch_chinchilla.csv").resolve())
    clicks().to_parquet(tmp_path / "clicks.parquet")
    return tmp_path


@pytest.mark.parametrize("text", cases())
def test_a_command_block_runs_as_it_stands(laid_out: Path, text: str):
    assert way(text, RUN), f"a new block: say in {Path(__file__).name} whether it can be run here"
    places = [laid_out / ".venv" / "bin", os.environ["PATH"]]
    environment = {**os.environ, "PATH": os.pathsep.join(map(str, places))}
    environment["PYTHONPATH"] = str(REPOSITORY)
    for name in ("RAY_ADDRESS", "RECSCALE_FAMILIES"):
        environment.pop(name, None)
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], cwd=laid_out, env=environment, text=True,
        capture_output=True, timeout=PATIENCE_S, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert "Traceback" not in ended.stdout + ended.stderr


def test_no_way_is_left_of_a_block_that_is_gone():
    texts = [text for _, text in blocks("")]
    for first in (*RUN, *ELSEWHERE):
        assert any(text.startswith(first) for text in texts), first


@pytest.mark.parametrize("text", [t for _, t in blocks("yaml")])
def test_a_yaml_block_is_yaml(text: str):
    assert isinstance(yaml.safe_load(text), dict)


def test_the_lines_of_python_that_fit_a_frame_run():
    (text,) = [t for _, t in blocks("python") if t.startswith("from recscale.laws import fit")]
    n, d = np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 6))
    noise = np.exp(0.001 * np.random.default_rng(0).standard_normal(36))
    loss = (1.8 + 480 / n.ravel() ** 0.35 + 2100 / d.ravel() ** 0.37) * noise
    names = {"frame": pd.DataFrame({"N": n.ravel(), "D": d.ravel(), "loss": loss})}
    exec(compile(text, "README.md", "exec"), names)
    assert names["law"].status == "converged"
