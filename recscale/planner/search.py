"""The compute-optimal search: (problem, records) -> Launch | Wait | Stop, with one sentence why.

It starts with some eight cheap runs spread over the axes. Then each next run is the one that is
expected to tell most about the target for its cost, among those near the frontier. A run's loss
enters when it has ended: the learning rate falls to zero at the planned end of each run, so that
the middle of a curve is not comparable with the end of a shorter one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recscale.laws.chance import SURE, significance
from recscale.planner.candidates import Problem
from recscale.planner.choose import START, WIDER, Choice, start_size
from recscale.planner.fixed import Decision, Launch, PlanError, Planned, Stop, Wait
from recscale.planner.goals import AtTarget, at_target, goal_of, optima
from recscale.planner.state import Progress, SearchState, limits
from recscale.planner.value import Assessment, Goal, spread
from recscale.spec import BudgetSpec
from recscale.spend import Spend
from recscale.words import quantity

FEWEST = 4  # finished runs before anything is believed
HOPELESS = 0.01  # chance to come out below which a run is not worth any cost


def decide_search(problem: Problem, progress: Progress) -> Decision:
    """The next decision. Deterministic: the same problem and progress give the same answer.

    Raises PlanError when the budget does not hold the start.
    """
    state = SearchState(problem, progress)
    if state.pending:
        return _relaunch(state, state.pending)
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
        if state.holds(run):
            return Launch((run,), run.reason)
    if state.progress.in_flight:
        return Wait("the budget holds no further run until those under way have ended")
    left = quantity(sum(state.share(p) * p.cost.train_flop for p in pending))
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
    price, codes = state.price[open_], state.pool_training
    codes = None if codes is None else codes[open_]
    chosen: list[int] = []
    for share in (START, *WIDER):
        chosen = spread(problem.logx[open_], price, n, share, codes)
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
    runs = list({p.run_id: p for p in runs}.values())  # several lie on the way of one training
    return Launch(
        tuple(runs),
        f"start: {n} cheap runs spread over the axes for {100 * share:.2g} % of the budget; the "
        "rest goes to what tells most about the target",
        {"phase": "start", "share": share},
    )


def _more_start(state: SearchState) -> Decision:
    """Runs of the start failed or lost to a baseline: the run that is likeliest to come out far
    from those, for its cost."""
    open_ = np.flatnonzero(state.open & state.fits & (state.chance > HOPELESS))
    lost = f"; {state.lost}" if state.lost else ""
    if not len(open_):
        return Stop(
            f"too few runs came out and the budget holds none that is likely to{lost}",
            exhausted=True,
        )
    tried = np.concatenate([state.logx, state.measured[0], state.failed])
    x = state.problem.logx[open_]
    scale = np.maximum(np.ptp(state.problem.logx, axis=0), 1e-9)
    far = (((x[:, None] - tried[None]) / scale) ** 2).sum(2).min(1) if len(tried) else 1.0
    best = int(open_[int(np.argmax(far * state.chance[open_] / state.price[open_]))])
    reason = f"start: only {len(state.loss)} runs have come out{lost}; another cheap one"
    return Launch(tuple(state.runs(best, reason)), reason, {"phase": "start"})


def _adaptive(state: SearchState) -> Decision:
    problem, search = state.problem, state.problem.spec.search
    goal, target = search.goal, problem.target
    found: list[tuple[int, np.ndarray]] = []

    def asked(assessment: Assessment) -> Goal:
        found.append(optima(assessment.belief, target))
        return goal_of(goal, target, assessment.belief, found[0])

    choice = state.choose(asked)
    now = at_target(goal, problem.spec.law_variables, choice.belief, target, found[0])
    facts = _facts(state, choice, now)
    asked_for = search.interval or 0.0
    known = 0 < asked_for >= now.half and not by_chance(choice)
    if known and not state.progress.in_flight:
        return Stop(
            f"the target is known well enough: {_width(goal, now)} at {target.words}, and "
            f"{100 * asked_for:.3g} % was asked for",
            facts=facts,
        )
    if known:
        return Wait("the target is known well enough; the last runs are under way")
    if choice.index is None:
        if state.progress.in_flight:
            return Wait("nothing is worth its cost until the runs under way have ended")
        if not choice.of:
            return Stop(
                f"the budget holds no further run; {_width(goal, now)} at {target.words}"
                f"{_doubt(choice)}",
                exhausted=True,
                facts=facts,
            )
        return Stop(
            f"nothing left is worth its cost: all the rest of the budget would narrow "
            f"{_named(goal)} at {target.words} by less than 1 %; {_width(goal, now)}"
            f"{_doubt(choice)}",
            facts=facts,
        )
    at = int(np.flatnonzero(state.open)[choice.index])
    cut = 100 * choice.reduction
    again = "another seed" if state.seed[at] else "new"
    if kept := state.kept(at):
        again = f"on from {kept:,} samples"
    reason = (
        f"{again}: expected to cut the variance of {_named(goal)} at {target.words} by "
        f"{cut:.2g} % for {100 * state.price[at]:.2g} % of the budget, the most for its cost of "
        f"{choice.near} candidates near the frontier ({choice.of} affordable); it wastes "
        f"{choice.waste:.2f} decades"
    )
    return Launch(tuple(state.runs(at, reason)), reason, facts)


def by_chance(choice: Choice) -> bool:
    """Whether the law explains the runs so far no better than losses that depend on nothing: its
    target may then seem well known, and is but the mean of all runs."""
    sample, k = choice.belief.sample, choice.belief.constants
    off = choice.belief.formula(sample.logx) - sample.logy
    n = len(off)
    return significance(sample.logy, off, sample.counts, n, k) >= SURE


def _doubt(choice: Choice) -> str:
    return "; the runs follow a law no better than chance" if by_chance(choice) else ""


def _facts(state: SearchState, choice: Choice, now: AtTarget) -> dict[str, Any]:
    return {
        "phase": "search",
        "target": state.problem.target.words,
        "expected": {"mean": now.loss, "low": now.low, "high": now.high, "level": 0.9},
        "half": now.half,
        "optimum": {k: list(v) for k, v in now.optimum.items()},
        "reduction": choice.reduction,
        "waste": choice.waste,
        "near": choice.near,
        "affordable": choice.of,
        "finished": len(state.loss),
        "under_way": len(state.flying),
        "spent": vars(state.used),
        "noise": choice.belief.noise,
    }


def _limits(budget: BudgetSpec) -> str:
    return _amounts(Spend(**limits(budget)), budget)


def _amounts(spend: Spend, budget: BudgetSpec) -> str:
    words = {
        "flop": f"{quantity(spend.flop)} FLOP",
        "gpu_hours": f"{spend.gpu_hours:.3g} GPU-hours",
        "usd": f"${spend.usd:.3g}",
    }
    return ", ".join(words[k] for k in limits(budget))


def _named(goal: str) -> str:
    return {"loss": "the loss", "allocation": "the best split", "slopes": "the gains"}[goal]


def _width(goal: str, now: AtTarget) -> str:
    if goal == "loss":
        return f"the loss is known to within {100 * now.half:.2g} % (90 %)"
    if goal == "allocation":
        return f"the best split is known to within {now.half:.2g} decades (90 %)"
    return f"the gains are known to within {100 * now.half:.2g} % (90 %)"
