"""What is counted of a sweep after its faults: pure functions of its ledger and of the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from recscale.planner import Planned
from recscale.planner.fixed import rest
from recscale.run import RunRecord
from recscale.spec import BudgetSpec
from recscale.spend import Resting, Spend, Start, spent

FAULTS = ("lost", "doubled", "silent", "crossed")


def tally(
    planned: Iterable[Planned],
    attempts: Iterable[RunRecord],
    starts: Iterable[Start],
    entries: Iterable[Mapping[str, Any]],
    budget: BudgetSpec,
    trained_flop: float = 0.0,
    expected: Mapping[str, float] | None = None,
    apart: float = 0.0,
) -> Counter[str]:
    """Faults of a sweep that has come to its end.

    Args:
        trained_flop: what was truly trained, where somebody else than the ledger has counted it.
        expected: final losses of the same runs undisturbed.
        apart: by how much of itself a loss may differ from those.

    Returns:
        lost: planned runs without a result though the budget has room for what is left of them.
        doubled: results of a run beyond its first, and starts of a run that had its result.
        silent: runs with another result than undisturbed; starts that cost nothing; 1 where more
            was trained than the ledger says.
        crossed: 1 where the budget does not hold what the ledger says, or what was trained.
    """
    attempts, starts = list(attempts), list(starts)
    settled = Counter(r.run_id for r in attempts if r.settled)
    said, resting = spent(attempts, starts), Resting(starts)
    lost = sum(
        (said + Spend(rest(p, resting) * p.cost.train_flop)).within(budget)
        for p in planned
        if p.run_id not in settled
    )
    losses = {r.run_id: r.final.eval_loss for r in attempts if r.settled and r.final}
    other = [i for i, loss in losses.items() if expected and not _near(loss, expected[i], apart)]
    less = int(trained_flop > said.flop * (1 + 1e-9))
    free = sum(s.usd <= 0 for s in starts if s.launch)
    crossed = int(not said.within(budget) or not Spend(trained_flop).within(budget))
    doubled = sum(n - 1 for n in settled.values()) + begun_again(entries)
    return Counter(lost=lost, doubled=doubled, silent=len(other) + free + less, crossed=crossed)


def _near(loss: float, expected: float, apart: float) -> bool:
    return abs(loss - expected) <= apart * abs(expected)


def begun_again(entries: Iterable[Mapping[str, Any]]) -> int:
    """Starts of runs that had their result by then."""
    settled: set[str] = set()
    again = 0
    for e in entries:
        if e["kind"] == "start":
            again += e["run_id"] in settled
        elif e["kind"] == "run" and e["record"]["status"] in ("done", "diverged"):
            settled.add(e["record"]["run_id"])
    return again
