"""The planner as a Ray Tune search algorithm.

It keeps nothing that the ledger does not hold, so that there is nothing to save or restore: after
any death the same command asks the ledger and goes on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ray.tune.search import Searcher

from recscale.engine.job import Job, failed_record
from recscale.ledger import Ledger
from recscale.manifest import Manifest
from recscale.planner import (
    Decision,
    Launch,
    Planned,
    Problem,
    Progress,
    Stop,
    Wait,
    decide,
    decide_search,
)
from recscale.planner.journal import decided, decisions, entry, warm_of
from recscale.spec import SweepSpec


class PlanSearcher(Searcher):
    """Suggests one planned run at a time, as `planner.decide` says."""

    def __init__(
        self,
        spec: SweepSpec,
        data: Manifest,
        planned: Sequence[Planned],
        ledger: Ledger,
        run_dir: str,
        store: str,
        problem: Problem | None = None,
    ):
        # no metric: results are in the ledger, and Tune would end the whole sweep over a run that
        # ends, diverged, before it could report one
        super().__init__()
        self.spec, self.data, self.planned, self.ledger = spec, data, planned, ledger
        self.run_dir, self.store = run_dir, store
        self.flying: dict[str, tuple[Job, float]] = {}
        self.given_up: dict[str, tuple[Job, float]] = {}
        self.ended: Stop | None = None
        self.expected: dict[str, float] | None = None
        """Mean, low and high of the loss that the planner expects at its target, if it has one."""
        self.problem = problem
        self.waiting: tuple[frozenset[str], frozenset[str]] | None = None
        """What was under way and given up when the planner last said to wait."""

    def suggest(self, trial_id: str) -> Any:
        in_flight = {job.run.run_id for job, _ in self.flying.values()}
        given_up = {job.run.run_id for job, _ in self.given_up.values()}
        state = frozenset(in_flight), frozenset(given_up)
        if state == self.waiting:  # Tune asks many times a second, and nothing has ended since
            return None
        if self.problem is None:
            decision = decide(
                self.planned, self.ledger.attempts(), in_flight, given_up, self.spec.budget
            )
        else:
            decision = self._search(self.problem, in_flight, given_up)
        if isinstance(decision, Wait):
            self.waiting = state
            return None
        if isinstance(decision, Stop):
            self.ended = decision
            return Searcher.FINISHED
        assert isinstance(decision, Launch)
        planned = decision.runs[0]
        job = Job(
            config=planned.config.model_dump(mode="json"),
            reason=planned.reason,
            run_dir=self.run_dir,
            store=self.store,
            resources=self.spec.resources.model_dump(mode="json"),
        )
        self.flying[trial_id] = job, time.time()
        return {"job": job.payload()}

    def _search(self, problem: Problem, in_flight: set[str], given_up: set[str]) -> Decision:
        """The search's next decision, written down before anything of it is launched."""
        entries = self.ledger.entries()
        known = decided(entries)
        attempts = self.ledger.attempts()
        decision = decide_search(
            problem, Progress(attempts, known, in_flight, given_up, warm_of(entries))
        )
        if isinstance(decision, Wait):
            return decision
        self.expected = decision.facts.get("expected", self.expected)
        made, new = decisions(entries), {p.run_id for p in known}
        if isinstance(decision, Launch):
            fresh = any(p.run_id not in new for p in decision.runs)
        else:
            fresh = not made or made[-1]["stop"] is None or made[-1]["why"] != decision.reason
        if fresh:
            self.ledger.append("decision", **entry(decision))
        return decision

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        flown = self.flying.pop(trial_id)
        if error:
            self.given_up[trial_id] = flown

    def fail(self, trial_id: str, error: str) -> None:
        """Records why a run was given up after its retries: Tune tells a searcher that a trial
        failed, and only its callbacks, afterwards, with what."""
        job, started_at = self.given_up[trial_id]
        self.ledger.record(failed_record(job, self.data, error, started_at))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Partial results are in the records, once the run has ended."""

    def set_search_properties(self, *args: Any, **kwargs: Any) -> bool:
        return True  # the planner, not Tune's parameter space, says what to run

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: see the module's docstring."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: see the module's docstring."""
