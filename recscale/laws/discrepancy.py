"""Prediction intervals: the law, what real losses do beside it, and the noise of one run.

    log loss = log f(x; theta) + s(x) (d(log x) + noise),   d ~ GP(0, amplitude^2 RBF(length))

No formula is exact, and resampling its constants cannot show by how much: bands made that way
cover a quarter to two thirds of new runs when 90 % is asked. Here theta has weak priors, d has
a handful of amplitudes and lengths, the noise a handful of sizes, and each combination counts
by how well it foretold dearer runs from cheaper ones (rolling origin: the cheapest 40, 50, ...
90 % predict the rest). For a new run those forecasts count most that reached as far beyond their
runs as it lies beyond all: what serves twice the compute need not serve a hundred times. s is 1,
or falls as runs grow: short runs of small models keep further from any law than large ones do. An
additive law is let bend as the gamma law does, around gamma = 1: how shortages add up is the part
of the formula that is least sure. Last, the whole spread is scaled by what those forecasts missed
by, each made with the weights that the runs known by then gave, and the ends are Student's: the
size of the residuals is itself known from few runs.
Kennedy and O'Hagan 2001 for the model, Gneiting and Raftery 2007 for the log score, Dawid 1984
for judging forecasts by what was known when they were made.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recscale.laws.coupled import Gamma
from recscale.laws.forms import Form
from recscale.laws.polish import BELOW_ZERO, residuals

if TYPE_CHECKING:
    from recscale.laws.law import ScalingLaw

LENGTHS = (0.4, 0.75, 1.3)  # decades
AMPLITUDES = (0.003, 0.01, 0.03, 0.1)  # share of the range of log loss over the runs
NOISES = (0.06, 0.25, 1.2)  # times the robust spread of the residuals, most of it often misfit
SETTLING = (0.0, 0.3)  # decades by which s falls for each decade of a run's size
FOLDS = 4.0  # the most by which s differs from that of a run of median size
ORIGINS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
NEAR = 0.15  # decades beyond the known runs, under which distances are alike
ALIKE = 1.0  # log of the ratio of two distances at which forecasts count .6 for one another
EVIDENCE = 3  # runs an origin counts for at most: its errors share one extrapolation
PRIOR = 3.0  # origins that the spread being right beforehand counts for
MOST = 500  # runs the discrepancy is learnt from
FREEDOM = 3  # the fewest degrees of freedom: below, Student's distribution has no variance
OUTLIER = 3.0  # spreads beyond which a run's noise is taken as larger


@dataclass(frozen=True)
class Scales:
    """What the hyper-parameters are relative to, from the robust fit of the runs at hand."""

    range: float  # of log loss
    noise: float


@dataclass(frozen=True)
class Past:
    """What each combination of hyper-parameters foretold from one origin, and what came.

    Attributes:
        known: the cheapest runs that the forecasts were made from.
        error, var: (h, r) mean foretold less what was measured, in log loss, and its variance.
        score: (h, r) log density of what was measured.
        decades: (r,) beyond the largest known run.
    """

    known: int
    error: np.ndarray
    var: np.ndarray
    score: np.ndarray
    decades: np.ndarray


@dataclass(frozen=True)
class Forecaster:
    """What predictions at any point share: the runs in order of cost, and past forecasts of them.

    Attributes:
        x, logy, w: (n, p), (n,), (n,).
        past: one for each rolling origin.
        freedom: runs less constants, of Student's distribution.
    """

    form: Form
    theta: np.ndarray
    x: np.ndarray
    logy: np.ndarray
    w: np.ndarray
    scales: Scales
    past: list[Past]
    freedom: int


def forecaster(law: ScalingLaw) -> Forecaster:
    """Rolling-origin forecasts of a law's own runs."""
    p = law.points
    order = np.argsort(p.rank, kind="stable")
    if p.n > MOST:  # the kernel's cost grows with the cube; every so many runs say the same
        order = order[np.linspace(0, p.n - 1, MOST).astype(int)]
    x, logy, w = p.logx[order], np.log(p.y[order]), p.weights[order]
    w = w * _trust(law.model, law.theta, x, logy)
    scales = _scales(law.model, law.theta, x, logy, w)
    form, theta = _bending(law)
    past = _rolling(form, theta, x, logy, w, scales)
    freedom = max(len(logy) - len(theta), FREEDOM)
    return Forecaster(form, theta, x, logy, w, scales, past, freedom)


