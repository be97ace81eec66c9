"""Whole sweeps through Ray, as a user runs them: killed, interrupted, failing, sharded."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import slow, with_ray
from loopback_ray import OF_LOOPBACK, loopback

from recscale.data.prepare import prepare
from recscale.data.store import Store
from recscale.ledger import Ledger
from recscale.planner.fixed import planned_runs
from recscale.run import RunRecord
from recscale.specfile import load_spec

pytestmark = with_ray[0]

SWEEP = """
name: kill
data: {source: synthetic, rows: 60000, users: 500, items: 300}
model: {family: dlrm, embedding_dim: [4, 8, 16], mlp_width: [16, 32], sequence_length: 6}
train: {data_fraction: 1.0, batch_size: 64}
budget: {flop: 1e15}
resources: {checkpoint_s: 0.5, retries: 2}
"""
PATIENCE_S = 400


def recscale(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "recscale.cli", *map(str, words)]


def finish(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        recscale(*words), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@contextmanager
def started(*words: str | Path, group: bool = False) -> Iterator[subprocess.Popen[str]]:
    """`group`: at the head of a process group of its own."""
    process = subprocess.Popen(
        recscale(*words),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=group,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> Any:
    """The first true value of `condition`; the sweep must not end before it."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    raise AssertionError("nothing happened")


def done(ledger: Ledger) -> list[RunRecord]:
    return [r for r in ledger.attempts() if r.status == "done"]


def starts(ledger: Ledger) -> Counter[str]:
    return Counter(e["run_id"] for e in ledger.entries() if e["kind"] == "start")


def checkpointed(run_dir: Path, ledger: Ledger) -> dict | None:
    """The start of a run that has a checkpoint and is not done."""
    over = {r.run_id for r in done(ledger)}
    kept = {s.id: s.kept for s in ledger.starts() if not s.over and s.kept != s.origin}
    for entry in reversed(ledger.entries()):
        if entry["kind"] == "start" and entry["run_id"] not in over:
            folder = run_dir / "checkpoints" / entry["run_id"]
            if kept.get(entry["start"]) or any(folder.glob("step-*/facts.json")):  # written last
                return entry
    return None


def undisturbed(sweep: Path) -> dict[str, float]:
    """The final loss of every run of a sweep, trained by this process alone, without Ray."""
    import torch

    from recscale.train.host import PlainHost
    from recscale.train.loop import train

    spec, threads = load_spec(sweep), torch.get_num_threads()
    store = Store.open(prepare(spec.data, f"{spec.storage}/store"))
    torch.set_num_threads(spec.resources.cpus_per_worker)
    try:
        return {
            run.run_id: train(run.config, store, PlainHost()).curve[-1].eval_loss
            for run in planned_runs(spec, store.manifest)
        }
    finally:
        torch.set_num_threads(threads)


def test_kill_of_a_worker_and_of_the_driver_loses_nothing_and_repeats_nothing(sweep_file, tmp_path):
    """The driver while the worker's run is trained again. All losses end as those of runs that
    nobody disturbed."""
    sweep = sweep_file(SWEEP.replace("[4, 8, 16]", "[4, 8]"))
    run_dir = tmp_path / "runs" / "kill"
    ledger = Ledger(run_dir)
    with started("run", sweep) as driver:
        victim = until(lambda: done(ledger) and checkpointed(run_dir, ledger), driver)
        os.kill(victim["pid"], signal.SIGKILL)
        run_id = victim["run_id"]
        until(lambda: starts(ledger)[run_id] == 2, driver)
        until(lambda: checkpointed(run_dir, ledger), driver)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    before, started_before = {r.run_id for r in done(ledger)}, starts(ledger)

    again = finish("run", sweep)
    assert again.returncode == 0, again.stdout + again.stderr
    records = done(ledger)
    facts = json.loads(finish("status", run_dir, "--json").stdout)
    assert facts["planned"] == facts["done"] == 4
    assert facts["failed"] == facts["running"] == 0
    assert Counter(r.run_id for r in records) == dict.fromkeys({r.run_id for r in records}, 1)
    assert all(starts(ledger)[i] == started_before[i] for i in before)
    assert next(r for r in records if r.run_id == run_id).resumed >= 1

    idle = finish("run", sweep)
    assert idle.returncode == 0
    assert starts(ledger) == starts(Ledger(run_dir))
    assert len(done(Ledger(run_dir))) == 4
    assert undisturbed(sweep) == {r.run_id: r.final.eval_loss for r in records}


