"""The scatter of the loss between seeds: over all runs, and at each amount of data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from recscale.frame import settings
from recscale.laws.verdicts import robust_variance

LEVEL = 0.9
SHARED = 3  # degrees of freedom that all runs count for in the noise at one amount of data


@dataclass(frozen=True)
class Noise:
    """Spread of the loss between seeds of one configuration, pooled over configurations.

    Attributes:
        sd, df: over all.
        levels: data fraction -> its own variance and degrees of freedom.
    """

    sd: float
    df: int
    levels: Mapping[float, tuple[float, int]]

    def at(self, fraction: float) -> float:
        """sd at one amount of data: its own, and as far as few runs tell it that of all."""
        var, df = self.levels.get(fraction, (0.0, 0))
        return float(np.sqrt((df * var + SHARED * self.sd**2) / (df + SHARED)))

    def quantile(self, level: float = LEVEL) -> float:
        """Half-width of a central interval in sds."""
        return float(stdtrit(self.df, 0.5 + level / 2))

    def half(self, sd_factor: float, level: float = LEVEL) -> float:
        """Half-width of the interval of a difference whose sd is `sd_factor` seeds' sd."""
        return self.quantile(level) * self.sd * sd_factor


def seed_noise(frame: pd.DataFrame, loss: str) -> Noise | None:
    """The scatter over seeds of otherwise equal runs; None without a second seed. A few cells that
    scatter far more than the others, such as ones whose training broke, do not set it. `frame` is
    `Study.frame()` or a part of it; diverged and failed runs do not count."""
    runs = cast(pd.DataFrame, frame[frame["enters_law"].to_numpy(bool)])
    groups = runs.groupby(settings(frame), dropna=False)[loss]
    table = cast(pd.DataFrame, groups.agg(["count", "var"])).reset_index()
    table = cast(pd.DataFrame, table[table["count"] > 1])
    if table.empty:
        return None
    df, var = (table[c].to_numpy(float) for c in ("count", "var"))
    df = df - 1
    fractions = table["data_fraction"].to_numpy(float)
    levels = {}
    for fraction in np.unique(fractions):
        own = fractions == fraction
        levels[float(fraction)] = robust_variance(var[own], df[own], (var, df)), int(df[own].sum())
    return Noise(float(np.sqrt(robust_variance(var, df))), int(df.sum()), levels)
