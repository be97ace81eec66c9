"""The normal of one combination after the runs: joint over any points, in closed form.

A run's variance does not depend on its loss: runs in flight count by their place alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recscale.laws.gridded import COMBINATIONS, Gridded
from recscale.laws.kernels import Kernel
from recscale.laws.modes import Fitted, Sample
from recscale.laws.trainings import alike, along


@dataclass(frozen=True)
class Rows:
    """Runs, done or not: log points (n, p), codes of their trainings (n,), -1 of a training of one
    point, and how many runs each row stands for (n,)."""

    logx: np.ndarray
    codes: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, logx: np.ndarray, codes: np.ndarray | None = None) -> Rows:
        """One run each."""
        n = len(logx)
        return cls(logx, np.full(n, -1) if codes is None else codes, np.ones(n))

    def take(self, at: Sequence[int] | np.ndarray) -> Rows:
        at = np.asarray(at, int)
        return Rows(self.logx[at], self.codes[at], self.counts[at])

    def and_(self, more: Rows) -> Rows:
        return Rows(
            np.concatenate([self.logx, more.logx]),
            np.concatenate([self.codes, more.codes]),
            np.concatenate([self.counts, more.counts]),
        )


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

    def alone(self, runs: Rows) -> np.ndarray:
        """(m,) variance of runs about what is expected of them, without what they have in common
        with others of their trainings."""
        share = 1 - self.law.shared * (runs.codes >= 0)
        return share * (self.noise * self.law.scatter(runs.logx)) ** 2 / runs.counts

    def noises(self, sample: Sample) -> np.ndarray:
        """(n, n) covariance of the rows of the sample about what is expected of them: less of rows
        that stand for several runs, more where one is far off the law."""
        return self.noise**2 * self.law.between(sample)

    def common(self, a: Rows, b: Rows) -> np.ndarray:
        """(n, m) what trainings do to points of theirs alike."""
        if not self.law.shared:
            return np.zeros((len(a.logx), len(b.logx)))
        root, other = (self.law.scatter(r.logx) / np.sqrt(r.counts) for r in (a, b))
        together = alike(a.codes, a.logx, b.codes, b.logx)
        return self.noise**2 * self.law.shared * together * root[:, None] * other


@dataclass(frozen=True)
class Posterior:
    """`root` is the Cholesky factor of the sample's covariance (n, n), `white` (n,) its gaps from
    the law turned by it; `rows` are the sample's, `slopes` (k, n) the law's there."""

    joint: Joint
    rows: Rows
    slopes: np.ndarray
    root: np.ndarray
    white: np.ndarray

    @classmethod
    def of(cls, sample: Sample, joint: Joint) -> Posterior:
        law = joint.law
        g = law.slopes(sample.logx)
        cov = joint.prior(sample.logx, g, sample.logx, g)
        cov += joint.noises(sample)
        root = np.linalg.cholesky(cov)
        gap = sample.logy - law.formula(sample.logx) - g.T @ (law.prior_mean - law.eta)
        rows = Rows(sample.logx, sample.codes, sample.counts)
        return cls(joint, rows, g, root, _lower(root, gap))

    def with_runs(self, new: Rows, extra: np.ndarray) -> Posterior:
        """The same after runs whose losses are not known: they are taken to come out as expected,
        which leaves every mean as it is and shrinks the variances."""
        logx = new.logx
        if not len(logx):
            return self
        j = self.joint
        g, cross = self.measured(new)
        own = j.prior(logx, g, logx, g) + j.common(new, new) - cross.T @ cross
        own[np.diag_indices_from(own)] += j.alone(new) + extra
        n, m = len(self.root), len(logx)
        root = np.zeros((n + m, n + m))
        root[:n, :n], root[n:, :n], root[n:, n:] = self.root, cross.T, np.linalg.cholesky(own)
        white = np.concatenate([self.white, np.zeros(m)])
        return Posterior(j, self.rows.and_(new), np.concatenate([self.slopes, g], 1), root, white)

    def measured(self, new: Rows) -> tuple[np.ndarray, np.ndarray]:
        """As `seen`, of what runs at these points would measure: what their trainings do to them
        is in it."""
        g = self.joint.law.slopes(new.logx)
        cov = self.joint.prior(self.rows.logx, self.slopes, new.logx, g)
        return g, _lower(self.root, cov + self.joint.common(self.rows, new))

    def seen(self, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Slopes (k, m) of the points and their whitened covariance (n, m) with the sample."""
        g = self.joint.law.slopes(logx)
        return g, _lower(self.root, self.joint.prior(self.rows.logx, self.slopes, logx, g))

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

    def within(self, new: Rows, seen, extra: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Posterior covariances (t, k, k) of what runs at new points would measure, of each group
        (t, k) of positions among them; where a group has -1 its row is that of the unit matrix.

        seen: of `measured` at these points; extra: (m,) variance beyond a run's own.
        """
        (g, cross), j = seen, self.joint
        (t, k), there = groups.shape, groups >= 0
        x, codes = new.logx[groups], new.codes[groups]
        alone = j.alone(new) + extra
        root = np.sqrt(j.law.shared) * j.noise * j.law.scatter(new.logx) / np.sqrt(new.counts)
        out = np.zeros((t, k, k))
        for a in range(k):
            for b in range(a + 1):
                one, two = groups[:, a], groups[:, b]
                wander = j.kernel.pairs(x[:, a], x[:, b], j.centre)
                cov = j.amplitude**2 * wander - (cross[:, one] * cross[:, two]).sum(0)
                cov += j.law.prior_sd**2 @ (g[:, one] * g[:, two])
                cov += root[one] * root[two] * along(x[:, a], x[:, b]) * (codes[:, a] >= 0)
                out[:, a, b] = out[:, b, a] = np.where(there[:, a] & there[:, b], cov, 0.0)
            own = np.maximum(out[:, a, a], 1e-18) + alone[groups[:, a]]
            out[:, a, a] = np.where(there[:, a], own, 1.0)
        return out

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