def test_ctrl_c_stops_cleanly_and_a_second_driver_is_refused_until_then(
    ray_stands, sweep_file, tmp_path
):
    four = SWEEP.replace("[4, 8, 16]", "[4, 8]").replace("retries: 2", "concurrent: 1")
    sweep = sweep_file(four)
    ledger = Ledger(tmp_path / "runs" / "kill")
    with started("run", sweep) as driver:
        until(lambda: starts(ledger), driver)
        second = finish("run", sweep)
        assert second.returncode == 2 and f"process {driver.pid} on host" in second.stderr
        until(lambda: done(ledger), driver)
        driver.send_signal(signal.SIGINT)
        assert driver.wait(timeout=60) == 130
    kept = {r.run_id for r in done(ledger)}
    assert 0 < len(kept) < 4
    assert finish("run", sweep).returncode == 0
    assert len(done(ledger)) == 4


@pytest.mark.parametrize(("after_s", "times"), [(1.5, 1), (0, 2)])
def test_a_signal_to_the_group_while_ray_starts_ends_in_a_sentence(
    sweep_file, tmp_path, after_s: float, times: int
):
    """As of a container, Slurm or systemd: Ray's own processes get it too. Impatience as well."""
    sweep = sweep_file(SWEEP.replace("[4, 8, 16]", "[4, 8]"))
    ledger = Ledger(tmp_path / "runs" / "kill")
    with started("run", sweep, group=True) as driver:
        until(lambda: any(e["kind"] == "session" for e in ledger.entries()), driver)
        time.sleep(after_s)
        began = time.monotonic()
        for _ in range(times):
            with suppress(ProcessLookupError):
                os.killpg(driver.pid, signal.SIGTERM)
            time.sleep(0.2)
        said = driver.communicate(timeout=60)[0]
        assert time.monotonic() - began < 20
    assert driver.returncode == 130, said
    assert "the same command goes on" in said and "Traceback" not in said
    assert {e["interrupted"] for e in ledger.entries() if e["kind"] == "end"} == {True}
    assert not list((tmp_path / "runs" / "kill" / "drivers").iterdir())


def test_runs_that_fail_or_diverge_are_recorded_and_the_sweep_goes_on(
    ray_stands, sweep_file, tmp_path
):
    """Before they could report anything: the first, the last and others between."""
    rates = "64, learning_rate: {tune: [1e30, 2, 2.5, 3, 4e30]}}"
    one = SWEEP.replace("[4, 8, 16]", "4").replace("[16, 32]", "16").replace("64}", rates)
    sweep = sweep_file(one.replace("retries: 2", "retries: 1").replace("60000", "8000"))
    run_dir = tmp_path / "runs" / "kill"
    plan = json.loads(finish("plan", sweep, "--json").stdout)
    # a file where this run's checkpoint folder must go: it cannot write one
    (run_dir / "checkpoints").mkdir(parents=True)
    broken = [plan[i]["run_id"] for i in (1, 3)]
    for run_id in broken:
        (run_dir / "checkpoints" / run_id).write_text("in the way")
    ended = finish("run", sweep)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    first = ended.stdout.splitlines()[0]
    assert f"{run_dir}; page: {run_dir}/report.html" in first
    page = (run_dir / "report.html").read_text()
    assert "1 of 5 runs done · 2 failed · 2 diverged" in page and "data-live" not in page
    ledger = Ledger(run_dir)
    fates = {r.run_id: r for r in ledger.records()}
    expected = ["diverged", "failed", "done", "failed", "diverged"]
    assert [fates[p["run_id"]].status for p in plan] == expected
    assert all(r.error and not r.curve for r in fates.values() if r.status == "diverged")
    for run_id in broken:
        r = fates[run_id]
        assert r.run_id in ended.stdout
        assert r.error and "checkpoints" in r.error
        assert starts(ledger)[r.run_id] == 2
        shown = finish("logs", run_dir, r.run_id).stdout
        places = re.findall(r"^\S+:(/\S*worker-\S+)$", shown, re.MULTILINE)
        assert len(places) == 2 and "attempt 2 of 2" in shown
        assert r.error.startswith("the worker's log: ") and places[-1] in r.error
    assert {starts(ledger)[i] for i in fates if i not in broken} == {1}

    for run_id in broken:
        (run_dir / "checkpoints" / run_id).unlink()
    assert finish("run", sweep).returncode == 0
    assert Counter(r.status for r in ledger.records()) == {"done": 3, "diverged": 2}