def predictive(f: Forecaster, logx: np.ndarray, level: float):
    """mean, low, high (m,) of one new run at each of m log points."""
    decades = _beyond(logx, f.x)
    share, factor = _weights(f.past, len(f.x), decades), _factor(f.past, decades)
    keep = (share > 1e-3 * share.max(0)).any(1)
    share = share[keep] / share[keep].sum(0)
    mean, var = posterior(f.form, f.theta, f.x, f.logy, f.w, logx, f.scales, keep)
    centre = (share * mean).sum(0)
    spread = centre + factor * (mean - centre)
    return _mixture(spread, factor * np.sqrt(var), share, f.freedom, level)


def _bending(law: ScalingLaw) -> tuple[Form, np.ndarray]:
    """The form predictions are made with: of an additive law its gamma law, started at 1."""
    if law.form != "additive" or len(law.variables) < 2:
        return law.model, law.theta
    floor = float(law.model.lower[0])
    return Gamma(law.variables, law.model.centre, floor=floor), np.r_[law.theta, 1.0]


def combinations() -> np.ndarray:
    """(h, 4) of length, amplitude, noise, settling."""
    return np.array(list(itertools.product(LENGTHS, AMPLITUDES, NOISES, SETTLING)))


def _trust(form: Form, theta, x, logy) -> np.ndarray:
    """Weights that widen the noise of runs far off the law, (n,)."""
    r = np.abs(residuals(form, theta[None], x, logy)[0][0])
    spread = 1.4826 * np.median(r) + 1e-12
    return np.minimum(1.0, OUTLIER * spread / np.maximum(r, 1e-150)) ** 2


def _scales(form: Form, theta, x, logy, w) -> Scales:
    r = residuals(form, theta[None], x, logy)[0][0]
    n, k = len(logy), len(theta)
    spread = np.sqrt((w * r * r).sum() / max(w.sum() - k, 0.25 * n))
    span = np.ptp(logy + r)
    return Scales(float(max(span, 1e-6)), float(max(spread, 1e-5 * span, 1e-9)))


def _rolling(form: Form, theta, x, logy, w, scales: Scales) -> list[Past]:
    """What each combination foretold of the dearer runs, and what they measured."""
    n, every = len(logy), np.ones(len(combinations()), bool)
    past = []
    for known in dict.fromkeys(int(round(share * n)) for share in ORIGINS):
        if not 3 <= known < n:
            continue
        runs = x[:known], logy[:known], w[:known]
        mean, var = posterior(form, theta, *runs, x[known:], scales, every)
        error, var = mean - logy[known:], var / np.minimum(w[known:], 1.0)
        score = -0.5 * (error**2 / var + np.log(2 * np.pi * var))
        past.append(Past(known, error, var, score, _beyond(x[known:], x[:known])))
    return past


