"""Whether a fit shows more than chance: an F test of the law against a constant.

A form of k constants also follows losses that do not depend on its variables. Were they one value
and noise, the share of their variance that k - 1 constants explain would beat F(k - 1, n - k) in
SURE of all tables; of a form that is not linear this is approximate, and errs on the careful side:
tests/benchmarks/laws_chance.py. A fit that is robust is judged so: a residual beyond CLIP robust
standard deviations counts as one of that size (Winsorised residuals, Huber 1981), or a single
diverged run would hide any law.
"""

from __future__ import annotations

import numpy as np

SURE = 0.05
CLIP = 3.0  # robust standard deviations
NORMAL = 1.4826  # of a normal's median absolute deviation


def explained(logy: np.ndarray, residuals: np.ndarray, weights: np.ndarray) -> float:
    """1 - residual variance / variance of log loss; negative when worse than a constant.

    Args:
        logy: (n,) log losses.
        residuals: (n,) log f - log y.
        weights: (n,).
    """
    total = weights @ (logy - np.average(logy, weights=weights)) ** 2
    return float(1 - weights @ residuals**2 / max(total, 1e-300))


def significance(
    logy: np.ndarray, residuals: np.ndarray, weights: np.ndarray, runs: int, k: int
) -> float:
    """Probability that k constants explain as much of losses that depend on no variable.

    Args:
        logy, residuals, weights: as of `explained`.
        runs: how many of the n rows are independent.
        k: constants of the form; a constant loss has one.
    """
    if runs <= k:
        return 1.0
    # A fit of k constants can pass through k points: the others tell how far it misses.
    missed = np.sort(np.abs(residuals))[k:]
    most = CLIP * NORMAL * float(np.median(missed))
    kept = np.clip(residuals, -most, most)
    share = min(max(explained(logy + residuals - kept, kept, weights), 0.0), 1 - 1e-12)
    from scipy.special import fdtrc  # here: laws that are not determined start sooner without it

    return float(fdtrc(k - 1, runs - k, share / (1 - share) * (runs - k) / (k - 1)))
