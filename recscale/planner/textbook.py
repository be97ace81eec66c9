"""The design of textbooks, to compare a search with: the one form is taken as exact."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from recscale.laws.belief import Belief
from recscale.laws.gridded import KERNELS
from recscale.laws.modes import Fitted, Sample
from recscale.laws.posterior import Joint, Posterior


@dataclass(frozen=True)
class Textbook(Belief):
    """A belief without a discrepancy."""

    law: Fitted

    @classmethod
    def of(cls, sample: Sample, law: Fitted) -> Textbook:
        """The law at its mode after a sample."""
        return cls(sample, (), (), law)

    def formula(self, logx: np.ndarray) -> np.ndarray:
        """Log loss (m,) by the law."""
        return self.law.formula(logx)

    def laws(self, n: int, seed: int, logx: np.ndarray) -> np.ndarray:
        """Log losses (n, m) by n laws that are still possible."""
        return self.posteriors(logx)[0].laws(np.random.default_rng(seed), n, logx)

    def posteriors(self, logx: np.ndarray) -> list[Posterior]:
        """The one posterior, whatever is to be known."""
        centre = self.sample.logx.mean(0)
        law = replace(self.law, extra=self.sample.extra)
        joint = Joint(law, KERNELS[0], centre, 0.0, self.law.noise, 1.0)
        return [Posterior.of(self.sample, joint)]
