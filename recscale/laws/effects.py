"""The form of axes kept apart: an effect of each, whatever values a sweep gave it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from recscale.laws.forms import EXPONENT, STARTS, Form
from recscale.laws.grid import nonnegative_solve
from recscale.laws.nouns import Constant, Points, Role

USUAL = 0.5
"""Exponent of an axis of two values, whose own they cannot tell: the next doubling is to gain .7 of
the last."""
ENOUGH = 0.25  # decades that an axis spans, under which its exponent is USUAL
TRIALS = 96  # combinations of exponents that a fit starts from, and a replicate of fewer
FEW = 12
SPARE = 2  # runs beyond the constants: of fewer, exponents are USUAL, of the poorest axes first


@dataclass(frozen=True)
class Axis:
    """What the runs can tell of one variable.

    Attributes:
        zero: log of where its value 0 stands, None if it has none.
        power: whether two or more values above 0 are there: it has a power.
        free: whether they tell its exponent.
        step: whether 0 has a constant of its own; of two variables that are 0 together the first.
        rise: whether more of it may also harm.
    """

    zero: float | None
    power: bool
    free: bool
    step: bool
    rise: bool = False


class Effects(Form):
    """E + sum_i A_i / x_i^alpha_i + sum_j S_j [x_j = 0] + sum_k B_k x_k.

    Additive's form where every variable has three values or more. An axis of two values has the
    exponent USUAL; the value 0, such as no blocks at all, is a level with a constant instead of a
    power: from none to one is a step and no doubling. What may also harm, such as passes over the
    same rows, has a term that rises, so that the best is not the most.

    theta = (E, a of every power, S of every step, b of every rise, alpha of every free exponent),
    a_i = A_i exp(-alpha_i centre_i), b_k = B_k exp(centre_k); none negative.
    """

    name = "effects"

    def __init__(
        self,
        variables: tuple[str, ...],
        centre: np.ndarray,
        axes: tuple[Axis, ...],
        floor: float = 0.0,
    ):
        self.variables, self.centre, self.axes = variables, centre, axes
        self.powers = [i for i, a in enumerate(axes) if a.power]
        self.steps = [i for i, a in enumerate(axes) if a.step]
        self.rises = [i for i, a in enumerate(axes) if a.rise]
        self.monotone = not self.rises
        self.single = tuple(i for i, a in enumerate(axes) if a.free)
        self.free = [self.powers.index(i) for i in self.single]
        linear, f = len(self.powers) + len(self.steps) + len(self.rises), len(self.free)
        self.lower = np.r_[floor, np.zeros(linear), np.full(f, EXPONENT[0])]
        self.upper = np.r_[np.full(1 + linear, np.inf), np.full(f, EXPONENT[1])]
        names = [variables[i] for i in self.powers]
        self.constants = (
            Constant("E", Role.LIMIT),
            *(Constant(f"A_{v}", Role.SCALE, v) for v in names),
            *(Constant(f"S_{variables[i]}", Role.SHAPE, variables[i]) for i in self.steps),
            *(Constant(f"B_{variables[i]}", Role.SHAPE, variables[i]) for i in self.rises),
            *(Constant(f"alpha_{variables[i]}", Role.EXPONENT, variables[i]) for i in self.single),
        )
        terms = [
            f"A_{v} / {v}^{f'alpha_{v}' if axes[i].free else USUAL}"
            for i, v in zip(self.powers, names, strict=True)
        ]
        terms += [f"S_{variables[i]} [{variables[i]} = 0]" for i in self.steps]
        terms += [f"B_{variables[i]} * {variables[i]}" for i in self.rises]
        self.formula = " + ".join(["E", *terms])
        self.source = "Hoffmann et al. 2022 (2203.15556), eq. 10, one term per axis"

    def evaluate(self, theta: np.ndarray, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p, first = len(self.powers), theta.shape[1] - len(self.free)
        at = self.columns(logx)
        jac = np.empty((len(theta), theta.shape[1], len(logx)))
        jac[:, 0] = 1.0
        jac[:, 1 : p + 1] = at.above * np.exp(-self.exponents(theta)[:, :, None] * at.z)
        jac[:, p + 1 : first] = at.fixed
        terms = theta[:, 1:first, None] * jac[:, 1:first]
        jac[:, first:] = -(terms[:, :p] * at.z)[:, self.free]
        return theta[:, :1] + terms.sum(1), jac

    def curvature(self, theta, logx, s: np.ndarray, jac: np.ndarray) -> np.ndarray:
        k = theta.shape[1]
        out = np.zeros((len(theta), k, k))
        z = -self.columns(logx).z
        first = k - len(self.free)
        for j, i in enumerate(self.free):
            e = first + j
            moved = s * z[i]
            out[:, 1 + i, e] = out[:, e, 1 + i] = (jac[:, 1 + i] * moved).sum(1)
            out[:, e, e] = (jac[:, e] * moved).sum(1)
        return out

    def exponents(self, theta: np.ndarray) -> np.ndarray:
        """(b, powers)."""
        alpha = np.full((len(theta), len(self.powers)), USUAL)
        if self.free:
            alpha[:, self.free] = theta[:, theta.shape[1] - len(self.free) :]
        return alpha

    def columns(self, logx: np.ndarray) -> Columns:
        zero = np.array(
            [logx[:, i] <= a.zero + 1e-9 if a.zero is not None else np.zeros(len(logx), bool)
             for i, a in enumerate(self.axes)]
        )  # fmt: skip
        z = (logx - self.centre).T
        steps, rises = zero[self.steps].astype(float), np.exp(z[self.rises])
        above = 1.0 - zero[self.powers]
        return Columns(z[self.powers], above, np.concatenate([steps, rises]))

    def coefficients(self, theta: np.ndarray) -> np.ndarray:
        p, out = len(self.powers), np.array(theta, float)
        with np.errstate(over="ignore"):
            out[:, 1 : p + 1] *= np.exp(self.exponents(theta) * self.centre[self.powers])
        rises = slice(1 + p + len(self.steps), out.shape[1] - len(self.free))
        out[:, rises] *= np.exp(-self.centre[self.rises])
        return out

    def prior(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        k, f = len(self.lower), len(self.free)
        mean, sd = np.full(k, np.log(0.3 * np.median(y))), np.full(k, 3.0)
        mean[0], sd[0] = np.log(0.64 * y.min()), 0.6
        mean[k - f :], sd[k - f :] = np.log(0.25), 0.9
        return mean, sd

    def starts(self, logx: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        found, value = self._projected(logx, y[None], weights[None], TRIALS)
        return found[0][np.argsort(value[0])[:STARTS]]

    def starts_each(self, logx: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        found, value = self._projected(logx, y, weights, FEW)
        return found[np.arange(len(y)), value.argmin(1)][:, None]

    def _projected(self, logx, y, weights, trials: int) -> tuple[np.ndarray, np.ndarray]:
        """Constants (r, m, k) and values (r, m) of relative least squares at m combinations of
        exponents, for each of r data sets y, weights (r, n)."""
        at, f = self.columns(logx), len(self.free)
        rng = np.random.default_rng(0)
        alike = np.array([0.1, 0.25, 0.5, 1.0, 2.0])[:, None] * np.ones(f)
        mixed = np.exp(rng.uniform(np.log(0.05), np.log(2.5), (max(trials - 5, 0), f)))
        alpha = np.concatenate([alike, mixed]) if f else np.empty((1, 0))
        each = np.full((len(alpha), len(self.powers)), USUAL)
        each[:, self.free] = alpha
        m, r, n = len(alpha), len(y), len(logx)
        basis = np.concatenate(
            [np.ones((m, 1, n)), at.above * np.exp(-each[:, :, None] * at.z),
             np.broadcast_to(at.fixed, (m, *at.fixed.shape))], 1,
        )  # fmt: skip
        q = basis.shape[1]
        gram = np.einsum("mqn,rn,mpn->qprm", basis, weights / y**2, basis, optimize=True)
        rhs = np.einsum("mqn,rn->qrm", basis, weights / y)
        c, value = nonnegative_solve(gram.reshape(q, q, r * m), rhs.reshape(q, r * m))
        c = np.moveaxis(c.reshape(q, r, m), 0, 2)
        theta = np.concatenate([c, np.broadcast_to(alpha, (r, m, f))], 2)
        return np.clip(theta, self.lower, self.upper), value.reshape(r, m)

    def undetermined(self, logx: np.ndarray) -> str | None:
        at = self.columns(logx)
        design = np.concatenate(
            [np.ones((1, len(logx))), at.above * np.exp(-USUAL * at.z), at.fixed]
        )
        norm = np.linalg.norm(design, axis=1)
        if not len(self.powers) and not len(self.steps):
            return f"{' and '.join(self.variables)} never change: run two values or more of an axis"
        singular = np.linalg.svd(design / np.maximum(norm, 1e-300)[:, None], compute_uv=False)
        if norm.min() <= 0 or singular[-1] < 1e-6 * singular[0]:
            return (
                f"{', '.join(self.variables)} move together in these runs, so their shares cannot "
                "be told apart: vary one alone or leave one out"
            )
        return None


@dataclass(frozen=True)
class Columns:
    """What the terms are made of at n points: log over the centre (powers, n), whether each
    power's variable is above 0, and what steps and rises multiply (steps + rises, n)."""

    z: np.ndarray
    above: np.ndarray
    fixed: np.ndarray


