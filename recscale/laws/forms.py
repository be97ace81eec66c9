"""Forms of law that are sums of one power per variable, and what every form must offer.

A form works on `logx` (n, p), natural logarithms of the variables, and on batches of parameter
rows `theta` (b, k). Inside, powers are taken about the centre of the data: with
z = log x - centre, x^-alpha is a multiple of exp(-alpha z), and the least-squares problem is
well conditioned (the raw one is not: 1e11 on the table of Hoffmann et al.). `coefficients`
turns theta back into the constants of the published formula.
"""

from abc import ABC, abstractmethod

import numpy as np

from recscale.laws.grid import exponent_axis, local_minima, surface
from recscale.laws.nouns import Constant, Role

# Exponents per axis by number of variables: for one fit, and for each bootstrap replicate.
ONE = {1: 120, 2: 48, 3: 20, 4: 11}
EACH = {1: 40, 2: 16, 3: 8, 4: 5}
STARTS = 8
EXPONENT = (0.002, 4.0)  # below, a power is a constant over any real range; above, a step


class Form(ABC):
    """One family of laws f(x; theta), fitted to data whose centre it knows.

    Attributes:
        name, formula, source: what it is called, what it says, who published it.
        constants: (k,) the coefficients, in the order of theta.
        centre: (p,) mean of log x over the runs.
        lower, upper: (k,) bounds of theta; infinite where there is none.
        single: variables an exponent is sought along, so that must vary on their own.
        sign: 1 where less is better (losses), -1 where more is (ranking metrics).
        monotone: whether more of a variable never hurts.
    """

    name: str
    formula: str
    source: str
    variables: tuple[str, ...]
    constants: tuple[Constant, ...]
    centre: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    single: tuple[int, ...]
    sign: int = 1
    monotone: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """(k,) what the constants are called."""
        return tuple(c.name for c in self.constants)

    @property
    def limit(self) -> str | None:
        """The constant that no amount of the variables passes, if the form has one."""
        return next((c.name for c in self.constants if c.role is Role.LIMIT), None)

    def of(self, variable: str, *roles: Role) -> tuple[str, ...]:
        """The constants of a variable that have one of these roles."""
        return tuple(c.name for c in self.constants if c.variable == variable and c.role in roles)

    @abstractmethod
    def evaluate(self, theta: np.ndarray, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (b, n) and derivatives by theta (b, k, n)."""

    @abstractmethod
    def coefficients(self, theta: np.ndarray) -> np.ndarray:
        """Constants of the formula (b, k) from theta (b, k); columns follow `names`."""

    @abstractmethod
    def starts(self, logx: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Starts (s, k) for the polish that reach every basin, for one weight row (n,)."""

    @abstractmethod
    def starts_each(self, logx: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Cheap starts (r, s, k) for each of r data sets; y and weights are (r, n)."""

    def prior(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and sd (k,) of log theta: weak, where the constants of published laws lie.

        A constant around .64 of the smallest loss, multipliers anywhere, exponents around .25:
        19 in 20 from .04 to 1.5, for recommenders' lie between .05 and .3 (the 119 runs of
        mercadolibre/srt) and language models' around .35 (2404.10102).
        """
        k, p = len(self.lower), len(self.variables)
        mean, sd = np.full(k, np.log(0.3 * np.median(y))), np.full(k, 3.0)
        mean[0], sd[0] = (np.log(0.64 * y.min()), 0.6) if self.sign > 0 else (
            np.log(1.3 * y.max()), 0.4)  # fmt: skip
        mean[p + 1 : 2 * p + 1], sd[p + 1 : 2 * p + 1] = np.log(0.25), 0.9
        return mean, sd

    def undetermined(self, logx: np.ndarray) -> str | None:
        """A reason of this form's own why runs at logx (n, p) cannot determine it."""
        return None

    def curvature(self, theta, logx, s: np.ndarray, jac: np.ndarray) -> np.ndarray:
        """sum_i s_i (d2f_i / dtheta dtheta') / f_i, (b, k, k); 0 where not worth having.

        Args:
            s: (b, n); jac: (b, k, n) derivatives of log f at theta.
        """
        k = theta.shape[1]
        return np.zeros((len(theta), k, k))


def own_constants(
    variables: tuple[str, ...],
    limit: str = "E",
    scales: tuple[str, ...] = (),
    exponents: tuple[str, ...] = (),
) -> tuple[Constant, ...]:
    """The limit, the scale of every variable and then the exponent of every variable, under the
    names given or A_variable and alpha_variable."""
    scales = scales or tuple(f"A_{v}" for v in variables)
    exponents = exponents or tuple(f"alpha_{v}" for v in variables)
    return (
        Constant(limit, Role.LIMIT),
        *(Constant(n, Role.SCALE, v) for n, v in zip(scales, variables, strict=True)),
        *(Constant(n, Role.EXPONENT, v) for n, v in zip(exponents, variables, strict=True)),
    )


class Additive(Form):
    """E + sum_i A_i / x_i^alpha_i over one to four variables.

    With one variable it is alpha x^-beta + gamma (Hestness et al. 2017; Ardalani et al. 2022,
    eq. 1), with N and D approach 3 of Hoffmann et al. 2022 (eq. 10); recommenders need table
    parameters, dense parameters and samples apart. `sign=-1` is its mirror for metrics where
    more is better: ceiling - sum_i A_i / x_i^alpha_i.

    theta = (E, a_1..a_p, alpha_1..alpha_p), a_i = A_i exp(-alpha_i centre_i) >= 0.
    """

    def __init__(
        self,
        variables: tuple[str, ...],
        centre: np.ndarray,
        *,
        name: str = "additive",
        sign: int = 1,
        floor: float = 0.0,
    ):
        p = len(variables)
        self.name, self.variables, self.centre, self.sign, self.p = name, variables, centre, sign, p
        self.single = tuple(range(p))
        self.lower = np.r_[floor, np.zeros(p), np.full(p, EXPONENT[0])]
        self.upper = np.r_[np.inf, np.full(p, np.inf), np.full(p, EXPONENT[1])]
        if name == "power":
            self.constants = own_constants(variables, "gamma", ("alpha",), ("beta",))
            self.formula = f"alpha * {variables[0]}^-beta + gamma"
            self.source = "Hestness et al. 2017; Ardalani et al. 2022 (2208.08489)"
        else:
            limit, mark = ("ceiling", "-") if sign < 0 else ("E", "+")
            self.constants = own_constants(variables, limit)
            powers = f" {mark} ".join(f"A_{v} / {v}^alpha_{v}" for v in variables)
            self.formula = f"{limit} {mark} {powers}"
            self.source = "Hoffmann et al. 2022 (2203.15556), eq. 10, one term per variable"

    def evaluate(self, theta: np.ndarray, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p = self.p
        a, z = self.sign * theta[:, 1 : p + 1, None], (logx - self.centre).T
        jac = np.empty((len(theta), 2 * p + 1, len(logx)))
        powers, terms = jac[:, 1 : p + 1], jac[:, p + 1 :]
        np.multiply(theta[:, p + 1 :, None], -z, out=powers)
        np.exp(powers, out=powers)
        np.multiply(a, powers, out=terms)
        value = theta[:, :1] + terms[:, 0]
        for i in range(1, p):
            value += terms[:, i]
        terms *= -z
        powers *= self.sign
        jac[:, 0] = 1.0
        return value, jac

    def curvature(self, theta, logx, s: np.ndarray, jac: np.ndarray) -> np.ndarray:
        p = self.p
        out = np.zeros((len(theta), 2 * p + 1, 2 * p + 1))
        z = (self.centre - logx).T
        moved = np.matmul(jac[:, 1:], (s[:, None, :] * z).transpose(0, 2, 1))  # (b, 2p, p)
        for i in range(p):
            out[:, 1 + i, p + 1 + i] = out[:, p + 1 + i, 1 + i] = moved[:, i, i]
            out[:, p + 1 + i, p + 1 + i] = moved[:, p + i, i]
        return out

    def starts(self, logx: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        axis = exponent_axis(ONE[self.p])
        w, basis = weights[None], self.grid_powers(axis, logx)
        c, value = surface(basis, w / y**2, w / y)
        where = np.argwhere(local_minima(value))
        cells = where[np.argsort(value[tuple(where.T)])[:STARTS]]
        return np.concatenate([c[(slice(None), *cells.T)].T, axis[cells[:, 1:]]], 1)

    def starts_each(self, logx: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        axis = exponent_axis(EACH[self.p])
        c, value = surface(self.grid_powers(axis, logx), weights / y**2, weights / y)
        at = value.reshape(len(value), -1).argmin(1)
        cell = np.stack(np.unravel_index(at, value.shape[1:]), 1)
        constants = c.reshape(self.p + 1, len(value), -1)[:, np.arange(len(value)), at].T
        return np.concatenate([constants, axis[cell]], 1)[:, None]

    def grid_powers(self, axis: np.ndarray, logx: np.ndarray) -> list[np.ndarray]:
        """One (m, n) table of signed powers per variable, over trial exponents (m,)."""
        z = logx - self.centre
        return [self.sign * np.exp(-axis[:, None] * z[:, i]) for i in range(self.p)]

    def coefficients(self, theta: np.ndarray) -> np.ndarray:
        p, out = self.p, np.array(theta, float)
        with np.errstate(over="ignore"):  # a steep exponent on large counts may pass 1e308
            out[:, 1 : p + 1] *= np.exp(theta[:, p + 1 :] * self.centre)
        return out
