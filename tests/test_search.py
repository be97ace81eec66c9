"""The search as a pure decision: what it runs next, when it waits and when it stops."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import escape
from planted_study import DATA, planted_ne, record

from recscale.ledger import Ledger
from recscale.planner import (
    Decision,
    Flight,
    Launch,
    PlanError,
    Planned,
    Problem,
    Progress,
    Stop,
    Wait,
    Warm,
    decide_search,
    problem,
    spent,
)
from recscale.planner.forecast import forecast, grid_cost
from recscale.planner.journal import entry, warm_entry, warm_of
from recscale.report.page import render
from recscale.run import RunRecord
from recscale.spec import BudgetSpec
from recscale.specfile import SpecError, parse_spec
from recscale.study import Study, plan_entry
from recscale.words import quantity

SWEEP = """
name: hunt
data: {source: synthetic}
model: {family: dlrm, embedding_dim: [4, 8, 16, 32], mlp_width: [32, 64, 128, 256]}
train: {data_fraction: [0.02, 0.05, 0.1, 0.3, 1.0], batch_size: 512, seeds: 2}
search: {strategy: frontier, target: {flop: 10x}}
law: {variables: [table_params, dense_params, samples]}
budget: {flop: 6e11}
"""


def made(text: str = SWEEP) -> Problem:
    return problem(parse_spec(text), DATA)


@pytest.fixture(scope="module")
def hunt() -> Problem:
    return made()


def took(planned: Planned, factor: float, status: str = "done") -> RunRecord:
    """The record of a run that took `factor` times the estimated seconds."""
    c = planned.cost
    measured = c.model_copy(
        update={k: getattr(c, k) * factor for k in ("time_s", "gpu_hours", "usd")}
    )
    changes = {"measured": None, "curve": ()} if status == "failed" else {"measured": measured}
    return record(planned, status=status, **changes)


def width(planned: Planned) -> int:
    return planned.config.model.model_dump()["mlp_width"]


def play(hunt: Problem, fate=lambda run, i: took(run, 1.0), parallel: int = 2, watch=None):
    """The search played to its end: (attempts, runs decided, launches, the Stop)."""
    attempts: list[RunRecord] = []
    decided: list[Planned] = []
    flying: list[Planned] = []
    launches: list[Launch] = []
    for _ in range(400):
        decision: Decision = Wait("every worker is busy")
        if len(flying) < parallel:
            now = Progress(attempts, decided, {p.run_id: Flight() for p in flying})
            decision = decide_search(hunt, now)
        if isinstance(decision, Launch):
            known = {p.run_id for p in decided}
            if fresh := [p for p in decision.runs if p.run_id not in known]:
                launches.append(decision)
                decided += fresh
            flying.append(decision.runs[0])
        elif flying:
            attempts.append(fate(flying.pop(0), len(attempts)))
            if watch:
                watch(attempts)
        else:
            assert isinstance(decision, Stop)
            return attempts, decided, launches, decision
    raise AssertionError("the search does not end")


@pytest.fixture(scope="module")
def played(hunt: Problem):
    return play(hunt)


def test_it_starts_cheap_and_then_buys_the_target(hunt: Problem, played):
    attempts, decided, launches, stop = played
    assert len(launches[0].runs) == 8 and isinstance(stop, Stop)
    share = sum(p.cost.train_flop for p in launches[0].runs) / 6e11
    assert share <= 0.15 and f"{100 * share:.2g} %" in launches[0].reason
    assert all(len(d.runs) == 1 and d.reason for d in launches[1:])
    first, last = launches[1].facts, stop.facts
    assert last["half"] < first["half"] / 3
    assert last["near"] <= first["near"]
    truth = min(planted_ne(c) for c in hunt.target.costs)
    assert abs(last["expected"]["mean"] / truth - 1) < 2 * last["half"] < 0.02


def test_it_spends_a_fraction_of_the_grid_and_stays_near_the_frontier(hunt: Problem, played):
    attempts, _, launches, _ = played
    runs, grid = grid_cost(hunt)
    assert runs == 4 * 4 * 5 * 2
    assert spent(attempts).flop <= 6e11 < 0.05 * grid.flop
    assert np.median([d.facts["waste"] for d in launches[1:]]) < 0.4


def test_every_run_is_decided_once_and_seeds_compete(played):
    attempts, decided, _, _ = played
    assert Counter(r.run_id for r in attempts) == dict.fromkeys((p.run_id for p in decided), 1)
    assert {p.config.train.seed for p in decided} == {0, 1}


def test_the_same_records_give_the_same_decision(hunt: Problem, played):
    attempts, decided, launches, _ = played
    at = Progress(attempts[:12], decided[:12])
    one, two = decide_search(hunt, at), decide_search(made(), at)
    assert isinstance(one, Launch) and isinstance(two, Launch)
    assert (one.runs, one.reason) == (two.runs, two.reason)


def test_what_is_under_way_counts_and_what_was_decided_comes_first(hunt: Problem, played):
    attempts, decided, _, _ = played
    some = Progress(attempts[:10], decided[:11], {decided[10].run_id: Flight()})
    fresh = decide_search(hunt, some)
    assert isinstance(fresh, Launch) and fresh.runs[0].run_id != decided[10].run_id
    lost = decide_search(hunt, replace(some, in_flight={}))
    assert isinstance(lost, Launch) and lost.runs[0].run_id == decided[10].run_id
    begun = Progress(attempts[:2], decided[:8], {p.run_id: Flight() for p in decided[2:8]})
    assert isinstance(decide_search(hunt, begun), Wait)


def test_failures_and_divergence_are_never_proposed_again(hunt: Problem):
    def fate(run, i):
        bad = width(run) == 256
        return took(run, 1.0, ("failed", "diverged")[i % 2] if bad else "done")

    attempts, decided, _, stop = play(hunt, fate)
    groups = [p.config.tuning_group for p in decided if width(p) == 256]
    assert len(groups) == len(set(groups))
    # nor are their neighbours thought as good as they were
    assert len(groups) < 0.5 * sum(width(p) == 128 for p in decided)
    assert isinstance(stop, Stop)


@pytest.mark.parametrize("goal", ["allocation", "slopes"])
def test_other_goals_narrow_what_they_ask_for(goal: str):
    text = SWEEP.replace("target: {flop: 10x}", f"target: {{flop: 10x}}, goal: {goal}")
    _, _, launches, stop = play(made(text))
    halves = [d.facts["half"] for d in launches[1:]]
    assert min(halves[-3:]) < max(halves[:3])
    assert stop.facts["optimum"].keys() == {"table_params", "dense_params", "samples"}


def test_it_stops_when_the_target_is_known_well_enough():
    text = SWEEP.replace("target: {flop: 10x}", "target: {flop: 10x}, interval: 3%")
    attempts, _, _, stop = play(made(text))
    assert "known well enough" in stop.reason and not stop.exhausted
    assert stop.facts["half"] <= 0.03 and spent(attempts).flop < 6e11


def test_all_learning_rates_are_tried_before_a_point_counts():
    text = SWEEP.replace("seeds: 2", "seeds: 1, learning_rate: {tune: [1, 3]}")
    _, decided, launches, _ = play(made(text))
    assert all({p.config.train.rate_factor for p in d.runs} == {1, 3} for d in launches[1:])
    assert len(launches[0].runs) == 16


@settings(deadline=None, max_examples=6)
@given(
    unit=st.sampled_from(["flop", "gpu_hours", "usd"]),
    share=st.floats(0.15, 0.5),
    parallel=st.integers(1, 4),
    pace=st.floats(0.4, 1.8),
    jitter=st.lists(st.floats(0.9, 1.1), min_size=7, max_size=7),
    fates=st.lists(st.sampled_from(["done", "done", "diverged", "failed"]), min_size=5, max_size=5),
)
def test_no_budget_is_ever_crossed(unit, share, parallel, pace, jitter, fates):
    """Whatever fails or diverges, with up to four runs in flight, while runs take at most twice
    the estimate of a price list that is off by any constant."""
    text = SWEEP.replace("[4, 8, 16, 32]", "[4, 8, 16]").replace("0.05, 0.1, ", "0.1, ")
    text += "resources: {gpus_per_worker: 1}\n"
    hunt = made(text)
    _, grid = grid_cost(hunt)
    limit = getattr(grid, unit) * share * (0.2 if unit == "flop" else 0.6)
    spec = hunt.spec.model_copy(update={"budget": BudgetSpec.model_validate({unit: limit})})
    hunt = replace(hunt, spec=spec)

    def within(attempts):
        assert getattr(spent(attempts), unit) <= limit

    def fate(run, i):
        return took(run, min(pace * jitter[i % 7], 1.98), fates[i % 5])

    play(hunt, fate, parallel, within)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("6e11", "1e9", "the start needs 8 runs"),
        ("flop: 10x", "flop: 1e9", "lies inside the data"),
        ("[0.02, 0.05, 0.1, 0.3, 1.0]", "0.1", "samples has 1 value"),
        ("flop: 10x", "gpu_hours: 10x", "take no GPU"),
        ("dense_params, samples]", "dense_params, time_of_day]", "time_of_day is not known before"),
        ("[4, 8, 16, 32]", "[1000000, 2000000]", "memory"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_the_remedy(old: str, new: str, said: str):
    with pytest.raises(PlanError, match=said):
        decide_search(made(SWEEP.replace(old, new)), Progress())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (", target: {flop: 10x}", "", "needs a target"),
        ("flop: 10x", "flop: 1x", "above 1"),
        ("flop: 10x", "flop: far", "100x"),
        ("flop: 10x", "flop: 10x, usd: 3", "one of"),
        ("strategy: frontier", "strategy: grid", "belongs to strategy frontier"),
        ("model: {family", "model:\n - {family: dcnv2}\n - {family", "searches one family"),
    ],
)
def test_a_search_that_is_badly_written_is_refused(old: str, new: str, said: str):
    with pytest.raises(SpecError, match=said):
        parse_spec(SWEEP.replace(old, new))


def test_earlier_runs_are_not_bought_again(hunt: Problem, played, tmp_path: Path):
    attempts = played[0]
    ledger = Ledger(tmp_path / "earlier")
    for r in attempts[:12]:
        ledger.record(r)
    told = warm_entry(str(tmp_path / "earlier"), hunt.spec, DATA, hunt.target)
    warm = warm_of([{"kind": "warm", **told}])
    assert isinstance(warm, Warm) and len(warm.loss) == 12
    launch = decide_search(hunt, Progress(warm=warm))
    assert isinstance(launch, Launch)
    assert len(launch.runs) < 8
    assert not {p.run_id for p in launch.runs} & {r.run_id for r in attempts[:12]}

    csv = tmp_path / "runs.csv"
    ledger.frame().to_csv(csv, index=False)
    table = warm_of([{"kind": "warm", **warm_entry(str(csv), hunt.spec, DATA, hunt.target)}])
    assert table is not None and np.allclose(np.sort(table.loss), np.sort(warm.loss))

    wider = parse_spec(SWEEP.replace("family: dlrm", "family: dcnv2"))
    for place in (tmp_path / "earlier", csv):
        with pytest.raises(PlanError, match="none of its runs is of family dcnv2"):
            warm_entry(str(place), wider, DATA, hunt.target)
    for i, r in enumerate(attempts[:12]):
        plain = [p.model_copy(update={"metrics": {"eval_ne": p.metrics["eval_ne"]} if i else {}})
                 for p in r.curve]  # fmt: skip
        Ledger(tmp_path / "some").record(r.model_copy(update={"curve": tuple(plain)}))
    assert len(warm_entry(str(tmp_path / "some"), hunt.spec, DATA, hunt.target)["rows"]) == 11

    other = DATA.model_copy(update={"fingerprint": "f" * 32})
    with pytest.raises(PlanError, match="another data set"):
        warm_entry(str(tmp_path / "earlier"), hunt.spec, other, hunt.target)
    with pytest.raises(PlanError, match="no run is recorded there"):
        warm_entry(str(tmp_path / "nowhere"), hunt.spec, DATA, hunt.target)
    pd.DataFrame({"samples": [1.0]}).to_csv(csv, index=False)
    with pytest.raises(PlanError, match="table_params"):
        warm_entry(str(csv), hunt.spec, DATA, hunt.target)


def test_the_forecast_promises_about_what_the_budget_then_buys(hunt: Problem, played):
    attempts, decided, _, stop = played
    ahead = forecast(hunt, Progress())
    assert ahead.now is None and 8 < ahead.runs < 150
    assert stop.facts["half"] / 10 < ahead.half < stop.facts["half"] * 10
    later = forecast(hunt, Progress(attempts[:16], decided[:16]))
    assert later.now is not None and later.half < later.now


def test_the_report_explains_every_decision(hunt: Problem, played, tmp_path: Path):
    attempts, _, launches, stop = played
    ledger = Ledger(tmp_path, name="hunt")
    ledger.append("plan", **plan_entry(hunt.spec, DATA, ()))
    for decision in (*launches, stop):
        ledger.append("decision", **entry(decision))
    for r in attempts:
        ledger.record(r)
    study = Study.of(ledger)
    page = render(study)
    for decision in (*launches, stop):
        assert str(escape(decision.reason)) in page
    for run in study.planned:
        assert page.count(run.run_id) >= 2  # in the path and in the table of runs
    runs, grid = grid_cost(hunt)
    assert f"{runs} runs for {quantity(grid.flop)} FLOP" in page
    known = [d.facts["half"] for d in launches if "half" in d.facts]
    assert f"{100 * known[0]:.2g} %" in page and f"{100 * known[-1]:.2g} %" in page
    assert study.facts()["search"]["ended"] is True
