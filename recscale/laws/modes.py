"""The posterior mode of a law's constants: damped Gauss-Newton steps in log theta, many at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from recscale.laws.forms import Form
from recscale.laws.polish import BELOW_ZERO, residuals
from recscale.laws.trainings import alike, share, thinned

SCATTER, SCATTER_DF = 0.005, 2  # prior guess of the noise of one run, and what it counts for
OUTLIER = 3.0  # spreads beyond which a run's noise is taken as larger
# Heteroscedastic noise: decades by which runs scatter less for each decade of their size
NOISE_SLOPES = (0.0, 0.15, 0.3)
# log likelihood that it must be worth: at 2 Winkler scores of published tables are 8 % worse for
# it, at 8 as good as without (tests/benchmarks/suites.py, 2026-11-30)
SURELY = 8.0
FOLDS = 4.0  # the most by which the scatter differs from that of a run of median size
STARTS = 6


@dataclass(frozen=True)
class Sample:
    """Runs as arrays.

    Attributes:
        logx: (n, p) natural logarithms of the law's variables.
        logy: (n,) log losses.
        extra: (n,) variance of log loss beyond the noise of one run.
        order: (n,) positions from cheap to expensive.
        weight: (n,) runs that a row stands for, such as seeds that were averaged; None: one each.
        training: (n,) codes, alike where rows are points of one training; None: none are.
    """

    logx: np.ndarray
    logy: np.ndarray
    extra: np.ndarray
    order: np.ndarray
    weight: np.ndarray | None = None
    training: np.ndarray | None = None

    @property
    def counts(self) -> np.ndarray:
        """(n,) runs that each row stands for."""
        return np.ones(len(self.logy)) if self.weight is None else self.weight

    def take(self, rows: np.ndarray) -> Sample:
        """These rows (positions or mask), in the order of their cost as before."""
        at = np.arange(len(self.logy))[rows]
        rank = np.empty(len(self.logy), int)
        rank[self.order] = np.arange(len(rank))
        order = np.argsort(rank[at], kind="stable")
        codes = None if self.training is None else self.training[at]
        return Sample(self.logx[at], self.logy[at], self.extra[at], order, self.counts[at], codes)

    @property
    def codes(self) -> np.ndarray:
        """(n,) of the trainings; -1 of a training of one point."""
        return np.full(len(self.logy), -1) if self.training is None else self.training


@dataclass(frozen=True)
class Fitted:
    """One form at its posterior mode.

    Attributes:
        eta: (k,) log theta, with its prior's mean and sd (k,).
        noise: standard deviation of log loss of a run of size `middle`, misfit included.
        extra: (n,) variance of the sample beyond it, of runs far off the law more.
        noise_slope: decades by which runs scatter less for each decade of size: short runs of small
            models keep further from any law than large ones do.
        middle: log size (the sum of the log variables) of the median run.
        shared: of the variance of one run, what all points of its training have in common.
    """

    form: Form
    eta: np.ndarray
    prior_mean: np.ndarray
    prior_sd: np.ndarray
    noise: float
    extra: np.ndarray
    noise_slope: float = 0.0
    middle: float = 0.0
    shared: float = 0.0

    def scatter(self, logx: np.ndarray) -> np.ndarray:
        """(m,) by how much runs at log points scatter more than `noise`."""
        return _scatter(self.noise_slope, logx.sum(1) - self.middle)

    def units(self, sample: Sample) -> np.ndarray:
        """(n,) variance of the rows about what is expected of them, in squares of `noise`."""
        return self.scatter(sample.logx) ** 2 / sample.counts

    def between(self, sample: Sample) -> np.ndarray:
        """(n, n) covariance of the rows about what is expected of them, in squares of `noise`."""
        units = self.units(sample)
        own = units * (1 - self.shared * (sample.codes >= 0)) + self.extra / self.noise**2
        if not self.shared:
            return np.diag(own)
        x, codes, root = sample.logx, sample.codes, np.sqrt(units)
        return np.diag(own) + self.shared * alike(codes, x, codes, x) * root[:, None] * root

    def formula(self, logx: np.ndarray) -> np.ndarray:
        """Log loss (m,) by the law alone."""
        return np.log(np.maximum(self.form.evaluate(np.exp(self.eta)[None], logx)[0][0], 1e-300))

    def slopes(self, logx: np.ndarray) -> np.ndarray:
        """Derivatives (k, m) of log loss by log theta."""
        return log_residuals(self.form, self.eta[None], logx, np.zeros(len(logx)))[1][0]


def log_residuals(form: Form, eta: np.ndarray, x: np.ndarray, logy: np.ndarray):
    """Log residuals (b, n) and their derivatives by log theta (b, k, n)."""
    theta = np.exp(eta)
    with np.errstate(over="ignore"):
        r, jac, _ = residuals(form, theta, x, logy)
        return r, jac * theta[:, :, None]


def mode(form: Form, sample: Sample, start: np.ndarray | None = None) -> Fitted:
    """The form's posterior mode after a sample, from `start` (k,) or from starts of its own."""
    x, logy, n = sample.logx, sample.logy, len(sample.logy)
    mu, sd = form.prior(np.exp(logy))
    k, size = len(mu), x.sum(1)
    middle_size = float(np.median(size))
    noise, trust, noise_slope, unit = 3 * SCATTER, np.ones(n), 0.0, 1 / sample.counts
    etas = _starts(form, x, logy, mu, sd) if start is None else start[None]
    etas = _above_zero(form, etas, x, logy)
    for round_ in range(3):
        precision = trust / (noise**2 * unit + sample.extra)
        etas, value = descend(form, etas, x, logy, mu, sd, precision, 40 if round_ == 0 else 12)
        etas = etas[[int(np.argmin(value))]]
        r = np.abs(log_residuals(form, etas, x, logy)[0][0])
        weight = trust * SCATTER**2 / (SCATTER**2 + sample.extra)
        free = max(float(weight.sum()) - k, 0.0)
        if n > 2 * k:
            noise_slope = _noise_slope(r * np.sqrt(sample.counts), size - middle_size)
            unit = _scatter(noise_slope, size - middle_size) ** 2 / sample.counts
        square = SCATTER_DF * SCATTER**2 + (weight * r * r / unit).sum()
        noise = float(np.sqrt(square / (SCATTER_DF + free)))
        middle = 1.4826 * float(np.median(r / np.sqrt(unit))) * np.sqrt(n / max(n - k, 0.25 * n))
        noise = max(min(noise, max(middle, SCATTER)) if n > 2 * k else noise, 1e-4)
        limit = OUTLIER * np.sqrt(noise**2 * unit + sample.extra)
        trust = np.minimum(1.0, limit / np.maximum(r, 1e-12)) ** 2
    extra = sample.extra + noise**2 * unit * (1 / trust - 1)
    law = Fitted(form, etas[0], mu, sd, noise, extra, noise_slope, middle_size)
    return law if sample.training is None else _with_trainings(law, sample)


