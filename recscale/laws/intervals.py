"""How far the constants of a law are known, if its form is true.

Under SMALL runs the robust objective's own resampling is far too wide or too narrow, so the
constants' intervals come from log least squares and Student's t; above, from pairs bootstrap
clustered by run. None of these is a prediction interval: see `belief`.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recscale.laws.forms import Form
from recscale.laws.nouns import LawError
from recscale.laws.polish import polish, residuals
from recscale.laws.replicates import replicates
from recscale.laws.search import Optimum
from recscale.laws.trainings import along, common

if TYPE_CHECKING:
    from recscale.laws.law import ScalingLaw

SMALL = 60  # runs
REPLICATES = 1000
SEED = 0
LEAST = 1e-6  # of a loss, that a law is taken to be there
HUGE = 1e300  # a multiplier beyond it, of a steep exponent, has no end that can be stated
PROFILE = "profile likelihood on log least squares"


def checked(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise LawError(f"a level lies between 0 and 1 (0.9 for 90 %), not {level}")
    return level


def student(level: float, df: int) -> float:
    """Half width of a central interval of Student's t, in standard errors."""
    from scipy.special import stdtrit  # here: laws of many runs start 0.2 s sooner without it

    return float(stdtrit(df, 0.5 + level / 2))


def intervals(law: ScalingLaw, level: float) -> pd.DataFrame:
    """coefficient, low, high, method; NaN ends where the law is underdetermined."""
    checked(level)
    names = law.model.names
    if law.status == "underdetermined":
        return _table(names, np.full((2, len(names)), np.nan), ["underdetermined"] * len(names))
    ends, methods = (_bootstrap if law.points.runs > SMALL else _delta)(law, level)
    # A robust estimate can lie outside a least-squares interval; neither end may exclude it.
    held = np.array(list(law.coefficients.values()))
    return _table(names, np.stack([np.minimum(ends[0], held), np.maximum(ends[1], held)]), methods)


def _bootstrap(law: ScalingLaw, level: float) -> tuple[np.ndarray, list[str]]:
    """Percentiles (2, k) of the resampled constants."""
    resampled = law.model.coefficients(law.resampled)
    tail = (1 - level) / 2
    kind = "pairs bootstrap" if law.points.runs > SMALL else "residual bootstrap"
    ends = np.quantile(np.minimum(resampled, HUGE), [tail, 1 - tail], axis=0)
    return np.where(ends < HUGE, ends, np.inf), [kind] * resampled.shape[1]


def draws(law: ScalingLaw, n: int, seed: int) -> np.ndarray:
    """theta (n, k): pairs bootstrap by run above SMALL runs, else df-corrected residuals."""
    p, rng = law.points, np.random.default_rng(seed)
    if p.runs > SMALL:
        counts = rng.multinomial(p.runs, np.full(p.runs, 1 / p.runs), size=n)
        weights = counts[:, p.cluster] * p.weights
        return replicates(law.model, p.logx, np.log(p.y), weights, law.delta, law.minima)
    fit = law.squares
    f = law.model.evaluate(fit.theta[None], p.logx)[0][0]
    logf = np.log(np.maximum(f, LEAST * p.y))  # a rising form may pass below 0
    r = (np.log(p.y) - logf) * np.sqrt(p.weights)
    r = (r - r.mean()) * np.sqrt(p.n / max(p.n - _free(law, fit.theta).sum(), 1))
    if p.runs < p.n:  # one sign per run keeps the residuals of its checkpoints together
        flips = rng.choice([-1.0, 1.0], size=(n, p.runs))[:, p.cluster]
        noise = flips * r
    else:
        noise = r[rng.integers(0, p.n, size=(n, p.n))]
    logy = logf + noise / np.sqrt(p.weights)
    return replicates(law.model, p.logx, logy, p.weights, np.inf, fit.minima)


def _free(law: ScalingLaw, theta: np.ndarray) -> np.ndarray:
    return (theta > law.model.lower) & (theta < law.model.upper)


def covariance(law: ScalingLaw, theta: np.ndarray) -> tuple[np.ndarray, int]:
    """Covariance (k, k) of theta about a least-squares fit and its degrees of freedom.

    Constants at a bound, and exponents of terms that ended at 0, are taken as known. Where rows
    are points of one training, what they have in common is estimated and counted (`trainings`):
    sums over few trainings, squared (Liang and Zeger 1986), cannot bear as many constants.
    """
    p = law.points
    r, jac, _ = residuals(law.model, theta[None], p.logx, np.log(p.y))
    # The exponent of a term that ended at 0 moves nothing.
    free = _free(law, theta) & (np.abs(jac[0]).max(1) > 1e-14 * np.abs(theta))
    j = (jac[0][free] * np.sqrt(p.weights)).T
    e = r[0] * np.sqrt(p.weights)
    scale = np.linalg.norm(j, axis=0)
    bread = np.linalg.pinv((j / scale).T @ (j / scale), rcond=1e-13) / np.outer(scale, scale)
    out = np.zeros((len(theta), len(theta)))
    if p.runs == p.n:
        df = max(p.n - int(free.sum()), 1)
        inner = bread * (e @ e) / df
    else:
        c = common(p, r[0], jac[0][free])
        inner = np.zeros_like(bread)
        for code in range(p.cluster.max() + 1):  # rows of two trainings share nothing
            own = p.cluster == code
            apart = (1 - c.shared) * np.eye(int(own.sum()))
            cov = c.shared * along(p.logx[own][:, None], p.logx[own][None]) + apart
            inner += j[own].T @ cov @ j[own]
        inner = c.noise**2 * bread @ inner @ bread
        df = max(c.runs - int(free.sum()), 1)
    out[np.ix_(free, free)] = inner
    return out, df


