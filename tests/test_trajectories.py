"""Sweeps of schedule `anytime` through Ray: killed, cut, extended, their states lost."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter, defaultdict

import pytest
from conftest import slow, with_ray
from test_engine import checkpointed, done, finish, started, starts, until

from recscale.ledger import Ledger
from recscale.run import RunRecord
from recscale.spend import spent
from recscale.study import Study

pytestmark = with_ray[2]

SWEEP = """
name: way
data: {source: synthetic, rows: 60000, users: 500, items: 300}
model: {family: dlrm, embedding_dim: 4, mlp_width: 16, sequence_length: 6}
train: {data_fraction: [0.1, 0.5, 1.0], batch_size: 64, schedule: anytime}
budget: {flop: 1e15}
resources: {checkpoint_s: 0.2, retries: 3}
"""


def losses(records: list[RunRecord]) -> dict[str, list[float]]:
    return {r.run_id: [p.eval_loss for p in r.curve] for r in records}


def by_trajectory(records: list[RunRecord]) -> dict[str, list[RunRecord]]:
    found = defaultdict(list)
    for r in sorted(records, key=lambda r: r.trained.samples):
        found[r.trajectory].append(r)
    return dict(found)


def check(ledger: Ledger) -> None:
    """Each run has one record, and the increments of a training come to the whole of it."""
    records = done(ledger)
    assert set(Counter(r.run_id for r in records).values()) == {1}
    for points in by_trajectory(records).values():
        assert [r.config.train.data_fraction for r in points] == [0.1, 0.5, 1.0]
        assert points[0].whole is None
        sums = [sum(r.spent.train_flop for r in points[: i + 1]) for i in range(3)]
        assert [r.trained.train_flop for r in points] == pytest.approx(sums)
        assert points[2].trained.samples == 54_000 // 64 * 64
        assert points[2].trained.time_s == pytest.approx(sum(r.spent.time_s for r in points))
        for r in points:
            assert r.estimated.train_flop == pytest.approx(r.spent.train_flop)
            assert r.curve[-1].samples == r.trained.samples


def test_kills_of_workers_and_the_driver_on_the_way_change_no_loss(
    ray_stands, sweep_file, tmp_path
):
    sweep = sweep_file(SWEEP)
    run_dir = tmp_path / "runs" / "way"
    ledger = Ledger(run_dir)
    for wanted in (0, 1):
        with started("run", sweep) as driver:
            victim = until(
                lambda: len(done(ledger)) > wanted and checkpointed(run_dir, ledger),  # noqa: B023
                driver,
            )
            os.kill(victim["pid"], signal.SIGKILL)
            until(lambda: starts(ledger)[victim["run_id"]] > 1, driver)  # noqa: B023
            driver.send_signal(signal.SIGKILL)
            driver.wait()
    again = finish("run", sweep)
    assert again.returncode in (0, 3), again.stdout + again.stderr
    study = Study.open(str(run_dir))
    assert study.count("done") == len(study.planned) == 3 and not study.count("failed")
    check(ledger)

    calm = sweep_file(SWEEP.replace("name: way", "name: calm"), "calm.yaml")
    finish("run", calm)
    undisturbed = Ledger(tmp_path / "runs" / "calm")
    check(undisturbed)
    assert losses(done(undisturbed)) == losses(done(ledger))
    # nobody trains a sample twice
    used, records = spent(undisturbed.attempts(), undisturbed.starts()), done(undisturbed)
    assert used.flop == pytest.approx(max(r.trained.train_flop for r in records))


def test_a_larger_fraction_goes_on_and_a_lost_state_is_said(ray_stands, sweep_file, tmp_path):
    """Asked for later; then with its state gone, and cut."""
    short = SWEEP.replace("[0.1, 0.5, 1.0]", "[0.1, 0.5]")
    whole = SWEEP
    run_dir = tmp_path / "runs" / "way"
    finish("run", sweep_file(short))
    (place,) = (run_dir / "checkpoints").iterdir()
    rested = tmp_path / "rested"
    shutil.copytree(run_dir, rested)
    losses_of = []
    for harm in ("none", "gone", "cut"):
        shutil.rmtree(run_dir)
        shutil.copytree(rested, run_dir)
        (state,) = place.iterdir()
        if harm == "gone":
            shutil.rmtree(state)
        if harm == "cut":
            part = state / "__0_0.distcp"
            part.write_bytes(part.read_bytes()[:-1])
        plan = finish("plan", sweep_file(whole)).stdout
        ended = finish("run", sweep_file(whole))
        assert "Traceback" not in ended.stdout + ended.stderr
        records = done(Ledger(run_dir))
        assert len(records) == 3
        (last,) = (r for r in records if r.config.train.data_fraction == 1.0)
        losses_of.append([p.eval_loss for p in last.curve])
        assert (last.whole is None) == (harm != "none")
        said = {"none": "", "gone": "is gone: ", "cut": "__0_0.distcp is cut: "}[harm]
        for shown in (plan, ended.stdout):
            assert ("will be trained again from the start" in shown) == bool(said)
            assert said in shown
        assert starts(Ledger(run_dir))[last.run_id] == 1  # told in time: no start was in vain
    assert losses_of[0] == losses_of[1] == losses_of[2]


def test_states_at_rest_take_no_more_than_they_may(ray_stands, sweep_file, tmp_path):
    little = SWEEP.replace("[0.1, 0.5, 1.0]", "[0.1, 0.5]").replace(
        "retries: 3", "retries: 0, resting_bytes: 1"
    )
    ended = finish("run", sweep_file(little))
    assert ended.returncode in (0, 3), ended.stdout
    ledger = Ledger(tmp_path / "runs" / "way")
    assert len(done(ledger)) == 2
    assert not list((tmp_path / "runs" / "way").glob("checkpoints/*/step-*"))
    assert all(r.whole is None for r in done(ledger))


@slow
def test_a_trajectory_on_two_workers(sweep_file, tmp_path):
    two = SWEEP.replace("retries: 3", "retries: 3, workers: 2")
    assert finish("run", sweep_file(two)).returncode in (0, 3)
    ledger = Ledger(tmp_path / "runs" / "way")
    check(ledger)
    assert {r.workers for r in done(ledger)} == {2}
