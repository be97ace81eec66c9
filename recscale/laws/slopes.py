"""Marginal gains: how the loss changes from one run to another, and per doubling of a variable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recscale.laws import intervals
from recscale.laws.points import query

if TYPE_CHECKING:
    from recscale.laws.law import ScalingLaw


def change(
    law: ScalingLaw, base: np.ndarray, others: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """The formula's change of the loss from one log point (1, p) to each of m others (m, p).

    Returns:
        change, low, high (m,), and the method behind the interval. Both ends of a difference share
        the constants, so it is far narrower than the difference of two predictions.
    """
    both = np.concatenate([base, others])

    def between(theta: np.ndarray) -> np.ndarray:
        f = law.model.evaluate(theta, both)[0]
        return f[:, 1:] - f[:, :1]

    rate = between(law.theta[None])[0]
    if law.points.runs > intervals.SMALL:
        tail = (1 - level) / 2
        low, high = np.quantile(between(law.resampled), [tail, 1 - tail], axis=0)
        method = "pairs bootstrap"
    else:
        theta = law.squares.theta
        cov, df = intervals.covariance(law, theta)
        jac = law.model.evaluate(theta[None], both)[1][0]
        grad = (jac[:, 1:] - jac[:, :1]).T
        half = intervals.student(level, df) * np.sqrt(np.einsum("ij,jk,ik->i", grad, cov, grad))
        centre = between(theta[None])[0]
        low, high, method = centre - half, centre + half, "delta-t"
    # A robust optimum may lie outside its resamples' quantiles; an interval holds its centre.
    return rate, np.minimum(low, rate), np.maximum(high, rate), method


def slopes(law: ScalingLaw, at: Mapping[str, float] | None, level: float) -> pd.DataFrame:
    """Loss change per doubling of each variable alone; see ScalingLaw.slopes."""
    p = law.points
    if at is None:
        base = p.logx[[int(p.rank.argmax())]]
    else:
        base = query(pd.DataFrame([dict(at)]), p.variables, p.levels)
    doubled = base + np.log(2.0) * np.eye(len(p.variables))
    rate, low, high, method = change(law, base, doubled, level)
    return pd.DataFrame(
        {
            "variable": list(p.variables),
            "slope": rate,
            "low": low,
            "high": high,
            "decades": law.decades(base).repeat(len(p.variables)),
            "method": method,
        }
    )