def _beyond(x: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Decades (m,) from the largest known run; a run's size is the product of its variables."""
    return np.maximum(x.sum(1) - known.sum(1).max(), 0.0) / np.log(10)


def _weights(past: list[Past], known: int, decades: np.ndarray) -> np.ndarray:
    """Share (h, m) of each combination for m new runs, by its scores on the first known runs."""
    total = np.zeros((len(combinations()), len(decades)))
    for p in past:
        alike = _alike(p.decades[: known - p.known], decades)
        count = np.minimum(alike.sum(0), EVIDENCE)
        total += p.score[:, : known - p.known] @ (alike / alike.sum(0)) * count
    share = np.exp(total - total.max(0))
    return share / share.sum(0)


def _factor(past: list[Past], decades: np.ndarray) -> np.ndarray:
    """By how much to widen or narrow the spread of m new runs, (m,).

    Squared errors over what was expected, and PRIOR ones. The first origin has no earlier one to
    be weighed by and does not count.
    """
    squares = count = np.full(len(decades), PRIOR)
    for i, p in enumerate(past[1:], 1):
        share = _weights(past[:i], p.known, decades).T
        error = share @ p.error  # (m, r)
        expected = share @ (p.var + p.error**2) - error**2
        alike = _alike(p.decades, decades).T
        part = np.minimum(alike.sum(1) / EVIDENCE, 1.0)
        squares = squares + part * (error**2 / expected * alike).sum(1) / alike.sum(1)
        count = count + part
    return np.sqrt(squares / count)


def _alike(past: np.ndarray, new: np.ndarray) -> np.ndarray:
    """By how much each past forecast (r,) counts for each new run (m,), by distance, (r, m)."""
    ratio = np.log((past[:, None] + NEAR) / (new + NEAR))
    return np.exp(-0.5 * (ratio / ALIKE) ** 2)


def posterior(form: Form, theta, x, logy, w, new, scales: Scales, keep: np.ndarray):
    """Mean and variance (h, m) of log loss of new runs, one row per kept combination.

    For each length the kernel is diagonalised once; amplitudes, noises and the Gauss-Newton
    steps of log theta then cost no factorisation. Residuals over s are an ordinary process.
    """
    combos = combinations()[keep]
    mu, sd = form.prior(np.exp(logy))
    mean, var = np.empty((len(combos), len(new))), np.empty((len(combos), len(new)))
    root = np.sqrt(w)
    turned = {}
    for length in np.unique(combos[:, 0]):
        values, q = np.linalg.eigh(_rbf(x, x, length) * root[:, None] * root)
        turned[length] = np.maximum(values, 0.0), q, _rbf(new, x, length) * root @ q
    for length, settling in np.unique(combos[:, [0, 3]], axis=0):
        rows = np.flatnonzero((combos[:, 0] == length) & (combos[:, 3] == settling))
        values, q, cross = turned[length]
        s, s_new = _settled(x, x, settling), _settled(new, x, settling)
        amp2 = (combos[rows, 1] * scales.range) ** 2
        noise2 = (combos[rows, 2] * scales.noise) ** 2
        inverse = 1.0 / (amp2[:, None] * values + noise2[:, None])  # (b, n)
        qt = q.T * (root / s)
        eta = _map(form, theta, x, logy, qt, inverse, mu, sd)
        r, jac = _log_residuals(form, eta, x, logy)
        r, jac = r @ qt.T, jac @ qt.T
        hess = np.einsum("bkn,bn,bln->bkl", jac, inverse, jac) + np.diag(sd**-2.0)
        f, _ = form.evaluate(np.exp(eta), new)
        g = _log_jacobian(form, eta, new)
        gain = amp2[:, None, None] * cross * inverse[:, None, :]  # (b, m, n), of residuals over s
        mean[rows] = np.log(np.maximum(f, 1e-300)) - s_new * np.einsum("bmn,bn->bm", gain, r)
        rest = g - s_new * np.einsum("bmn,bkn->bkm", gain, jac)
        own = amp2[:, None] - np.einsum("bmn,mn->bm", gain * amp2[:, None, None], cross)
        spread = np.einsum("bkm,bkm->bm", rest, _solve(hess, rest))
        var[rows] = (np.maximum(own, 0.0) + noise2[:, None]) * s_new**2 + spread
    return mean, var


def _map(form: Form, theta, x, logy, qt, inverse, mu, sd) -> np.ndarray:
    """Posterior mode of log theta (b, k) for each row of inverse variances, by damped steps."""
    b, k = len(inverse), len(theta)
    start = np.clip(np.log(np.maximum(theta, 1e-300)), mu - 2 * sd, mu + 2 * sd)
    start = _above_zero(form, start, x, logy)
    eta, lam = np.tile(start, (b, 1)), np.full(b, 1e-2)

    def cost(eta, r):
        return (inverse * (r @ qt.T) ** 2).sum(1) + (((eta - mu) / sd) ** 2).sum(1)

    r, jac = _log_residuals(form, eta, x, logy)
    value = cost(eta, r)
    for _ in range(40):
        turned = jac @ qt.T
        grad = np.einsum("bkn,bn,bn->bk", turned, inverse, r @ qt.T) + (eta - mu) / sd**2
        hess = np.einsum("bkn,bn,bln->bkl", turned, inverse, turned) + np.diag(sd**-2.0)
        hess[:, np.arange(k), np.arange(k)] *= 1 + lam[:, None]
        step = -_solve(hess, grad[:, :, None])[:, :, 0]
        trial = eta + np.clip(step, -2, 2)
        r2, jac2 = _log_residuals(form, trial, x, logy)
        value2 = cost(trial, r2)
        better = (value2 <= value) & (r2.min(1) > 1 - BELOW_ZERO)
        gain = np.where(better, value - value2, np.inf)
        eta[better], r[better], jac[better] = trial[better], r2[better], jac2[better]
        value = np.where(better, value2, value)
        lam = np.where(better, lam * 0.2, lam * 8)
        if ((gain < 1e-6 * (1 + value)) | (lam > 1e8)).all():
            break
    return eta


def _above_zero(form: Form, eta: np.ndarray, x: np.ndarray, logy: np.ndarray) -> np.ndarray:
    """Log theta (k,) with the limit of a rising form raised until it gives every run at least half
    of what was measured: from a value below 0, whose log residual says nothing, no step leads
    back, and none is made there."""
    if form.sign > 0 or form.limit is None:
        return eta
    at = form.names.index(form.limit)
    short = (0.5 * np.exp(logy) - form.evaluate(np.exp(eta)[None], x)[0][0]).max()
    out = eta.copy()
    out[at] = np.log(np.exp(eta[at]) + max(short, 0.0))
    return out


def _solve(hess: np.ndarray, b: np.ndarray) -> np.ndarray:
    """hess^-1 b for each of several positive matrices, also where rounding makes one singular."""
    try:
        return np.linalg.solve(hess, b)
    except np.linalg.LinAlgError:  # constants that differ by more digits than a double has
        scale = 1 / np.sqrt(np.einsum("bkk->bk", hess))
        scaled = hess * scale[:, :, None] * scale[:, None, :] + 1e-12 * np.eye(hess.shape[1])
        return np.linalg.solve(scaled, b * scale[:, :, None]) * scale[:, :, None]


def _log_residuals(form: Form, eta, x, logy):
    """Log residuals (b, n) and their derivatives by log theta (b, k, n)."""
    theta = np.exp(eta)
    r, jac, _ = residuals(form, theta, x, logy)
    return r, jac * theta[:, :, None]


def _log_jacobian(form: Form, eta, x) -> np.ndarray:
    return _log_residuals(form, eta, x, np.zeros(len(x)))[1]


def _rbf(a: np.ndarray, b: np.ndarray, length: float) -> np.ndarray:
    d = ((a[:, None, :] - b[None]) ** 2).sum(-1) / np.log(10) ** 2
    return np.exp(-0.5 * d / length**2)


def _settled(x: np.ndarray, known: np.ndarray, settling: float) -> np.ndarray:
    """s (m,) of runs at log points x (m, p); a run's size is the product of its variables."""
    grown = x.sum(1) - np.median(known.sum(1))
    return np.exp(np.clip(-settling * grown, -np.log(FOLDS), np.log(FOLDS)))


def _mixture(mean, sd, share, freedom: int, level: float):
    """Median and central interval of a mixture of Student's in log loss, exponentiated.

    mean, sd, share: (h, m).
    """
    from scipy.special import stdtr, stdtrit  # here: a fit without predictions starts sooner

    ends = []
    for tail in (0.5, (1 - level) / 2, (1 + level) / 2):
        each = mean + sd * stdtrit(freedom, tail)  # the mixture's end lies among its parts'
        a, b = each.min(0), each.max(0)
        for _ in range(60):
            mid = (a + b) / 2
            under = (share * stdtr(freedom, (mid - mean) / sd)).sum(0) < tail
            a, b = np.where(under, mid, a), np.where(under, b, mid)
        ends.append(np.exp((a + b) / 2))
    return ends[0], ends[1], ends[2]
