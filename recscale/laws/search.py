"""The global optimum of one data set; `replicates` finds that of many resampled ones at once."""

from dataclasses import dataclass

import numpy as np

from recscale.laws.forms import Form
from recscale.laws.polish import follow, polish, residuals

ROUGH = 8.0  # median residual over delta above which the objective has many small valleys
JITTERED = 40  # extra starts there
RESTARTS = 12
MANY = 500  # rows that are searched for minima; where there are more, the others join to polish
BINS = 20  # of the range of a variable
SAME = 0.3  # of the median residual: starts this near a known minimum lie in its basin


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
    valleys: there the search also follows the minima down from a wide threshold. Of more than
    MANY rows `telling` ones find the minima, which are then polished on all.
    """
    logy, best = np.log(y), np.inf
    if len(y) > MANY:
        some = telling(logx, y)
        minima = optimum(form, logx[some], y[some], weights[some], delta).minima
        return _ranked(*polish(form, minima, logx, logy, weights, delta))
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
    return _ranked(np.concatenate([t for t, _ in found]), np.concatenate([v for _, v in found]))


def telling(logx: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Places of at most MANY rows: half of them evenly spaced in the order of y, and as many more
    evenly over the range of each variable, where the few rows that differ from all others tell its
    exponent."""
    n, p = logx.shape
    evenly = np.linspace(0, n - 1, MANY // 2).round().astype(int)
    found = [np.argsort(y, kind="stable")[evenly]]
    for x in logx.T:
        order = np.argsort(x, kind="stable")
        at = ((x - x.min()) / max(np.ptp(x), 1e-300) * BINS).astype(int)
        share = np.cumsum(1 / np.bincount(at)[at[order]])  # every bin that holds rows counts 1
        room = MANY // (2 * p)
        found.append(order[np.searchsorted(share, (np.arange(room) + 0.5) / room * share[-1])])
    return np.unique(np.concatenate(found))


def _ranked(theta: np.ndarray, value: np.ndarray) -> Optimum:
    """Of ends (m, k) and their objectives (m,), with each minimum once."""
    order = np.argsort(value)
    theta, value = theta[order], value[order]
    distinct = np.r_[True, np.diff(value) > 1e-7 * value[1:] + 1e-30]
    return Optimum(theta[0], float(value[0]), int(distinct.sum()), theta[distinct])


def _anneal(form: Form, starts, logx, logy, weights, delta: float, noise: float):
    """Minima followed from a threshold above the noise down to delta, from jittered starts."""
    rng = np.random.default_rng(0)
    jitter = np.exp(0.4 * rng.standard_normal((JITTERED, starts.shape[1])))
    theta = np.concatenate([starts, starts[np.arange(JITTERED) % len(starts)] * jitter])
    data = logx, logy, weights, delta
    theta = follow(form, theta, *data, 3.0 * noise, tol=1e-7, iterations=60)
    theta, value = polish(form, theta, *data)
    # Curved valleys with kinks stall the damping: the best begin again with fresh steps.
    best = np.argsort(value)[: JITTERED // 4]
    for _ in range(RESTARTS):
        before = value[best].min()
        theta[best], value[best] = polish(form, theta[best], *data, iterations=400)
        if not value[best].min() < before * (1 - 1e-9):
            break
    return theta, value
