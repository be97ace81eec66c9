"""Per axis: does it still follow its power law, or has it run into the noise?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recscale.laws.slopes import slopes

if TYPE_CHECKING:
    from recscale.laws.law import ScalingLaw
    from recscale.laws.nouns import Points

MOST = 6.0  # times the usual variance of a cell: seldom by chance (1 in 70 of two seeds)
CELLS = 3  # fewer have no median of their own
REPEATS = 4  # degrees of freedom among replicates below which residuals give the noise


def verdicts(law: ScalingLaw, at: Mapping[str, float] | None, level: float) -> pd.DataFrame:
    """power-law, transition or saturated for each variable; see ScalingLaw.verdicts."""
    table = slopes(law, at, level)
    noise, source = run_noise(law)
    gains = -law.model.sign * table[["slope", "low", "high"]].to_numpy()
    gain, worst, best = gains[:, 0], gains[:, 1:].min(1), gains[:, 1:].max(1)
    # Two runs differ by chance by noise * sqrt(2).
    seen = noise * np.sqrt(2.0)
    words = np.where(worst > seen, "power-law", np.where(best < seen, "saturated", "transition"))
    return pd.DataFrame(
        {
            "variable": table["variable"],
            "verdict": words,
            "gain": gain,
            "low": worst,
            "high": best,
            "noise": noise,
            "noise_from": source,
        }
    )


def run_noise(law: ScalingLaw) -> tuple[float, str]:
    """Standard deviation of one run's loss at the largest run, and where it is known from.

    Replicates (rows with the same variables) where there are some, else the residuals of the
    law, which also hold what the form misses.
    """
    level = float(law.points.y[int(law.points.rank.argmax())])
    sd = replicate_noise(law.points)
    if sd is not None:
        return sd * level, "replicates"
    r = law.residuals
    spread = np.sqrt(law.n / max(law.n - len(law.theta), 1)) * 1.4826 * np.median(np.abs(r))
    return float(spread * level), "residuals"


def replicate_noise(points: Points) -> float | None:
    """Pooled sd of log loss among rows with the same variables; None if too few repeat."""
    _, site = np.unique(points.logx, axis=0, return_inverse=True)
    site = site.reshape(-1)
    logy = np.log(points.y)
    count = np.bincount(site)
    mean = np.bincount(site, logy) / count
    if points.n - len(mean) < REPEATS:
        return None
    several = count > 1
    df = count[several] - 1.0
    squares = np.bincount(site, (logy - mean[site]) ** 2)[several]
    return float(np.sqrt(robust_variance(squares / df, df)))


def robust_variance(
    var: np.ndarray, df: np.ndarray, among: tuple[np.ndarray, np.ndarray] | None = None
) -> float:
    """Pooled variance of cells, each counted at most MOST times what their median says.

    Args:
        var, df: (n,) of each cell, and its degrees of freedom.
        among: the same of more cells, whose median is taken where there are fewer than CELLS.
    """
    v, d = among if among is not None and len(var) < CELLS else (var, df)
    # the median of chi-squared over its degrees of freedom (Wilson and Hilferty 1931)
    usual = float(np.median(v / (1 - 2 / (9 * d)) ** 3))
    capped = np.minimum(var, MOST * usual) if usual > 0 else var
    return float((df * capped).sum() / df.sum())