def _with_trainings(law: Fitted, sample: Sample) -> Fitted:
    """The law with what points of one training have in common, and the noise that goes with it."""
    some = thinned(sample.codes)
    codes, x = sample.codes[some], sample.logx[some]
    off = sample.logy[some] - law.formula(x)
    unit = (law.units(sample) + law.extra / law.noise**2)[some]
    together = alike(codes, x, codes, x)
    together[np.diag_indices_from(together)] = 1.0
    shared, noise = share(together, off, law.slopes(x), unit, law.prior_sd, (SCATTER, SCATTER_DF))
    return replace(law, shared=shared, noise=max(noise, 1e-4))


def _noise_slope(r: np.ndarray, size: np.ndarray) -> float:
    """The one of NOISE_SLOPES under which absolute residuals (n,) at log sizes (n,) about their
    median are likeliest as draws of a Laplace distribution, which one run far off does not decide;
    0 unless that is surely more likely."""
    scatter = np.array([_scatter(s, size) for s in NOISE_SLOPES])
    scale = np.maximum((r / scatter).mean(1), 1e-12)
    likely = -len(r) * np.log(scale) - np.log(scatter).sum(1)
    best = int(np.argmax(likely))
    return NOISE_SLOPES[best] if likely[best] > likely[0] + SURELY else 0.0


