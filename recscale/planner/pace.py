"""How long runs take: the price list's estimate, corrected by what finished runs took.

log(measured / estimated seconds) is linear in the logs of the samples and of the FLOPs and bytes
of one sample, with weak priors (ridge): a small version of learning throughput from the sweep
itself instead of trusting a data sheet (CubicML, 2409.04585, for the idea).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from recscale.run import Cost, RunRecord

PRIOR = (0.4, 0.1, 0.1, 0.1)  # sd of the offset and of each slope, in e-folds
NOISE, NOISE_DF = 0.15, 3  # sd of one run's log ratio before any has been seen, and its weight
UPPER = 1.64  # standard deviations: one run in twenty takes longer


class Throughput:
    """Seconds to be expected of a run, and those it should not pass."""

    def __init__(self, attempts: Iterable[RunRecord]):
        done = [r for r in attempts if r.status == "done"]
        pairs = [(r.estimated, r.measured) for r in done if r.measured]
        x = features([e for e, _ in pairs])
        y = np.array([np.log(m.time_s / e.time_s) for e, m in pairs])
        self.centre = x[:, 1:].mean(0) if len(pairs) else None
        x = self._centred(x)
        prior = np.diag(np.array(PRIOR) ** -2.0)
        noise = NOISE
        for _ in range(2):  # the residuals' spread, once it is known, replaces the guess
            self.cov = np.linalg.inv(prior + x.T @ x / noise**2)
            self.beta = self.cov @ x.T @ y / noise**2
            r = y - x @ self.beta
            noise = float(np.sqrt((NOISE_DF * NOISE**2 + r @ r) / (NOISE_DF + len(y))))
        self.noise = noise

    def factors(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(expected, not to be passed) over estimated seconds, (m,) each, of runs with these
        `features`. The latter is 1 at least: an estimate is not undercut on the word of a few."""
        x = self._centred(x)
        mean = x @ self.beta
        sd = np.sqrt(np.einsum("mi,ij,mj->m", x, self.cov, x) + self.noise**2)
        return np.exp(mean), np.maximum(1.0, np.exp(mean + UPPER * sd))

    def _centred(self, x: np.ndarray) -> np.ndarray:
        x = x.copy()
        if self.centre is not None:
            x[:, 1:] -= self.centre
        else:
            x[:, 1:] = 0.0
        return x


def features(costs: Sequence[Cost]) -> np.ndarray:
    """What a run's throughput depends on, (m, 4)."""
    rows = [
        (1.0, np.log(max(c.samples, 1)), np.log(1 + c.forward.total),
         np.log(1 + c.lookup_bytes / max(c.samples, 1)))
        for c in costs
    ]  # fmt: skip
    return np.array(rows).reshape(len(rows), 4)
