"""The form for metrics whose best lies inside an axis."""

import numpy as np

from recscale.laws.forms import EXPONENT, STARTS, Form, own_constants
from recscale.laws.grid import exponent_axis, local_minima, surface
from recscale.laws.nouns import Constant, Role


class Peaked(Form):
    """top - sum_i (fall_i log x_i + A_i / x_i^alpha_i): a metric that can rise and then fall.

    The sum of a logarithm and a power per variable of the Performance Law (2412.00430), with the
    signs that give an interior best, x_i* = (alpha_i A_i / fall_i)^(1 / alpha_i). A fall of 0
    means no peak is shown and the saturating form says the same with fewer constants.
    theta = (top, fall_1..p, a_1..p, alpha_1..p).
    """

    sign = -1
    monotone = False

    def __init__(self, variables: tuple[str, ...], centre: np.ndarray):
        p = self.p = len(variables)
        self.name, self.variables, self.centre = "peaked", variables, centre
        self.single = tuple(range(p))
        self.lower = np.r_[np.zeros(2 * p + 1), np.full(p, EXPONENT[0])]
        self.upper = np.r_[np.full(2 * p + 1, np.inf), np.full(p, EXPONENT[1])]
        top, *rest = own_constants(variables, "top")
        falls = (Constant(f"fall_{v}", Role.SHAPE, v) for v in variables)
        self.constants = (top, *falls, *rest)
        parts = " + ".join(f"fall_{v} log {v} + A_{v} / {v}^alpha_{v}" for v in variables)
        self.formula = f"top - ({parts})"
        self.source = "Performance Law (2412.00430): a logarithm and a power per variable"

    def evaluate(self, theta: np.ndarray, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p, z = self.p, (logx - self.centre).T
        fall, a = theta[:, 1 : p + 1, None], theta[:, p + 1 : 2 * p + 1, None]
        u = np.exp(-theta[:, 2 * p + 1 :, None] * z)
        jac = np.empty((len(theta), 3 * p + 1, len(logx)))
        jac[:, 0], jac[:, 1 : p + 1], jac[:, p + 1 : 2 * p + 1] = 1.0, -z, -u
        jac[:, 2 * p + 1 :] = a * u * z
        return theta[:, :1] - (fall * z + a * u).sum(1), jac

    def curvature(self, theta, logx, s: np.ndarray, jac: np.ndarray) -> np.ndarray:
        p = self.p
        out = np.zeros((len(theta), 3 * p + 1, 3 * p + 1))
        z = (self.centre - logx).T
        moved = np.matmul(jac[:, p + 1 :], (s[:, None, :] * z).transpose(0, 2, 1))
        for i in range(p):
            a, e = p + 1 + i, 2 * p + 1 + i
            out[:, a, e] = out[:, e, a] = moved[:, i, i]
            out[:, e, e] = moved[:, p + i, i]
        return out

    def coefficients(self, theta: np.ndarray) -> np.ndarray:
        p, out = self.p, np.array(theta, float)
        out[:, 0] += theta[:, 1 : p + 1] @ self.centre
        with np.errstate(over="ignore"):
            out[:, p + 1 : 2 * p + 1] *= np.exp(theta[:, 2 * p + 1 :] * self.centre)
        return out

    def prior(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p = self.p
        mean, sd = np.full(3 * p + 1, np.log(0.1 * np.median(y))), np.full(3 * p + 1, 2.0)
        mean[0], sd[0] = np.log(1.3 * y.max()), 0.4
        mean[2 * p + 1 :], sd[2 * p + 1 :] = np.log(0.35), 0.5
        return mean, sd

    def starts(self, logx: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        axis = exponent_axis({1: 120, 2: 40, 3: 12, 4: 7}[self.p])
        w = weights[None]
        c, value = self._surface(axis, logx, w / y**2, w / y)
        where = np.argwhere(local_minima(value))
        cells = where[np.argsort(value[tuple(where.T)])[:STARTS]]
        # A logarithm is nearly a power of small exponent: the surface is flat towards 0 and its
        # minimum there says little, so a few exponents are tried wherever they rank.
        spread = np.linspace(0, len(axis) - 1, STARTS).astype(int)
        cells = np.r_[cells, np.c_[np.zeros(STARTS, int), np.tile(spread[:, None], self.p)]]
        return np.c_[c[(slice(None), *cells.T)].T, axis[cells[:, 1:]]]

    def starts_each(self, logx: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        axis = exponent_axis({1: 24, 2: 10, 3: 5, 4: 4}[self.p])
        c, value = self._surface(axis, logx, weights / y**2, weights / y)
        at = value.reshape(len(y), -1).argmin(1)
        cell = np.stack(np.unravel_index(at, value.shape[1:]), 1)
        constants = c.reshape(len(c), len(y), -1)[:, np.arange(len(y)), at].T
        return np.c_[constants, axis[cell]][:, None]

    def _surface(self, axis: np.ndarray, logx: np.ndarray, square, linear):
        z = (logx - self.centre).T
        fixed = np.concatenate([np.ones((1, z.shape[1])), -z])
        return surface([-np.exp(-axis[:, None] * zi) for zi in z], square, linear, fixed)
