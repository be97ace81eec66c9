"""Trainers of a user's own through Ray: killed and resumed, failed in their own words, reported."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import slow, with_ray
from test_engine import done, finish, started, starts, until

from recscale.ledger import Ledger

pytestmark = with_ray[2]

REPOSITORY = Path(__file__).parents[1]
SWEEP = """
name: mine
trainer: "own.clicks:train"
axes: {dim: [2, 8], width: 16, samples: [64e3, 128e3]}
cost: 6 * samples * width * (3 * dim + 4)
budget: {flop: 1e13}
"""
FAILING = """
import json, sys
hidden = int(sys.argv[1])
for k in (1, 2, 3):
    print(json.dumps({"samples": k, "loss": float("nan") if k == 3 and hidden == 2 else 1 / k}))
if hidden == 1:
    sys.exit("the disk is on fire")
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(REPOSITORY / "sweeps" / "own", tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def reported(run_dir: Path, ledger: Ledger) -> dict | None:
    """The start of a run that has left a checkpoint with its reports and is not done."""
    over = {r.run_id for r in done(ledger)}
    for entry in reversed(ledger.entries()):
        if entry["kind"] == "start" and entry["run_id"] not in over:
            folder = run_dir / "checkpoints" / entry["run_id"]
            if (folder / "reports.json").exists() and (folder / "files" / "state.pt").exists():
                return entry
    return None


def test_a_killed_worker_and_a_killed_driver_lose_nothing_that_was_finished(
    sweep_file: Callable[..., Path], own: Path
):
    sweep, run_dir = sweep_file(SWEEP), own / "runs" / "mine"
    ledger = Ledger(run_dir)
    with started("run", sweep) as process:
        entry = until(lambda: done(ledger) and reported(run_dir, ledger), process)
        os.kill(entry["pid"], signal.SIGKILL)
        until(lambda: starts(ledger)[entry["run_id"]] > 1, process)
        process.kill()
    before, begun = {r.run_id for r in done(ledger)}, starts(ledger)
    again = finish("run", sweep)
    assert again.returncode == 0, again.stdout + again.stderr
    ended = [r.run_id for r in done(ledger)]
    assert len(ended) == len(set(ended)) == 4 and before < set(ended)
    assert all(starts(ledger)[run_id] == begun[run_id] for run_id in before)
    struck = next(r for r in done(ledger) if r.run_id == entry["run_id"])
    assert struck.resumed >= 1 and len(struck.curve) == 3
    assert struck.measured and struck.measured.train_flop == struck.estimated.train_flop
    for words in (["report", run_dir], ["ask", run_dir], ["status", run_dir]):
        told = finish(*words)
        assert told.returncode == 0, told.stdout + told.stderr
    assert "own.clicks:train" in (run_dir / "report.html").read_text()


def test_what_a_command_dies_of_is_in_its_record(sweep_file: Callable[..., Path], own: Path):
    (own / "failing.py").write_text(FAILING)
    sweep = sweep_file("""
        name: failing
        command: [python, failing.py, "{hidden}"]
        axes: {hidden: [1, 2, 4, 8]}
        cost: 10 - hidden
        budget: {flop: 1e13}
        resources: {retries: 1}
        """)
    ended = finish("run", sweep)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    records = {
        r.config.model.model_dump()["hidden"]: r for r in Ledger(own / "runs" / "failing").records()
    }
    assert [records[h].status for h in (1, 2, 4, 8)] == ["failed", "diverged", "done", "done"]
    log, words = (records[1].error or "").splitlines()
    assert log.startswith("the worker's log: ") and "recscale logs" in log
    assert words == "the trainer python failing.py ended with exit status 1: the disk is on fire"
    assert records[2].error == "reported loss nan at 3 samples"
    assert "failed: failing.py-h1" in ended.stdout and "the disk is on fire" in ended.stdout
    assert starts(Ledger(own / "runs" / "failing"))[records[1].run_id] == 2


@slow
def test_a_function_trains_on_two_workers(sweep_file: Callable[..., Path], own: Path):
    (own / "pair.py").write_text("""
import torch, torch.distributed as dist

def train(config, report, checkpoint_dir):
    total = torch.ones(1)
    dist.all_reduce(total)
    for k in (1, 2, 4):
        report(samples=100 * k, loss=1 / (k * config["hidden"]), world=total)
""")
    sweep = sweep_file("""
        name: pair
        trainer: "pair:train"
        axes: {hidden: [1, 2]}
        cost: hidden
        budget: {flop: 1e13}
        resources: {workers: 2}
        """)
    ended = finish("run", sweep)
    # alone on the head it has no process group; such a try refuses nothing
    assert ended.returncode == 0, ended.stdout + ended.stderr
    records = done(Ledger(own / "runs" / "pair"))
    assert [r.workers for r in records] == [2, 2]
    assert all(r.final and r.final.metrics == {"world": 2.0} for r in records)