def test_a_group_of_two_records_runs_that_diverge_and_a_sweep_of_nothing_else(
    ray_stands, sweep_file, tmp_path
):
    wild = SWEEP.replace("[4, 8, 16]", "4").replace("[16, 32]", "16")
    wild = wild.replace("rows: 60000", "rows: 8000").replace("retries: 2", "workers: 2")
    some = wild.replace("64}", "64, learning_rate: {tune: [1e30, 2, 4e30]}}")
    sweep = sweep_file(some)
    plan = json.loads(finish("plan", sweep, "--json").stdout)
    ended = finish("run", sweep)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    records = {r.run_id: r for r in Ledger(tmp_path / "runs" / "kill").attempts()}
    assert [records[p["run_id"]].status for p in plan] == ["diverged", "done", "diverged"]
    assert all(r.error and not r.curve for r in records.values() if r.status == "diverged")
    assert set(starts(Ledger(tmp_path / "runs" / "kill")).values()) == {1}

    every = some.replace("2, 4e30", "4e30").replace("name: kill", "name: all")
    ended = finish("run", sweep_file(every, "all.yaml"))
    assert "Traceback" not in ended.stdout + ended.stderr, ended.stdout + ended.stderr
    records = Ledger(tmp_path / "runs" / "all").attempts()
    assert [r.status for r in records] == ["diverged"] * 2


def test_a_directory_removed_after_the_last_record_ends_in_the_sentence_alone(
    ray_stands, sweep_file, tmp_path
):
    """Tune then has its own state to write, and nowhere to."""
    one = SWEEP.replace("[4, 8, 16]", "4").replace("[16, 32]", "16").replace("60000", "8000")
    run_dir = tmp_path / "runs" / "kill"
    with started("run", sweep_file(one)) as driver:
        until(lambda: done(Ledger(run_dir)), driver)
        shutil.rmtree(run_dir, ignore_errors=True)
        said = driver.communicate(timeout=PATIENCE_S)[0].splitlines()
    assert driver.returncode == 2 and "Traceback" not in "".join(said), "\n".join(said)
    assert f"{run_dir}" in said[-1] and "give the same command again" in said[-1]
    assert not [line for line in said if line.startswith(" ") or "rror" in line], said


def test_an_elastic_group_and_a_killed_worker(ray_stands, sweep_file, tmp_path):
    """Each run takes what is there; which runs these are does not depend on it."""
    two = SWEEP.replace("[4, 8, 16]", "[4, 8]").replace("[16, 32]", "16")
    sweep = sweep_file(two.replace("retries: 2", "elastic: [1, 2], retries: 2"))
    run_dir = tmp_path / "runs" / "kill"
    ledger = Ledger(run_dir)
    with started("run", sweep) as driver:
        victim = until(lambda: checkpointed(run_dir, ledger), driver)
        os.kill(victim["pid"], signal.SIGKILL)
        assert driver.wait(timeout=PATIENCE_S) == 0
    assert len(done(ledger)) == 2
    assert {r.workers for r in done(ledger)} == {2}
    assert next(r for r in done(ledger) if r.run_id == victim["run_id"]).resumed >= 1

    single = undisturbed(sweep_file(two, "1.yaml"))
    assert {r.run_id: pytest.approx(r.final.eval_loss, rel=1e-3) for r in done(ledger)} == single


def test_a_budget_that_ends_before_the_law_is_determined_exits_3(ray_stands, sweep_file, tmp_path):
    plan = json.loads(finish("plan", sweep_file(SWEEP), "--json").stdout)
    room = plan[0]["train_flop"] * 1.5
    sweep = sweep_file(SWEEP.replace("1e15", f"{room:.6e}"))
    assert finish("run", sweep).returncode == 3
    ledger = Ledger(tmp_path / "runs" / "kill")
    assert len(done(ledger)) == 1
    assert sum(r.spent.train_flop for r in ledger.attempts()) <= room


