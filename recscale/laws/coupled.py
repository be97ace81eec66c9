"""Forms whose variables interact: the gamma law and the coupled law of Kaplan et al.

Both are E + (sum_i (p_i exp(-e_i z_i))^(1/g))^g, with z = log x - centre, e_i the exponent the loss
follows where variable i alone is short, p_i what that shortage costs at the centre, and g how
shortages add up: with g = 1 the law is additive. Kaplan's has g equal to the second exponent.
These parameters keep the scale of the loss whatever g is; the published multipliers do not.
"""

import itertools

import numpy as np

from recscale.laws.forms import EXPONENT, Additive, Form, own_constants
from recscale.laws.grid import local_minima, surface
from recscale.laws.nouns import Constant, Role

TINY = 1e-12  # least share of the loss a term is evaluated at


class Coupled(Form):
    """What the two forms share: E + T^g by variable projection on a coarse grid."""

    def starts(self, logx: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        axes = self.axes(fine=True)
        cells, table = self._table(axes, logx)
        w = weights[None]
        c, value = surface([table], w / y**2, w / y)
        shape = (1, *(len(a) for a in axes))
        low = np.flatnonzero(local_minima(value.reshape(shape)).reshape(-1))
        best = low[np.argsort(value[0, low])[:10]]
        return self._theta(c[:, 0, best], cells[best])

    def starts_each(self, logx: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        cells, table = self._table(self.axes(fine=False), logx)
        c, value = surface([table], weights / y**2, weights / y)
        best = value.argmin(1)
        return self._theta(c[:, np.arange(len(y)), best], cells[best])[:, None]

    def axes(self, *, fine: bool) -> list[np.ndarray]:
        """Trial values of exponents, log ratios of the terms after the first, and g."""
        raise NotImplementedError

    def inner(self, cells: np.ndarray, logx: np.ndarray) -> np.ndarray:
        """T at the trial values (M, .), with the first term's multiplier 1: (M, n)."""
        raise NotImplementedError

    def _theta(self, constants: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """theta (M, k) from E and scale (2, M) and trial values (M, .)."""
        raise NotImplementedError

    def _table(self, axes, logx) -> tuple[np.ndarray, np.ndarray]:
        cells = np.array(list(itertools.product(*axes)))
        return cells, self.inner(cells, logx) ** cells[:, -1:]


def together(p: np.ndarray, e: np.ndarray, g: np.ndarray, z: np.ndarray):
    """(sum_i (p_i exp(-e_i z_i))^(1/g))^g and its derivatives.

    Args:
        p, e: (b, q, 1); g: (b, 1, 1); z: (q, n).

    Returns:
        value (b, n), derivatives by p and by e (b, q, n), and by g (b, n).
    """
    p = np.maximum(p, TINY)
    logs = (np.log(p) - e * z) / g
    top = logs.max(1, keepdims=True)
    parts = np.exp(logs - top)
    total = parts.sum(1, keepdims=True)
    share = parts / total
    lse = (np.log(total) + top)[:, 0]
    power = np.exp(np.clip(g[:, 0] * lse, -600, 600))
    by_g = power * (lse - (share * logs).sum(1))
    scaled = power[:, None] * share
    return power, scaled / p, -scaled * z, by_g


class Gamma(Coupled):
    """E + (sum_i A_i / x_i^alpha_i)^gamma over two to four variables.

    gamma < 1: shortages of two variables at once cost less than the sum of either alone.
    theta = (E, p_1..p_p, e_1..e_p, gamma); alpha_i = e_i / gamma,
    A_i = (p_i exp(e_i centre_i))^(1 / gamma).
    """

    def __init__(self, variables: tuple[str, ...], centre: np.ndarray, *, floor: float = 0.0):
        p = self.p = len(variables)
        self.name, self.variables, self.centre = "gamma", variables, centre
        self.single = tuple(range(p))
        self.lower = np.r_[floor, np.zeros(p), np.full(p, EXPONENT[0]), 0.1]
        self.upper = np.r_[np.full(p + 1, np.inf), np.full(p, EXPONENT[1]), 6.0]
        self.constants = (*own_constants(variables), Constant("gamma", Role.SHAPE))
        self.formula = f"E + ({' + '.join(f'A_{v} / {v}^alpha_{v}' for v in variables)})^gamma"
        self.source = "the additive law (2203.15556, eq. 10) with its terms raised to a power"

    def evaluate(self, theta: np.ndarray, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p, z = self.p, (logx - self.centre).T
        power, by_p, by_e, by_g = together(
            theta[:, 1 : p + 1, None], theta[:, p + 1 : 2 * p + 1, None], theta[:, -1:, None], z
        )
        jac = np.empty((len(theta), 2 * p + 2, len(logx)))
        jac[:, 0], jac[:, -1] = 1.0, by_g
        jac[:, 1 : p + 1], jac[:, p + 1 : 2 * p + 1] = by_p, by_e
        return theta[:, :1] + power, jac

    def coefficients(self, theta: np.ndarray) -> np.ndarray:
        p, out = self.p, np.array(theta, float)
        g, e = theta[:, -1:], theta[:, p + 1 : 2 * p + 1]
        out[:, p + 1 : 2 * p + 1] = e / g
        with np.errstate(over="ignore", divide="ignore"):
            out[:, 1 : p + 1] = np.exp((np.log(theta[:, 1 : p + 1]) + e * self.centre) / g)
        return out

    def prior(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, sd = super().prior(y)
        mean[-1], sd[-1] = 0.0, 0.35
        return mean, sd

    def starts(self, logx: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The grid's, and the additive law's optima bent towards other gammas."""
        additive = Additive(self.variables, self.centre, floor=float(self.lower[0]))
        flat = additive.starts(logx, y, weights)[:2]
        bent = [np.c_[flat, np.full(len(flat), g)] for g in (0.5, 1.0, 2.0)]
        return np.concatenate([super().starts(logx, y, weights), *bent])

    def axes(self, *, fine: bool) -> list[np.ndarray]:
        p = self.p
        per = ({2: 11, 3: 5, 4: 3} if fine else {2: 7, 3: 3, 4: 2})[p]
        ratios = ({2: 9, 3: 3, 4: 3} if fine else {2: 5, 3: 3, 4: 2})[p]
        exponents, spread = np.geomspace(0.05, 1.6, per), np.linspace(-4, 4, ratios)
        g = np.array([0.3, 0.5, 0.75, 1.0, 1.5, 2.5]) if fine else np.array([0.5, 1.0, 2.0])
        return [exponents] * p + [spread] * (p - 1) + [g]

    def inner(self, cells: np.ndarray, logx: np.ndarray) -> np.ndarray:
        p, z = self.p, (logx - self.centre).T
        u = np.exp(-cells[:, :p, None] * z)
        return u[:, 0] + (np.exp(cells[:, p : 2 * p - 1, None]) * u[:, 1:]).sum(1)

    def _theta(self, constants: np.ndarray, cells: np.ndarray) -> np.ndarray:
        p, g = self.p, cells[:, -1:]
        ratio = np.exp(np.c_[np.zeros(len(cells)), cells[:, p : 2 * p - 1]] * g)
        return np.c_[constants[0], constants[1][:, None] * ratio, cells[:, :p] * g, g]


class Kaplan(Coupled):
    """E + ((A_N / N)^(alpha_N / alpha_D) + A_D / D)^alpha_D over N and D, in that order.

    Kaplan et al. 2020 (2001.08361), eq. 1.5, with a constant; A are their N_c and D_c.
    theta = (E, p_1, p_2, alpha_N, alpha_D); A_i = p_i^(1 / alpha_i) exp(centre_i).
    """

    def __init__(self, variables: tuple[str, ...], centre: np.ndarray, *, floor: float = 0.0):
        first, second = variables
        self.name, self.variables, self.centre, self.single = "kaplan", variables, centre, (0, 1)
        self.lower = np.array([floor, 0.0, 0.0, EXPONENT[0], EXPONENT[0]])
        self.upper = np.array([np.inf, np.inf, np.inf, EXPONENT[1], EXPONENT[1]])
        self.constants = own_constants(variables)
        self.formula = (
            f"E + ((A_{first} / {first})^(alpha_{first} / alpha_{second}) + "
            f"A_{second} / {second})^alpha_{second}"
        )
        self.source = "Kaplan et al. 2020 (2001.08361), eq. 1.5, with a constant"

    def evaluate(self, theta: np.ndarray, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        power, by_p, by_e, by_g = together(
            theta[:, 1:3, None], theta[:, 3:, None], theta[:, 4:, None], (logx - self.centre).T
        )
        by_e[:, 1] += by_g  # the second exponent is also the power
        jac = np.concatenate([np.ones_like(power)[:, None], by_p, by_e], 1)
        return theta[:, :1] + power, jac

    def coefficients(self, theta: np.ndarray) -> np.ndarray:
        out = np.array(theta, float)
        with np.errstate(over="ignore"):
            out[:, 1:3] = theta[:, 1:3] ** (1 / theta[:, 3:]) * np.exp(self.centre)
        return out

    def axes(self, *, fine: bool) -> list[np.ndarray]:
        exponents = np.geomspace(0.03, 1.6, 16 if fine else 8)
        return [exponents, np.linspace(-6, 6, 13 if fine else 7), exponents]

    def inner(self, cells: np.ndarray, logx: np.ndarray) -> np.ndarray:
        zn, zd = (logx - self.centre).T
        ratio = cells[:, :1] / cells[:, 2:]
        with np.errstate(over="ignore"):
            return np.minimum(np.exp(-ratio * zn) + np.exp(cells[:, 1:2] - zd), 1e60)

    def _theta(self, constants: np.ndarray, cells: np.ndarray) -> np.ndarray:
        second = constants[1] * np.exp(cells[:, 1] * cells[:, 2])
        return np.c_[constants[0], constants[1], second, cells[:, 0], cells[:, 2]]
