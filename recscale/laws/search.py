"""The global optimum of one data set, and of many resampled ones at once."""

from dataclasses import dataclass

import numpy as np

from recscale.laws.forms import Form
from recscale.laws.polish import polish

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
    points reweighted as the best fit so far sees them, until that finds nothing lower.
    """
    logy, w, best = np.log(y), weights, np.inf
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(3):
        starts = form.starts(logx, y, w)
        annealed = starts if np.isinf(delta) else _annealed(form, starts, logx, logy, w, delta)
        found.append(polish(form, annealed, logx, logy, weights, delta))
        value = float(min(v.min() for _, v in found))
        if not value < best * (1 - 1e-9) or np.isinf(delta):
            break
        best = value
        theta = found[-1][0][found[-1][1].argmin()]
        r = np.abs(np.log(np.maximum(form.evaluate(theta[None], logx)[0][0], 1e-300)) - logy)
        w = weights * np.minimum(1.0, delta / np.maximum(r, delta * 1e-3))
    theta, value = np.concatenate([t for t, _ in found]), np.concatenate([v for _, v in found])
    order = np.argsort(value)
    theta, value = theta[order], value[order]
    distinct = np.r_[True, np.diff(value) > 1e-7 * value[1:] + 1e-30]
    return Optimum(theta[0], float(value[0]), int(distinct.sum()), theta[distinct])


def replicates(form: Form, logx, logy, weights, delta: float, minima: np.ndarray) -> np.ndarray:
    """Optimum theta (r, k) of every resampled data set.

    Args:
        logy: (n,) or (r, n); weights: (n,) or (r, n): pairs resampling varies the weights,
            residual resampling the losses.
        minima: (m, k) minima of the data itself, tried beside each replicate's own grid.
    """
    r = max(np.ndim(logy) and np.shape(logy)[0] if np.ndim(logy) == 2 else 1, 1)
    r = max(r, len(weights) if np.ndim(weights) == 2 else 1)
    logy = np.broadcast_to(logy, (r, len(logx)))
    weights = np.broadcast_to(weights, (r, len(logx)))
    out = np.empty((r, len(form.lower)))
    for at in range(0, r, BLOCK):
        rows = slice(at, at + BLOCK)
        out[rows] = _block(form, logx, logy[rows], weights[rows], delta, minima)
    return out


def _block(form, logx, logy, weights, delta, minima) -> np.ndarray:
    own = form.starts_each(logx, np.exp(logy), weights)
    known = np.broadcast_to(minima[:2], (len(logy), *minima[:2].shape))
    theta = np.concatenate([known, own], 1)
    r, s, k = theta.shape
    wide = np.repeat(weights, s, 0), np.repeat(logy, s, 0)
    theta, value = polish(form, theta.reshape(-1, k), logx, wide[1], wide[0], delta, tol=1e-10)
    return theta.reshape(r, s, k)[np.arange(r), value.reshape(r, s).argmin(1)]


def _annealed(form, starts, logx, logy, weights, delta) -> np.ndarray:
    """The starts themselves and where they drift as the threshold falls to delta."""
    if delta >= 5e-4:
        return starts
    theta, d = starts, 3e-2
    while d > delta * 3:
        theta, _ = polish(form, theta, logx, logy, weights, d, tol=1e-6, iterations=40)
        d /= 5
    return np.concatenate([starts, theta])
