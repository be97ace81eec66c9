"""The compute-equivalent gain: how much more compute one family needs for another's loss (Pilz,
Heim and Brown 2023), as a curve over budgets, each family at its best on what can be built of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from recscale.advice.beliefs import DRAWS, LEVEL
from recscale.advice.options import Space, affordable
from recscale.laws import ScalingLaw
from recscale.study import Study

GRID = 25  # budgets at which the other family's best is known
REACH = 1000.0  # times a budget either way: a gain beyond it is no number


def best_draws(
    study: Study, law: ScalingLaw, options: Space, budgets: Sequence[float], rows: int, seed: int
) -> np.ndarray:
    """Joint draws (n, m) of the log loss of the family's best at each budget, by the law, on at
    most so many rows; inf where a budget buys no batch."""
    found, at = [], []
    for i, budget in enumerate(budgets):
        seen = affordable(study, options, law, budget, rows)
        if not seen.empty:
            found.append(seen.iloc[[int(np.argmin(law.value(seen)))]][list(law.variables)])
            at.append(i)
    out = np.full((DRAWS, len(budgets)), np.inf)
    if found:
        out[:, at] = law.draws(pd.concat(found, ignore_index=True), DRAWS, seed)
    return np.minimum.accumulate(out, axis=1)  # a budget can always buy what a smaller one does


def grid(budgets: Sequence[float]) -> np.ndarray:
    """Budgets at which the other family is looked at."""
    return np.geomspace(min(budgets) / REACH, max(budgets) * REACH, GRID)


def gains(
    budgets: Sequence[float], loss: np.ndarray, others: np.ndarray, other: np.ndarray
) -> pd.DataFrame:
    """How many times each budget another family needs for the same loss.

    Args:
        loss: (n, m) draws of log loss at the budgets.
        others: (g,) rising budgets; other: (n, g) the other family's draws there, never rising.

    Returns:
        frame: budget, gain (the median), low, high at LEVEL; infinite where the other family does
        not get there within `others`, and 0 where its least budget does better.
    """
    ratio = np.empty(loss.shape)
    for i, (own, its) in enumerate(zip(loss, other, strict=True)):
        ratio[i] = np.exp(_inverse(np.log(others), its, own) - np.log(budgets))
    tail = (1 - LEVEL) / 2
    # of sums with infinite ends no mean is taken
    middle, low, high = np.quantile(ratio, [0.5, tail, 1 - tail], axis=0, method="nearest")
    return pd.DataFrame({"budget": list(budgets), "gain": middle, "low": low, "high": high})


def _inverse(x: np.ndarray, falling: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Where a falling curve first comes down to each level; inf where never, -inf where it begins
    below it."""
    known = np.isfinite(falling)
    x, falling = x[known], falling[known]
    if not len(x):
        return np.full(len(levels), np.inf)
    steps = np.r_[True, np.diff(falling) < 0]  # the first of equal ones
    found = np.interp(-levels, -falling[steps], x[steps])
    found = np.where(levels < falling[-1], np.inf, found)
    return np.where(levels > falling[0], -np.inf, found)