def _delta(law: ScalingLaw, level: float) -> tuple[np.ndarray, list[str]]:
    """Delta method with t on the scale where each constant is closest to normal.

    Multipliers are positive over orders of magnitude: their logarithm. Exponents: as they are.
    The constant E is one-sided near 0: profile likelihood. At a bound there is no tangent to
    follow: the other constants' intervals are then those of a residual bootstrap.
    """
    form, fit = law.model, law.squares
    theta = fit.theta
    if law.bounds_hit or not _free(law, theta).all():
        ends, methods = _bootstrap(law, level)
        ends[:, 0], methods[0] = profile(law, fit, level), PROFILE
        return ends, methods
    cov, df = covariance(law, theta)
    t = student(level, df)
    centre = form.coefficients(theta[None])[0]
    ends, methods = np.empty((2, len(theta))), []
    for i in range(len(theta)):
        positive = centre[i] > 0 and form.lower[i] == 0
        grad = _numeric_gradient(form, theta, i, log=positive)
        half = t * float(np.sqrt(max(grad @ cov @ grad, 0.0)))
        with np.errstate(over="ignore"):  # a multiplier without an upper end
            ends[:, i] = (
                centre[i] * np.exp(np.clip([-half, half], -700, 700))
                if positive
                else np.clip(centre[i] + np.array([-half, half]), form.lower[i], form.upper[i])
            )
        methods.append("delta-t on log least squares")
    ends[:, 0] = profile(law, fit, level)
    methods[0] = PROFILE
    return ends, methods


def profile(law: ScalingLaw, fit: Optimum, level: float) -> tuple[float, float]:
    """Values of the first constant whose best fit is not worse than an F test allows."""
    p, form = law.points, law.model
    logy, best = np.log(p.y), 2 * fit.objective
    df = max(law.independent - int(_free(law, fit.theta).sum()), 1)
    # F(1, df) is the square of t(df).
    allowed = best * (1 + student(level, df) ** 2 / df) + 1e-30

    starts = fit.minima[:3].copy()

    def excess(value: float) -> tuple[float, np.ndarray]:
        theta, obj = polish(_pinned(form, value), starts, p.logx, logy, p.weights, np.inf)
        return 2 * float(obj.min()) - allowed, theta

    def end(limit: float) -> float:
        if excess(limit)[0] <= 0:
            return limit
        inside, outside = fit.theta[0], limit
        for _ in range(24):
            middle = (inside + outside) / 2
            value, theta = excess(middle)
            inside, outside = (middle, outside) if value <= 0 else (inside, middle)
            if value <= 0:  # a far-off value's fit would lead the next ones astray
                starts[: len(theta)] = theta
            if abs(outside - inside) <= 1e-5 * high:
                break
        return (inside + outside) / 2

    low = float(form.lower[0])
    high = float(p.y.min() if np.isinf(form.upper[0]) else form.upper[0])
    if form.sign < 0:
        low, high = float(p.y.max()), float(10 * p.y.max())
    low, high = min(low, fit.theta[0]), max(high, fit.theta[0])
    return end(low), end(high)


def _pinned(form: Form, value: float) -> Form:
    """The form with its first constant held at a value."""
    held = copy(form)
    held.lower, held.upper = form.lower.copy(), form.upper.copy()
    held.lower[0] = held.upper[0] = value
    return held


def _numeric_gradient(form, theta: np.ndarray, i: int, *, log: bool) -> np.ndarray:
    """Derivatives (k,) of coefficient i, or of its logarithm, by theta."""
    h = 1e-6 * np.maximum(np.abs(theta), 1e-6)
    ends = np.concatenate([theta + np.diag(h), theta - np.diag(h)])
    c = form.coefficients(ends)[:, i]
    c = np.log(np.maximum(c, 1e-300)) if log else c
    k = len(theta)
    return (c[:k] - c[k:]) / (2 * h)


def _table(names, ends: np.ndarray, methods: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {"coefficient": list(names), "low": ends[0], "high": ends[1], "method": methods}
    )
