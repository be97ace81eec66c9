"""A sweep as a submitted job, on a cluster that scales itself: Ray's own autoscaler over nodes that
are processes of this machine. One cluster serves the whole file, as it serves a user's day."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import with_ray
from local_cluster import LocalCluster, local_cluster
from planted_study import planted
from prometheus import Prometheus, asked, board, prometheus
from prometheus import needed as with_prometheus
from prometheus_client.parser import text_string_to_metric_families

from recscale.ledger import Ledger

pytestmark = with_ray[1]

SWEEP = """
name: job
data: {source: synthetic, rows: 240000, users: 500, items: 300}
model: {family: dlrm, embedding_dim: [4, 8], mlp_width: 16, sequence_length: 6}
train: {data_fraction: [0.02, 1.0], batch_size: 64}
budget: {flop: 1e15}
resources: {concurrent: 2, checkpoint_s: 0.5}
track: tensorboard
"""
PATIENCE_S = 300
TELL = """
import sys, time
import ray
from recscale.engine.monitor import SweepMonitor
from recscale.study import Study
ray.init()
monitor, study = SweepMonitor("planted"), Study.open(sys.argv[1])
while True:
    monitor.update(study, {"mean": 0.7, "low": 0.6, "high": 0.8})
    time.sleep(1)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with local_cluster() as started:
        yield started


@pytest.fixture(scope="module", autouse=True)
def served(
    cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus | None]:
    """A real Prometheus that reads the cluster from its start, where there is one."""
    if shutil.which("prometheus") is None:
        yield None
        return
    with prometheus(cluster.folder / "ray", tmp_path_factory.mktemp("prometheus")) as started:
        yield started


def until(condition: Callable[[], Any], job: subprocess.Popen[str] | None = None) -> Any:
    """The first true value of `condition`; a job that is given must not end before it."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        assert job is None or job.poll() is None, job.communicate()[0]
        time.sleep(0.5)
    raise AssertionError("nothing happened")


def done(ledger: Ledger) -> Counter[str]:
    return Counter(r.run_id for r in ledger.attempts() if r.status == "done")


def starts(ledger: Ledger) -> Counter[str]:
    return Counter(e["run_id"] for e in ledger.entries() if e["kind"] == "start")


def board_metrics() -> set[str]:
    """Every metric that a query of the board asks for."""
    queries = [t["expr"] for panel in board() for t in panel["targets"]]
    return {m for q in queries for m in re.findall(r"\b(?:ray|autoscaler)_\w+", q)}


def scraped(cluster: LocalCluster) -> dict[str, list[Any]]:
    """Name -> its samples, as Prometheus would read them now."""
    found: dict[str, list[Any]] = {}
    for family in text_string_to_metric_families(cluster.scrape()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def of_runs(samples: list[Any]) -> dict[str, float]:
    return {s.labels["run"]: s.value for s in samples}


def test_a_job_is_followed_stopped_and_submitted_again(cluster, sweep_file, tmp_path):
    sweep = sweep_file(SWEEP)
    ledger = Ledger(tmp_path / "runs" / "job")
    run = ("recscale", "run", sweep)
    assert cluster.workers() == set()

    follower = subprocess.Popen(
        cluster.submit("first", *run), env=cluster.env, stdout=subprocess.PIPE, text=True
    )
    try:
        until(lambda: done(ledger) and len(cluster.workers()) == 2, follower)
        told = {m for m in board_metrics() if m.startswith("ray_recscale_run")} | {
            "ray_recscale_law"
        }
        seen = until(lambda: (s := scraped(cluster)).keys() >= told and s, follower)
        second = subprocess.run(  # by somebody who does not know of the first
            cluster.submit("second", *run), env=cluster.env, capture_output=True, text=True,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert second.returncode != 0, second.stdout
        refusal = "another driver runs this sweep: process"
        assert refusal in second.stdout and "Traceback" not in second.stdout, second.stdout
        assert follower.poll() is None, "the first goes on"
        stop = subprocess.run(
            cluster.ray("job", "stop", "first"), env=cluster.env, capture_output=True, check=False
        )
        assert stop.returncode == 0, stop.stdout + stop.stderr
        followed = follower.communicate(timeout=PATIENCE_S)[0]
    finally:
        follower.kill()
    assert "0/4 runs" in followed  # progress came home while it ran
    assert any(e["kind"] == "end" and e["interrupted"] for e in ledger.entries())
    finished_before, started_before = done(ledger), starts(ledger)
    assert 0 < len(finished_before) < 4

    again = subprocess.run(
        cluster.submit("again", *run),
        env=cluster.env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert "4/4 runs" in again.stdout
    finished = done(ledger)
    assert len(finished) == 4 and set(finished.values()) == {1}
    assert all(starts(ledger)[run_id] == started_before[run_id] for run_id in finished_before)
    until(lambda: cluster.workers() == set())

    # what Prometheus read while it ran is what the ledger says
    assert sum(s.value for s in seen["ray_recscale_runs"]) == 4
    assert sum(s.value for s in seen["ray_recscale_law"]) == 1
    speed = of_runs(seen["ray_recscale_run_samples_per_second"])
    flop = of_runs(seen["ray_recscale_run_flop_per_second"])
    training = {run_id: s for run_id, s in speed.items() if s > 0}
    assert training
    costs = {r.run_id: r.estimated for r in ledger.records()}
    for run_id, samples_per_s in training.items():
        per_sample = costs[run_id].train_flop / costs[run_id].samples
        assert flop[run_id] == pytest.approx(samples_per_s * per_sample, rel=1e-6)

    # and TensorBoard has a run for each of ours
    events = (tmp_path / "runs" / "job" / "tune").rglob("events.out.tfevents.*")
    assert {e.parent.name for e in events} == set(finished)


def test_a_board_finds_what_it_asks_for(cluster, tmp_path):
    """Of a sweep whose law is determined; what runs tell is in the test above."""
    planted(tmp_path)
    script = tmp_path / "tell.py"
    script.write_text(TELL)
    words = ["job", "submit", "--no-wait", "--submission-id", "tell", "--", "python"]
    subprocess.run(
        cluster.ray(*words, str(script), str(tmp_path)),
        env=cluster.env,
        capture_output=True,
        check=True,
    )
    wanted = {m for m in board_metrics() if not m.startswith("ray_recscale_run_")}
    found: dict[str, list[Any]] = {}
    until(lambda: found.update(scraped(cluster)) or found.keys() >= wanted)
    law = {s.labels["status"]: s.value for s in found["ray_recscale_law"]}
    assert law == {"converged": 1, "bound_hit": 0, "uninformative": 0, "underdetermined": 0}
    bounds = {s.labels["bound"]: s.value for s in found["ray_recscale_frontier_loss"]}
    assert bounds["low"] < bounds["mean"] < bounds["high"]
    (best,) = found["ray_recscale_best_loss"]
    assert bounds["mean"] < best.value  # ten times the compute buys something here


@with_prometheus
def test_prometheus_itself_has_an_answer_to_every_query_of_the_board(served: Prometheus):
    """Over the time of the tests above; what the last of them tells goes on."""

    def lacking() -> list[str]:
        queries = [target for panel in board() for target in panel["targets"]]
        return [target["expr"] for target in queries if not served.series(asked(target))]

    until(lambda: not lacking())
    shares = served.series("ray_recscale_budget_share")
    assert all(0 <= float(v) <= 1 for s in shares for _, v in s["values"])
    assert served.series("ray_recscale_no_such_number") == []
