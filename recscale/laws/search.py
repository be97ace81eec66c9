"""The global optimum of one data set, and of many resampled ones at once."""

from dataclasses import dataclass

import numpy as np

from recscale.laws.forms import Form
from recscale.laws.polish import polish, residuals

ROUGH = 8.0  # median residual over delta above which the objective has many small valleys
JITTERED = 40  # extra starts there
RESTARTS = 12
SAME = 0.3  # of the median residual: starts this near a known minimum lie in its basin
ROUGH_STEPS = 3  # before the best start of a replicate is chosen
BLOCK = 128  # replicates at a time: their arrays stay in the processor's cache


@dataclass(frozen=True)
class Optimum:
    """theta (k,) at the lowest objective found, and how many different minima there were."""

    theta: np.ndarray
    objective: float
    optima: int
    minima: np.ndarray  # (m, k), best first


def optimum(form: Form, logx, y, weights, delta: float) -> Optimum:
    """The best of all local minima, from every start the form's grid offers.

    The grid sees squares and the objective is robust, so the grid is searched again with the
    points reweighted as the best fit so far sees them, until that finds nothing lower. Where the
    noise is far above delta the objective is nearly a sum of absolute values, with many small
    valleys: there the search also follows the minima down from a wide threshold.
    """
    logy, best = np.log(y), np.inf
    found: list[tuple[np.ndarray, np.ndarray]] = []

    def best_so_far() -> tuple[np.ndarray, float]:
        theta, value = min(
            ((t[v.argmin()], float(v.min())) for t, v in found), key=lambda pair: pair[1]
        )
        return theta, value

    starts = form.starts(logx, y, weights)
    for _ in range(3):
        found.append(polish(form, starts, logx, logy, weights, delta))
        theta, value = best_so_far()
        if not value < best * (1 - 1e-9) or np.isinf(delta):
            break
        best = value
        signed = residuals(form, theta[None], logx, logy)[0][0]
        r = np.abs(signed)
        w = weights * np.minimum(1.0, delta / np.maximum(r, delta * 1e-3))
        starts = form.starts_each(logx, y[None], w[None])[0]
        away = np.abs(residuals(form, starts, logx, logy)[0] - signed)
        starts = starts[np.median(away, axis=1) > SAME * np.median(r)]
        if not len(starts):
            break
    if not np.isinf(delta):
        theta, _ = best_so_far()
        r = np.abs(residuals(form, theta[None], logx, logy)[0][0])
        if np.median(r) > ROUGH * delta:
            starts = np.concatenate([form.starts(logx, y, weights), *(t for t, _ in found)])
            found.append(_anneal(form, starts, logx, logy, weights, delta, float(np.median(r))))
    theta, value = np.concatenate([t for t, _ in found]), np.concatenate([v for _, v in found])
    order = np.argsort(value)
    theta, value = theta[order], value[order]
    distinct = np.r_[True, np.diff(value) > 1e-7 * value[1:] + 1e-30]
    return Optimum(theta[0], float(value[0]), int(distinct.sum()), theta[distinct])


def _anneal(form: Form, starts, logx, logy, weights, delta: float, noise: float):
    """Minima followed from a threshold above the noise down to delta, from jittered starts."""
    rng = np.random.default_rng(0)
    jitter = np.exp(0.4 * rng.standard_normal((JITTERED, starts.shape[1])))
    theta = np.concatenate([starts, starts[np.arange(JITTERED) % len(starts)] * jitter])
    threshold = 3.0 * noise
    while threshold > 2.0 * delta:
        theta, _ = polish(form, theta, logx, logy, weights, threshold, tol=1e-7, iterations=60)
        threshold /= 3.0
    theta, value = polish(form, theta, logx, logy, weights, delta)
    # Curved valleys with kinks stall the damping: the best begin again with fresh steps.
    best = np.argsort(value)[: JITTERED // 4]
    for _ in range(RESTARTS):
        before = value[best].min()
        theta[best], value[best] = polish(
            form, theta[best], logx, logy, weights, delta, iterations=400
        )
        if not value[best].min() < before * (1 - 1e-9):
            break
    return theta, value


def replicates(form: Form, logx, logy, weights, delta: float, minima: np.ndarray) -> np.ndarray:
    """Optimum theta (r, k) of every resampled data set.

    Args:
        logy: (n,) or (r, n); weights: (n,) or (r, n): pairs resampling varies the weights,
            residual resampling the losses.
        minima: (m, k) minima of the data itself, tried beside each replicate's own grid.
    """
    r = max(len(a) if np.ndim(a) == 2 else 1 for a in (logy, weights))
    logy = np.broadcast_to(logy, (r, len(logx)))
    weights = np.broadcast_to(weights, (r, len(logx)))
    out = np.empty((r, len(form.lower)))
    for at in range(0, r, BLOCK):
        rows = slice(at, at + BLOCK)
        out[rows] = _block(form, logx, logy[rows], weights[rows], delta, minima)
    return out


def _block(form, logx, logy, weights, delta, minima) -> np.ndarray:
    """Optimum theta (r, k) of each replicate, from its best start a few steps on.

    Where the noise is far above delta, the valley next to a start is seldom the lowest: there
    the minimum is followed down from a threshold as wide as the noise.
    """
    own = form.starts_each(logx, np.exp(logy), weights)
    known = np.broadcast_to(minima[:2], (len(logy), *minima[:2].shape))
    theta = np.concatenate([known, own], 1)
    r, s, k = theta.shape
    wide = np.repeat(logy, s, 0), np.repeat(weights, s, 0), delta
    theta, value = polish(form, theta.reshape(-1, k), logx, *wide, iterations=ROUGH_STEPS)
    theta = theta.reshape(r, s, k)[np.arange(r), value.reshape(r, s).argmin(1)]
    threshold = np.median(np.abs(residuals(form, minima[:1], logx, logy[0])[0]))
    if threshold > ROUGH * delta:
        while threshold > 2.0 * delta:
            theta, _ = polish(form, theta, logx, logy, weights, threshold, tol=1e-3, iterations=15)
            threshold /= 2.0
    return polish(form, theta, logx, logy, weights, delta, tol=1e-8, iterations=60)[0]
