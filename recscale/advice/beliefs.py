"""What the runs leave open of the losses of several configurations together.

Points of one law share its constants and its bias: their difference is known far better than their
levels, and what is said of a gain is said from joint draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recscale.laws import ScalingLaw
from recscale.laws.verdicts import replicate_noise

LEVEL = 0.9
DRAWS = 2000
SEED = 0


def noise_of(law: ScalingLaw) -> float:
    """sd of the log loss of one run: as believed, and no less than its replicates scatter."""
    return max(law.noise, replicate_noise(law.points) or 0.0)


@dataclass(frozen=True)
class Gain:
    """What a run is believed to gain on another, in the unit of the loss, at LEVEL; the noise of
    the one run is in it."""

    mean: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        return self.low > 0


def gain(before: np.ndarray, after: np.ndarray, noise: float, seed: int = SEED) -> Gain:
    """Of joint draws (n,) of two log losses, the second with the noise (sd) of one run."""
    one = noise * np.random.default_rng(seed + 1).standard_normal(len(after))
    change = np.exp(before) - np.exp(after + one)
    low, high = np.quantile(change, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Gain(float(change.mean()), float(low), float(high))
