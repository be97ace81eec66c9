"""From which state a run goes on and what it still costs, by what the ledger tells."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from planted_study import DATA, record, start

from recscale.frame import left_out, mixed_words, records_frame
from recscale.laws import LawError
from recscale.laws.table import fit_table
from recscale.ledger import Ledger
from recscale.planner import (
    Flight,
    Launch,
    Planned,
    Spend,
    Wait,
    ahead,
    decide,
    held,
    increments,
    planned_runs,
    spent,
)
from recscale.planner.fixed import rest
from recscale.run import RunRecord
from recscale.spec import BudgetSpec
from recscale.specfile import parse_spec
from recscale.spend import BEAT, Resting, Start, found

SWEEP = """
name: rest
data: {source: synthetic}
model: {family: dlrm, embedding_dim: [4, 8, 16, 32], mlp_width: 32, sequence_depth: 0}
train: {data_fraction: [0.05, 0.1, 0.2, 0.5, 1.0], batch_size: 512, seeds: 2, schedule: anytime}
budget: {flop: 1e18}
"""
PLANNED = planned_runs(parse_spec(SWEEP), DATA)


def points(text: str = SWEEP) -> list[Planned]:
    """The runs of one training, the cheapest first."""
    every = planned_runs(parse_spec(text), DATA)
    return [p for p in every if p.place.trunk == every[0].place.trunk]


def rested(p: Planned, order: float = 1.0, kept: int | None = None, origin: int = 0) -> Start:
    """The start of a run that left its training at its end, or with a checkpoint at `kept`."""
    at = {"trajectory": p.place.trajectory, "end": p.cost.samples, "origin": origin}
    if p.place.trunk != p.place.trajectory:
        at |= {"trunk": p.place.trunk, "fork": p.cost.samples // p.place.epochs}
    left = p.cost.samples if kept is None else kept
    return start(p, kept=left, order=order, id=f"{p.run_id}-{order}", **at)


def test_a_grid_of_five_fractions_and_two_seeds_is_a_training_for_each_seed():
    assert len(PLANNED) == 4 * 5 * 2
    trunks = Counter(p.place.trunk for p in PLANNED)
    assert len(trunks) == 8 and set(trunks.values()) == {5}
    charged = increments(PLANNED)
    largest = [p for p in PLANNED if p.config.train.data_fraction == 1.0]
    whole = sum(p.cost.train_flop for p in largest)
    assert sum(p.cost.train_flop for p in charged) == pytest.approx(whole)
    assert whole < 0.55 * sum(p.cost.train_flop for p in PLANNED)
    ends = {p.run_id: p.cost.samples for p in PLANNED}
    assert {p.run_id: p.cost.samples for p in charged} == ends
    for kind in ("time_s", "usd"):
        apart, together = (sum(getattr(p.cost, kind) for p in each) for each in (PLANNED, charged))
        assert together < 0.65 * apart


def test_decayed_runs_are_charged_as_they_were():
    plain = planned_runs(parse_spec(SWEEP.replace(", schedule: anytime", "")), DATA)
    assert increments(plain) == plain
    assert all(p.place == (p.run_id, p.run_id, 1) for p in plain)


def test_a_run_goes_on_from_the_newest_state_on_its_way():
    runs = points()
    samples = [p.cost.samples for p in runs]
    resting = Resting([rested(runs[1])])
    assert [resting.of(p.place, p.cost.samples) for p in runs] == [0, *[samples[1]] * 4]
    assert rest(runs[2], resting) == pytest.approx(1 - samples[1] / samples[2])
    # a run killed on the way has left a state that others can use, and only its newest
    later = Resting([rested(runs[1]), rested(runs[3], 2.0, kept=samples[2] + 512)])
    assert later.of(runs[2].place, samples[2]) == 0
    assert later.of(runs[4].place, samples[4]) == samples[2] + 512
    # one that begins anew for less leaves what lies beyond it
    anew = Resting([rested(runs[3]), rested(runs[0], 2.0)])
    assert anew.states == {runs[0].place.trajectory: (samples[0], samples[3])}
    assert anew.of(runs[2].place, samples[2]) == samples[0]


def test_passes_go_on_from_their_fraction_and_from_nothing_beyond():
    text = SWEEP.replace("[0.05, 0.1, 0.2, 0.5, 1.0]", "[0.1, 0.2], epochs: [1, 3]")
    runs = {(p.config.train.data_fraction, p.config.train.epochs): p for p in points(text)}
    one, three, two = runs[0.1, 1], runs[0.1, 3], runs[0.2, 1]
    resting = Resting([rested(one)])
    assert resting.of(three.place, three.cost.samples) == one.cost.samples
    gone_on = Resting([rested(one), rested(two, 2.0)])
    assert gone_on.of(three.place, three.cost.samples) == 0
    assert gone_on.of(runs[0.2, 3].place, runs[0.2, 3].cost.samples) == two.cost.samples
    # what it began with lies on the trunk; where it found none, there is none
    begun = rested(three, 2.0, kept=one.cost.samples, origin=one.cost.samples)
    assert Resting([rested(one), begun]).states[three.place.trajectory] == ()
    nothing = rested(three, 2.0, kept=0)
    assert Resting([rested(one), nothing]).of(two.place, two.cost.samples) == 0


def test_one_run_of_a_training_at_a_time():
    runs = points()
    budget = BudgetSpec(flop=1e30)
    flying = {runs[0].run_id: Flight()}
    decision = decide(PLANNED, [], flying, (), budget)
    assert isinstance(decision, Launch)
    assert decision.runs[0].place.trunk != runs[0].place.trunk
    assert isinstance(decide(runs, [], flying, (), budget), Wait)


def test_runs_are_launched_and_charged_one_after_another():
    """As `plan` says beforehand, to the last run that the budget holds."""
    whole = sum(p.cost.train_flop for p in increments(PLANNED))
    for share in (0.0, 0.2, 0.6, 1.0):
        budget = BudgetSpec(flop=max(1.0, share * whole * (1 + 1e-12)))
        records: list[RunRecord] = []
        starts: list[Start] = []
        launched, charged = [], 0.0
        while isinstance(decision := decide(PLANNED, records, {}, (), budget, starts), Launch):
            (p,) = decision.runs
            need = rest(p, Resting(starts))
            charged += need * p.cost.train_flop
            begun = rested(p, 1.0 + len(starts))
            flop = need * p.cost.train_flop
            starts.append(begun.model_copy(update={"flop": flop}))
            records.append(record(p, start=begun.id))
            launched.append(p.run_id)
        assert held(PLANNED, [], [], budget) == launched
        assert spent(records, starts).flop == pytest.approx(charged)
        assert budget.flop and charged <= budget.flop * (1 + 1e-9)
        assert len(launched) == {0.0: 0, 1.0: 40}.get(share, len(launched))


def test_what_is_left_is_charged_from_what_rests():
    runs = points()
    open_runs = dict(ahead(runs[2:], [rested(runs[1])]))
    costs = [p.cost.train_flop for p in runs]
    due = sum(share * p.cost.train_flop for p, share in open_runs.items())
    assert due == pytest.approx(costs[-1] - costs[1])


def test_a_state_that_is_gone_is_told_by_the_ledger(tmp_path: Path):
    ledger, runs = Ledger(tmp_path), points()
    told = rested(runs[1])
    facts = told.model_dump(exclude={"id", "order", "signs"})
    ledger.append(BEAT, start=told.id, **facts)
    assert Resting(ledger.starts()).states[told.trajectory] == (runs[1].cost.samples,)
    before = spent([], ledger.starts())
    ledger.append(BEAT, **found(told.trajectory, 0))
    again = Ledger(tmp_path)
    assert Resting(again.starts()).states[told.trajectory] == ()
    assert spent([], again.starts()) == before != Spend()


# -- never in one fit -----------------------------------------------------------------------------
def test_runs_of_both_schedules_never_enter_one_law():
    plain = planned_runs(parse_spec(SWEEP.replace(", schedule: anytime", "")), DATA)
    both = [record(p) for p in (*plain[:8], *PLANNED[:6])]
    for newest, out in (("decayed", 6), ("anytime", 8)):
        last = next(r for r in both if r.config.train.schedule == newest)
        ended = [r.model_copy(update={"finished_at": 2e9}) if r is last else r for r in both]
        said = left_out(ended, below_baseline=True)
        assert len(said) == out and all(f"schedule than {newest}" in s for s in said.values())
        frame = records_frame(ended, below_baseline=True)
        assert set(frame.loc[frame["enters_law"], "protocol"]) == {newest}


def test_a_table_of_both_schedules_is_refused():
    n = pd.Series([1e3, 1e4, 1e5, 1e6, 1e7, 1e8])
    runs = pd.DataFrame({"n": n, "loss": 2 + 30 * n**-0.5, "protocol": ["decayed", "anytime"] * 3})
    with pytest.raises(LawError, match=r"3 of anytime and 3 of decayed.*--where \"protocol =="):
        fit_table(runs, variables=["n"], form="power")
    one = fit_table(runs, variables=["n"], form="power", where="protocol == 'anytime'")
    assert one["n"] == 3 and mixed_words(runs.drop(columns="protocol")) == ""
