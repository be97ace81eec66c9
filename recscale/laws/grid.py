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


def surface(basis, square, linear, fixed=None) -> tuple[np.ndarray, np.ndarray]:
    """Relative least squares of sum_f c_f fixed_f + sum_i c_i basis_i over all basis choices.

    Args:
        basis: p tables (m_i, n), one row per trial value of the exponents.
        square: (r, n) weights over y^2, of the quadratic part.
        linear: (r, n) weights over y, of the linear part.
        fixed: (q, n) functions in every cell; the constant 1 if None.

    Returns:
        constants (q + p, r, m_1, .., m_p), none negative, and values (r, m_1, .., m_p), up to a
        constant per r; infinite where an axis is so wide that a power leaves the doubles.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        c, value = _surface(basis, square, linear, fixed)
    return np.nan_to_num(c, nan=0.0), np.where(np.isfinite(value), value, np.inf)


def _surface(basis, square, linear, fixed) -> tuple[np.ndarray, np.ndarray]:
    fixed = np.ones((1, square.shape[1])) if fixed is None else fixed
    p, q, r = len(basis), len(fixed), len(square)
    shape = (r, *(len(b) for b in basis))

    def spread(values: np.ndarray, *where: int) -> np.ndarray:
        dims = [r] + [1] * p
        for w in where:
            dims[w + 1] = shape[w + 1]
        return np.broadcast_to(values.reshape(dims), shape).reshape(-1)

    gram = np.empty((q + p, q + p, int(np.prod(shape))))
    rhs = np.empty((q + p, gram.shape[2]))
    for a in range(q):
        rhs[a] = spread(linear @ fixed[a])
        for b in range(a, q):
            gram[a, b] = gram[b, a] = spread(square @ (fixed[a] * fixed[b]))
        for i in range(p):
            gram[a, q + i] = gram[q + i, a] = spread(square @ (fixed[a] * basis[i]).T, i)
    for i in range(p):
        gram[q + i, q + i] = spread(square @ (basis[i] * basis[i]).T, i)
        rhs[q + i] = spread(linear @ basis[i].T, i)
    for i, j in itertools.combinations(range(p), 2):
        if r == 1:
            cross = (basis[i] * square[0]) @ basis[j].T
        else:
            pair = basis[i][:, None, :] * basis[j][None, :, :]
            cross = square @ pair.reshape(-1, pair.shape[2]).T
        gram[q + i, q + j] = gram[q + j, q + i] = spread(cross, i, j)
    c, value = nonnegative_solve(gram, rhs)
    return c.reshape(q + p, *shape), value.reshape(shape)


def local_minima(value: np.ndarray) -> np.ndarray:
    """Mask of cells no worse than their neighbours along each axis after the first."""
    low = np.ones(value.shape, bool)
    for axis in range(1, value.ndim):
        with np.errstate(invalid="ignore"):  # between two that are infinite
            step = np.diff(value, axis=axis)
        ahead = np.concatenate([step >= 0, np.ones_like(step.take([0], axis), bool)], axis)
        behind = np.concatenate([np.ones_like(step.take([0], axis), bool), step <= 0], axis)
        low &= ahead & behind
    return low
