"""What the runs so far say of any other run: a joint normal over log losses, in milliseconds.

    log loss = log f(x; theta) + d(log x) + noise,   d ~ GP(0, amplitude^2 RBF(length))

The model is that of `recscale.laws.discrepancy`, which makes the intervals people read, with s = 1:
here it is distance from the frontier that widens the noise of a run (`planner.value.OFF`). The law
is linear in log theta about its posterior mode, so that the variance of every candidate, and
how far it would fall at the target if the candidate were run, cost one Cholesky factor each.
A run's variance does not depend on its loss: runs under way count by their place alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recscale.laws.forms import Form
from recscale.laws.polish import residuals


@dataclass(frozen=True)
class Sample:
    """Runs as arrays.

    Attributes:
        logx: (n, p) natural logarithms of the law's variables.
        logy: (n,) log losses.
        extra: (n,) variance of log loss beyond the noise of one run.
        order: (n,) positions from cheap to dear.
    """

    logx: np.ndarray
    logy: np.ndarray
    extra: np.ndarray
    order: np.ndarray


@dataclass(frozen=True)
class Fitted:
    """One form at its posterior mode: eta (k,) is log theta, with its prior's mean and sd (k,)."""

    form: Form
    eta: np.ndarray
    prior_mean: np.ndarray
    prior_sd: np.ndarray
    extra: np.ndarray
    """(n,) variance of the sample beyond the noise of one run, runs far off the law included."""

    def formula(self, logx: np.ndarray) -> np.ndarray:
        """Log loss (m,) by the law alone."""
        return log_loss(self.form, self.eta, logx)

    def slopes(self, logx: np.ndarray) -> np.ndarray:
        """Derivatives (k, m) of log loss by log theta."""
        theta = np.exp(self.eta)
        return residuals(self.form, theta[None], logx, np.zeros(len(logx)))[1][0] * theta[:, None]


@dataclass(frozen=True)
class Joint:
    """One form with one length (decades), amplitude and noise (sd of log loss), and its share."""

    law: Fitted
    length: float
    amplitude: float
    noise: float
    share: float

    def prior(self, x, gx, y, gy) -> np.ndarray:
        """Covariance of log losses at x and y before any run; g are the slopes there."""
        return (gx.T * self.law.prior_sd**2) @ gy + self.amplitude**2 * rbf(x, y, self.length)


