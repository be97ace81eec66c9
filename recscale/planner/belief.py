"""What the runs so far say of any other run: a joint normal over log losses, in milliseconds.

    log loss = log f(x; theta) + d(log x) + noise,   d ~ GP(0, amplitude^2 RBF(length))

The model is that of `recscale.laws.discrepancy`, which makes the intervals people read. Here the
law is linear in log theta about its posterior mode, so that the variance of every candidate, and
how far it would fall at the target if the candidate were run, cost one Cholesky factor each.
A run's variance does not depend on its loss: runs under way count by their place alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recscale.laws.choice import build
from recscale.laws.forms import Form
from recscale.laws.nouns import Points
from recscale.laws.polish import residuals

LENGTHS = (0.4, 1.0)  # decades
AMPLITUDES = (0.001, 0.003, 0.01, 0.03, 0.1)  # share of the range of log loss over the runs
NOISES = (0.3, 1.0)  # times the spread of the residuals
ORIGINS = (0.5, 0.75)  # the cheapest share foretells the rest
EVIDENCE = 10  # the most an origin counts for: its errors share one extrapolation
KEPT = 3  # combinations that the answer mixes
SCATTER, SCATTER_DF = 0.005, 2  # prior guess of the noise of one run, and what it counts for
OUTLIER = 3.0  # spreads beyond which a run's noise is taken as larger
STARTS = 6


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
        return _law(self.form, self.eta, logx)

    def slopes(self, logx: np.ndarray) -> np.ndarray:
        """Derivatives (k, m) of log loss by log theta."""
        return _slopes(self.form, self.eta, logx)


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
        return (gx.T * self.law.prior_sd**2) @ gy + self.amplitude**2 * _rbf(x, y, self.length)


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
        kernel = joint.amplitude**2 * _rbf(x, x, joint.length) + noise
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


def believe(
    form: str,
    variables: tuple[str, ...],
    sample: Sample,
    discrepancy: bool = True,
    rough: Fitted | None = None,
) -> Belief:
    """The belief after a sample of at least one run.

    An additive law is mixed with the gamma law by how well each foretells dearer runs from
    cheaper ones. Without `discrepancy` the one form is taken as exact, as textbook designs do.
    `rough` is the answer of `exact` where the caller has it.
    """
    names = ["additive", "gamma"] if form in ("additive", "auto") else [form]
    if len(variables) == 1 or not discrepancy:
        names = names[:1]
    n, laws, scores, scales = len(sample.logy), [], [], []
    for name in names:
        model = _model(name, variables, sample)
        mu, sd = model.prior(np.exp(sample.logy))
        start = (rough or exact(form, variables, sample)).eta
        if len(start) < len(mu):
            start = np.r_[start, 0.0]  # gamma 1
        eta, noise, trust = _fit(model, sample, mu, sd, start=start)
        law = Fitted(model, eta, mu, sd, sample.extra + noise**2 * (1 / trust - 1))
        span = max(float(np.ptp(law.formula(sample.logx))), noise, 1e-6) if n else 1.0
        laws.append(law)
        scales.append((span, noise))
        if not discrepancy:
            return Belief(sample, (Joint(law, LENGTHS[0], 0.0, noise, 1.0),))
        scores.append(_scores(law, sample, span, noise))
    total = np.concatenate(scores)
    share = np.exp(total - total.max())
    best = np.argsort(-share, kind="stable")[:KEPT]
    share, grid = share[best] / share[best].sum(), combinations()
    joints = []
    for at, weight in zip(best, share, strict=True):
        which, row = divmod(int(at), len(grid))
        (span, noise), (length, amplitude, scale) = scales[which], grid[row]
        joints.append(
            Joint(laws[which], length, amplitude * span, scale * noise, float(weight))
        )  # fmt: skip
    return Belief(sample, tuple(joints))


def exact(form: str, variables: tuple[str, ...], sample: Sample) -> Fitted:
    """The law alone at its posterior mode: enough to see where the frontier runs."""
    model = _model("additive" if form == "auto" else form, variables, sample)
    mu, sd = model.prior(np.exp(sample.logy))
    eta, _, _ = _fit(model, sample, mu, sd)
    return Fitted(model, eta, mu, sd, sample.extra)


def _model(name: str, variables: tuple[str, ...], sample: Sample) -> Form:
    n = len(sample.logy)
    codes = np.arange(n)
    points = Points(
        variables, "loss", sample.logx, np.exp(sample.logy), np.ones(n), codes,
        sample.order.astype(float), codes,
    )  # fmt: skip
    return build(name, points)


def combinations() -> np.ndarray:
    """(h, 3) of length, amplitude, noise."""
    return np.array([(a, b, c) for a in LENGTHS for b in AMPLITUDES for c in NOISES])


def _scores(law: Fitted, sample: Sample, span: float, noise: float) -> np.ndarray:
    """Log score (h,) of each combination on dearer runs foretold from cheaper ones."""
    grid, order = combinations(), sample.order
    n, total = len(order), np.zeros(len(combinations()))
    for share in ORIGINS:
        cut = int(round(share * n))
        if cut < 3 or n - cut < 1:
            continue
        cheap, dear = order[:cut], order[cut:]
        seen = Sample(sample.logx[cheap], sample.logy[cheap], law.extra[cheap], np.arange(cut))
        mu, sd = law.prior_mean, law.prior_sd
        early, _, _ = _fit(law.form, seen, mu, sd, start=law.eta)
        past = Fitted(law.form, early, mu, sd, seen.extra)
        mean, var = _foretell(past, seen, sample.logx[dear], span, noise, grid)
        var = var + (grid[:, 2] * noise)[:, None] ** 2 + law.extra[dear]
        density = -0.5 * ((sample.logy[dear] - mean) ** 2 / var + np.log(2 * np.pi * var))
        total += density.mean(1) * min(n - cut, EVIDENCE)
    return total


def _foretell(law: Fitted, seen: Sample, new, span: float, noise: float, grid):
    """Mean and variance (h, m) at new points, one row a combination; one eigenvalue problem a
    length serves all its amplitudes and noises."""
    sd, off = law.prior_sd, law.prior_mean - law.eta
    g, gn = law.slopes(seen.logx), law.slopes(new)
    gap = seen.logy - law.formula(seen.logx) - g.T @ off
    base = law.formula(new) + gn.T @ off
    root = noise / np.sqrt(noise**2 + seen.extra)
    mean, var = np.empty((len(grid), len(new))), np.empty((len(grid), len(new)))
    for length in np.unique(grid[:, 0]):
        values, q = np.linalg.eigh(_rbf(seen.logx, seen.logx, length) * root[:, None] * root)
        values = np.maximum(values, 0.0)
        qt = q.T * root
        cross = _rbf(new, seen.logx, length) @ qt.T
        gq, rq = g @ qt.T, qt @ gap
        for row in np.flatnonzero(grid[:, 0] == length):
            amp2, noise2 = (grid[row, 1] * span) ** 2, (grid[row, 2] * noise) ** 2
            inverse = 1 / (amp2 * values + noise2)
            precision = (gq * inverse) @ gq.T + np.diag(sd**-2.0)
            step = np.linalg.solve(precision, (gq * inverse) @ rq)
            gain = amp2 * cross * inverse
            mean[row] = base + gn.T @ step + gain @ (rq - gq.T @ step)
            rest = gn - gq @ gain.T
            own = np.maximum(amp2 - (gain * (amp2 * cross)).sum(1), 0)
            var[row] = own + (rest * np.linalg.solve(precision, rest)).sum(0)
    return mean, var


def _fit(model: Form, sample: Sample, mu, sd, start: np.ndarray | None = None):
    """Mode of log theta (k,), the noise of one run, and trust (n,): 1 for a run that lies on the
    law and less for one far off."""
    x, logy, n, k = sample.logx, sample.logy, len(sample.logy), len(mu)
    noise, trust = 3 * SCATTER, np.ones(n)
    if start is None:
        own = model.starts_each(x, np.exp(logy)[None], np.ones((1, n)))[0]
        own = np.clip(np.log(np.maximum(own, 1e-300)), mu - 2 * sd, mu + 2 * sd)
        spread = np.random.default_rng(0).uniform(-1, 1, (STARTS, k)) * np.minimum(sd, 1.0)
        etas = np.concatenate([own, mu[None], mu + spread])
    else:
        etas = start[None]
    for round_ in range(3):
        scale = trust / (noise**2 + sample.extra)
        etas, value = _descend(model, etas, x, logy, scale, mu, sd, 40 if round_ == 0 else 12)
        etas = etas[[int(np.argmin(value))]]
        r = np.abs(_law(model, etas[0], x) - logy)
        weight = trust * SCATTER**2 / (SCATTER**2 + sample.extra)
        free = max(float(weight.sum()) - k, 0.0)
        noise = float(np.sqrt((SCATTER_DF * SCATTER**2 + (weight * r * r).sum())
                              / (SCATTER_DF + free)))  # fmt: skip
        middle = 1.4826 * float(np.median(r)) * np.sqrt(n / max(n - k, 0.25 * n))
        noise = max(min(noise, max(middle, SCATTER)) if n > 2 * k else noise, 1e-4)
        limit = OUTLIER * np.sqrt(noise**2 + sample.extra)
        trust = np.minimum(1.0, limit / np.maximum(r, 1e-12)) ** 2
    return etas[0], noise, trust


def _descend(model: Form, eta, x, logy, scale, mu, sd, rounds: int):
    """Posterior modes (b, k) and their costs from starts (b, k) by damped Gauss-Newton steps."""
    b, k = eta.shape
    eta, lam = eta.copy(), np.full(b, 1e-2)

    def look(eta):
        with np.errstate(over="ignore"):
            r, jac, _ = residuals(model, np.exp(eta), x, logy)
            jac = jac * np.exp(eta)[:, :, None]
        value = (scale * r * r).sum(1) + (((eta - mu) / sd) ** 2).sum(1)
        return r, jac, np.where(np.isfinite(value), value, np.inf)

    r, jac, value = look(eta)
    for _ in range(rounds):
        weighted = jac * scale
        grad = np.einsum("bkn,bn->bk", weighted, r) + (eta - mu) / sd**2
        hess = np.matmul(weighted, jac.transpose(0, 2, 1)) + np.diag(sd**-2.0)
        hess[:, np.arange(k), np.arange(k)] *= 1 + lam[:, None]
        step = -np.linalg.solve(hess, grad[:, :, None])[:, :, 0]
        trial = eta + np.clip(step, -2, 2)
        r2, jac2, value2 = look(trial)
        better = value2 < value
        gain = np.where(better, value - value2, 0.0)
        eta[better], r[better], jac[better] = trial[better], r2[better], jac2[better]
        value = np.where(better, value2, value)
        lam = np.where(better, lam * 0.2, lam * 8)
        if ((gain < 1e-5 * (1 + value)) & (better | (lam > 1e6))).all():
            break
    return eta, value


def _law(model: Form, eta, x) -> np.ndarray:
    return np.log(np.maximum(model.evaluate(np.exp(eta)[None], x)[0][0], 1e-300))


def _slopes(model: Form, eta, x) -> np.ndarray:
    theta = np.exp(eta)
    return residuals(model, theta[None], x, np.zeros(len(x)))[1][0] * theta[:, None]


def _rbf(a: np.ndarray, b: np.ndarray, length: float) -> np.ndarray:
    scale = length * np.log(10)
    a, b = a / scale, b / scale
    d = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    return np.exp(-0.5 * np.maximum(d, 0))


def _lower(root: np.ndarray, b: np.ndarray) -> np.ndarray:
    """root^-1 b for a lower triangular root."""
    from scipy.linalg import solve_triangular

    return solve_triangular(root, b, lower=True, check_finite=False)
