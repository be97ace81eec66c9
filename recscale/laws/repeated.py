"""The form for runs that see their data more than once."""

import numpy as np

from recscale.laws.forms import EACH, EXPONENT, ONE, STARTS, Form, own_constants
from recscale.laws.grid import exponent_axis, local_minima, surface
from recscale.laws.nouns import Constant, Role


class Repeated(Form):
    """E + A / N^alpha + B / D'^beta where repeated samples count less than fresh ones.

    Variables in order: parameters N, samples seen D, unique samples U. With R = D / U - 1
    repetitions, D' = U + U R_star (1 - exp(-R / R_star)): Muennighoff et al. 2023 (2305.16264),
    eq. 5; R_star is the number of repetitions after which more are worth little (they find
    15.4 for language; expect far less for id embeddings). Their like term for surplus
    parameters is left out. theta = (E, a, b, alpha, beta, R_star).
    """

    def __init__(self, variables: tuple[str, ...], centre: np.ndarray, *, floor: float = 0.0):
        n, d, u = variables
        self.name, self.variables, self.centre, self.single = "repeated", variables, centre, (0, 1)
        self.lower = np.array([floor, 0.0, 0.0, EXPONENT[0], EXPONENT[0], 1e-2])
        self.upper = np.array([np.inf, np.inf, np.inf, EXPONENT[1], EXPONENT[1], 1e4])
        self.constants = (*own_constants((n, d)), Constant("R_star", Role.SHAPE))
        self.formula = (
            f"E + A_{n} / {n}^alpha_{n} + A_{d} / D'^alpha_{d}, "
            f"D' = {u} + {u} R_star (1 - exp(-({d} / {u} - 1) / R_star))"
        )
        self.source = "Muennighoff et al. 2023 (2305.16264), eq. 5"

    def effective(self, r_star: np.ndarray, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log D' (b, n) and its derivative by R_star, for r_star (b, 1)."""
        repeats = np.maximum(np.exp(logx[:, 1] - logx[:, 2]) - 1.0, 0.0)
        q = repeats / r_star
        saved = -np.expm1(-q)
        ratio = 1.0 + r_star * saved
        # Runs of less than one pass see D < U samples, all fresh.
        fresh = np.minimum(logx[:, 1], logx[:, 2])
        return fresh + np.log(ratio), (saved - q * np.exp(-q)) / ratio

    def evaluate(self, theta: np.ndarray, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        zn = logx[:, 0] - self.centre[0]
        log_d, by_r = self.effective(theta[:, 5:], logx)
        zd = log_d - self.centre[1]
        a, b, alpha, beta = (theta[:, i : i + 1] for i in range(1, 5))
        u, v = np.exp(-alpha * zn), np.exp(-beta * zd)
        jac = np.stack(
            [np.ones_like(v), u, v, -a * u * zn, -b * v * zd, -beta * b * v * by_r], axis=1
        )
        return theta[:, :1] + a * u + b * v, jac

    def coefficients(self, theta: np.ndarray) -> np.ndarray:
        out = np.array(theta, float)
        with np.errstate(over="ignore"):
            out[:, 1:3] *= np.exp(theta[:, 3:5] * self.centre[:2])
        return out

    def prior(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, sd = np.full(6, np.log(0.3 * np.median(y))), np.full(6, 3.0)
        mean[0], sd[0] = np.log(0.64 * y.min()), 0.6
        mean[3:5], sd[3:5] = np.log(0.35), 0.5
        mean[5], sd[5] = np.log(10.0), 1.5
        return mean, sd

    def undetermined(self, logx: np.ndarray) -> str | None:
        n, d, u = self.variables
        if (logx[:, 1] - logx[:, 2]).max() > np.log(1.5):
            return None
        return (
            f"no run sees its {u} much more than once, so the worth of repeating cannot be "
            f"measured: add runs with {d} well above {u}, or use the additive form"
        )

    def starts(self, logx: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        w = weights[None]
        found = []
        for r_star in np.geomspace(0.1, 300, 12):
            axis, tables = self._tables(r_star, ONE[2] // 3, logx)
            c, value = surface(tables, w / y**2, w / y)
            cells = np.argwhere(local_minima(value))
            found += [
                (value[tuple(cell)], *c[(slice(None), *cell)], *axis[cell[1:]], r_star)
                for cell in cells
            ]
        return np.array(sorted(found)[: 2 * STARTS])[:, 1:]

    def starts_each(self, logx: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        rows, out = np.arange(len(y)), []
        for r_star in (1.0, 10.0, 100.0):
            axis, tables = self._tables(r_star, EACH[2] // 2, logx)
            c, value = surface(tables, weights / y**2, weights / y)
            at = value.reshape(len(y), -1).argmin(1)
            i, j = np.unravel_index(at, value.shape[1:])
            out.append(np.c_[c[:, rows, i, j].T, axis[i], axis[j], np.full(len(y), r_star)])
        return np.stack(out, 1)

    def _tables(self, r_star: float, per: int, logx: np.ndarray):
        axis = exponent_axis(per)[:, None]
        zn = logx[:, 0] - self.centre[0]
        zd = self.effective(np.array([[r_star]]), logx)[0][0] - self.centre[1]
        return axis[:, 0], [np.exp(-axis * zn), np.exp(-axis * zd)]
