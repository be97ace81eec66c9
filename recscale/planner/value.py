"""Which run is worth its cost: the expected variance reduction at the target, per cost^power.

Candidates lie in a band round the frontier. How far a run lies off it is counted in decades of
compute that it wastes: log10 of its cost over that of the cheapest run expected to do as well.
That is one number whatever the law's variables are (table, dense, sequence, data), and needs no
N. Off the frontier a law is trusted less: its error there grows by OFF per decade wasted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from recscale.laws.belief import Belief
from recscale.laws.inference import believe, exact
from recscale.laws.modes import Sample
from recscale.laws.posterior import Posterior, Rows
from recscale.planner.textbook import Textbook

BAND = 0.4  # decades of compute; about .7 decades of N at exponents of .35
PLAUSIBLE = 0.1  # share of the laws still possible under which a candidate must lie in the band
DRAWS = 24
OFF = 0.04  # sd of log loss per decade wasted
# Of the cost. Replays of published tables at 5, 10 and 20 % of their cost, 2026-11-30: mean log
# error over that of random rows .03 on the suites that chose it and -.23 on the others; at .7 .09
# and -.14, at .4 .13 and -.13. Random designs of one table are themselves scattered by .5.
POWER = 0.55


@dataclass(frozen=True)
class Goal:
    """What is to be known: linear contrasts of log losses at some points.

    Attributes:
        logx: (q, p) the points.
        contrasts: (g, q); the uncertainty is the sum of the contrasts' variances.
    """

    logx: np.ndarray
    contrasts: np.ndarray

    @classmethod
    def losses(cls, logx: np.ndarray) -> Goal:
        """The loss at each point; the uncertainty is the mean of the variances."""
        return cls(logx, np.eye(len(logx)) / np.sqrt(len(logx)))


@dataclass(frozen=True)
class Assessment:
    """What is believed of everything that was run or could be.

    Attributes:
        belief: after the finished runs.
        waste: (m,) decades of compute each candidate wastes by the most likely law.
        near: (m,) mask of the candidates in the band.
    """

    belief: Belief
    waste: np.ndarray
    near: np.ndarray


def assess(
    form: str,
    variables: tuple[str, ...],
    logx: np.ndarray,
    logy: np.ndarray,
    cost: np.ndarray,
    pool: np.ndarray,
    pool_cost: np.ndarray,
    *,
    training: np.ndarray | None = None,
    discrepancy: bool = True,
) -> Assessment:
    """The assessment after runs at logx (n, p) with log losses (n,), costs (n,) and codes (n,) of
    their trainings, over a pool of candidates (m, p) with costs (m,)."""
    n, order = len(logy), np.argsort(cost, kind="stable")
    every, costs = np.concatenate([logx, pool]), np.concatenate([cost, pool_cost])
    sample = Sample(logx, logy, np.zeros(n), order, training=training)
    rough = exact(form, variables, sample)
    if discrepancy:
        off = wasted(rough.formula(every)[None], costs)[0][:n]
        sample = replace(sample, extra=(OFF * off) ** 2)
    belief = believe(form, variables, sample) if discrepancy else Textbook.of(sample, rough)
    waste = wasted(belief.formula(every)[None], costs)[0][n:]
    draws = wasted(belief.laws(DRAWS, 0, every), costs)[:, n:]
    near = ((draws <= BAND).mean(0) >= PLAUSIBLE) | (waste <= BAND)
    return Assessment(belief, waste, near)


def wasted(losses: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Decades of cost (b, m) over the cheapest point that does as well, by each of b laws'
    losses (b, m) at points of cost (m,)."""
    order = np.argsort(cost, kind="stable")
    logs = np.log10(cost[order])
    out = np.empty_like(losses)
    for i, row in enumerate(losses[:, order]):
        best = np.minimum.accumulate(row)
        first = len(best) - np.searchsorted(best[::-1], row + 1e-12, side="right")
        out[i, order] = logs - logs[np.minimum(first, np.arange(len(row)))]
    return out


