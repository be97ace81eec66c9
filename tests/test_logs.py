"""Whose log is whose: a worker trains many runs, and each is shown its own part."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from recscale.cli import main
from recscale.engine.logs import attempts_of, own_log, written
from recscale.ledger import Ledger

FACTS = {
    "launch": "x", "workers": 1, "next_s": 0.0, "origin": 0, "kept": 0, "samples": 0, "flop": 0.0,
    "worker_s": 0.0, "gpu_hours": 0.0, "usd": 0.0, "over": False,
}  # fmt: skip
WORKER = (
    f"FACTS = {FACTS}"
    + """
import os, sys
from recscale.engine.logs import own_log
from recscale.ledger import Ledger
ledger = Ledger(sys.argv[1])
for run in sys.argv[2:]:
    ledger.append("start", start=run, run_id=run.split(".")[0], pid=os.getpid(), host="here",
                  log=own_log(), **FACTS)
    print(f"{run} trains")
    print(f"{run} warns", file=sys.stderr)
"""
)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Of a worker that trained a, b, and a once more, and another that trained b."""
    work(tmp_path, 1, "a.1", "b.1", "a.2")
    work(tmp_path, 2, "b.2")
    return tmp_path


def work(folder: Path, number: int, *runs: str) -> None:
    files = [folder / f"worker-{number}.{s}" for s in ("out", "err")]
    with files[0].open("w") as out, files[1].open("w") as err:
        out.write("Ray says hello\n")
        out.flush()
        command = [sys.executable, "-c", WORKER, str(folder), *runs]
        subprocess.run(command, stdout=out, stderr=err, check=True)


def test_each_attempt_has_its_own_part(run_dir: Path):
    entries = Ledger(run_dir).entries()
    for run in ("a", "b"):
        attempts = attempts_of(run, entries)
        assert [written(x) for x in attempts] == [
            {"out": f"{run}.{i} trains\n", "err": f"{run}.{i} warns\n"} for i in (1, 2)
        ]
    assert attempts_of("a", entries)[0].place == f"here:{run_dir}/worker-1.out"
    assert attempts_of("c", entries) == []


def test_a_process_that_is_no_worker_has_none():
    assert own_log() == {}


def shown(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["logs", *words])
    assert "Traceback" not in done.output
    return done.exit_code, done.output


def test_the_command_shows_every_attempt_and_where_it_lies(run_dir: Path):
    code, said = shown(str(run_dir), "b")
    assert code == 0 and "attempt 1 of 2" in said and "attempt 2 of 2" in said
    assert f"here:{run_dir}/worker-1.out" in said
    for text in ("b.1 trains", "b.1 warns", "b.2 trains"):
        assert text in said
    assert "a.1" not in said and "hello" not in said


def test_a_run_is_found_below_runs(run_dir: Path, tmp_path: Path, monkeypatch):
    home = tmp_path / "home"
    (home / "runs").mkdir(parents=True)
    os.symlink(run_dir, home / "runs" / "mine")
    monkeypatch.chdir(home)
    code, said = shown("a")
    assert code == 0 and "of runs/mine" in said and "a.2 trains" in said


def test_a_log_that_is_gone_and_a_run_that_never_was_are_sentences(run_dir: Path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    (run_dir / "worker-2.out").unlink()
    code, said = shown(str(run_dir), "b")
    assert code == 0 and "cannot be read here: it is not on this machine, or no more" in said
    code, said = shown(str(run_dir), "c")
    assert code == 2 and "c: no start of such a run" in said
    code, said = shown(str(run_dir), "a", "b")
    assert code == 2 and "takes a run directory and a run id" in said


def test_starts_of_an_earlier_version_and_part_of_a_name(run_dir: Path):
    Ledger(run_dir).append("start", start="x", run_id="long-name-1f", pid=1, host="there", **FACTS)
    code, said = shown(str(run_dir), "long-name-1f")
    assert code == 0 and "no log is known of it" in said
    code, said = shown(str(run_dir), "1f")
    assert code == 2 and "did you mean long-name-1f" in said


def test_what_a_worker_wrote_does_not_steer_the_terminal(run_dir: Path):
    with (run_dir / "worker-2.out").open("a") as out:
        out.write("\x1b]0;title\x07\x1b[2J\u202egone\r\n")
    _, said = shown(str(run_dir), "b")
    assert "\\x1b]0;title\\x07" in said and "\x1b" not in said and "\u202e" not in said
