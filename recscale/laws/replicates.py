"""The global optimum of many resampled data sets at once."""

from collections.abc import Iterator

import numpy as np

from recscale.laws.forms import Form
from recscale.laws.polish import follow, huber, polish, residuals
from recscale.laws.search import ROUGH

FIRST_STEPS = 3  # before the best of a replicate's starts is chosen
BLOCK = 128  # replicates at a time: their arrays stay in the processor's cache
SCOUTS = 400  # wide starts, shared by all replicates
FAR = 0.8  # sd of a scout's start about a replicate's end, in log theta
AT_BOUND = 0.1  # how often a scout starts at each bound of a constant
PICKS = 3
ROUNDS = 10
SETTLED = 0.01  # of the replicates: fewer than these gained by more than GAIN
GAIN = 1e-3


def replicates(form: Form, logx, logy, weights, delta: float, minima: np.ndarray) -> np.ndarray:
    """Optimum theta (r, k) of every resampled data set.

    Each replicate starts from its own grid and from the data's minima. Where the noise is far
    above delta there are many small valleys, and those lowest in one replicate are often lowest
    in another: there every replicate also tries the ends of all.

    Args:
        logy: (n,), or (r, n) for residual resampling, by least squares only (delta inf).
        weights: (n,), or (r, n) for pairs resampling.
        minima: (m, k) minima of the data itself, best first.
    """
    r = max(len(a) if np.ndim(a) == 2 else 1 for a in (logy, weights))
    each = np.broadcast_to(logy, (r, len(logx)))
    weights = np.broadcast_to(weights, (r, len(logx)))
    theta, value = np.empty((r, len(form.lower))), np.empty(r)
    for rows in _blocks(r):
        data = logx, each[rows], weights[rows], delta
        theta[rows], value[rows] = _best_start(form, *data, minima[:2])
    if np.isinf(delta):
        return theta
    noise = float(np.median(np.abs(residuals(form, minima[:1], logx, logy)[0])))
    if noise <= ROUGH * delta:
        return theta
    found = _scouts(form, theta, logx, logy, weights, delta, noise)
    return _share(form, theta, value, np.concatenate([minima, found]), logx, logy, weights, delta)


def _blocks(r: int) -> Iterator[slice]:
    return (slice(at, at + BLOCK) for at in range(0, r, BLOCK))


def _best_start(form, logx, logy, weights, delta, minima) -> tuple[np.ndarray, np.ndarray]:
    """theta (r, k) and objective (r,) from each replicate's best start a few steps on."""
    own = form.starts_each(logx, np.exp(logy), weights)
    known = np.broadcast_to(minima, (len(logy), *minima.shape))
    theta = np.concatenate([known, own], 1)
    r, s, k = theta.shape
    wide = np.repeat(logy, s, 0), np.repeat(weights, s, 0), delta
    theta, value = polish(form, theta.reshape(-1, k), logx, *wide, iterations=FIRST_STEPS)
    theta = theta.reshape(r, s, k)[np.arange(r), value.reshape(r, s).argmin(1)]
    return polish(form, theta, logx, logy, weights, delta, tol=1e-8, iterations=60)


def _scouts(form, theta, logx, logy, weights, delta, noise: float) -> np.ndarray:
    """Minima (SCOUTS, k) from far about the ends found, followed down from above the noise."""
    rng = np.random.default_rng(0)
    who = rng.permutation(np.arange(max(SCOUTS, len(theta))) % len(theta))[:SCOUTS]
    start = theta[who] * np.exp(FAR * rng.standard_normal((SCOUTS, theta.shape[1])))
    where = rng.random(start.shape)
    start = np.where((where < AT_BOUND) & (form.lower > 0), form.lower, start)
    start = np.where((where > 1 - AT_BOUND) & np.isfinite(form.upper), form.upper, start)
    for rows in _blocks(SCOUTS):
        data = logx, logy, weights[who[rows]], delta
        near = follow(form, start[rows], *data, 3.0 * noise, tol=1e-3, iterations=15)
        start[rows], _ = polish(form, near, *data, tol=1e-8, iterations=60)
    return start


def _share(form, theta, value, found, logx, logy, weights, delta) -> np.ndarray:
    """Optimum theta (r, k) once the lowest of all ends no longer lead a replicate lower.

    Replicates of one data set differ in weights alone, so the objective of every end in every
    replicate is one product of matrices.
    """
    k = theta.shape[1]
    pool = np.concatenate([found, theta])
    for _ in range(ROUNDS):
        losses = huber(residuals(form, pool, logx, logy)[0], delta).T
        before, value = value, value.copy()
        for rows in _blocks(len(theta)):
            w = weights[rows]
            picks = np.argpartition(w @ losses, PICKS - 1, 1)[:, :PICKS]
            data = logx, logy, np.repeat(w, PICKS, 0), delta
            t, v = polish(form, pool[picks.ravel()], *data, tol=1e-8, iterations=60)
            at = np.arange(len(w)), v.reshape(-1, PICKS).argmin(1)
            t, v = t.reshape(-1, PICKS, k)[at], v.reshape(-1, PICKS)[at]
            theta[rows] = np.where((v < value[rows])[:, None], t, theta[rows])
            value[rows] = np.minimum(v, value[rows])
        if (value < before * (1 - GAIN)).mean() < SETTLED:
            break
        pool = theta.copy()
    return theta
