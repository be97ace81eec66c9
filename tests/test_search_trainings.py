"""A search of schedule `anytime`: points of one training are passed on its way, and it is gone on
with for the price of the difference."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from planted_study import DATA, record

from recscale.planner import Launch, Planned, Progress, Stop, Wait, decide_search, problem
from recscale.planner.forecast import forecast
from recscale.planner.state import SearchState
from recscale.run import RunRecord
from recscale.specfile import parse_spec
from recscale.spend import Flight, Start, spent

SWEEP = """
name: hunt
data: {source: synthetic}
model: {family: dlrm, embedding_dim: [4, 8, 16, 32], mlp_width: [32, 64, 128]}
train: {data_fraction: [0.02, 0.05, 0.1, 0.3, 1.0], batch_size: 512, seeds: 2, SCHEDULE}
search: {strategy: frontier, target: {flop: 10x}}
law: {variables: [table_params, dense_params, samples]}
budget: {flop: 3e11}
"""


def made(schedule: str = "schedule: anytime, warmup_samples: 512", flop: float = 3e11):
    text = SWEEP.replace("SCHEDULE", schedule).replace("3e11", f"{flop:g}")
    return problem(parse_spec(text), DATA)


def start_of(run: Planned, kept: int, order: int) -> Start:
    """The start of a run that went on from `kept` samples and has ended."""
    new = run.cost.samples - kept
    flop = run.cost.train_flop * new / run.cost.samples
    return Start(
        id=str(order), run_id=run.run_id, launch=str(order), workers=1, next_s=1.0,
        trajectory=run.place.trajectory, end=run.cost.samples, origin=kept, kept=run.cost.samples,
        samples=new, flop=flop, worker_s=0.0, gpu_hours=0.0, usd=0.0, over=True, order=order,
        signs=2,
    )  # fmt: skip


class Play:
    """A search played to its end by `parallel` workers that keep every state."""

    def __init__(self, hunt, parallel: int = 2, fails=lambda run: False):
        self.attempts: list[RunRecord] = []
        self.decided: list[Planned] = []
        self.launches: list[Launch] = []
        self.starts: list[Start] = []
        self.kept: dict[str, int] = defaultdict(int)
        flying: list[Planned] = []
        for _ in range(600):
            decision = Wait("every worker is busy")
            if len(flying) < parallel:
                now = {p.run_id: Flight() for p in flying}
                known = Progress(self.attempts, self.decided, now, starts=self.starts)
                decision = decide_search(hunt, known)
            if isinstance(decision, Launch):
                done = {p.run_id for p in self.decided}
                if fresh := [p for p in decision.runs if p.run_id not in done]:
                    self.launches.append(decision)
                    self.decided += fresh
                run = decision.runs[0]
                assert run.place.trunk not in {p.place.trunk for p in flying}
                flying.append(run)
            elif flying:
                run = flying.pop(0)
                status = "failed" if fails(run) else "done"
                if status == "done":
                    trunk = run.place.trunk
                    self.starts.append(start_of(run, self.kept[trunk], len(self.starts)))
                    self.kept[trunk] = run.cost.samples
                self.attempts.append(record(run, status=status, start=str(len(self.starts) - 1)))
            else:
                assert isinstance(decision, Stop)
                self.end = decision
                return
        raise AssertionError("the search does not end")


@pytest.fixture(scope="module")
def hunt():
    return made()


@pytest.fixture(scope="module")
def played(hunt) -> Play:
    return Play(hunt)


def test_every_training_is_gone_through_from_its_shortest_point_on(played: Play):
    ids = [r.run_id for r in played.attempts]
    assert len(ids) == len(set(ids)) and len(ids) >= 12
    reached: dict[str, int] = defaultdict(int)
    for r in played.attempts:
        trunk, samples = r.config.place.trunk, r.estimated.samples
        assert samples > reached[trunk]
        reached[trunk] = samples


def test_going_on_costs_the_difference_and_the_budget_holds(hunt, played: Play):
    used = spent(played.attempts, played.starts).flop
    assert 0.8 * 3e11 <= used <= 3e11
    apart = sum(p.cost.train_flop for p in played.decided)
    assert apart > 1.2 * used  # as separate runs they would not have fitted
    thawed = [b for b in played.launches if b.reason.startswith("on from")]
    assert thawed
    for launch in thawed:
        samples = int(launch.reason.split()[2].replace(",", ""))
        assert samples < launch.runs[0].cost.samples


def test_it_buys_more_points_than_separate_runs(played: Play):
    apart = Play(made("schedule: decayed"))
    assert len(played.attempts) >= 1.3 * len(apart.attempts)


def test_failures_end_no_training_for_ever_and_no_search(hunt):
    done = Play(hunt, fails=lambda run: run.config.train.data_fraction == 0.1)
    assert {r.config.train.data_fraction for r in done.attempts if r.status == "done"} >= {0.3}


def test_prices_are_of_what_is_left_to_train(hunt, played: Play):
    state = SearchState(hunt, Progress(played.attempts, played.decided, starts=played.starts))
    for i, point in enumerate(hunt.points):
        kept = state.kept(i)
        whole = point.cost.train_flop / 3e11
        left = 1 - kept / point.cost.samples
        assert state.price[i] == pytest.approx(max(left * whole, 1e-12), rel=1e-6)
    assert (np.array([state.kept(i) for i in range(len(hunt.points))]) > 0).any()


def test_the_forecast_counts_what_is_passed_on_the_way(hunt, played: Play):
    promised, apart = forecast(hunt, Progress()), forecast(made("schedule: decayed"), Progress())
    assert 0.5 <= len(played.attempts) / promised.runs <= 2
    assert promised.runs > 1.3 * apart.runs


def test_the_start_is_spread_over_trainings(played: Play):
    runs = played.launches[0].runs
    assert len({p.place.trunk for p in runs}) >= 8
    assert len({p.run_id for p in runs}) == len(runs)
