"""The compute-optimal search: (problem, records) -> Launch | Wait | Stop, with one sentence why.

It starts with some eight cheap runs spread over the axes. Then each next run is the one that is
expected to tell most about the target for its cost, among those near the frontier. A run's loss
enters when it has ended: the learning rate falls to zero at the planned end of each run, so that
the middle of a curve is not comparable with the end of a shorter one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recscale.cost import estimate
from recscale.frame import left_out
from recscale.ledger import standing
from recscale.planner.candidates import Problem, in_unit, values
from recscale.planner.choose import Choice, Seen, chances, choose, start_size
from recscale.planner.fixed import (
    Decision,
    Launch,
    PlanError,
    Planned,
    Spend,
    Stop,
    Wait,
    spent,
)
from recscale.planner.goals import AtTarget, at_target, goal_of, optima
from recscale.planner.pace import Throughput, features
from recscale.planner.value import Goal, Outlook, spread
from recscale.run import Cost, RunRecord
from recscale.spec import BudgetSpec
from recscale.words import number, quantity

START = 0.15  # of the budget, for the start
WIDER = (0.4, 1.0)  # of the budget, where so little does not hold the start
LEAST = 1 / 400  # of the budget: what any run costs in starting it and in waiting for it
FEWEST = 4  # finished runs before anything is believed


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
        attempts: every recorded attempt, in the order of time.
        decided: every run the search has decided on so far, in that order.
        in_flight, given_up: run ids.
        warm: runs that were not bought here.
    """

    attempts: Sequence[RunRecord] = ()
    decided: Sequence[Planned] = ()
    in_flight: Collection[str] = ()
    given_up: Collection[str] = ()
    warm: Warm | None = None


def decide_search(problem: Problem, progress: Progress) -> Decision:
    """The next decision. Deterministic: the same problem and progress give the same answer.

    Raises PlanError when the budget does not hold the start.
    """
    state = SearchState(problem, progress)
    pending = state.pending
    if pending:
        return _relaunch(state, pending)
    if not progress.decided:
        return _start(state)
    if len(state.loss) < FEWEST:
        if progress.in_flight:
            return Wait("the first runs have to end before anything can be said")
        return _more_start(state)
    return _adaptive(state)


def _relaunch(state: SearchState, pending: list[Planned]) -> Decision:
    """A run decided on earlier comes first: nothing that was decided is forgotten."""
    for run in pending:
        if state.holds(run.cost):
            return Launch((run,), run.reason)
    if state.progress.in_flight:
        return Wait("the budget holds no further run until those under way have ended")
    left = quantity(sum(p.cost.train_flop for p in pending))
    return Stop(
        f"the budget does not hold the {len(pending)} runs already decided on ({left} FLOP)",
        exhausted=True,
    )


def _start(state: SearchState) -> Decision:
    problem, budget = state.problem, state.problem.spec.budget
    n = start_size(problem.logx.shape[1])
    have = len(state.loss)
    n = max(FEWEST, n - have) if have else n
    open_ = np.flatnonzero(state.open)
    price = state.price[open_]
    chosen: list[int] = []
    for share in (START, *WIDER):
        chosen = spread(problem.logx[open_], price, n, share)
        if len(chosen) == n:
            break
    if len(chosen) < n:
        cheap = open_[np.argsort(price)[:n]]
        raise PlanError(
            f"budget: the start needs {n} runs and the cheapest {len(cheap)} take "
            f"{_amounts(state.spend(cheap), budget)}; the budget is "
            f"{_limits(budget)}: raise it, or add cheaper values to the axes"
        )
    share = float(price[chosen].sum())
    runs: list[Planned] = []
    for i, at in enumerate(chosen):
        reason = (
            f"start, {i + 1} of {n}: cheap runs spread over the axes, together "
            f"{100 * share:.2g} % of the budget"
        )
        runs += state.runs(int(open_[at]), reason)
    return Launch(
        tuple(runs),
        f"start: {n} cheap runs spread over the axes for {100 * share:.2g} % of the budget; the "
        "rest goes to what tells most about the target",
        {"phase": "start", "share": share},
    )


def _more_start(state: SearchState) -> Decision:
    """Runs of the start failed: the nearest thing to what they would have told."""
    open_ = np.flatnonzero(state.open & state.fits)
    if not len(open_):
        return Stop("too few runs came out and the budget holds no further one", exhausted=True)
    tried = np.concatenate([state.logx, state.failed])
    x = state.problem.logx[open_]
    scale = np.maximum(np.ptp(state.problem.logx, axis=0), 1e-9)
    cheap = np.argsort(state.price[open_], kind="stable")[: 8 * FEWEST]
    far = (((x[cheap, None] - tried[None]) / scale) ** 2).sum(2).min(1) if len(tried) else cheap
    best = int(open_[cheap[int(np.argmax(far * state.chance[open_][cheap]))]])
    reason = f"start: only {len(state.loss)} runs have come out; another cheap one"
    return Launch(tuple(state.runs(best, reason)), reason, {"phase": "start"})


