"""What a budget is expected to buy, before it is spent: the interval at the target at its end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recscale.laws.nouns import Points
from recscale.laws.posterior import Rows
from recscale.planner.candidates import Problem
from recscale.planner.choose import WORTH
from recscale.planner.fixed import Launch, Planned
from recscale.planner.foresight import expected_half
from recscale.planner.goals import at_target, goal_of, optima
from recscale.planner.search import FEWEST, decide_search
from recscale.planner.state import LEAST, Progress, SearchState, waits_on
from recscale.planner.typical import typical
from recscale.planner.value import POWER, assess, variance_reductions
from recscale.run import RunRecord
from recscale.spend import Spend

MOST = 80  # runs foreseen one by one; more would change little


@dataclass(frozen=True)
class Forecast:
    """Attributes:
    half: half-width of the 90 % interval at the end, as a share; see `search.interval`. Before
        enough runs have ended, of losses that follow a law exactly.
    now: the same today; None before enough runs have ended.
    runs: about how many more that takes.
    departing: as half, where losses depart from a law as published ones do; None once runs have
        shown how theirs do.
    """

    half: float
    now: float | None
    runs: int
    departing: float | None = None


def forecast(problem: Problem, progress: Progress) -> Forecast:
    """The interval at the target that the rest of the budget should buy.

    Until four runs have ended it assumes a law like published ones (exponents of .35, a constant
    of .64 of the smallest loss) and seeds that scatter by half a percent.
    """
    state = SearchState(problem, progress)
    known = len(state.loss) >= FEWEST
    before = state
    if not known:
        first = decide_search(problem, Progress(warm=progress.warm))
        assert isinstance(first, Launch)
        progress = Progress(_imagined(problem, first.runs), first.runs, warm=progress.warm)
        state = SearchState(problem, progress)
    spec, target = problem.spec, problem.target
    pool = np.flatnonzero(state.open)
    assessment = assess(
        spec.law.form, spec.law_variables, state.logx, np.log(state.loss), state.cost,
        problem.logx, problem.rank,
    )  # fmt: skip
    at = optima(assessment.belief, target)
    goal = goal_of(spec.search.goal, target, assessment.belief, at)
    half = at_target(spec.search.goal, spec.law_variables, assessment.belief, target, at).half
    price, left = np.maximum(state.price, LEAST), state.left
    flying, codes = list(state.flying), state.pool_training
    rows, everywhere = Rows.of(problem.logx, codes), np.arange(len(problem.logx))
    sd = first_sd = None
    picked = 0
    seeds = {int(i): spec.train.seeds - int(state.seed[i]) for i in pool}
    while True:
        held = np.array([i for i in pool if seeds[int(i)] > 0 and price[i] <= left], int)
        near = held[assessment.near[held]] if assessment.near[held].any() else held
        reduction, sd = variance_reductions(
            assessment.belief, goal, rows.take(near), assessment.waste[near],
            rows.take(flying), assessment.waste[flying],
        )  # fmt: skip
        first_sd = first_sd or sd
        if picked == MOST or not len(near) or (reduction * left / price[near]).max() < WORTH:
            break
        best = int(near[int(np.argmax(reduction / price[near] ** POWER))])
        paid = float(price[best])
        left -= paid
        together = rows.codes == rows.codes[best] if rows.codes[best] >= 0 else everywhere == best
        on_way = [int(i) for i in pool if together[i] and price[i] <= paid and seeds[int(i)]]
        for i in on_way:
            flying.append(i)
            seeds[i] -= 1
            picked += 1
        if rows.codes[best] >= 0:  # its training goes on from there
            price = np.where(together, np.maximum(price - paid, LEAST), price)
    started = 0 if known else len(waits_on(before, progress.decided))
    if known or spec.search.goal != "loss":
        return Forecast(half * sd / first_sd, half if known else None, picked + started)
    points, best = _bought(state, rows.take(flying)), target.logx[[at[0]]]
    form = "additive" if spec.law.form == "auto" else spec.law.form
    exact, departing = (expected_half(form, points, best, departing=d) for d in (False, True))
    return Forecast(exact, None, picked + started, departing)


def _bought(state: SearchState, picked: Rows) -> Points:
    """The runs of the imagined start and those foreseen."""
    spec, logx = state.problem.spec, np.concatenate([state.logx, picked.logx])
    rows, ones = np.arange(len(logx)), np.ones(len(logx))
    codes = rows + len(rows)  # each a training of its own
    if state.training is not None:
        shared = np.concatenate([state.training, picked.codes])
        codes = np.where(shared < 0, codes, shared)
    return Points(spec.law_variables, "loss", logx, ones, ones, codes, logx.sum(1), rows)


def grid_cost(problem: Problem) -> tuple[int, Spend]:
    """Runs and spend of the full grid over the same axes, rate factors and seeds."""
    train = problem.spec.train
    each = len(train.learning_rate.tune) * train.seeds
    share = max(1.0, problem.whole / len(problem.points)) if problem.sampled else 1.0
    flop, hours, usd = problem.spends.sum(0) * each * share
    return round(len(problem.points) * each * share), Spend(float(flop), float(hours), float(usd))


def _imagined(problem: Problem, runs: tuple[Planned, ...]) -> list[RunRecord]:
    """Records of these runs as a typical law would have them."""
    from recscale.run import CurvePoint

    x = np.array([problem.logx[problem.at[p.config.tuning_group]] for p in runs])
    out = []
    for p, y in zip(runs, typical(x), strict=True):
        point = CurvePoint(
            samples=p.cost.samples, train_flop=p.cost.train_flop, time_s=p.cost.time_s,
            train_loss=None, eval_loss=y, metrics={problem.spec.law_loss: y},
        )  # fmt: skip
        out.append(
            RunRecord(
                run_id=p.run_id,
                config=p.config,
                status="done",
                reason=p.reason,
                curve=(point,),
                estimated=p.cost,
                measured=p.cost,
                workers=1,
                started_at=0.0,
                finished_at=1.0,
            )  # fmt: skip
        )
    return out
