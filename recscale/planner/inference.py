"""From finished runs to a belief: the law's posterior mode, and how far to trust its form.

The forms, lengths, amplitudes and noises are mixed by how well each foretells dearer runs from
cheaper ones (rolling origin), as `recscale.laws.discrepancy` does for the intervals people read.
"""

from __future__ import annotations

import numpy as np

from recscale.laws.choice import build
from recscale.laws.forms import Form
from recscale.laws.nouns import Points
from recscale.laws.polish import residuals
from recscale.planner.belief import Belief, Fitted, Joint, Sample, log_loss, rbf

LENGTHS = (0.4, 1.0)  # decades
AMPLITUDES = (0.001, 0.003, 0.01, 0.03, 0.1)  # share of the range of log loss over the runs
NOISES = (0.3, 1.0)  # times the spread of the residuals
ORIGINS = (0.5, 0.75)  # the cheapest share foretells the rest
EVIDENCE = 10  # the most an origin counts for: its errors share one extrapolation
KEPT = 3  # combinations that the answer mixes
SCATTER, SCATTER_DF = 0.005, 2  # prior guess of the noise of one run, and what it counts for
OUTLIER = 3.0  # spreads beyond which a run's noise is taken as larger
STARTS = 6


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
        values, q = np.linalg.eigh(rbf(seen.logx, seen.logx, length) * root[:, None] * root)
        values = np.maximum(values, 0.0)
        qt = q.T * root
        cross = rbf(new, seen.logx, length) @ qt.T
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
        r = np.abs(log_loss(model, etas[0], x) - logy)
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