def _adaptive(state: SearchState) -> Decision:
    problem, search = state.problem, state.problem.spec.search
    goal, target = search.goal, problem.target
    found: list[tuple[int, np.ndarray]] = []

    def asked(outlook: Outlook) -> Goal:
        found.append(optima(outlook.belief, target))
        return goal_of(goal, target, outlook.belief, found[0])

    choice = state.choose(asked)
    now = at_target(goal, problem.spec.law_variables, choice.belief, target, found[0])
    facts = _facts(state, choice, now)
    if search.interval and now.half <= search.interval and not state.progress.in_flight:
        return Stop(
            f"the target is known well enough: {_width(goal, now)} at {target.words}, and "
            f"{100 * search.interval:.3g} % was asked for",
            facts=facts,
        )
    if search.interval and now.half <= search.interval:
        return Wait("the target is known well enough; the last runs are under way")
    if choice.index is None:
        if state.progress.in_flight:
            return Wait("nothing is worth its cost until the runs under way have ended")
        if not choice.of:
            return Stop(
                f"the budget holds no further run; {_width(goal, now)} at {target.words}",
                exhausted=True,
                facts=facts,
            )
        return Stop(
            f"nothing left is worth its cost: all the rest of the budget would narrow "
            f"{_named(goal)} at {target.words} by less than 1 %; {_width(goal, now)}",
            facts=facts,
        )
    at = int(np.flatnonzero(state.open)[choice.index])
    fall = 100 * choice.fall
    again = "another seed" if state.seed[at] else "new"
    reason = (
        f"{again}: expected to cut the variance of {_named(goal)} at {target.words} by "
        f"{fall:.2g} % for {100 * state.price[at]:.2g} % of the budget, the most for its cost of "
        f"{choice.near} candidates near the frontier ({choice.of} affordable); it wastes "
        f"{choice.waste:.2f} decades"
    )
    return Launch(tuple(state.runs(at, reason)), reason, facts)


def _facts(state: SearchState, choice: Choice, now: AtTarget) -> dict[str, Any]:
    return {
        "phase": "search",
        "target": state.problem.target.words,
        "expected": {"mean": now.loss, "low": now.low, "high": now.high, "level": 0.9},
        "half": now.half,
        "optimum": {k: list(v) for k, v in now.optimum.items()},
        "fall": choice.fall,
        "waste": choice.waste,
        "near": choice.near,
        "affordable": choice.of,
        "finished": len(state.loss),
        "under_way": len(state.flying),
        "spent": vars(state.used),
        "noise": choice.belief.noise,
    }


