"""Preparing is atomic, done once, and the same wherever and however often it is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from data_files import event_log

from recscale.data.prepare import DataError, prepare, store_path
from recscale.data.store import Store, StoreError
from recscale.spec import Columns, EventsData, SyntheticData

SMALL = SyntheticData(source="synthetic", rows=1000)

CHILD = """
import sys
from recscale.data.prepare import prepare
from recscale.spec import SyntheticData

def stalled(done, total):
    print("working", flush=True)
    sys.stdin.read()

data = SyntheticData(source="synthetic", rows=1000)
print(prepare(data, sys.argv[1], stalled if sys.argv[2] == "stall" else None))
"""


def child(root: Path, how: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(root), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_killed_preparation_leaves_nothing_finished_and_the_next_one_cleans_up(tmp_path):
    with child(tmp_path, "stall") as process:
        assert process.stdout and process.stdout.readline() == "working\n"
        os.kill(process.pid, signal.SIGKILL)
    target = store_path(SMALL, tmp_path)
    assert not target.exists()
    assert len(list(tmp_path.glob(".*.tmp"))) == 1
    with pytest.raises(StoreError):
        Store.open(target)
    assert prepare(SMALL, tmp_path) == target
    Store.open(target).verify()
    assert not list(tmp_path.glob(".*.tmp"))


def test_two_processes_preparing_the_same_data_both_get_it(tmp_path):
    first = child(tmp_path, "stall")
    assert first.stdout and first.stdout.readline() == "working\n"
    second = child(tmp_path, "go")
    time.sleep(0.2)  # likely, not certainly, waiting by now: either way both must succeed
    outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert first.returncode == second.returncode == 0
    assert all(o.splitlines()[-1] == str(store_path(SMALL, tmp_path)) for o in outputs)
    Store.open(store_path(SMALL, tmp_path)).verify()


def test_an_error_leaves_nothing_behind(tmp_path):
    event_log(tmp_path / "log.parquet", n=50)
    columns = Columns(user="user", item="item", time="country")
    data = EventsData(source="events", path=str(tmp_path / "log.parquet"), columns=columns)
    with pytest.raises(DataError):
        prepare(data, tmp_path / "stores")
    assert not [p for p in (tmp_path / "stores").iterdir() if not p.name.endswith(".lock")]


def test_prepared_data_is_not_prepared_again(tmp_path):
    path = prepare(SMALL, tmp_path)
    before = (path / "manifest.json").stat().st_mtime_ns
    calls = []
    assert prepare(SMALL, tmp_path, lambda done, total: calls.append(done)) == path
    assert (path / "manifest.json").stat().st_mtime_ns == before and not calls


def test_progress_rises_to_the_whole(tmp_path):
    seen = []
    prepare(SyntheticData(source="synthetic", rows=20_000), tmp_path, lambda *a: seen.append(a))
    done = [d for d, _ in seen]
    assert len(done) > 3 and done == sorted(done) and seen[-1] == (20_000, 20_000)


def test_a_store_is_named_by_its_recipe_and_not_by_where_the_log_lies(tmp_path):
    places = [tmp_path / "a", tmp_path / "b"]
    columns = Columns(user="user", item="item", time="time")
    specs = []
    for place in places:
        place.mkdir()
        event_log(place / "log.parquet", n=100)
        specs.append(EventsData(source="events", path=str(place / "log.parquet"), columns=columns))
    here, there = (store_path(s, tmp_path) for s in specs)
    assert here == there and here.name.startswith("events-")
    other = specs[0].model_copy(update={"seed": 1})
    assert store_path(other, tmp_path) != here
    event_log(places[0] / "log.parquet", n=200)
    assert store_path(specs[0], tmp_path) != here
