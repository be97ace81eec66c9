"""When a training has diverged: its loss is not finite, or far above where this very run began.

A run begins at a loss that is known sample by sample: its untrained model's. Both are summed over
the same samples, so that neither a batch without a click nor one full of clicks is news.
"""

from __future__ import annotations

import math
from typing import NamedTuple

PATIENCE_NATS = 64.0
"""What the untrained model must have lost on some samples before their loss is judged: about 8
clicks at a rate of 0.0003, 115 samples at 0.25. On fewer, a model that answers half or twice the
base rate could be far off by chance."""


class Judgement(NamedTuple):
    """Nats that were lost, by the run and by its untrained model, since it was last judged."""

    lost: float = 0.0
    untrained: float = 0.0

    def hear(self, lost: float, untrained: float) -> Judgement:
        """After more samples; what was ripe has been judged and is forgotten."""
        kept = Judgement() if self.ripe else self
        return Judgement(kept.lost + lost, kept.untrained + untrained)

    @property
    def ripe(self) -> bool:
        return self.untrained >= PATIENCE_NATS

    def diverged(self, limit: float) -> bool:
        """Whether the loss is not finite, or above `limit` times the untrained model's."""
        if not math.isfinite(self.lost):
            return True
        return self.ripe and self.lost > limit * self.untrained
