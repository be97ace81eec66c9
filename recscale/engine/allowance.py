"""The budget's last guard: estimates of time can be wrong, and what is under way costs by the hour.

Decisions count a run under way at its estimate. One that takes longer could cross a budget in
GPU-hours or $, and one that a resized group does in part again a budget in FLOPs: it is stopped
before. What a worker that has fallen silent costs is measured by the driver's own clock, from its
last sign of life.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from ray import tune

from recscale.cost import priced
from recscale.engine.searcher import PlanSearcher
from recscale.planner import Stop
from recscale.planner.journal import entry
from recscale.spec import ResourcesSpec
from recscale.spend import BEAT, Spend, Start, flight, spent

LOOK_S = 1.0  # seconds between looks
STOP_S = 2 * LOOK_S  # a run that is stopped goes on for a moment


class Allowance(tune.Stopper):
    """Ends the sweep when the runs under way have used up what is left of the budget. Each leaves
    a record of status `stopped`, with its time, and its last checkpoint: with more budget the
    same command goes on from there."""

    def __init__(self, searcher: PlanSearcher, now: Callable[[], float] = time.monotonic):
        """`now` is this process's clock (s)."""
        self.searcher, self.ledger, self.now = searcher, searcher.ledger, now
        self.spent_up = False
        self.looked_at = now()
        self.heard: dict[str, tuple[int, float]] = {}
        """By start: its signs of life, and when the last of them was first seen here."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False  # one run never ends alone: what it would leave, another would take

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its stopper for a restore that never comes: there is nothing to keep."""
        return {}

    def stop_all(self) -> bool:
        if self.spent_up:
            return True
        now = self.now()
        if now - self.looked_at < LOOK_S:
            return False
        self.looked_at = now
        starts = self.ledger.starts()
        live = self._live(starts)
        needs = self.searcher.spec.resources
        quiet = self._quiet(live, now)
        total = spent(self.ledger.attempts(), starts)
        for s in live:  # as it would be at the next look
            hours, usd = priced(silent_s(s, quiet[s.id] + LOOK_S, needs), needs)
            total += Spend(0.0, hours, usd)
        total += Spend(self._again(starts))
        if total.within(self.searcher.spec.budget):
            return False
        self._stop(live, quiet)
        return True

    def _again(self, starts: list[Start]) -> float:
        """FLOPs that the runs under way still owe, once one of them was resized: it does a part
        again for which nobody was asked. Else 0, since what was decided fits."""
        flying = self.searcher.flying.values()
        begun = Counter(s.launch for s in starts)
        if all(begun[job.launch] < 2 for job in flying):
            return 0.0
        costs = [(job, self.searcher.cost(job)) for job in flying]
        return sum(
            flight(c.samples, job.kept, job.launch, starts).owed(Spend(c.train_flop)).flop
            for job, c in costs
        )

    def _live(self, starts: list[Start]) -> list[Start]:
        """The last start of every launch under way, unless it has ended."""
        launches = {job.launch for job in self.searcher.flying.values()}
        last = {s.launch: s for s in starts if s.launch in launches}
        return [s for s in last.values() if not s.over]

    def _quiet(self, live: list[Start], now: float) -> dict[str, float]:
        """Seconds for which each has been silent, by this process's clock."""
        before = self.heard
        self.heard = {}
        for s in live:
            signs, since = before.get(s.id, (0, now))
            self.heard[s.id] = (signs, since) if signs == s.signs else (s.signs, now)
        return {i: now - since for i, (_, since) in self.heard.items()}

    def _stop(self, live: list[Start], quiet: dict[str, float]) -> None:
        self.spent_up = True
        under = list(self.searcher.flying.values())
        for s in live:  # what it used in silence is told for it
            self.ledger.append(BEAT, **told_for(s, quiet[s.id], self.searcher.spec.resources))
        begun = {s.run_id for s in self.ledger.starts()}
        for job in under:
            if job.run_id in begun:
                self.searcher.cut(job, "stopped", "stopped: the budget was used up")
        stop = Stop(
            f"the budget was used up while {len(under)} run(s) were under way, which take longer "
            "than was estimated: they were stopped, and go on from their last checkpoints when "
            "the budget is raised",
            exhausted=True,
        )
        self.searcher.ended = stop
        if self.searcher.problem:
            self.ledger.append("decision", **entry(stop))


def silent_s(start: Start, quiet_s: float, needs: ResourcesSpec) -> float:
    """Worker-seconds, until it can be stopped, that a start which has been silent for `quiet_s`
    seconds has not told of; before that it may be resized."""
    untold = max(0.0, quiet_s + STOP_S - start.next_s)
    to_come = min(untold, STOP_S)
    most = max(start.workers, needs.most_workers)
    return (untold - to_come) * start.workers + to_come * most


def told_for(start: Start, quiet_s: float, needs: ResourcesSpec) -> dict[str, Any]:
    """The last sign of life of a start that is stopped, with what it did not tell of."""
    worker_s = silent_s(start, quiet_s, needs)
    hours, usd = priced(worker_s, needs)
    facts = start.model_dump(exclude={"id", "order", "signs"})
    more = {"worker_s": worker_s, "gpu_hours": hours, "usd": usd}
    return facts | {"start": start.id, "over": True} | {k: facts[k] + v for k, v in more.items()}