@dataclass(frozen=True)
class Belief:
    """The posterior of the law with a discrepancy: a mixture of normals."""

    sample: Sample
    joints: tuple[Joint, ...]

    def formula(self, logx: np.ndarray) -> np.ndarray:
        """Log loss (m,) by the laws alone, averaged."""
        return np.asarray(sum(j.share * j.law.formula(logx) for j in self.joints))

    def draws(self, n: int, seed: int, logx: np.ndarray) -> np.ndarray:
        """Log losses (n, m) by n laws that are still possible."""
        rng = np.random.default_rng(seed)
        shares = [j.share for j in self.joints]
        which = rng.choice(len(shares), n, p=shares)
        rows = [
            self._laws(j, rng, int((which == i).sum()), logx) for i, j in enumerate(self.joints)
        ]
        return np.concatenate(rows)

    def _laws(self, joint: Joint, rng, n: int, logx: np.ndarray) -> np.ndarray:
        law, x = joint.law, self.sample.logx
        if not n:
            return np.empty((0, len(logx)))
        g = law.slopes(x)
        noise = np.diag(joint.noise**2 + law.extra)
        kernel = joint.amplitude**2 * rbf(x, x, joint.length) + noise
        precision = g @ np.linalg.solve(kernel, g.T) + np.diag(law.prior_sd**-2.0)
        root = np.linalg.cholesky(np.linalg.inv(precision))
        step = np.clip(rng.standard_normal((n, len(law.eta))) @ root.T, -3, 3)
        theta = np.clip(np.exp(law.eta + step), law.form.lower, law.form.upper)
        return np.log(np.maximum(law.form.evaluate(theta, logx)[0], 1e-300))

    def predict(self, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (m,) of the expected log loss at each point, without the noise of
        one run."""
        parts = [p.mean_variance(logx) for p in self.posteriors()]
        m, v = np.array([a for a, _ in parts]), np.array([b for _, b in parts])
        w = np.array([j.share for j in self.joints])[:, None]
        centre = (w * m).sum(0)
        return centre, (w * (v + (m - centre) ** 2)).sum(0)

    @property
    def noise(self) -> float:
        """Standard deviation of log loss over seeds, as believed."""
        return float(np.sqrt(sum(j.share * j.noise**2 for j in self.joints)))

    def posteriors(self) -> list[Posterior]:
        """The posterior of each joint."""
        return [Posterior.of(self.sample, j) for j in self.joints]


@dataclass(frozen=True)
class Posterior:
    """The normal of one joint after the sample; `root` is the Cholesky factor of the sample's
    covariance (n, n)."""

    joint: Joint
    logx: np.ndarray
    slopes: np.ndarray
    root: np.ndarray
    white: np.ndarray

    @classmethod
    def of(cls, sample: Sample, joint: Joint) -> Posterior:
        law = joint.law
        g = law.slopes(sample.logx)
        cov = joint.prior(sample.logx, g, sample.logx, g)
        cov[np.diag_indices_from(cov)] += joint.noise**2 + law.extra
        root = np.linalg.cholesky(cov)
        gap = sample.logy - law.formula(sample.logx) - g.T @ (law.prior_mean - law.eta)
        return cls(joint, sample.logx, g, root, _lower(root, gap))

    def with_runs(self, logx: np.ndarray, extra: np.ndarray) -> Posterior:
        """The same after runs at logx whose losses are not known: they are taken to come out as
        expected, which leaves every mean as it is and shrinks the variances."""
        if not len(logx):
            return self
        j = self.joint
        g = j.law.slopes(logx)
        cross = _lower(self.root, j.prior(self.logx, self.slopes, logx, g))
        own = j.prior(logx, g, logx, g) - cross.T @ cross
        own[np.diag_indices_from(own)] += j.noise**2 + extra
        n, m = len(self.root), len(logx)
        root = np.zeros((n + m, n + m))
        root[:n, :n], root[n:, :n], root[n:, n:] = self.root, cross.T, np.linalg.cholesky(own)
        white = np.concatenate([self.white, np.zeros(m)])
        x, slopes = np.concatenate([self.logx, logx]), np.concatenate([self.slopes, g], 1)
        return Posterior(j, x, slopes, root, white)

    def seen(self, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Slopes (k, m) of the points and their whitened covariance (n, m) with the sample."""
        g = self.joint.law.slopes(logx)
        return g, _lower(self.root, self.joint.prior(self.logx, self.slopes, logx, g))

    def mean_variance(self, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (m,) of the expected log loss."""
        law = self.joint.law
        g, cross = self.seen(logx)
        mean = law.formula(logx) + g.T @ (law.prior_mean - law.eta) + cross.T @ self.white
        return mean, self.variance(g, cross)

    def variance(self, g: np.ndarray, cross: np.ndarray) -> np.ndarray:
        """Variance (m,) at points with these slopes and whitened covariances; see `seen`."""
        own = self.joint.amplitude**2 + self.joint.law.prior_sd**2 @ (g * g)
        return np.maximum(own - (cross * cross).sum(0), 1e-18)

    def covariance(self, a: np.ndarray, b: np.ndarray, seen_a, seen_b) -> np.ndarray:
        """Posterior covariance (m, q) of expected log losses at two sets of points."""
        (ga, ca), (gb, cb) = seen_a, seen_b
        return self.joint.prior(a, ga, b, gb) - ca.T @ cb


def log_loss(model: Form, eta, x) -> np.ndarray:
    """Log loss (n,) by the law with log coefficients eta at log variables x (n, p)."""
    return np.log(np.maximum(model.evaluate(np.exp(eta)[None], x)[0][0], 1e-300))


def rbf(a: np.ndarray, b: np.ndarray, length: float) -> np.ndarray:
    """Correlations (n, m) at log variables a (n, p) and b (m, p); length in decades."""
    scale = length * np.log(10)
    a, b = a / scale, b / scale
    d = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    return np.exp(-0.5 * np.maximum(d, 0))


def _lower(root: np.ndarray, b: np.ndarray) -> np.ndarray:
    """root^-1 b for a lower triangular root."""
    from scipy.linalg import solve_triangular

    return solve_triangular(root, b, lower=True, check_finite=False)
