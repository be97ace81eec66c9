"""The posterior of one form under every kernel, amplitude and noise of a grid.

    log loss = log f(x; theta) + d(log x) + noise,   d ~ GP(0, amplitude^2 kernel)

The law is taken as linear in log theta about its own posterior mode: Gauss-Newton steps from there
to the mode under each combination cost four times as much and moved no Winkler score of the splits
of tests/benchmarks/suites.py, judged across halves (2026-11-30). For each kernel one eigenvalue
problem serves all its amplitudes and noises.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from recscale.laws.kernels import Kernel
from recscale.laws.modes import Fitted, Sample, solved

KERNELS = (Kernel("rbf", 0.4), Kernel("rbf", 0.75), Kernel("rbf", 1.3), Kernel("brownian", 1.0))
AMPLITUDES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.25)  # share of the range of log loss over the runs
NOISES = (0.1, 0.3, 1.0)  # times the spread of the residuals, most of it often misfit
EACH = np.array(list(itertools.product(AMPLITUDES, NOISES)))  # of every kernel
COMBINATIONS = tuple((k, float(a), float(n)) for k in KERNELS for a, n in EACH)


@dataclass(frozen=True)
class Gridded:
    """Attributes:
    law: the form at its mode after the sample.
    span: range of log loss by the law over the sample.
    turned: for each kernel its eigenvalues (n,), turn (n, n), and turned gaps (n,) and slopes
        (k, n) of the law; the weights of rows are in the turn.
    """

    law: Fitted
    sample: Sample
    span: float
    turned: tuple[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], ...]

    @classmethod
    def of(cls, law: Fitted, sample: Sample) -> Gridded:
        """After a sample of at least one run."""
        x, centre = sample.logx, sample.logx.mean(0)
        at = law.formula(x)
        span = max(float(np.ptp(at)), law.noise, 1e-6)
        if sample.training is None:
            white = np.diag(1 / np.sqrt(law.units(sample) + law.extra / law.noise**2))
        else:
            white = np.linalg.inv(np.linalg.cholesky(law.between(sample)))
        slopes = law.slopes(x)
        gap = sample.logy - at - slopes.T @ (law.prior_mean - law.eta)
        turned = []
        for kernel in KERNELS:
            values, q = np.linalg.eigh(white @ kernel.between(x, x, centre) @ white.T)
            turn = q.T @ white
            turned.append((np.maximum(values, 0.0), turn, turn @ gap, slopes @ turn.T))
        return cls(law, sample, span, tuple(turned))

    @property
    def amplitudes(self) -> np.ndarray:
        """(h,) in log loss, of the combinations."""
        return np.tile(EACH[:, 0] * self.span, len(KERNELS))

    def noises(self, logx: np.ndarray) -> np.ndarray:
        """(h, m) standard deviation of one run at log points about what is expected of it."""
        each = np.tile(EACH[:, 1] * self.law.noise, len(KERNELS))
        return each[:, None] * self.law.scatter(logx)

    def predict(self, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (h, m) of the expected log loss at log points (m, p), in the order of
        COMBINATIONS."""
        law, x, centre = self.law, self.sample.logx, self.sample.logx.mean(0)
        slopes = law.slopes(new)
        base = law.formula(new) + slopes.T @ (law.prior_mean - law.eta)
        amp2, noise2 = (EACH[:, 0] * self.span) ** 2, (EACH[:, 1] * law.noise) ** 2
        means, variances = [], []
        for kernel, (values, turn, gap, known) in zip(KERNELS, self.turned, strict=True):
            inverse = 1 / (amp2[:, None] * values + noise2[:, None])  # (b, n)
            cross = kernel.between(new, x, centre) @ turn.T
            gain = amp2[:, None, None] * cross * inverse[:, None, :]  # (b, m, n)
            weighted = known * inverse[:, None, :]  # (b, k, n)
            precision = weighted @ known.T + np.diag(law.prior_sd**-2.0)
            rest = slopes - known @ gain.transpose(0, 2, 1)  # (b, k, m)
            both = np.concatenate([(weighted @ gap)[:, :, None], rest], 2)
            found = solved(precision, both)
            means.append(base + gain @ gap + (rest * found[:, :, :1]).sum(1))
            own = kernel.own(new, centre) - (gain * cross).sum(2)
            own = amp2[:, None] * np.maximum(own, 0.0)
            variances.append(own + (rest * found[:, :, 1:]).sum(1))
        return np.concatenate(means), np.concatenate(variances)
