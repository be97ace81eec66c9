"""Joint draws of the losses to be expected of several new runs, from one law."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recscale.laws.points import query
from recscale.laws.verdicts import run_noise

if TYPE_CHECKING:
    from recscale.laws.law import ScalingLaw

DRAWS = 2000
SEED = 0


def draws(law: ScalingLaw, points: pd.DataFrame, n: int = DRAWS, seed: int = SEED) -> np.ndarray:
    """(n, m): log of the expected loss of new runs at m points, drawn jointly."""
    rng = np.random.default_rng(seed)
    x, own = query(points, law.variables, law.points.levels), law.points.logx
    theta = law.resampled[rng.integers(0, len(law.resampled), n)]
    both = np.log(np.maximum(law.model.evaluate(theta, np.concatenate([own, x]))[0], 1e-300))
    rest = np.log(law.points.y) - both[:, : len(own)]
    noise = noise_of(law) + 1e-6
    amp = max(float(np.sqrt(np.mean(law.residuals**2))), noise)

    def kernel(a, b):
        return amp**2 * np.exp(
            -0.5 * ((a[:, None] - b[None]) ** 2).sum(-1) / (0.75 * np.log(10)) ** 2
        )

    inverse = np.linalg.inv(kernel(own, own) + noise**2 * np.eye(len(own)))
    cross = kernel(x, own)
    cov = kernel(x, x) - cross @ inverse @ cross.T + 1e-12 * np.eye(len(x))
    root = np.linalg.cholesky((cov + cov.T) / 2 + 1e-9 * amp**2 * np.eye(len(x)))
    bias = rest @ (cross @ inverse).T + rng.standard_normal((n, len(x))) @ root.T
    return both[:, len(own) :] + bias


def noise_of(law: ScalingLaw) -> float:
    """Standard deviation of the log loss of one run about what is expected of it."""
    sd, _ = run_noise(law)
    return sd / float(law.points.y[int(law.points.rank.argmax())])
