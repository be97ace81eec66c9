"""The next run of a search, on arrays alone: one choice for sweeps and for replayed tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recscale.laws.belief import Belief
from recscale.laws.posterior import Rows
from recscale.planner.value import POWER, Assessment, Goal, assess, variance_reductions

START = 0.15  # of the budget, for the start
WIDER = (0.4, 1.0)  # of the budget, where so little does not hold the start
WORTH = 0.02  # of the variance at the goal: less than that from all the rest of the budget ends it


@dataclass(frozen=True)
class Seen:
    """Finished runs, runs under way, and what could be run.

    Attributes:
        logx, logy, cost: of finished runs (n, p), (n,), (n,); the frontier is optimal in this cost.
        flying, flying_cost: of runs under way (f, p), (f,).
        pool, pool_cost: of the candidates (m, p), (m,).
        price: (m,) share of the whole budget that each candidate is expected to take, positive.
        fits: (m,) mask of the candidates that what is left of the budget holds.
        chance: (m,) that a candidate comes out, learnt from failures; 1 where none is near.
        training, flying_training, pool_training: codes (n,), (f,), (m,) of the trainings whose
            points the runs are, -1 of a training of one point; None where every run is one.
            A candidate's price is what it takes to go there, other points on the way included.
    """

    logx: np.ndarray
    logy: np.ndarray
    cost: np.ndarray
    flying: np.ndarray
    flying_cost: np.ndarray
    pool: np.ndarray
    pool_cost: np.ndarray
    price: np.ndarray
    fits: np.ndarray
    chance: np.ndarray
    training: np.ndarray | None = None
    flying_training: np.ndarray | None = None
    pool_training: np.ndarray | None = None


@dataclass(frozen=True)
class Choice:
    """The candidate taken, and what was believed when it was.

    Attributes:
        index: in the pool; None where nothing is worth its cost.
        reduction: share of the variance at the goal that it is expected to remove.
        waste: decades of compute it lies off the frontier.
        near, of: candidates in the band, and all that the budget held.
        sd: standard deviation at the goal before it, of log loss.
        belief: behind the choice.
    """

    index: int | None
    reduction: float
    waste: float
    near: int
    of: int
    sd: float
    belief: Belief


def start_size(variables: int) -> int:
    """Runs of the start: 8, or one more than an additive law has constants."""
    return max(8, 2 * variables + 2)


def choose(
    form: str,
    variables: tuple[str, ...],
    seen: Seen,
    goal: Callable[[Assessment], Goal],
    left: float,
    *,
    banded: bool = True,
    power: float = POWER,
    worth: float = WORTH,
    discrepancy: bool = True,
) -> Choice:
    """The affordable candidate with the largest expected reduction of the variance at the goal per
    cost^power, among those in the band.

    Args:
        left: share of the budget that is left; what is under way is already taken off.
        goal: the goal as the assessment sees it.
        worth: less than this share of the variance from all the rest of the budget ends it.
        banded, discrepancy: False for the plain V-optimal design that replays compare with.
    """
    m = len(seen.pool)
    pool = np.concatenate([seen.pool, seen.flying])
    costs = np.concatenate([seen.pool_cost, seen.flying_cost])
    assessment = assess(
        form, variables, seen.logx, seen.logy, seen.cost, pool, costs, training=seen.training,
        discrepancy=discrepancy,
    )  # fmt: skip
    asked, near = goal(assessment), assessment.near[:m]
    banded = banded and bool((seen.fits & near).any())
    at = np.flatnonzero(seen.fits & near if banded else seen.fits)
    codes = np.full(m, -1) if seen.pool_training is None else seen.pool_training
    on_way = np.isin(codes, codes[at][codes[at] >= 0])  # also points outside the band tell
    on_way[at] = True
    told, sd = variance_reductions(
        assessment.belief,
        asked,
        Rows.of(seen.pool[on_way], codes[on_way]),
        assessment.waste[:m][on_way],
        Rows.of(seen.flying, seen.flying_training),
        assessment.waste[m:],
    )
    reduction, price = (
        told[np.flatnonzero(on_way).searchsorted(at)] * seen.chance[at],
        seen.price[at],
    )
    of = int(seen.fits.sum())
    if not len(at) or np.minimum(reduction * left / price, 1.0).max() < worth:
        return Choice(None, 0.0, 0.0, len(at), of, sd, assessment.belief)
    best = int(np.argmax(reduction / price**power))
    waste = float(assessment.waste[at[best]])
    return Choice(int(at[best]), float(reduction[best]), waste, len(at), of, sd, assessment.belief)


def chances(
    pool: np.ndarray, done: np.ndarray, failed: np.ndarray, *, reach: float = 0.3
) -> np.ndarray:
    """Chance (m,) that a run comes out, from the runs (n, p) that did and those (f, p) that
    failed or diverged within about `reach` decades of it; 1 while nothing has failed."""
    if not len(failed):
        return np.ones(len(pool))

    def weight(runs: np.ndarray) -> np.ndarray:
        d = ((pool[:, None] - runs[None]) ** 2).sum(2) / (reach * np.log(10)) ** 2
        return np.exp(-0.5 * d).sum(1)

    bad = weight(failed)
    return 1 - bad / (0.5 + bad + (weight(done) if len(done) else 0.0))
