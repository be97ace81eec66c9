"""The planner as a Ray Tune search algorithm.

It keeps nothing that the ledger does not hold, so that there is nothing to save or restore: after
any death the same command asks the ledger and goes on. A run that failed is decided on again like
any other, against what is left of the budget by then; Tune retries nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ray.tune.search import Searcher

from recscale.cost import estimate
from recscale.engine.job import Job, cut_record
from recscale.engine.logs import attempts_of
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
from recscale.run import Cost, Status
from recscale.spec import SweepSpec
from recscale.spend import Flight, Resting, flight, to_train
from recscale.trainers import verdict


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
        self.flying: dict[str, Job] = {}
        """Runs under way, by trial."""
        self.fallen: dict[str, Job] = {}
        """Runs that have just failed, by trial."""
        self.failures: Counter[str] = Counter()
        """By run id, since this driver began."""
        self.given_up: set[str] = set()
        self.ended: Stop | None = None
        self.expected: dict[str, float] | None = None
        """Mean, low and high of the loss that the planner expects at its target, if it has one."""
        self.problem = problem
        self.waiting: tuple[frozenset[str], int] | None = None
        """What was under way and how much had failed when the planner last said to wait."""

    def suggest(self, trial_id: str) -> Any:
        state = frozenset(self.flying), self.failures.total()
        if state == self.waiting:  # Tune asks many times a second, and nothing has ended since
            return None
        decision = self._decide()
        if isinstance(decision, Wait):
            self.waiting = state
            return None
        if isinstance(decision, Stop):
            self.ended = decision
            self._record_cut(decision.reason)
            return Searcher.FINISHED
        assert isinstance(decision, Launch)
        following = decision.runs[0]
        if any(job.run.place.trunk == following.place.trunk for job in self.flying.values()):
            self.waiting = state  # it goes on with a training that is under way
            return None
        job = self.flying[trial_id] = self._job(following)
        return {"job": job.payload()}

    def in_flight(self) -> dict[str, Flight]:
        """What is under way, by run id. A run that may be resized at any moment, and then goes on
        from its checkpoint unasked, counts with all that it would do from there."""
        starts = self.ledger.starts()
        resting, flights = Resting(starts), {}
        for job in self.flying.values():
            samples = self.cost(job).samples
            if job.needs.elastic:
                had = resting.of(job.run.place, samples)
                flights[job.run_id] = Flight(to_train(samples, had))
            else:
                flights[job.run_id] = flight(samples, job.kept, job.launch, starts)
        return flights

    def cost(self, job: Job) -> Cost:
        """As it was estimated of the whole run."""
        return estimate(job.run.model, job.run.train, self.data, job.needs)

    def _decide(self) -> Decision:
        in_flight = self.in_flight()
        if self.problem is not None:
            return self._search(self.problem, in_flight)
        return decide(
            self.planned,
            self.ledger.attempts(),
            in_flight,
            self.given_up,
            self.spec.budget,
            self.ledger.starts(),
        )

    def _job(self, planned: Planned) -> Job:
        return Job(
            config=planned.config.model_dump(mode="json"),
            run_id=planned.run_id,
            reason=planned.reason,
            run_dir=self.run_dir,
            store=self.store,
            resources=self.spec.resources.model_dump(mode="json"),
            kept=Resting(self.ledger.starts()).of(planned.place, planned.cost.samples),
        )

    def _search(self, problem: Problem, in_flight: dict[str, Flight]) -> Decision:
        """The search's next decision, written down before anything of it is launched."""
        entries = self.ledger.entries()
        known = decided(entries)
        attempts = self.ledger.attempts()
        starts = self.ledger.starts()
        decision = decide_search(
            problem,
            Progress(attempts, known, in_flight, self.given_up, warm_of(entries), starts),
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
        job = self.flying.pop(trial_id)
        if error:
            self.fallen[trial_id] = job

    def fail(self, trial_id: str, error: str) -> None:
        """Counts a failure, and records a run that has had its retries as failed, or whose trainer
        would do the same again. Tune tells a searcher that a trial failed, and only its callbacks,
        afterwards, with what."""
        job = self.fallen.pop(trial_id)
        self.failures[job.run_id] += 1
        words, again = verdict(error)
        if not again or self.failures[job.run_id] > job.needs.retries:
            self.given_up.add(job.run_id)
            tried = attempts_of(job.run_id, self.ledger.entries())
            place = tried[-1].place if tried else ""
            named = f"the worker's log: {place} (recscale logs {job.run_dir} {job.run_id})\n"
            self.cut(job, "failed", f"{named if place else ''}{words}")

    def cut(self, job: Job, status: Status, error: str) -> None:
        """Records a run that did not come to its end."""
        starts = [s for s in self.ledger.starts() if s.run_id == job.run_id]
        self.ledger.record(cut_record(job, self.data, status, error, starts))

    def _record_cut(self, why: str) -> None:
        """Records as stopped what was begun, has not ended, and does not go on."""
        planned = {p.run_id: p for p in (*self.planned, *decided(self.ledger.entries()))}
        last = {s.run_id: s for s in self.ledger.starts()}
        records = self.ledger.attempts()
        over = {r.run_id for r in records if r.settled} | {r.start for r in records}
        for run_id, start in last.items():
            if run_id in planned and not {run_id, start.id} & over:
                self.cut(self._job(planned[run_id]), "stopped", f"stopped: {why}")

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Partial results are in the records, once the run has ended."""

    def set_search_properties(self, *args: Any, **kwargs: Any) -> bool:
        return True  # the planner, not Tune's parameter space, says what to run

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: see the module's docstring."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: see the module's docstring."""