def effects(points: Points, floor: float = 0.0) -> Effects:
    """The form that these points can tell."""
    zeros = [None if np.isnan(z) else float(z) for z in points.zeros]
    at_zero = [
        np.zeros(points.n, bool) if z is None else points.logx[:, i] <= z + 1e-9
        for i, z in enumerate(zeros)
    ]
    values = [
        np.unique(np.round(points.logx[~at_zero[i], i], 9)) for i in range(len(points.variables))
    ]
    seen: list[bytes] = []
    steps = []
    for mask in at_zero:
        has = bool(mask.any() and not mask.all()) and mask.tobytes() not in seen
        seen.append(mask.tobytes())
        steps.append(has)
    powers = [len(v) > 1 for v in values]
    rises = [
        v in points.harmful and len(x) > 2 for v, x in zip(points.variables, values, strict=True)
    ]
    able = [
        len(v) > 2 + rise and np.ptp(v) >= ENOUGH * np.log(10)
        for v, rise in zip(values, rises, strict=True)
    ]
    sites = len(np.unique(points.logx, axis=0))
    room = sites - SPARE - 1 - sum(powers) - sum(steps) - sum(rises)
    first = sorted(np.flatnonzero(able), key=lambda i: (-len(values[i]), -np.ptp(values[i])))
    free = set(first[: max(room, 0)])
    axes = tuple(
        Axis(z, power, i in free, step, rise)
        for i, (z, power, step, rise) in enumerate(zip(zeros, powers, steps, rises, strict=True))
    )
    return Effects(points.variables, points.logx.mean(0), axes, floor)


def reduced(model: Effects, hit: Collection[str]) -> Effects | None:
    """The form without the constants that ended at an end of their range: an axis whose term is 0
    has no effect, and an exponent at its limit is no exponent. None where none of `hit` is such:
    what is left at a bound says something of the law."""
    axes = list(model.axes)
    groups = (
        (model.powers, {"power": False, "free": False}),
        (model.steps, {"step": False}),
        (model.rises, {"rise": False}),
        (model.single, {"free": False}),
    )
    each = ((i, less) for members, less in groups for i in members)
    for constant, (i, less) in zip(model.constants[1:], each, strict=True):
        if constant.name in hit:
            axes[i] = replace(axes[i], **less)
    if axes == list(model.axes) or not any(a.power or a.step for a in axes):
        return None
    return Effects(model.variables, model.centre, tuple(axes), float(model.lower[0]))
