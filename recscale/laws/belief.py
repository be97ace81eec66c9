"""What the runs so far say of any other run: one posterior that everything else reads.

    log loss = log f(x; theta) + d(log x) + noise,   d ~ GP(0, amplitude^2 kernel)

No formula is exact, and resampling its constants cannot show by how much: bands made that way
cover a quarter to two thirds of new runs when 90 % is asked. Here theta has weak priors, d a grid
of kernels and amplitudes, the noise a few sizes (`gridded`), and an additive law stands beside the
gamma law, for how shortages add up is the part of the formula that is least sure. Each combination
counts by how well it predicted expensive runs from cheap ones, and runs large in one variable from
those small in it (`origins`); for a new run those forecasts count most that reached as far beyond
their runs, variable by variable, as it lies beyond all. Kennedy and O'Hagan 2001 for the model,
Gneiting and Raftery 2007 for the log score, Dawid 1984 for judging forecasts by what was known
when they were made. By how much all this is too narrow near the runs and beyond them no table
can show of itself: that is `learnt` from published ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recscale.laws.gridded import COMBINATIONS, Gridded
from recscale.laws.kernels import DECADE, Kernel
from recscale.laws.learnt import DRIFT, FLOOR, SPREAD
from recscale.laws.modes import Sample
from recscale.laws.origins import Past, weights
from recscale.laws.posterior import Joint, Posterior

FEWEST_DF = 3  # degrees of freedom: below, Student's distribution has no variance
STANDING = 64  # combinations that draws are made from, at most
LIKELY = 3  # combinations that choose the next run
MOST = 64  # points that say together which combinations count
# How near two runs share what no combination sees: 40 to 78 % of the squared error of predictions
# is one bias of the whole table (31 published tables, 2026-11-29)
SHARED = Kernel("rbf", 1.3)
HERE = Kernel("rbf", 0.1)  # a run this near has measured what no combination sees


@dataclass(frozen=True)
class Belief:
    """The posterior of the law with a discrepancy: a mixture of normals.

    Attributes:
        sample: the runs it is of.
        forms: each form after the sample.
        past: what was predicted from each origin.
    """

    sample: Sample
    forms: tuple[Gridded, ...]
    past: tuple[Past, ...]

    @property
    def constants(self) -> int:
        """Of the form that has most."""
        return max(len(g.law.eta) for g in self.forms)

    @property
    def df(self) -> int:
        """Degrees of freedom of Student's distribution: runs less constants."""
        return max(round(self.sample.counts.sum()) - self.constants, FEWEST_DF)

    @property
    def noise(self) -> float:
        """Standard deviation of log loss of one run about what is expected of it, of the most
        expensive."""
        at = self.sample.logx[self.sample.order[-1:]]
        return float(np.sqrt((self.shares(at) * self._noises(at) ** 2).sum()))

    def _noises(self, logx: np.ndarray) -> np.ndarray:
        return np.concatenate([g.noises(logx) for g in self.forms])

    def shares(self, logx: np.ndarray) -> np.ndarray:
        """How much each combination counts (h, m) at log points (m, p)."""
        return weights(self.past, self.beyond(logx), len(self.forms) * len(COMBINATIONS))

    def beyond(self, logx: np.ndarray) -> np.ndarray:
        """Decades (m, p) beyond the largest run, variable by variable."""
        return np.maximum(logx - self.sample.logx.max(0), 0.0) / DECADE

    def formula(self, logx: np.ndarray) -> np.ndarray:
        """Log loss (m,) by the laws alone, averaged."""
        share = self.shares(logx.mean(0)[None]).reshape(len(self.forms), -1).sum(1)
        return share @ np.array([g.law.formula(logx) for g in self.forms])

    def predict(self, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (m,) of the expected log loss at each point, without the noise of
        one run."""
        share, (mean, var) = self.shares(logx), self._parts(logx)
        centre = (share * mean).sum(0)
        inner = (share * (var + (mean - centre) ** 2)).sum(0)
        return centre, SPREAD**2 * inner + self._apart(logx)

    def interval(self, logx: np.ndarray, level: float) -> tuple[np.ndarray, ...]:
        """Median, low and high (m,) of the loss of one new run at each point."""
        share, (mean, var) = self.shares(logx), self._parts(logx)
        centre = (share * mean).sum(0)
        mean = centre + SPREAD * (mean - centre)
        var = SPREAD**2 * var + self._noises(logx) ** 2 + self._apart(logx)
        keep = (share > 1e-3 * share.max(0)).any(1)
        return quantiles(mean[keep], np.sqrt(var[keep]), share[keep], self.df, level)

    def draws(self, n: int, seed: int, logx: np.ndarray) -> np.ndarray:
        """Expected log losses (n, m) at m points at once: what one point is off by, its neighbours
        share, so that differences have their own, narrower spread."""
        rng = np.random.default_rng(seed)
        posteriors = self._standing(logx)
        share = np.array([p.joint.share for p in posteriors])
        count = rng.multinomial(n, share / share.sum())
        apart = self._apart_between(logx)
        moments = [p.moments(logx) for p in posteriors]
        centre = sum(s * m for s, (m, _) in zip(share / share.sum(), moments, strict=True))
        rows = []
        for k, (mean, cov) in zip(count, moments, strict=True):
            cov = SPREAD**2 * cov + apart
            rows.append(centre + SPREAD * (mean - centre) + _normal(rng, int(k), cov, self.df))
        return np.concatenate(rows)

    def laws(self, n: int, seed: int, logx: np.ndarray) -> np.ndarray:
        """Log losses (n, m) by n laws that are still possible, discrepancy left aside."""
        rng = np.random.default_rng(seed)
        posteriors = self.posteriors(logx)
        count = rng.multinomial(n, [p.joint.share for p in posteriors])
        return np.concatenate(
            [p.laws(rng, int(k), logx) for p, k in zip(posteriors, count, strict=True)]
        )

    def posteriors(self, logx: np.ndarray) -> list[Posterior]:
        """The combinations that predicted best as far out as log points (m, p), each forecast
        counted in full: by them the next run is chosen. Intervals hedge, choices need not: under
        the wider ones no affordable run seems to tell anything."""
        some = self.beyond(logx[:MOST])
        share = weights(self.past, some, len(self.forms) * len(COMBINATIONS), whole=True).mean(1)
        best = np.argsort(-share, kind="stable")[:LIKELY]
        return [self._posterior(at, share[at] / share[best].sum()) for at in best]

    def _standing(self, logx: np.ndarray) -> list[Posterior]:
        """Combinations that stand for all at log points (m, p): from the surest to the least sure,
        one at the middle of each equal part of the shares, at the point furthest beyond the runs:
        nearer ones are held by the runs whatever counts."""
        far = logx[[int(self.beyond(logx).sum(1).argmax())]]
        share, (_, var) = self.shares(far)[:, 0], self._parts(far)
        order = np.argsort(var[:, 0], kind="stable")
        middles = (np.arange(STANDING) + 0.5) / STANDING
        at = order[np.searchsorted(np.cumsum(share[order]), middles)]
        once, count = np.unique(at, return_counts=True)
        return [self._posterior(a, c / STANDING) for a, c in zip(once, count, strict=True)]

    def _posterior(self, at: int, share: float) -> Posterior:
        which, row = divmod(int(at), len(COMBINATIONS))
        return Posterior.of(self.sample, Joint.of(self.forms[which], row, float(share)))

    def _parts(self, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (h, m) by each combination."""
        means, variances = zip(*(g.predict(logx) for g in self.forms), strict=True)
        return np.concatenate(means), np.concatenate(variances)

    def _apart(self, logx: np.ndarray) -> np.ndarray:
        """Variance (m,) beyond the combinations' own; the diagonal of `_apart_between`."""
        floor, drift = self._learnt(logx)
        return floor**2 + (drift**2).sum(1)

    def _apart_between(self, logx: np.ndarray) -> np.ndarray:
        """Covariance (m, m): a floor that near runs share, and a drift beyond the runs that runs
        in one direction share."""
        floor, drift = self._learnt(logx)
        near = SHARED.between(logx, logx, logx.mean(0))
        return floor[:, None] * floor * near + drift @ drift.T

    def _learnt(self, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Standard deviations of the floor (m,), and of the drift (m, p) along each variable."""
        amplitudes = np.concatenate([g.amplitudes for g in self.forms])
        amplitude = np.sqrt(amplitudes**2 @ self.shares(logx))
        noise = np.max([g.law.noise * g.law.scatter(logx) for g in self.forms], axis=0)
        away = 1 - HERE.between(logx, self.sample.logx, logx.mean(0)).max(1) ** 2
        return FLOOR * noise * np.sqrt(away), DRIFT * amplitude[:, None] * self.beyond(logx)


def _normal(rng, n: int, cov: np.ndarray, df: int) -> np.ndarray:
    """n draws (n, m) of a multivariate Student's with this scale matrix about 0."""
    values, q = np.linalg.eigh(cov)
    z = rng.standard_normal((n, len(cov))) @ (q * np.sqrt(np.maximum(values, 0.0))).T
    return z * np.sqrt(df / rng.chisquare(df, n))[:, None]


def quantiles(mean, sd, share, df: int, level: float) -> tuple[np.ndarray, ...]:
    """Median and central interval (m,) of a mixture of Student's in log loss, exponentiated.

    mean, sd, share: (h, m).
    """
    from scipy.special import stdtr, stdtrit  # here: a fit without predictions starts sooner

    share, ends = share / share.sum(0), []
    for tail in (0.5, (1 - level) / 2, (1 + level) / 2):
        each = mean + sd * stdtrit(df, tail)  # the mixture's end lies among its parts'
        a, b = each.min(0), each.max(0)
        for _ in range(60):
            mid = (a + b) / 2
            under = (share * stdtr(df, (mid - mean) / sd)).sum(0) < tail
            a, b = np.where(under, mid, a), np.where(under, b, mid)
        ends.append((a + b) / 2)
    middle, low, high = ends
    return np.exp(middle), np.exp(low), np.exp(high)
