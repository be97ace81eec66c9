"""One driver a run directory, whoever starts when, and whatever died before."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from recscale.engine import presence
from recscale.engine.presence import AlreadyDriven, Displaced, Driver, Presence
from recscale.storage import StorageError

ELSEWHERE = "another machine"
HOLD = """
import sys, time
from recscale.engine.presence import Presence
with Presence(sys.argv[1]):
    print("drives", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def quick(monkeypatch):
    """Renewals and watching in tenths of a second."""
    monkeypatch.setattr(presence, "RENEW_S", 0.1)
    monkeypatch.setattr(presence, "WATCH_S", 0.6)
    monkeypatch.setattr(presence, "LOOK_S", 0.02)


def files(run_dir: Path) -> list[Path]:
    return sorted((run_dir / "drivers").glob("*.json"))


def pretend(run_dir: Path, **changes) -> Path:
    """A driver's file that nobody renews."""
    driver = replace(Driver.here(), name="a-driver", drives=True, **changes)
    path = run_dir / "drivers" / "a-driver.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(driver)))
    return path


def test_a_second_driver_is_refused_by_name_place_and_time(tmp_path: Path, quick):
    with Presence(str(tmp_path)), pytest.raises(AlreadyDriven) as refused, Presence(str(tmp_path)):
        raise AssertionError("both drive")
    said = str(refused.value)
    assert f"process {os.getpid()} on host" in said and "UTC" in said and str(tmp_path) in said
    assert files(tmp_path) == []
    with Presence(str(tmp_path)) as alone:
        assert not alone.followed and len(files(tmp_path)) == 1


def test_a_driver_that_was_killed_blocks_nobody_on_its_own_host(tmp_path: Path):
    killed = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout and killed.stdout.readline() == "drives\n"
    with pytest.raises(AlreadyDriven, match=f"process {killed.pid} "), Presence(str(tmp_path)):
        pass
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    begun = time.monotonic()
    with Presence(str(tmp_path)) as after:
        assert after.followed and time.monotonic() - begun < 2
    # a process that has the number of the dead one is another process
    pretend(tmp_path, pid=os.getppid(), born=1)
    with Presence(str(tmp_path)) as after:
        assert after.followed


def test_a_driver_on_another_host_is_watched_before_it_counts_as_dead(tmp_path: Path, quick):
    pretend(tmp_path, machine=ELSEWHERE)
    begun = time.monotonic()
    with Presence(str(tmp_path)) as after:
        assert after.followed and presence.WATCH_S < time.monotonic() - begun < 3

    path, over = pretend(tmp_path, machine=ELSEWHERE), threading.Event()

    def renew() -> None:
        while not over.wait(0.2):
            facts = json.loads(path.read_text())
            path.write_text(json.dumps({**facts, "renewed": facts["renewed"] + 1}))

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        with pytest.raises(AlreadyDriven), Presence(str(tmp_path)):
            pass
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"name": 3', "\x00" * 200])
def test_a_file_that_nobody_could_have_written_blocks_for_a_moment_only(
    tmp_path: Path, quick, content: str
):
    pretend(tmp_path).write_text(content)
    with Presence(str(tmp_path)):
        assert len(files(tmp_path)) == 1


def test_a_driver_that_was_taken_for_dead_stops(tmp_path: Path, quick):
    with Presence(str(tmp_path)) as mine:
        mine.check()
        files(tmp_path)[0].unlink()
        time.sleep(0.4)
        with pytest.raises(Displaced, match="taken this sweep over"):
            mine.check()


def test_a_run_directory_that_is_gone_is_not_taken_for_another_driver(tmp_path: Path, quick):
    run_dir = tmp_path / "runs"
    with Presence(str(run_dir)) as mine:
        mine.check_now()
        while run_dir.exists():  # a renewal may come between
            shutil.rmtree(run_dir, ignore_errors=True)
        with pytest.raises(StorageError, match="is gone; .*give the same command again"):
            mine.check_now()


def _start(run_dir: str, barrier, elsewhere: bool, heard) -> None:
    """One of several drivers that start at the same moment, on one host or on one each."""
    presence.RENEW_S, presence.WATCH_S, presence.LOOK_S = 0.1, 2.0, 0.02
    if elsewhere:
        own = str(os.getpid())
        presence._machine = lambda: own
    barrier.wait()
    try:
        with Presence(run_dir):
            heard.put("drives")
            time.sleep(1.5)
    except AlreadyDriven:
        heard.put("refused")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_of_drivers_that_start_at_the_same_moment_one_drives(tmp_path: Path, elsewhere: bool):
    context = multiprocessing.get_context("fork")
    for i in range(3):
        heard, barrier = context.Queue(), context.Barrier(4)
        args = (str(tmp_path / str(i)), barrier, elsewhere, heard)
        several = [context.Process(target=_start, args=args) for _ in range(4)]
        for process in several:
            process.start()
        fates = sorted(heard.get(timeout=60) for _ in several)
        for process in several:
            process.join()
        assert fates == ["drives", "refused", "refused", "refused"]
