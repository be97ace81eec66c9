"""The next run of a search, on arrays alone: one choice for sweeps and for replayed tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recscale.planner.value import POWER, Goal, Outlook, falls, look

WORTH = 0.02  # of the variance at the goal: less than that from all the rest of the budget ends it


@dataclass(frozen=True)
class Seen:
    """Finished runs, runs under way, and what could be run.

    Attributes:
        logx, logy, cost: of finished runs (n, p), (n,), (n,).
        flying, flying_cost: of runs under way (f, p), (f,).
        pool, pool_cost: of the candidates (m, p), (m,).
        chance: (m,) that a candidate comes out, learnt from failures; 1 where none is near.
    """

    logx: np.ndarray
    logy: np.ndarray
    cost: np.ndarray
    flying: np.ndarray
    flying_cost: np.ndarray
    pool: np.ndarray
    pool_cost: np.ndarray
    chance: np.ndarray


@dataclass(frozen=True)
class Choice:
    """The candidate taken, and what was believed when it was.

    Attributes:
        index: in the pool; None where nothing is worth its cost.
        fall: share of the variance at the goal that it is expected to remove.
        waste: decades of compute it lies off the frontier.
        near, of: candidates in the band, and all that the budget held.
        sd: standard deviation at the goal before it, of log loss.
        outlook, goal: behind the choice.
    """

    index: int | None
    fall: float
    waste: float
    near: int
    of: int
    sd: float
    outlook: Outlook
    goal: Goal


def start_size(variables: int) -> int:
    """Runs of the start: 8, or one more than an additive law has constants."""
    return max(8, 2 * variables + 2)


def choose(
    form: str,
    variables: tuple[str, ...],
    seen: Seen,
    goal: Callable[[Outlook], Goal],
    left: float,
    *,
    banded: bool = True,
    power: float = POWER,
    discrepancy: bool = True,
) -> Choice:
    """The affordable candidate with the largest expected fall of the variance at the goal per
    cost^power, among those in the band.

    Args:
        left: of the budget, in the unit of the costs; what is under way is already taken off.
        goal: the goal as the outlook sees it.
        banded, discrepancy: False for the plain V-optimal design that replays compare with.
    """
    m = len(seen.pool)
    pool = np.concatenate([seen.pool, seen.flying])
    costs = np.concatenate([seen.pool_cost, seen.flying_cost])
    outlook = look(
        form, variables, seen.logx, seen.logy, seen.cost, pool, costs, discrepancy=discrepancy
    )
    asked = goal(outlook)
    ours = Outlook(outlook.belief, outlook.waste[:m], outlook.near[:m])
    fall, sd = falls(ours, asked, seen.pool, seen.flying, outlook.waste[m:])
    fall = fall * seen.chance
    fits = seen.pool_cost <= left
    allowed = fits & ours.near if banded and (fits & ours.near).any() else fits
    promised = np.minimum(fall * left / seen.pool_cost, 1.0)
    if not allowed.any() or promised[allowed].max() < WORTH:
        return Choice(None, 0.0, 0.0, int(allowed.sum()), int(fits.sum()), sd, ours, asked)
    score = np.where(allowed, fall / seen.pool_cost**power, -np.inf)
    best = int(np.argmax(score))
    return Choice(
        best, float(fall[best]), float(ours.waste[best]), int(allowed.sum()), int(fits.sum()),
        sd, ours, asked,
    )  # fmt: skip


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
