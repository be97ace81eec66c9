"""`recscale status` says who drives a sweep, or since when nobody does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from planted_study import DATA, planted, record

from recscale.cli import main
from recscale.engine.driven import driven
from recscale.engine.presence import Driver, Presence
from recscale.ledger import Ledger
from recscale.planner import planned_runs
from recscale.specfile import parse_spec
from recscale.study import Study, plan_entry

SPEC = parse_spec("""
name: one
data: {source: synthetic}
model: {family: dlrm, embedding_dim: 4}
budget: {flop: 1e18}
""")
RUNS = planned_runs(SPEC, DATA)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    begun(tmp_path).append("session", pid=1)
    return tmp_path


def begun(run_dir: Path) -> Ledger:
    ledger = Ledger(run_dir)
    ledger.append("plan", **plan_entry(SPEC, DATA, RUNS))
    return ledger


def told(run_dir: Path) -> str:
    return driven(Study.of(Ledger(run_dir)), str(run_dir))


def left(run_dir: Path, driver: Driver) -> None:
    """The file of a driver that drives, or that was killed and left it."""
    folder = run_dir / "drivers"
    folder.mkdir(exist_ok=True)
    text = json.dumps(asdict(replace(driver, drives=True)))
    (folder / f"{driver.name}.json").write_text(text)


def test_a_driver_that_lives_is_named(run_dir: Path):
    with Presence(str(run_dir)) as mine:
        said = told(run_dir)
    assert said == f"driven by {mine.me.words()}" and str(os.getpid()) in said
    assert told(run_dir).startswith("not driven now, last heard of ")


def test_a_driver_that_was_killed_is_dead_at_once_on_its_own_host(run_dir: Path):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        here = Driver.here()
        born = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
        left(run_dir, replace(here, pid=child.pid, born=born))
        assert told(run_dir).startswith(f"driven by process {child.pid} ")
    finally:
        child.kill()
        child.wait()
    said = told(run_dir)
    assert said.startswith(f"its driver is dead: process {child.pid} on host ")
    assert said.endswith("the command that started it goes on")


@pytest.mark.parametrize(("silent", "state"), [(10, "driven by "), (3600, "its driver is dead: ")])
def test_of_a_driver_on_another_host_its_signs_of_life_tell(
    tmp_path: Path, silent: float, state: str, monkeypatch: pytest.MonkeyPatch
):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - silent)
    begun(tmp_path)
    elsewhere = replace(Driver.here(), machine="another", since=now - 2 * silent)
    monkeypatch.setattr(time, "time", lambda: now)
    left(tmp_path, elsewhere)
    assert told(tmp_path).startswith(state)


def test_what_was_stopped_or_is_complete_says_so(run_dir: Path):
    ledger = Ledger(run_dir)
    ledger.append("end", interrupted=True)
    said = told(run_dir)
    assert said.startswith("stopped ") and said.endswith("ago; the same command goes on")
    ledger.append("session", pid=1)
    assert told(run_dir).startswith("not driven now")
    for run in RUNS:
        ledger.record(record(run))
    ledger.append("end", interrupted=False)
    assert told(run_dir) == ""


def test_status_says_it_below_its_line(tmp_path: Path):
    planted(tmp_path)
    left(tmp_path, replace(Driver.here(), born=1))
    lines = CliRunner().invoke(main, ["status", str(tmp_path)]).output.splitlines()
    assert lines[1].startswith("its driver is dead: ")
    facts = json.loads(CliRunner().invoke(main, ["status", str(tmp_path), "--json"]).output)
    assert facts["driver"].startswith("its driver is dead: ")
