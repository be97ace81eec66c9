"""What the benchmark of faults counts rises with its fault, and is else 0."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from planted_study import DATA, record, start

from recscale.planner import planned_runs
from recscale.specfile import parse_spec

sys.path.append(str(Path(__file__).parent / "benchmarks"))
from faults_tally import FAULTS, tally  # pyright: ignore[reportMissingImports]

SPEC = parse_spec(
    "name: f\ndata: {source: synthetic}\nmodel: {family: dlrm, embedding_dim: [4, 8, 16]}\n"
    "budget: {flop: 1e18}\n"
)
RUNS = planned_runs(SPEC, DATA)
WHOLE = sum(p.cost.train_flop for p in RUNS)


def facts(**changes: Any) -> dict[str, Any]:
    """Of a sweep without faults."""
    starts = [start(p, id=p.run_id, launch=p.run_id) for p in RUNS]
    attempts = [record(p, start=p.run_id) for p in RUNS]
    entries = []
    for p, made in zip(RUNS, attempts, strict=True):
        entries += [{"kind": "start", "run_id": p.run_id}]
        entries += [{"kind": "run", "record": {"run_id": p.run_id, "status": made.status}}]
    losses = {r.run_id: r.final.eval_loss for r in attempts if r.final}
    return {
        "planned": RUNS, "attempts": attempts, "starts": starts, "entries": entries,
        "budget": SPEC.budget, "trained_flop": WHOLE, "expected": losses, **changes,
    }  # fmt: skip


def counted(**changes: Any) -> tuple[int, ...]:
    found = tally(**facts(**changes))
    return tuple(found[what] for what in FAULTS)


def test_nothing_is_counted_without_a_fault_and_each_fault_is():
    whole = facts()
    last, again = whole["attempts"][-1], whole["entries"][:1]
    assert counted() == (0, 0, 0, 0)
    assert counted(attempts=whole["attempts"][:-1]) == (1, 0, 0, 0)
    assert counted(attempts=[*whole["attempts"], last]) == (0, 1, 0, 0)
    assert counted(entries=[*whole["entries"], *again]) == (0, 1, 0, 0)
    assert counted(trained_flop=1.01 * WHOLE) == (0, 0, 1, 0)
    other = {**whole["expected"], last.run_id: 1.001 * whole["expected"][last.run_id]}
    assert counted(expected=other) == (0, 0, 1, 0)
    assert counted(expected=other, apart=0.01) == (0, 0, 0, 0)
    free = whole["starts"][0].model_copy(update={"usd": 0.0})
    assert counted(starts=[free, *whole["starts"][1:]]) == (0, 0, 1, 0)
    short = SPEC.budget.model_copy(update={"flop": 0.9 * WHOLE})
    assert counted(budget=short) == (0, 0, 0, 1)


def test_a_run_is_lost_only_where_the_budget_has_room_for_what_is_left_of_it():
    whole, p = facts(), RUNS[-1]
    half = start(p, 0.5, kept=p.cost.samples // 2, id="half", launch="half")
    starts, attempts = [*whole["starts"][:-1], half], whole["attempts"][:-1]
    for room, lost in ((0.51, 1), (0.49, 0)):
        flop = WHOLE - p.cost.train_flop + (0.5 + room) * p.cost.train_flop
        budget = SPEC.budget.model_copy(update={"flop": flop})
        found = counted(starts=starts, attempts=attempts, budget=budget, trained_flop=0.0)
        assert found == (lost, 0, 0, 0)
