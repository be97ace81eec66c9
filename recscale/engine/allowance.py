"""The budget's last guard: estimates of time can be wrong, and what is under way costs by the hour.

The planner counts a run under way at its estimate. A run that takes longer could cross a budget in
GPU-hours or $; it is stopped before. FLOPs need no guard: a run uses those that were planned.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from ray import tune

from recscale.cost import priced
from recscale.engine.job import Job, stopped_record
from recscale.engine.searcher import PlanSearcher
from recscale.planner import Spend, Stop, spent
from recscale.planner.journal import entry

LOOK_S = 1.0  # seconds between looks
MARGIN_S = 2 * LOOK_S  # a run goes on until the next look, and a moment after


class Allowance(tune.Stopper):
    """Ends the sweep when the runs under way have used up what is left of the budget. Each leaves
    a record of status `stopped`, with its time, and its last checkpoint: with more budget the
    same command goes on from there."""

    def __init__(self, searcher: PlanSearcher):
        self.searcher, self.ledger = searcher, searcher.ledger
        self.spent_up = False
        self.looked_at = time.monotonic()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False  # one run never ends alone: what it would leave, another would take

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its stopper for a restore that never comes: there is nothing to keep."""
        return {}

    def stop_all(self) -> bool:
        budget = self.searcher.spec.budget
        if self.spent_up or (budget.gpu_hours is None and budget.usd is None):
            return self.spent_up
        if time.monotonic() - self.looked_at < LOOK_S:
            return False
        self.looked_at = time.monotonic()
        attempts = self.ledger.attempts()
        settled = {r.run_id for r in attempts if r.settled}
        flights = [f for f in self.searcher.flying.values() if f[0].run.run_id not in settled]
        under = running(flights, self.ledger.entries(), time.time())
        total = spent(attempts)
        for job, _, worker_s in under:
            hours, usd = priced(worker_s + MARGIN_S * job.needs.most_workers, job.needs)
            total += Spend(0.0, hours, usd)
        if total.within(budget.model_copy(update={"flop": None})):
            return False
        self._stop(under)
        return True

    def _stop(self, under: list[tuple[Job, float, float]]) -> None:
        self.spent_up = True
        for job, began, worker_s in under:
            self.ledger.record(stopped_record(job, self.searcher.data, began, worker_s))
        stop = Stop(
            f"the budget was used up while {len(under)} run(s) were under way, which take longer "
            "than was estimated: they were stopped, and go on from their last checkpoints when "
            "the budget is raised",
            exhausted=True,
        )
        self.searcher.ended = stop
        if self.searcher.problem:
            self.ledger.append("decision", **entry(stop))


def running(
    flights: Iterable[tuple[Job, float]], entries: Iterable[dict[str, Any]], now: float
) -> list[tuple[Job, float, float]]:
    """(job, when it began, worker-seconds since) of every run that a worker has begun since it
    was launched, from (job, when launched) and the ledger's entries in the order of time. A run
    that waits for its nodes costs nothing."""
    starts = [e for e in entries if e["kind"] == "start"]
    out = []
    for job, launched in flights:
        own = [e for e in starts if e["run_id"] == job.run.run_id and e["at"] >= launched]
        if own:
            ends = [e["at"] for e in own[1:]] + [now]
            worker_s = sum((end - e["at"]) * e["workers"] for e, end in zip(own, ends, strict=True))
            out.append((job, own[0]["at"], worker_s))
    return out