def _scatter(noise_slope: float, size: np.ndarray) -> np.ndarray:
    return np.exp(np.clip(-noise_slope * size, -np.log(FOLDS), np.log(FOLDS)))


def _starts(form: Form, x, logy, mu, sd) -> np.ndarray:
    own = form.starts_each(x, np.exp(logy)[None], np.ones((1, len(logy))))[0]
    own = np.clip(np.log(np.maximum(own, 1e-300)), mu - 2 * sd, mu + 2 * sd)
    spread = np.random.default_rng(0).uniform(-1, 1, (STARTS, len(mu))) * np.minimum(sd, 1.0)
    return np.concatenate([own, mu[None], mu + spread])


def _above_zero(form: Form, eta: np.ndarray, x: np.ndarray, logy: np.ndarray) -> np.ndarray:
    """Log theta (b, k) with the limit of a rising form raised until it gives every run at least
    half of what was measured: from a value below 0, whose log residual says nothing, no step
    leads back."""
    if form.sign > 0 or form.limit is None or not len(logy):
        return eta
    at, out = form.names.index(form.limit), eta.copy()
    short = (0.5 * np.exp(logy) - form.evaluate(np.exp(eta), x)[0]).max(1)
    out[:, at] = np.log(np.exp(eta[:, at]) + np.maximum(short, 0.0))
    return out


def descend(form: Form, eta, x, logy, mu, sd, precision, rounds: int):
    """Posterior modes (b, k) and their costs (b,) from starts (b, k); precision (n,) is of the
    residuals."""
    with np.errstate(over="ignore", invalid="ignore"):  # trial steps too far are rejected
        return _descend(form, eta, x, logy, mu, sd, precision, rounds)


def _descend(form: Form, eta, x, logy, mu, sd, precision, rounds: int):
    eta, k = eta.copy(), eta.shape[1]
    lam, prior = np.full(len(eta), 1e-2), np.diag(sd**-2.0)

    def look(eta):
        r, jac = log_residuals(form, eta, x, logy)
        sane = r.min(1) > 1 - BELOW_ZERO if form.sign < 0 and len(logy) else True
        value = (precision * r * r).sum(1) + (((eta - mu) / sd) ** 2).sum(1)
        return r, jac, np.where(np.isfinite(value) & sane, value, np.inf)

    r, jac, value = look(eta)
    for _ in range(rounds):
        weighted = jac * precision
        grad = np.einsum("bkn,bn->bk", weighted, r) + (eta - mu) / sd**2
        hess = np.matmul(weighted, jac.transpose(0, 2, 1)) + prior
        hess[:, np.arange(k), np.arange(k)] *= 1 + lam[:, None]
        trial = eta - np.clip(solved(hess, grad[:, :, None])[:, :, 0], -2, 2)
        r2, jac2, value2 = look(trial)
        better = value2 < value
        gain = np.where(better & np.isfinite(value), value - value2, 0.0)
        eta[better], r[better], jac[better] = trial[better], r2[better], jac2[better]
        value = np.where(better, value2, value)
        lam = np.where(better, lam * 0.2, lam * 8)
        if ((gain < 1e-5 * (1 + value)) & (better | (lam > 1e6))).all():
            break
    return eta, value


def solved(hess: np.ndarray, b: np.ndarray) -> np.ndarray:
    """hess^-1 b for each of several positive matrices, also where rounding makes one singular."""
    try:
        return np.linalg.solve(hess, b)
    except np.linalg.LinAlgError:  # constants that differ by more digits than a double has
        scale = 1 / np.sqrt(np.einsum("bkk->bk", hess))
        scaled = hess * scale[:, :, None] * scale[:, None, :] + 1e-12 * np.eye(hess.shape[1])
        return np.linalg.solve(scaled, b * scale[:, :, None]) * scale[:, :, None]
