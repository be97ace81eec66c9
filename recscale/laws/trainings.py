"""Points of one training: what one of them is off by, the others are off by too.

Under schedule `anytime` all data fractions of an architecture, rates and seed are points of one
training, and in a table of checkpoints rows share their run. First weights, and what the training
has met so far, move all points of a training alike, and those near each other most. Five points of
one training therefore say less of the law than five trainings, and show its slope in the data
better: differences along one training hold no more than each point's own noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recscale.laws.kernels import DECADE
from recscale.laws.nouns import Points

ALONG = 1.0  # decades of data after which a training's own noise is alike by 1/e
MOST, EACH = 400, 40
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9)  # of one run's variance, that its training's points share


def alike(codes: np.ndarray, logx: np.ndarray, others: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Correlations (n, m) of what trainings `codes` (n,) do to points logx (n, p) and `others` (m,)
    to points `at` (m, p). A code below 0 is a training of one point."""
    same = (codes[:, None] == others[None]) & (codes >= 0)[:, None]
    if not same.any():
        return np.zeros(same.shape)
    return np.where(same, along(logx[:, None], at[None]), 0.0)


def along(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of what a training does to two points of it, (..., p) each."""
    return np.exp(-np.abs(a - b).sum(-1) / (ALONG * DECADE))


@dataclass(frozen=True)
class Common:
    """What rows of a table have in common with others of their training, about a law.

    Attributes:
        shared: of the variance of one row.
        noise: standard deviation of log loss of one row.
        runs: independent rows that these are worth: as many as trainings where all is shared.
    """

    shared: float
    noise: float
    runs: int


def common(points: Points, off: np.ndarray, slopes: np.ndarray) -> Common:
    """Of points about a law, by their log residuals (n,) and the derivatives of these by its
    constants (k, n)."""
    some = thinned(points.cluster)
    codes, x, root = points.cluster[some], points.logx[some], np.sqrt(points.weights[some])
    scale = np.maximum(np.linalg.norm(slopes, axis=1), 1e-300)[:, None]
    vague = np.full(len(slopes), np.inf)
    shared, noise = share(
        alike(codes, x, codes, x), off[some] * root, slopes[:, some] / scale * root,
        np.ones(len(some)), vague, (0.0, 0),
    )  # fmt: skip
    return Common(shared, noise, round(points.runs + (points.n - points.runs) * (1 - shared)))


def thinned(codes: np.ndarray) -> np.ndarray:
    """Rows that tell what all of them share: of more than MOST some whole trainings, at most EACH
    rows of one, evenly. What is estimated of them takes the cube of their number."""
    if len(codes) <= MOST:
        return np.arange(len(codes))
    kept: list[np.ndarray] = []
    for code in np.random.default_rng(0).permutation(np.unique(codes)):
        own = np.flatnonzero(codes == code)
        few = np.unique(np.linspace(0, len(own) - 1, min(EACH, len(own))).astype(int))
        kept.append(own[few])
        if sum(map(len, kept)) >= MOST:
            break
    return np.sort(np.concatenate(kept))


def share(
    together: np.ndarray,
    off: np.ndarray,
    slopes: np.ndarray,
    unit: np.ndarray,
    prior_sd: np.ndarray,
    guess: tuple[float, float],
) -> tuple[float, float]:
    """The mean of SHARES, and of the standard deviation of one run under each, by how likely each
    makes the residuals: restricted likelihood (Patterson and Thompson 1971), in which the constants
    are integrated out, so that what they take up does not count as quiet.

    Args:
        together: (n, n) of `alike` among the rows.
        off: (n,) log residuals about the law at its mode.
        slopes: (k, n) of log loss by log theta there; prior_sd (k,) of log theta.
        unit: (n,) variances of the rows in squares of the noise.
        guess: a prior guess of the noise, and the degrees of freedom it counts for.
    """
    n, (first, df), root = len(off), guess, np.sqrt(unit)
    found = []
    for each in SHARES:
        cov = each * together + (1 - each) * np.eye(n)
        lower = np.linalg.cholesky(cov * root[:, None] * root)
        r, j = np.linalg.solve(lower, off), np.linalg.solve(lower, slopes.T)
        noise2 = float(first**2 or r @ r / n + 1e-300)
        known, bread = _information(j, noise2, prior_sd)
        for _ in range(4):  # constants that the prior holds take no degree of freedom
            taken = float(np.trace(np.linalg.solve(bread, known)))
            noise2 = float((df * first**2 + r @ r) / (df + max(n - taken, 1e-3)))
            known, bread = _information(j, noise2, prior_sd)
        likely = -np.log(np.diag(lower)).sum() - 0.5 * n * np.log(noise2)
        likely -= 0.5 * (r @ r / noise2 + np.linalg.slogdet(bread)[1])
        likely -= 0.5 * df * (np.log(noise2) + first**2 / noise2) if df else 0.0
        found.append((likely, each, float(np.sqrt(noise2))))
    likely, shares, noises = np.array(found).T
    counts = np.exp(likely - likely.max())
    counts /= counts.sum()
    return float(counts @ shares), float(counts @ noises)


def _information(j: np.ndarray, noise2: float, prior_sd: np.ndarray):
    """What rows (n, k) say of the constants (k, k), and with the prior; constants that move
    nothing, and of two that move alike one, are held."""
    known = j.T @ j / noise2
    least = 1e-10 * np.diag(known).max(initial=1e-300)
    return known, known + np.diag(prior_sd**-2.0 + least)
