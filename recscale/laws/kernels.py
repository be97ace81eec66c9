"""How alike the gaps between real losses and a law are at two places: the discrepancy's kernels.

Distances are in decades of each variable. Under `rbf` gaps are alike within a length and forget
one another beyond it; under `brownian` they wander from the middle of the runs, in each variable
on its own, so that the gap at twice the distance is wider.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DECADE = np.log(10.0)


@dataclass(frozen=True)
class Kernel:
    """Correlations at log variables (n, p); `centre` (p,) is the middle of the runs.

    Attributes:
        kind: "rbf" or "brownian".
        length: decades; of a Brownian kernel those after which its sd is 1.
    """

    kind: str
    length: float

    def between(self, a: np.ndarray, b: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """(n, m) of points a (n, p) and b (m, p)."""
        scale = self.length * DECADE
        a, b = (a - centre) / scale, (b - centre) / scale
        if self.kind == "rbf":
            d = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
            return np.exp(-0.5 * np.maximum(d, 0))
        apart = np.abs(a[:, None] - b[None]).sum(-1)
        return 0.5 * (np.abs(a).sum(1)[:, None] + np.abs(b).sum(1) - apart)

    def pairs(self, a: np.ndarray, b: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """(n,) of points a (n, p) with points b (n, p), each with its own."""
        scale = self.length * DECADE
        a, b = (a - centre) / scale, (b - centre) / scale
        if self.kind == "rbf":
            return np.exp(-0.5 * ((a - b) ** 2).sum(1))
        return 0.5 * (np.abs(a) + np.abs(b) - np.abs(a - b)).sum(1)

    def own(self, a: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """The diagonal (n,) of `between(a, a)`."""
        if self.kind == "rbf":
            return np.ones(len(a))
        return np.abs((a - centre) / (self.length * DECADE)).sum(1)