def variance_reductions(
    belief: Belief,
    goal: Goal,
    pool: Rows,
    waste: np.ndarray,
    flying: Rows,
    flying_waste: np.ndarray,
) -> tuple[np.ndarray, float]:
    """Share by which the variance at the goal is expected to fall for each candidate (m,), and the
    standard deviation at the goal before; runs under way (f) are taken as done. What a candidate
    tells are also the points of its training that it passes on its way, as far as they are in the
    pool."""
    gains, before = np.zeros(len(pool.logx)), 0.0
    on_way = ways(pool)
    for posterior in belief.posteriors(goal.logx):
        share = posterior.joint.share
        posterior = posterior.with_runs(flying, (OFF * flying_waste) ** 2)
        gain, var = _gains(posterior, goal, pool, (OFF * waste) ** 2, on_way)
        gains += share * gain
        before += share * var
    return gains / max(before, 1e-300), float(np.sqrt(before))


def ways(pool: Rows) -> np.ndarray:
    """Trainings (t, k) as positions in the pool, each from its shortest run on; -1 after its last.
    Points of one training differ in their data alone."""
    codes = np.where(pool.codes < 0, pool.codes.max(initial=0) + 1 + np.arange(len(pool.codes)),
                     pool.codes)  # fmt: skip
    order = np.lexsort((pool.logx.sum(1), codes))
    _, first, count = np.unique(codes[order], return_index=True, return_counts=True)
    out = np.full((len(first), count.max(initial=1)), -1)
    for k in range(out.shape[1]):
        out[count > k, k] = order[first[count > k] + k]
    return out


def _gains(posterior: Posterior, goal: Goal, pool: Rows, extra: np.ndarray, on_way: np.ndarray):
    at, seen = posterior.seen(goal.logx), posterior.measured(pool)
    w = goal.contrasts
    between = w @ posterior.covariance(goal.logx, pool.logx, at, seen)
    before = w @ posterior.covariance(goal.logx, goal.logx, at, at) @ w.T
    lower = np.linalg.cholesky(posterior.within(pool, seen, extra, on_way))
    there = on_way >= 0
    told = np.where(there[:, :, None], between.T[on_way], 0.0)  # (t, k, g)
    gain = np.empty(len(pool.logx))
    gain[on_way[there]] = np.cumsum((np.linalg.solve(lower, told) ** 2).sum(2), 1)[there]
    return gain, float(np.trace(before))


def spread(
    logx: np.ndarray, cost: np.ndarray, n: int, budget: float, training: np.ndarray | None = None
) -> list[int]:
    """Positions of n cheap runs spread over the axes, within `budget` together: of the runs that
    cost at most a fair share of it, each next one is as far as can be from those chosen. Of points
    of one training (codes, -1 of a training of one point) one is taken at most, as long as there
    are others: it passes smaller ones on its way."""
    codes = np.full(len(logx), -1) if training is None else training
    ranked = np.argsort(cost, kind="stable")
    fair = ranked[cost[ranked] <= budget / n]
    if len(fair) < n:
        fair = ranked[: int(np.searchsorted(np.cumsum(cost[ranked]), budget, side="right"))]
    scale = np.maximum(np.ptp(logx[fair], axis=0), 1e-9) if len(fair) else 1.0
    z = logx / scale
    chosen: list[int] = [int(fair[0])] if len(fair) else []
    left = [int(i) for i in fair[1:]]
    while left and len(chosen) < n:
        new = [i for i in left if codes[i] < 0 or codes[i] not in codes[chosen]]
        open_ = new or left
        far = np.array([((z[i] - z[chosen]) ** 2).sum(1).min() for i in open_])
        pick = open_[int(np.argmax(np.round(far, 9)))]
        left.remove(pick)
        if cost[chosen].sum() + cost[pick] <= budget:
            chosen.append(pick)
    return sorted(chosen, key=lambda i: (cost[i], i))
