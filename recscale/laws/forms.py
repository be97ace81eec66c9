"""Forms of law that are sums of one power per variable, and what every form must offer.

A form works on `logx` (n, p), natural logarithms of the variables, and on batches of parameter
rows `theta` (b, k). Inside, powers are taken about the centre of the data: with
z = log x - centre, x^-alpha is a multiple of exp(-alpha z), and the least-squares problem is
well conditioned (the raw one is not: 1e11 on the table of Hoffmann et al.). `coefficients`
turns theta back into the constants of the published formula.
"""

from typing import Protocol

import numpy as np

EXPONENT = (0.002, 4.0)  # below, a power is a constant over any real range; above, a step


class Form(Protocol):
    """One family of laws f(x; theta), fitted to data whose centre it knows."""

    name: str
    source: str
    formula: str
    variables: tuple[str, ...]
    centre: np.ndarray  # (p,) mean of log x
    lower: np.ndarray  # (k,) bounds of theta; infinite where there is none
    upper: np.ndarray
    names: tuple[str, ...]  # (k,) names of the coefficients, in the order of theta

    def evaluate(self, theta: np.ndarray, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (b, n) and derivatives by theta (b, k, n)."""
        ...

    def curvature(self, theta: np.ndarray, logx: np.ndarray, s: np.ndarray) -> np.ndarray:
        """sum_i s_i d2f_i / dtheta dtheta', (b, k, k), for s (b, n)."""
        ...

    def coefficients(self, theta: np.ndarray) -> np.ndarray:
        """Constants of the formula (b, k) from theta (b, k); columns follow `names`."""
        ...


class Additive:
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
        self.lower = np.r_[floor, np.zeros(p), np.full(p, EXPONENT[0])]
        self.upper = np.r_[np.inf, np.full(p, np.inf), np.full(p, EXPONENT[1])]
        if name == "power":
            self.names = ("gamma", "alpha", "beta")
            self.formula = f"alpha * {variables[0]}^-beta + gamma"
            self.source = "Hestness et al. 2017; Ardalani et al. 2022 (2208.08489)"
        else:
            constant, mark = ("ceiling", "-") if sign < 0 else ("E", "+")
            self.names = (
                constant, *(f"A_{v}" for v in variables), *(f"alpha_{v}" for v in variables),
            )  # fmt: skip
            terms = f" {mark} ".join(f"A_{v} / {v}^alpha_{v}" for v in variables)
            self.formula = f"{constant} {mark} {terms}"
            self.source = "Hoffmann et al. 2022 (2203.15556), eq. 10, one term per variable"

    def powers(self, exponents: np.ndarray, logx: np.ndarray) -> np.ndarray:
        """exp(-alpha z): (b, p, n) from exponents (b, p)."""
        z = (logx - self.centre).T
        return np.exp(-exponents[:, :, None] * z[None])

    def evaluate(self, theta: np.ndarray, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p = self.p
        a, z = self.sign * theta[:, 1 : p + 1, None], (logx - self.centre).T
        jac = np.empty((len(theta), 2 * p + 1, len(logx)))
        powers = self.powers(theta[:, p + 1 :], logx)
        terms = a * powers
        jac[:, 0] = 1.0
        np.multiply(powers, self.sign, out=jac[:, 1 : p + 1])
        np.multiply(terms, -z, out=jac[:, p + 1 :])
        return theta[:, :1] + terms.sum(1), jac

    def curvature(self, theta: np.ndarray, logx: np.ndarray, s: np.ndarray) -> np.ndarray:
        p, z = self.p, (logx - self.centre).T
        out = np.zeros((len(theta), 2 * p + 1, 2 * p + 1))
        weighted = self.sign * self.powers(theta[:, p + 1 :], logx) * s[:, None, :] * z
        cross = -weighted.sum(2)
        square = theta[:, 1 : p + 1] * (weighted * z).sum(2)
        for i in range(p):
            out[:, 1 + i, p + 1 + i] = out[:, p + 1 + i, 1 + i] = cross[:, i]
            out[:, p + 1 + i, p + 1 + i] = square[:, i]
        return out

    def coefficients(self, theta: np.ndarray) -> np.ndarray:
        p, out = self.p, np.array(theta, float)
        with np.errstate(over="ignore"):  # a steep exponent on large counts may pass 1e308
            out[:, 1 : p + 1] *= np.exp(theta[:, p + 1 :] * self.centre)
        return out
