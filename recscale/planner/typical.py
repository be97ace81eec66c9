"""Losses that planned runs might have: of a law with usual constants, departed from as usual."""

from __future__ import annotations

import numpy as np

from recscale.laws.kernels import Kernel
from recscale.laws.modes import SCATTER

TYPICAL = (0.64, 0.35)  # constant over the smallest loss, and exponents, of published laws
DEPARTURE = Kernel("rbf", 0.75), 0.055
"""How losses depart from a law: a Gaussian process, its standard deviation as a share of the range
of log loss over the runs. Chosen on four suites of published tables and judged on four others
(tests/benchmarks/foresight.py, 2026-12-01)."""


def typical(logx: np.ndarray, seed: int = 0, departing: bool = False) -> np.ndarray:
    """Losses (n,) at log points (n, p) of a law with usual constants, each with a seed's noise.
    departing: from the law, as published ones do. More points behind the same leave those as they
    are, but for the middle that the law is written about."""
    constant, exponent = TYPICAL
    terms = np.exp(-exponent * (logx - logx.mean(0))).mean(1)
    loss = np.log(constant + (1 - constant) * terms / terms.min())
    loss = loss + SCATTER * np.random.default_rng([seed, 1]).standard_normal(len(logx))
    return np.exp(loss + _departure(logx, seed) * np.ptp(loss) if departing else loss)


def _departure(logx: np.ndarray, seed: int) -> np.ndarray:
    """(n,) as shares of the range of log loss; alike where runs are of one place."""
    rng, (kernel, share) = np.random.default_rng(seed), DEPARTURE
    places, at = np.unique(logx.round(9), axis=0, return_inverse=True)
    first = np.sort(np.unique(at, return_index=True)[1])
    alike = kernel.between(logx[first], logx[first], logx.mean(0)) + 1e-9 * np.eye(len(first))
    off = np.linalg.cholesky(alike) @ rng.standard_normal(len(first))
    where = np.empty(len(places), int)
    where[at[first]] = np.arange(len(first))
    return share * off[where[at]]
