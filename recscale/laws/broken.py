"""The form whose exponent changes once along its variable, smoothly."""

import itertools

import numpy as np

from recscale.laws.forms import EXPONENT, STARTS, Form
from recscale.laws.grid import local_minima, surface
from recscale.laws.nouns import Constant, Role

BREAK = (np.exp(-12.0), np.exp(12.0))  # of the variable at the break, over its geometric mean
WIDTH = (0.02, 3.0)  # of the break, of a natural logarithm; more is no break any more
FIRST, LATER = (0.02, 0.1, 0.25, 0.6, 1.5), (0.002, 0.02, 0.1, 0.25, 0.6, 1.5)  # exponents tried
WIDTHS = (0.1, 0.7)


class Broken(Form):
    """E + A x^-early (1 + (x / turn)^(1 / width))^((early - late) width).

    The smoothly broken power law of Caballero et al. (2210.14891, eq. 1) with one break: below
    `turn` the loss falls with the exponent `early`, beyond it with `late`, and `width` is how many
    natural logarithms of x it takes.

    theta = (E, a, early, late, turn / exp(centre), width), a = A exp(-early centre).
    """

    def __init__(self, variables: tuple[str, ...], centre: np.ndarray, floor: float = 0.0):
        (v,) = variables
        self.name, self.variables, self.centre = "broken", variables, centre
        self.single = (0,)
        self.lower = np.r_[floor, 0.0, EXPONENT[0], EXPONENT[0], BREAK[0], WIDTH[0]]
        self.upper = np.r_[np.inf, np.inf, EXPONENT[1], EXPONENT[1], BREAK[1], WIDTH[1]]
        self.constants = (
            Constant("E", Role.LIMIT),
            Constant(f"A_{v}", Role.SCALE, v),
            Constant(f"early_{v}", Role.SHAPE, v),
            Constant(f"late_{v}", Role.EXPONENT, v),  # the one that larger runs follow
            Constant(f"turn_{v}", Role.SHAPE, v),
            Constant(f"width_{v}", Role.SHAPE, v),
        )
        bend = f"(1 + ({v} / turn_{v})^(1 / width_{v}))^((early_{v} - late_{v}) width_{v})"
        self.formula = f"E + A_{v} / {v}^early_{v} {bend}"
        self.source = "Caballero et al. 2022 (2210.14891), eq. 1, one break"

    def evaluate(self, theta: np.ndarray, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = (logx - self.centre)[:, 0]
        e, a, early, late, turn, width = (theta[:, i, None] for i in range(6))
        s = (z - np.log(turn)) / width
        soft, step = np.logaddexp(0.0, s), 0.5 * (1 + np.tanh(s / 2))
        part = np.exp((early - late) * width * soft - early * z)
        term = a * part
        jac = np.empty((len(theta), 6, len(z)))
        jac[:, 0], jac[:, 1] = 1.0, part
        jac[:, 2], jac[:, 3] = term * (width * soft - z), -term * width * soft
        jac[:, 4] = -term * (early - late) * step / turn
        jac[:, 5] = term * (early - late) * (soft - s * step)
        return e + term, jac

    def coefficients(self, theta: np.ndarray) -> np.ndarray:
        out = np.array(theta, float)
        with np.errstate(over="ignore"):  # a steep exponent on large counts may pass 1e308
            out[:, 1] *= np.exp(theta[:, 2] * self.centre[0])
            out[:, 4] *= np.exp(self.centre[0])
        return out

    def prior(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = np.log([0.64 * y.min(), 0.3 * np.median(y), 0.25, 0.25, 1.0, 0.5])
        return mean, np.array([0.6, 3.0, 0.9, 0.9, 2.0, 0.7])

    def starts(self, logx: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        cells, c, value = self._grid(logx, weights[None], y[None], turns=7)
        shape = (1, len(FIRST), len(LATER), 7, len(WIDTHS))
        low = np.flatnonzero(local_minima(value.reshape(shape)).reshape(-1))
        best = low[np.argsort(value[0, low])[:STARTS]]
        return np.c_[c[:, 0, best].T, cells[best]]

    def starts_each(self, logx: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        cells, c, value = self._grid(logx, weights, y, turns=4)
        best = value.argmin(1)
        return np.c_[c[:, np.arange(len(y)), best].T, cells[best]][:, None]

    def _grid(self, logx, weights, y, turns: int):
        """Trial values (M, 4) of early, late, turn and width with the turns spread over the runs;
        the best E and a there, (2, r, M), and what is then left, (r, M)."""
        z = (logx - self.centre)[:, 0]
        where = np.exp(np.linspace(z.min(), z.max(), turns + 2)[1:-1])
        cells = np.array(list(itertools.product(FIRST, LATER, where, WIDTHS)))
        ones = np.ones((len(cells), 1))
        table = self.evaluate(np.c_[0 * ones, ones, cells], logx)[0]
        return cells, *surface([table], weights / y**2, weights / y)