def test_a_run_that_outlasts_the_budget_is_stopped_and_goes_on_with_more(
    ray_stands, sweep_file, tmp_path
):
    """A run that hangs costs by the hour, whatever was estimated; on a busy machine it takes longer
    than that before it does."""
    one = SWEEP.replace("[4, 8, 16]", "4").replace("[16, 32]", "16")
    usd = json.loads(finish("plan", sweep_file(one), "--json").stdout)[0]["usd"]
    run_dir = tmp_path / "runs" / "kill"
    ledger = Ledger(run_dir)
    sweep = sweep_file(one.replace("flop: 1e15", f"usd: {2 * usd:.3e}"))
    with started("run", sweep) as driver:
        victim = until(lambda: checkpointed(run_dir, ledger), driver)
        os.kill(victim["pid"], signal.SIGSTOP)
        assert driver.wait(timeout=PATIENCE_S) == 3
    (stopped,) = ledger.attempts()
    assert stopped.status == "stopped" and 0 < stopped.spent.usd <= 2 * usd
    assert finish("run", sweep).returncode == 3
    assert sum(starts(ledger).values()) == 1

    assert finish("run", sweep_file(one)).returncode == 0
    (ended,) = done(ledger)
    assert ended.resumed == 1
    facts = json.loads(finish("status", run_dir, "--json").stdout)
    assert facts["done"] == 1 and facts["stopped"] == 0
    assert facts["spent"]["usd"] == pytest.approx((1 + ended.lost) * ended.spent.usd)


@pytest.fixture
def cluster(monkeypatch) -> Iterator[Any]:
    """A private Ray on loopback: a head that trains nothing, and one node of one CPU."""
    with loopback(num_cpus=0) as nodes:
        nodes.add_node(num_cpus=1)
        for name, value in {**OF_LOOPBACK, "RAY_ADDRESS": str(nodes.address)}.items():
            monkeypatch.setenv(name, value)
        yield nodes


@slow
def test_ray_resizes_a_run_as_nodes_come_and_go(cluster, sweep_file, tmp_path):
    """1 -> 2 -> 1 workers inside one run, whose losses stay those of a run that one worker did."""
    one = SWEEP.replace("[4, 8, 16]", "8").replace("[16, 32]", "16")
    one = one.replace("rows: 60000", "rows: 400000")
    elastic = one.replace("retries: 2", "elastic: [1, 2], retries: 2")
    run_dir = tmp_path / "runs" / "kill"
    ledger = Ledger(run_dir)

    def workers() -> list[int]:
        return [e["workers"] for e in ledger.entries() if e["kind"] == "start"]

    def kept() -> set[str]:
        return {str(p.parent) for p in run_dir.glob("checkpoints/*/step-*/facts.json")}

    with started("run", sweep_file(elastic)) as driver:
        until(lambda: workers() == [1] and kept(), driver)
        second = cluster.add_node(num_cpus=1)
        until(lambda: workers() == [1, 2], driver)
        before = kept()
        until(lambda: kept() - before, driver)
        cluster.remove_node(second, allow_graceful=False)
        assert driver.wait(timeout=PATIENCE_S) == 0
    (resized,) = done(ledger)
    assert workers() == [1, 2, 1]
    assert resized.resumed == 2

    (single,) = undisturbed(sweep_file(one, "1.yaml")).items()
    assert (resized.run_id, pytest.approx(resized.final.eval_loss, rel=1e-3)) == single


def test_a_worker_group_without_work_gives_its_nodes_back(monkeypatch):
    from recscale.engine import bus as queue

    monkeypatch.setattr(queue, "IDLE_S", 0.1)

    async def story() -> None:
        bus = queue.Bus()
        await bus.submit({"run_id": "1"})
        assert await bus.wanted(0)
        await bus.enter(0, "first", None)
        with pytest.raises(TimeoutError):  # one job asks for one group, not for two
            await asyncio.wait_for(bus.wanted(1), 0.1)
        assert await bus.lease(0, "first") == (0, {"run_id": "1"})
        await bus.end(0, "")
        assert await bus.lease(0, "first") is None
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bus.wanted(0), 0.1)
        await bus.submit({"run_id": "2"})
        assert await bus.wanted(0)
        await bus.enter(0, "second", None)
        assert await bus.lease(0, "second") == (1, {"run_id": "2"})
        await bus.close()
        assert not await bus.wanted(1)

    asyncio.run(story())


def test_the_controller_of_a_group_pauses_while_it_waits_and_never_else(monkeypatch):
    from ray.train.v2._internal.execution.controller.state import InitializingState, RunningState

    from recscale.engine import pool

    slept: list[float] = []
    monkeypatch.setattr(pool.time, "sleep", slept.append)
    hook, waits = pool._Pause().after_controller_state_update, InitializingState()
    hook(waits, RunningState())
    hook(RunningState(), RunningState())  # Train itself waits between two looks at workers
    assert not slept
    hook(waits, waits)
    assert slept == [pool.PAUSE_S]
