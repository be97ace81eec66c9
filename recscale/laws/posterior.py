"""The normal of one combination after the runs: joint over any points, in closed form.

A run's variance does not depend on its loss: runs in flight count by their place alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recscale.laws.gridded import COMBINATIONS, Gridded
from recscale.laws.kernels import Kernel
from recscale.laws.modes import Fitted, Sample


@dataclass(frozen=True)
class Joint:
    """One form with one kernel, amplitude and noise (sd of log loss), and its share.

    Attributes:
        law: the form at its mode.
        centre: (p,) of the kernel.
    """

    law: Fitted
    kernel: Kernel
    centre: np.ndarray
    amplitude: float
    noise: float
    share: float

    @classmethod
    def of(cls, form: Gridded, row: int, share: float) -> Joint:
        """A row of the grid of a form."""
        kernel, amplitude, noise = COMBINATIONS[row]
        centre, law = form.sample.logx.mean(0), form.law
        return cls(law, kernel, centre, amplitude * form.span, noise * law.noise, share)

    def prior(self, x, gx, y, gy) -> np.ndarray:
        """Covariance of log losses at x and y before any run; g are the slopes there."""
        wander = self.amplitude**2 * self.kernel.between(x, y, self.centre)
        return (gx.T * self.law.prior_sd**2) @ gy + wander

    def own(self, x: np.ndarray, g: np.ndarray) -> np.ndarray:
        """The diagonal of `prior` at x."""
        return self.amplitude**2 * self.kernel.own(x, self.centre) + self.law.prior_sd**2 @ (g * g)

    def one_run(self, logx: np.ndarray) -> np.ndarray:
        """(m,) variance of one run at log points about what is expected of it."""
        return (self.noise * self.law.scatter(logx)) ** 2

    def noises(self, sample: Sample) -> np.ndarray:
        """(n,) variance of each row of the sample about what is expected of it: of the runs that
        it stands for, more where it is far off the law."""
        scale = (self.noise / self.law.noise) ** 2
        return scale * (self.law.noise**2 * self.law.units(sample) + self.law.extra)


@dataclass(frozen=True)
class Posterior:
    """`root` is the Cholesky factor of the sample's covariance (n, n), `white` (n,) its gaps from
    the law turned by it."""

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
        cov[np.diag_indices_from(cov)] += joint.noises(sample)
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
        own[np.diag_indices_from(own)] += j.one_run(logx) + extra
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

    def mean(self, logx: np.ndarray, g: np.ndarray, cross: np.ndarray) -> np.ndarray:
        """Expected log loss (m,) at points with these slopes and covariances; see `seen`."""
        law = self.joint.law
        return law.formula(logx) + g.T @ (law.prior_mean - law.eta) + cross.T @ self.white

    def moments(self, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (m,) and covariance (m, m) of the expected log losses."""
        seen = self.seen(logx)
        return self.mean(logx, *seen), self.covariance(logx, logx, seen, seen)

    def variance(self, logx: np.ndarray, g: np.ndarray, cross: np.ndarray) -> np.ndarray:
        """The diagonal (m,) of `covariance`."""
        return np.maximum(self.joint.own(logx, g) - (cross * cross).sum(0), 1e-18)

    def covariance(self, a: np.ndarray, b: np.ndarray, seen_a, seen_b) -> np.ndarray:
        """Posterior covariance (m, q) of expected log losses at two sets of points."""
        (ga, ca), (gb, cb) = seen_a, seen_b
        return self.joint.prior(a, ga, b, gb) - ca.T @ cb

    def laws(self, rng: np.random.Generator, n: int, logx: np.ndarray) -> np.ndarray:
        """Log losses (n, m) by n draws of the law's constants."""
        if not n:
            return np.empty((0, len(logx)))
        law, g = self.joint.law, self.slopes
        # the constants' covariance with the sample: their prior through the slopes
        cross = _lower(self.root, (g.T * law.prior_sd**2))
        cov = np.diag(law.prior_sd**2) - cross.T @ cross
        values, q = np.linalg.eigh(cov)
        z = rng.standard_normal((n, len(law.eta))) @ (q * np.sqrt(np.maximum(values, 0.0))).T
        theta = np.clip(np.exp(law.eta + np.clip(z, -3, 3)), law.form.lower, law.form.upper)
        return np.log(np.maximum(law.form.evaluate(theta, logx)[0], 1e-300))


def _lower(root: np.ndarray, b: np.ndarray) -> np.ndarray:
    """root^-1 b for a lower triangular root."""
    from scipy.linalg import solve_triangular

    return solve_triangular(root, b, lower=True, check_finite=False)
