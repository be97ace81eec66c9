"""The global optimum of many resampled data sets at once."""

from collections.abc import Iterator

import numpy as np

from recscale.laws.forms import Form
from recscale.laws.polish import follow, huber, polish, residuals

INSIDE = 5  # points within delta, for each constant: of fewer, the valleys are small and many
FIRST_STEPS = 3  # before the best of a replicate's starts is chosen
BLOCK = 128  # replicates at a time: their arrays stay in the processor's cache
SHARED = 1000  # ends that all replicates try
MULTI_STARTS = 400  # ends of wide starts beside them
FAR = 0.8  # sd of a scout's start about a replicate's end, in log theta
AT_BOUND = 0.1  # how often a scout starts at each bound of a constant
PICKS = 3  # of the lowest ends, each followed down
ROUNDS = 10
SETTLED = 0.002  # of the replicates: fewer than these gained by more than GAIN
GAIN = 1e-3
SAME = 1e-9  # objectives no further apart are one minimum's


def replicates(form: Form, logx, logy, weights, delta: float, minima: np.ndarray) -> np.ndarray:
    """Optimum theta (r, k) of every resampled data set.

    Each starts from its own grid and from the data's minima, and goes on from the end of another
    where that is lower. Where noise leaves few points within delta of the law there are many small
    valleys: there all try the ends of others, and of wide starts followed from above the noise.

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
    off = np.abs(residuals(form, minima[:1], logx, logy)[0])
    noisy = (off <= delta).sum() < INSIDE * theta.shape[1]
    data = logx, logy, weights, delta
    if noisy:
        minima = np.concatenate([minima, _multi_start(form, theta, *data, float(np.median(off)))])
    return _share(form, theta, value, minima, *data, noisy)


def _blocks(r: int) -> Iterator[slice]:
    return (slice(at, at + BLOCK) for at in range(0, r, BLOCK))


def _best_start(form, logx, logy, weights, delta, minima) -> tuple[np.ndarray, np.ndarray]:
    """theta (r, k) and objective (r,) from each replicate's best start a few steps on."""
    own = form.starts_each(logx, np.exp(logy), weights)
    known = np.broadcast_to(minima, (len(logy), *minima.shape))
    starts = np.concatenate([known, own], 1)
    theta, _ = _lowest(form, starts, logx, logy, weights, delta, iterations=FIRST_STEPS)
    return polish(form, theta, logx, logy, weights, delta, tol=1e-8, iterations=60)


def _lowest(form, starts, logx, logy, weights, delta, **how) -> tuple[np.ndarray, np.ndarray]:
    """theta (r, k) and objective (r,) of the lowest that `polish` reaches from starts (r, s, k)."""
    r, s, k = starts.shape
    each = np.repeat(logy, s, 0), np.repeat(weights, s, 0)
    theta, value = polish(form, starts.reshape(-1, k), logx, *each, delta, **how)
    best = np.arange(r), value.reshape(r, s).argmin(1)
    return theta.reshape(r, s, k)[best], value.reshape(r, s)[best]


def _multi_start(form, theta, logx, logy, weights, delta, noise: float) -> np.ndarray:
    """Minima (MULTI_STARTS, k) from far about the ends found, followed from above the noise."""
    rng = np.random.default_rng(0)
    who = rng.permutation(np.arange(max(MULTI_STARTS, len(theta))) % len(theta))[:MULTI_STARTS]
    start = theta[who] * np.exp(FAR * rng.standard_normal((MULTI_STARTS, theta.shape[1])))
    where = rng.random(start.shape)
    start = np.where((where < AT_BOUND) & (form.lower > 0), form.lower, start)
    start = np.where((where > 1 - AT_BOUND) & np.isfinite(form.upper), form.upper, start)
    for rows in _blocks(MULTI_STARTS):
        data = logx, logy, weights[who[rows]], delta
        near = follow(form, start[rows], *data, 3.0 * noise, tol=1e-3, iterations=15)
        start[rows], _ = polish(form, near, *data, tol=1e-8, iterations=60)
    return start


def _share(form, theta, value, found, logx, logy, weights, delta, noisy: bool) -> np.ndarray:
    """Optimum theta (r, k) once no replicate goes lower from the ends of others.

    Replicates of one data set differ in weights alone, so the objective of every end in every
    replicate is one product of matrices. A replicate that some end is lower in goes on from the
    lowest few; if noisy all do, for a valley's lowest point in one is not quite that in another.
    """
    pool = np.concatenate([found, theta[:SHARED]])
    for _ in range(ROUNDS):
        few = min(PICKS, len(pool))
        off = [residuals(form, pool[some], logx, logy)[0] for some in _blocks(len(pool))]
        losses = huber(np.concatenate(off), delta).T
        before = value.copy()
        for rows in _blocks(len(theta)):
            there = weights[rows] @ losses
            on = np.flatnonzero(noisy | (there.min(1) < value[rows] * (1 - SAME)))
            if not len(on):
                continue
            starts = pool[np.argpartition(there[on], few - 1, 1)[:, :few]]
            at, each = rows.start + on, np.broadcast_to(logy, (len(on), len(logx)))
            data = logx, each, weights[at], delta
            t, v = _lowest(form, starts, *data, tol=1e-8, iterations=60)
            theta[at] = np.where((v < value[at])[:, None], t, theta[at])
            value[at] = np.minimum(v, value[at])
        if (value < before * (1 - GAIN)).mean() < SETTLED:
            break
        pool = theta[:SHARED].copy()
    return theta
