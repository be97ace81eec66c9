"""Starts for the polish: variable projection on a grid of exponents.

For fixed exponents a law is linear in its constants, so weighted relative least squares,
sum_i w_i (f_i / y_i - 1)^2, is solved in closed form at every exponent pair at once, for one
or many weight rows (the idea is old: Golub and Pereyra 1973; for scaling laws see arXiv
2603.22339). Its local minima over the grid are where the robust objective has its own.
"""

import itertools

import numpy as np


def exponent_axis(m: int) -> np.ndarray:
    """m trial exponents, dense where real laws lie (.03 to 1) and reaching both bounds."""
    t = np.linspace(0.0, 1.0, m)
    return 0.01 * (2.5 / 0.01) ** t


def nonnegative_solve(gram: np.ndarray, rhs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """min c' G c - 2 g' c over c >= 0, for M small problems.

    Args:
        gram: (q, q, M); rhs: (q, M).

    Returns:
        c (q, M) and the value (M,). Negative constants are set to 0 one by one, most negative
        first: exact for the interior, near enough for starts.
    """
    q, m = rhs.shape
    c = _solve_spd(gram, rhs, np.ones((q, m), bool))
    bad = np.flatnonzero((c < 0).any(0))
    active = np.ones((q, len(bad)), bool)
    while len(bad):
        worst = np.where(active, c[:, bad], np.inf).argmin(0)
        active[worst, np.arange(len(bad))] = False
        c[:, bad] = _solve_spd(gram[:, :, bad], rhs[:, bad], active)
        still = ((c[:, bad] < 0) & active).any(0)
        c[:, bad] = np.where(active, c[:, bad], 0.0)
        bad, active = bad[still], active[:, still]
    return c, -(rhs * c).sum(0)


def _solve_spd(gram: np.ndarray, rhs: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Cholesky solve of M systems (q, q, M) at once, constants outside `active` held at 0."""
    q = len(rhs)
    low = np.empty_like(gram)
    x = np.where(active, rhs, 0.0)
    for j in range(q):
        for i in range(j, q):
            s = gram[i, j] * (active[i] & active[j])
            for l in range(j):  # noqa: E741
                s = s - low[i, l] * low[j, l]
            if i == j:
                # A little ridge: exponents near 0 repeat the constant's column.
                floor = 1e-11 * gram[j, j] + 1e-300
                low[j, j] = np.sqrt(np.where(active[j], np.maximum(s, floor), 1.0))
            else:
                low[i, j] = s / low[j, j]
    for i in range(q):
        for l in range(i):  # noqa: E741
            x[i] = x[i] - low[i, l] * x[l]
        x[i] = x[i] / low[i, i]
    for i in reversed(range(q)):
        for l in range(i + 1, q):  # noqa: E741
            x[i] = x[i] - low[l, i] * x[l]
        x[i] = x[i] / low[i, i]
    return x


def surface(basis, square, linear) -> tuple[np.ndarray, np.ndarray]:
    """Relative least squares of c_0 + sum_i c_i basis_i over the product of the basis tables.

    Args:
        basis: p tables (m_i, n), one row per trial exponent.
        square: (r, n) weights over y^2, of the quadratic part.
        linear: (r, n) weights over y, of the linear part.

    Returns:
        constants (p + 1, r, m_1, .., m_p), none negative, and values (r, m_1, .., m_p), up to a
        constant per r.
    """
    p, r, rel = len(basis), len(square), basis
    shape = (r, *(len(b) for b in basis))

    def spread(values: np.ndarray, *where: int) -> np.ndarray:
        dims = [r] + [1] * p
        for w in where:
            dims[w + 1] = shape[w + 1]
        return np.broadcast_to(values.reshape(dims), shape).reshape(-1)

    gram = np.empty((p + 1, p + 1, int(np.prod(shape))))
    rhs = np.empty((p + 1, gram.shape[2]))
    gram[0, 0] = spread(square.sum(1))
    rhs[0] = spread(linear.sum(1))
    for i in range(p):
        gram[0, i + 1] = gram[i + 1, 0] = spread(square @ rel[i].T, i)
        gram[i + 1, i + 1] = spread(square @ (rel[i] * rel[i]).T, i)
        rhs[i + 1] = spread(linear @ rel[i].T, i)
    for i, j in itertools.combinations(range(p), 2):
        if r == 1:
            cross = (rel[i] * square[0]) @ rel[j].T
        else:
            pair = rel[i][:, None, :] * rel[j][None, :, :]
            cross = square @ pair.reshape(-1, pair.shape[2]).T
        gram[i + 1, j + 1] = gram[j + 1, i + 1] = spread(cross, i, j)
    c, value = nonnegative_solve(gram, rhs)
    return c.reshape(p + 1, *shape), value.reshape(shape)


def local_minima(value: np.ndarray) -> np.ndarray:
    """Mask of cells no worse than their neighbours along each axis after the first."""
    low = np.ones(value.shape, bool)
    for axis in range(1, value.ndim):
        step = np.diff(value, axis=axis)
        ahead = np.concatenate([step >= 0, np.ones_like(step.take([0], axis), bool)], axis)
        behind = np.concatenate([np.ones_like(step.take([0], axis), bool), step <= 0], axis)
        low &= ahead & behind
    return low
