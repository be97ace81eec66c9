"""What a search wants to know at its target, as contrasts of log losses.

The best run at the target is not known exactly, so each goal looks at every run that some law
still possible calls the best there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recscale.laws.belief import Belief
from recscale.laws.intervals import student
from recscale.planner.candidates import Target
from recscale.planner.value import DRAWS, Goal

LEVEL = 0.9
STEP = 0.3 * np.log(10)  # how far from the optimum its slope along equal cost is looked at
MANY = 10_000  # degrees of freedom of a normal


@dataclass(frozen=True)
class AtTarget:
    """The belief at the target.

    Attributes:
        best: position of the most likely optimum among the target's architectures.
        loss, low, high: the expected loss there, with its interval at LEVEL.
        optimum: variable -> (most likely, low, high) of the best run.
        half: what `search.interval` is compared with; see `recscale.spec`.
    """

    best: int
    loss: float
    low: float
    high: float
    optimum: dict[str, tuple[float, float, float]]
    half: float


def optima(belief: Belief, target: Target) -> tuple[int, np.ndarray]:
    """The most likely best at the target, and the best by each law still possible (DRAWS,)."""
    mean = belief.formula(target.logx)
    return int(np.argmin(mean)), belief.laws(DRAWS, 0, target.logx).argmin(1)


def goal_of(kind: str, target: Target, belief: Belief, at: tuple[int, np.ndarray]) -> Goal:
    """The contrasts of `search.goal` round the `optima`."""
    best, possible = at
    if kind == "slopes":
        x = target.logx[best]
        p = len(x)
        contrasts = np.concatenate([-np.ones((p, 1)), np.eye(p)], 1) / np.sqrt(p)
        doubled = x + np.log(2) * np.eye(p)
        return Goal(np.concatenate([x[None], doubled]), contrasts)
    found, count = np.unique(possible, return_counts=True)
    if kind == "loss":
        return Goal(target.logx[found], np.diag(np.sqrt(count / count.sum())))
    sides = [j for j in _beside(belief, target, best) if j != best]
    others = np.unique([*found[found != best], *sides]).astype(int)
    n = max(len(others), 1)
    contrasts = np.concatenate([-np.ones((len(others), 1)), np.eye(len(others))], 1) / np.sqrt(n)
    return Goal(target.logx[[best, *others]], contrasts)


def at_target(
    kind: str,
    variables: Sequence[str],
    belief: Belief,
    target: Target,
    at: tuple[int, np.ndarray],
) -> AtTarget:
    """What is believed of the target now, at its `optima`."""
    best, possible = at
    x = target.logx[[best]]
    loss, low, high = (float(end[0]) for end in belief.interval(x, LEVEL))
    half = np.log(high / low) / 2
    ends = np.quantile(target.logx[possible], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    ends = np.stack([np.minimum(ends[0], x[0]), np.maximum(ends[1], x[0])])
    optimum = {
        v: (float(np.exp(x[0, i])), float(np.exp(ends[0, i])), float(np.exp(ends[1, i])))
        for i, v in enumerate(variables)
    }
    if kind == "loss":
        width = half
    elif kind == "allocation":
        width = float((ends[1] - ends[0]).max() / 2 / np.log(10))
    else:
        doubled = x + np.log(2) * np.eye(x.shape[1])
        draws = belief.draws(8 * DRAWS, 0, np.concatenate([x, doubled]))
        gains = draws[:, 1:] - draws[:, :1]
        z = student(LEVEL, MANY)
        width = float((z * gains.std(0) / np.abs(gains.mean(0)).clip(1e-12)).mean())
    return AtTarget(best, loss, low, high, optimum, width)


def _beside(belief: Belief, target: Target, best: int) -> list[int]:
    """The best runs of equal cost a step to either side of the optimum along each variable."""
    mean, at = belief.formula(target.logx), target.logx[best]
    out = []
    for i in range(len(at)):
        for far in (target.logx[:, i] >= at[i] + STEP, target.logx[:, i] <= at[i] - STEP):
            if far.any():
                where = np.flatnonzero(far)
                out.append(int(where[np.argmin(mean[where])]))
    return out
