"""Rolling origins: what each combination predicted of the runs that were not yet known.

Origins are the cheapest shares of the runs, and those small in one variable. A forecast is judged
with what was known when it was made: the modes, and which runs lie far off the law, are found anew
from the known runs alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recscale.laws.gridded import Gridded
from recscale.laws.kernels import DECADE
from recscale.laws.learnt import TRUST
from recscale.laws.modes import Fitted, Sample, mode

CHEAPEST = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SMALLEST = (0.5, 0.75)  # quantiles of each variable
NEAR = 0.15  # decades beyond the known runs, under which distances are alike
ALIKE = 1.0  # log of the ratio of two distances at which forecasts count .6 for one another
# fewest and most runs an origin counts for: where none reached as far the nearer ones are all there
# is, and the errors of many share one extrapolation
EVIDENCE = (3, 10)
TAILS = 5  # degrees of freedom of the score: one run far off must not decide


@dataclass(frozen=True)
class Past:
    """What each combination predicted from one origin, and what came.

    Attributes:
        decades: (r, p) of the predicted runs beyond the known ones.
        score: (h, r) log density of what was measured.
        count: (r,) runs that each row stands for.
    """

    decades: np.ndarray
    score: np.ndarray
    count: np.ndarray


def past_of(sample: Sample, laws: tuple[Fitted, ...]) -> tuple[Past, ...]:
    """Every origin of a sample that leaves enough runs to predict from, and some to predict."""
    out = []
    for known in origins(sample):
        seen, rest = sample.take(known), sample.take(~known)
        forms = [Gridded.of(mode(law.form, seen, law.eta), seen) for law in laws]
        score = np.concatenate([_score(form, rest) for form in forms])
        decades = np.maximum(rest.logx - seen.logx.max(0), 0.0) / DECADE
        out.append(Past(decades, score, rest.counts))
    return tuple(out)


def origins(sample: Sample) -> list[np.ndarray]:
    """Masks (n,) of the known runs, each once."""
    n, p = sample.logx.shape
    masks = []
    for share in CHEAPEST:
        known = np.zeros(n, bool)
        known[sample.order[: int(round(share * n))]] = True
        masks.append(known)
    if p > 1:
        for i in range(p):
            ends = np.quantile(sample.logx[:, i], SMALLEST)
            masks += [sample.logx[:, i] <= end + 1e-9 for end in ends]
    different = {known.tobytes(): known for known in masks}
    return [known for known in different.values() if p + 3 <= known.sum() < n]


def _score(form: Gridded, rest: Sample) -> np.ndarray:
    from scipy.special import gammaln

    mean, var = form.predict(rest.logx)
    var = var + form.noises(rest.logx) ** 2 / rest.counts + rest.extra
    constant = gammaln((TAILS + 1) / 2) - gammaln(TAILS / 2) - 0.5 * np.log(TAILS * np.pi)
    tail = (TAILS + 1) / 2 * np.log1p((rest.logy - mean) ** 2 / (TAILS * var))
    return constant - tail - 0.5 * np.log(var)


def weights(
    past: tuple[Past, ...], decades: np.ndarray, combinations: int, *, whole: bool = False
) -> np.ndarray:
    """Share (h, m) of each of h combinations for m new runs `decades` (m, p) beyond the known
    ones; alike before any forecast. `whole`: log densities count in full."""
    total = np.zeros((combinations, len(decades)))
    for p in past:
        alike = _alike(p.decades, decades) * p.count[:, None]
        count = np.clip(alike.sum(0), *EVIDENCE)
        total += (1.0 if whole else TRUST) * (p.score @ (alike / alike.sum(0))) * count
    share = np.exp(total - total.max(0))
    return share / share.sum(0)


def _alike(past: np.ndarray, new: np.ndarray) -> np.ndarray:
    """By how much each past forecast (r, p) counts for each new run (m, p), by distance, (r, m)."""
    ratio = np.log((past[:, None] + NEAR) / (new[None] + NEAR))
    return np.exp(-0.5 * (ratio**2).sum(-1) / ALIKE**2) + 1e-9
