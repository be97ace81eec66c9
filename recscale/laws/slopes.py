"""Exchange rates: what one doubling of each variable buys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recscale.laws import intervals
from recscale.laws.points import query

if TYPE_CHECKING:
    from recscale.laws.law import ScalingLaw


def slopes(law: ScalingLaw, at: Mapping[str, float] | None, level: float) -> pd.DataFrame:
    """Loss change per doubling of each variable alone; see ScalingLaw.slopes."""
    p = law.points
    if at is None:
        base = p.logx[[int(p.rank.argmax())]]
    else:
        base = query(pd.DataFrame([dict(at)]), p.variables)
    doubled = base + np.log(2.0) * np.eye(len(p.variables))
    both = np.concatenate([base, doubled])

    def change(theta: np.ndarray) -> np.ndarray:
        f = law.model.evaluate(theta, both)[0]
        return f[:, 1:] - f[:, :1]

    rate = change(law.theta[None])[0]
    if p.runs > intervals.SMALL:
        tail = (1 - level) / 2
        draws = change(law.resampled)
        low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
        method = "pairs bootstrap"
    else:
        theta = law.squares.theta
        cov, df = intervals.covariance(law, theta)
        jac = law.model.evaluate(theta[None], both)[1][0]
        grad = (jac[:, 1:] - jac[:, :1]).T
        half = intervals.student(level, df) * np.sqrt(np.einsum("ij,jk,ik->i", grad, cov, grad))
        centre = change(theta[None])[0]
        low, high, method = centre - half, centre + half, "delta-t"
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