class SearchState:
    """The arrays behind one decision, from the records."""

    def __init__(self, problem: Problem, progress: Progress):
        self.problem, self.progress = problem, progress
        spec = problem.spec
        records = [r for r in standing(progress.attempts) if r.status != "stopped"]
        self.settled = {r.run_id for r in records} | set(progress.given_up)
        self.throughput = Throughput(progress.attempts)
        self.used = spent(progress.attempts)
        waiting = {p.run_id: p for p in progress.decided if p.run_id not in self.settled}
        self.pending = [p for i, p in waiting.items() if i not in progress.in_flight]
        self._sample(records, waiting)
        self._money([p for i, p in waiting.items() if i in progress.in_flight])
        m = len(problem.points)
        self.chance = chances(problem.logx, self.logx, self.failed)
        blocked = np.zeros(m, bool)
        blocked[[i for i in (self._at(p) for p in waiting.values()) if i is not None]] = True
        blocked[[i for i in self.broken if i is not None]] = True
        warm = progress.warm.run_ids if progress.warm else frozenset()
        first = spec.train.learning_rate.tune[0]
        for i, point in enumerate(problem.points if warm else ()):
            blocked[i] |= point.config(spec, problem.data, first, 0).run_id in warm
        self.open = ~blocked & (self.seed < spec.train.seeds)

    def _sample(self, records: Sequence[RunRecord], waiting: dict[str, Planned]) -> None:
        """Finished runs that enter the law, those under way, those that failed."""
        problem, spec = self.problem, self.problem.spec
        flying = [(p.config.tuning_group, p.config.train.seed) for p in waiting.values()]
        out, x, loss, cost, failed = left_out(records), [], [], [], []
        done: dict[tuple[str, int], bool] = {}
        self.seed = np.zeros(len(problem.points), int)
        self.factor: dict[int, float] = {}
        for r in records:
            train, key = r.config.train, (r.config.tuning_group, r.config.train.seed)
            at = problem.at.get(key[0])
            done[key] = done.get(key, False) or r.status == "done"
            if at is not None:
                self.seed[at] = max(self.seed[at], train.seed + 1)
            if r.run_id in out or key in flying or r.final is None:
                continue
            row = values(r.config.model, train, r.spent)
            place = [row[v] for v in spec.law_variables]
            measured = r.final.columns().get(spec.law_loss)
            if min(place) > 0 and measured is not None:
                x.append(np.log(place))
                loss.append(measured)
                cost.append(in_unit(r.spent, problem.target.unit))
            if at is not None:
                self.factor[at] = train.rate_factor
        self.broken = {problem.at.get(k[0]) for k, ok in done.items() if not ok and k not in flying}
        failed = [problem.logx[i] for i in self.broken if i is not None]
        p = problem.logx.shape[1]
        self.logx, self.loss = np.array(x).reshape(-1, p), np.array(loss)
        self.cost, self.failed = np.array(cost), np.array(failed).reshape(-1, p)
        if warm := self.progress.warm:
            self.logx = np.concatenate([self.logx, warm.logx])
            self.loss = np.concatenate([self.loss, warm.loss])
            self.cost = np.concatenate([self.cost, warm.cost])
        self.flying = sorted({i for p in waiting.values() if (i := self._at(p)) is not None})

    def _at(self, planned: Planned) -> int | None:
        return self.problem.at.get(planned.config.tuning_group)

    def _money(self, in_flight: Sequence[Planned]) -> None:
        """What is committed, and the price of each candidate as a share of the budget."""
        problem, budget = self.problem, self.problem.spec.budget
        self.committed = self.used
        for p in in_flight:
            self.committed += self.upper(p.cost)
        mean, upper = self.throughput.factors(problem.features)
        flop, hours, usd = problem.spends.T
        tries = np.where(self.seed > 0, 1, len(problem.spec.train.learning_rate.tune))
        limits, used = vars_of(budget), vars(self.committed)
        kinds = {"flop": (flop, flop), "gpu_hours": (hours * mean, hours * upper),
                 "usd": (usd * mean, usd * upper)}  # fmt: skip
        self.price = np.full(len(flop), 1e-12)
        self.fits = np.ones(len(flop), bool)
        self.left = 1.0
        for kind, limit in limits.items():
            expected, most = (tries * a for a in kinds[kind])
            self.price = np.maximum(self.price, expected / limit)
            self.fits &= used[kind] + most <= limit
            self.left = min(self.left, max(0.0, 1 - used[kind] / limit))

    def upper(self, cost: Cost) -> Spend:
        """A run's spend that it should not pass."""
        _, (most,) = self.throughput.factors(features([cost]))
        return Spend(cost.train_flop, cost.gpu_hours * most, cost.usd * most)

    def holds(self, cost: Cost) -> bool:
        return (self.committed + self.upper(cost)).within(self.problem.spec.budget)

    def spend(self, points: Sequence[int] | np.ndarray) -> Spend:
        total = Spend()
        for i in points:
            cost = self.problem.points[int(i)].cost
            for _ in range(len(self.problem.spec.train.learning_rate.tune)):
                total += Spend(cost.train_flop, cost.gpu_hours, cost.usd)
        return total

    def runs(self, at: int, reason: str) -> list[Planned]:
        """The runs of one point: every learning-rate factor the first time, and the best factor
        so far for each further seed."""
        spec, data, point = self.problem.spec, self.problem.data, self.problem.points[at]
        seed = int(self.seed[at])
        factors = spec.train.learning_rate.tune if not seed else (self.factor.get(at, 1.0),)
        out = []
        for factor in factors:
            config = point.config(spec, data, factor, seed)
            cost = estimate(config.model, config.train, data, spec.resources)
            out.append(Planned(config, cost, reason))
        return out

    def choose(self, goal: Callable[[Outlook], Goal]) -> Choice:
        """The candidate that tells most about the goal for its cost."""
        problem, at = self.problem, np.flatnonzero(self.open)
        fly = self.flying
        seen = Seen(
            self.logx, np.log(self.loss), self.cost, problem.logx[fly], problem.rank[fly],
            problem.logx[at], problem.rank[at], np.maximum(self.price[at], LEAST),
            self.fits[at], self.chance[at],
        )  # fmt: skip
        spec = problem.spec
        return choose(spec.law.form, spec.law_variables, seen, goal, self.left)


def waits_on(state: SearchState, decided: Sequence[Planned]) -> list[Planned]:
    """Runs decided on that have not ended."""
    return [p for p in decided if p.run_id not in state.settled]


def vars_of(budget: BudgetSpec) -> dict[str, float]:
    """The limits that are set."""
    return budget.model_dump(exclude_none=True)


def _limits(budget: BudgetSpec) -> str:
    return _amounts(Spend(**vars_of(budget)), budget)


def _amounts(spend: Spend, budget: BudgetSpec) -> str:
    words = {
        "flop": f"{quantity(spend.flop)} FLOP",
        "gpu_hours": f"{spend.gpu_hours:.3g} GPU-hours",
        "usd": f"${spend.usd:.3g}",
    }
    return ", ".join(words[k] for k in vars_of(budget))


def _named(goal: str) -> str:
    return {"loss": "the loss", "allocation": "the best split", "slopes": "the gains"}[goal]


def _width(goal: str, now: AtTarget) -> str:
    if goal == "loss":
        return f"the loss is {number(now.loss)} to within {100 * now.half:.2g} % (90 %)"
    if goal == "allocation":
        return f"the best split is known to within {now.half:.2g} decades (90 %)"
    return f"the gains are known to within {100 * now.half:.2g} % (90 %)"
