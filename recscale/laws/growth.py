"""The form for metrics that still grow as a power and show no ceiling yet."""

import numpy as np

from recscale.laws.forms import EXPONENT, Form
from recscale.laws.nouns import Constant, Role


class Growth(Form):
    """A prod_i x_i^alpha_i: a metric far below whatever it may come to.

    A metric that is bounded follows no such law near its bound; `saturating` is for that.
    theta = (a, alpha_1..alpha_p) with a = A prod_i exp(alpha_i centre_i), what the metric is at the
    centre of the runs.
    """

    sign = -1

    def __init__(self, variables: tuple[str, ...], centre: np.ndarray):
        p = len(variables)
        self.name, self.variables, self.centre = "growth", variables, centre
        self.single = tuple(range(p))
        self.lower = np.r_[0.0, np.full(p, EXPONENT[0])]
        self.upper = np.r_[np.inf, np.full(p, EXPONENT[1])]
        exponents = (Constant(f"alpha_{v}", Role.EXPONENT, v) for v in variables)
        self.constants = (Constant("A", Role.SCALE), *exponents)
        self.formula = f"A {' '.join(f'{v}^alpha_{v}' for v in variables)}"
        self.source = "a power per variable, multiplied: log-linear"

    def evaluate(self, theta: np.ndarray, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = logx - self.centre
        value = theta[:, :1] * np.exp(np.clip(theta[:, 1:] @ z.T, -600, 600))
        jac = np.empty((len(theta), theta.shape[1], len(logx)))
        jac[:, 0] = value / np.maximum(theta[:, :1], 1e-300)
        jac[:, 1:] = value[:, None] * z.T
        return value, jac

    def coefficients(self, theta: np.ndarray) -> np.ndarray:
        out = np.array(theta, float)
        with np.errstate(over="ignore"):
            out[:, 0] *= np.exp(-theta[:, 1:] @ self.centre)
        return out

    def prior(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p = len(self.variables)
        return (
            np.r_[np.log(np.median(y)), np.full(p, np.log(0.15))],
            np.r_[2.0, np.full(p, 1.2)],
        )

    def starts(self, logx: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return self.starts_each(logx, y[None], weights[None])[0]

    def starts_each(self, logx: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        design = np.column_stack([np.ones(len(logx)), logx - self.centre])
        moments = np.einsum("rn,ni,nj->rij", weights, design, design)
        moments += 1e-9 * np.trace(moments, axis1=1, axis2=2)[:, None, None] * np.eye(len(design.T))
        sums = np.einsum("rn,ni->ri", weights * np.log(y), design)
        found = np.linalg.solve(moments, sums[:, :, None])[:, :, 0]
        found[:, 0] = np.exp(found[:, 0])
        return np.clip(found, self.lower, self.upper)[:, None]
