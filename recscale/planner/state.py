"""What a search knows before a decision, as arrays: the sample, the money, the open candidates."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from recscale.cost import estimate
from recscale.frame import judged, left_out, lost_words
from recscale.ledger import standing
from recscale.planner.beating import beating
from recscale.planner.candidates import Problem, in_unit, values
from recscale.planner.choose import Choice, Seen, chances, choose
from recscale.planner.fixed import Planned, needed
from recscale.planner.pace import Throughput, features
from recscale.planner.race import beaten, losers
from recscale.planner.trainings import Trainings, training_of
from recscale.planner.value import Assessment, Goal
from recscale.run import Cost, RunRecord
from recscale.spec import BudgetSpec
from recscale.spend import Flight, Resting, Spend, Start, spent, to_train

LEAST = 1 / 400  # of the budget: what any run costs in starting it and in waiting for it


@dataclass(frozen=True)
class Warm:
    """Runs from elsewhere: logs of the law's variables (n, p), losses and costs (n,)."""

    logx: np.ndarray
    loss: np.ndarray
    cost: np.ndarray
    run_ids: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Progress:
    """How far a search is: everything that `decide_search` may know.

    Attributes:
        attempts: every recorded attempt, in order.
        decided: every run the search has decided on so far, in that order.
        in_flight: what is under way, by run id.
        given_up: run ids.
        warm: runs that were not bought here.
        starts: every start of a run, in order.
    """

    attempts: Sequence[RunRecord] = ()
    decided: Sequence[Planned] = ()
    in_flight: Mapping[str, Flight] = field(default_factory=dict)
    given_up: Collection[str] = ()
    warm: Warm | None = None
    starts: Sequence[Start] = ()


class SearchState:
    """The arrays behind one decision, from the records."""

    def __init__(self, problem: Problem, progress: Progress):
        self.problem, self.progress = problem, progress
        spec = problem.spec
        ended = [r for r in standing(progress.attempts) if r.status != "stopped"]
        records = judged(ended, spec.law_loss, problem.data)
        lost = beaten(progress.decided, progress.attempts)
        self.settled = {r.run_id for r in records} | {*progress.given_up, *lost}
        self.losers = losers(progress.decided, progress.attempts) if lost else {}
        self.throughput = Throughput(progress.attempts)
        self.used = spent(progress.attempts, progress.starts)
        self.resting = Resting(progress.starts)
        self.trainings = Trainings(problem)
        waiting = {p.run_id: p for p in progress.decided if p.run_id not in self.settled}
        flying = [p for i, p in waiting.items() if i in progress.in_flight]
        busy = {p.place.trunk for p in flying}
        open_ = [p for i, p in waiting.items() if i not in progress.in_flight]
        self.pending = [p for p in open_ if p.place.trunk not in busy]
        """Decided on, and not begun; what goes on with a training under way waits for that."""
        self._sample(records, waiting)
        self._money(flying, [p for p in open_ if p.place.trunk in busy])
        m = len(problem.points)
        self.chance = chances(problem.logx, self.logx, self.failed) * self._beating()
        blocked = np.zeros(m, bool)
        blocked[[i for i in (self._at(p) for p in waiting.values()) if i is not None]] = True
        blocked[[i for i in self.broken if i is not None] + sorted(self.beaten)] = True
        warm = progress.warm.run_ids if progress.warm else frozenset()
        first = spec.train.learning_rate.tune[0]
        for i, point in enumerate(problem.points if warm else ()):
            blocked[i] |= point.config(spec, problem.data, first, 0).run_id in warm
        self.open = ~blocked & (self.seed < spec.train.seeds)
        if self.trainings.any and flying:  # decided on once it rests again
            under_way = {training_of(p.config) for p in flying}
            of = (self.trainings.of_point(i, int(s)) for i, s in enumerate(self.seed))
            self.open &= [t not in under_way for t in of]

    def _sample(self, records: Sequence[RunRecord], waiting: dict[str, Planned]) -> None:
        """Finished runs that enter the law or lost to a baseline, those under way, those that
        failed."""
        problem, spec = self.problem, self.problem.spec
        asked = spec.law.below_baseline
        self.lost = "" if asked else lost_words(records)
        """How many runs baselines keep out of the law, in words; empty where they keep out none."""
        flying = [(p.config.tuning_group, p.config.train.seed) for p in waiting.values()]
        out, unusable = left_out(records, asked), left_out(records, below_baseline=True)
        x, loss, cost, enters, trained = [], [], [], [], []
        self.beaten: set[int] = set()
        """Points that lost to a baseline."""
        done: dict[tuple[str, int], bool] = {}
        self.seed = np.zeros(len(problem.points), int)
        self.factor: dict[int, float] = {}
        for r in records:
            train, key = r.config.train, (r.config.tuning_group, r.config.train.seed)
            at = problem.at.get(key[0])
            done[key] = done.get(key, False) or r.status == "done"
            if at is not None:
                self.seed[at] = max(self.seed[at], train.seed + 1)
            if r.run_id in unusable or key in flying or r.final is None:
                continue
            row = values(r.config.model, train, r.trained)
            place = [row[v] for v in spec.law_variables]
            measured = r.final.columns().get(spec.law_loss)
            if min(place) > 0 and measured is not None:
                x.append(np.log(place))
                loss.append(measured)
                cost.append(in_unit(r.trained, problem.target.unit))
                enters.append(r.run_id not in out)
                trained.append(training_of(r.config))
            if at is not None:
                self.factor[at] = train.rate_factor
                self.beaten |= {at} if r.run_id in out else set()
        self.broken = {problem.at.get(k[0]) for k, ok in done.items() if not ok and k not in flying}
        failed = [problem.logx[i] for i in self.broken if i is not None]
        p = problem.logx.shape[1]
        self.failed, enter = np.array(failed).reshape(-1, p), np.array(enters, bool)
        self.measured = np.array(x).reshape(-1, p), np.array(loss), np.array(cost)
        """Of the runs that enter and those that lost to a baseline."""
        self.logx, self.loss, self.cost = (values[enter] for values in self.measured)
        trained = [t for t, e in zip(trained, enters, strict=True) if e]
        if warm := self.progress.warm:
            self.logx = np.concatenate([self.logx, warm.logx])
            self.loss = np.concatenate([self.loss, warm.loss])
            self.cost = np.concatenate([self.cost, warm.cost])
            trained += [None] * len(warm.loss)
        self.training = self.trainings.codes(trained)
        """(n,) codes of the trainings of the runs that enter; see `Seen`."""
        self.flying = sorted({i for p in waiting.values() if (i := self._at(p)) is not None})

    def _beating(self) -> np.ndarray:
        """Chance of each candidate to end below every baseline; 1 while none has lost to one."""
        problem, spec = self.problem, self.problem.spec
        known = problem.data.baselines_in(spec.law_loss)
        if not self.beaten or not known:
            return np.ones(len(problem.points))
        lowest = min(known.values())
        return beating(
            spec.law.form, spec.law_variables, *self.measured, problem.logx, baseline=lowest
        )

    def _at(self, planned: Planned) -> int | None:
        return self.problem.at.get(planned.config.tuning_group)

    def _money(self, in_flight: Sequence[Planned], following: Sequence[Planned]) -> None:
        """What is committed, and the price of each candidate as a share of the budget.

        following: runs that go on with the trainings of those in flight.
        """
        problem, budget = self.problem, self.problem.spec.budget
        self.committed = self.used
        for p in in_flight:
            self.committed += self.progress.in_flight[p.run_id].owed(self.upper(p.cost))
        for p in following:  # at most, whatever lies before it
            self.committed += self.upper(p.cost).times(self.share(p))
        mean, upper = self.throughput.factors(problem.features)
        flop, hours, usd = problem.spends.T
        factors = [self._factors(i) for i in range(len(flop))]
        tries = np.array([len(f) for f in factors])
        # a point is reached from where its training rests
        tries = tries * self.trainings.shares(self.resting, self.seed, factors)
        used = vars(self.committed)
        kinds = {"flop": (flop, flop), "gpu_hours": (hours * mean, hours * upper),
                 "usd": (usd * mean, usd * upper)}  # fmt: skip
        self.price = np.full(len(flop), 1e-12)
        self.fits = np.ones(len(flop), bool)
        self.left = 1.0
        for kind, limit in limits(budget).items():
            expected, most = (tries * a for a in kinds[kind])
            self.price = np.maximum(self.price, expected / limit)
            self.fits &= used[kind] + most <= limit
            self.left = min(self.left, max(0.0, 1 - used[kind] / limit))

    def upper(self, cost: Cost) -> Spend:
        """A run's spend that it should not pass."""
        _, (most,) = self.throughput.factors(features([cost]))
        return Spend(cost.train_flop, cost.gpu_hours * most, cost.usd * most)

    def share(self, run: Planned) -> float:
        """What is still to train of a run, as a share of it."""
        return to_train(run.cost.samples, self.resting.of(run.place, run.cost.samples))

    def holds(self, run: Planned) -> bool:
        _, (most,) = self.throughput.factors(features([run.cost]))
        needs = needed(run.cost, most, self.share(run))
        return (self.committed + needs).within(self.problem.spec.budget)

    def spend(self, points: Sequence[int] | np.ndarray) -> Spend:
        total = Spend()
        for i in points:
            cost = self.problem.points[int(i)].cost
            for _ in range(len(self.problem.spec.train.learning_rate.tune)):
                total += Spend(cost.train_flop, cost.gpu_hours, cost.usd)
        return total

    def _factors(self, at: int) -> tuple[float, ...]:
        """Learning-rate factors that a point's runs have: each the first time, and the best so far
        for each further seed."""
        if self.seed[at]:
            return (self.factor.get(at, 1.0),)
        factors = self.problem.spec.train.learning_rate.tune
        lost = self.losers.get(self.problem.races[at], {}) if self.losers else {}
        return tuple(f for f in factors if f not in lost)

    def runs(self, at: int, reason: str) -> list[Planned]:
        """The runs of one point with every factor, and before them those of open points that its
        training passes on its way."""
        spec, data, points = self.problem.spec, self.problem.data, self.problem.points
        seed, factors, out = int(self.seed[at]), self._factors(at), []
        for i in self._on_way(at):
            for factor in factors:
                config = points[i].config(spec, data, factor, seed)
                cost = estimate(config.model, config.train, data, spec.resources)
                out.append(Planned(config, cost, reason))
        return out

    def _on_way(self, at: int) -> list[int]:
        """Open points of a point's training from where it rests up to the point, in that order."""
        codes = self.pool_training
        if codes is None:
            return [at]
        samples = [p.cost.samples for p in self.problem.points]
        same = np.flatnonzero(self.open & (codes == codes[at]))
        return sorted((int(i) for i in same if samples[i] <= samples[at]), key=lambda i: samples[i])

    @cached_property
    def pool_training(self) -> np.ndarray | None:
        """(m,) codes of the trainings on which the candidates lie; those behind the place where
        theirs rests, such as runs that failed, are not on the way of others."""
        codes = self.trainings.codes(
            self.trainings.of_point(i, int(s)) for i, s in enumerate(self.seed)
        )
        if codes is None or not any(self.resting.states.values()):
            return codes
        for i, point in enumerate(self.problem.points):
            place = self.problem.place(i, self._factors(i)[0], int(self.seed[i]))
            if self.resting.newest(place.trajectory, sys.maxsize) > point.cost.samples:
                codes[i] = -1
        return codes

    def kept(self, at: int) -> int:
        """Samples that a point's training rests at, of those it need not train again."""
        if self.pool_training is None:
            return 0
        place = self.problem.place(at, self._factors(at)[0], int(self.seed[at]))
        return self.resting.of(place, self.problem.points[at].cost.samples)

    def choose(self, goal: Callable[[Assessment], Goal]) -> Choice:
        """The candidate that tells most about the goal for its cost."""
        problem, at = self.problem, np.flatnonzero(self.open)
        fly, codes = self.flying, self.pool_training
        seen = Seen(
            self.logx, np.log(self.loss), self.cost, problem.logx[fly], problem.rank[fly],
            problem.logx[at], problem.rank[at], np.maximum(self.price[at], LEAST),
            self.fits[at], self.chance[at], self.training,
            None if codes is None else codes[fly], None if codes is None else codes[at],
        )  # fmt: skip
        spec = problem.spec
        return choose(spec.law.form, spec.law_variables, seen, goal, self.left)


def waits_on(state: SearchState, decided: Sequence[Planned]) -> list[Planned]:
    """Runs decided on that have not ended."""
    return [p for p in decided if p.run_id not in state.settled]


def limits(budget: BudgetSpec) -> dict[str, float]:
    """The limits that are set, by kind."""
    return budget.model_dump(exclude_none=True)
