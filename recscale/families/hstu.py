"""HSTU (Zhai et al. 2024, 2402.17152): its axes and costs."""

from __future__ import annotations

from typing import Any, Literal

from recscale.families.sequence import SequenceConfig, SequenceSpec
from recscale.manifest import Manifest

TIME_BUCKETS = 32  # of the relative time bias: one for every doubling of the seconds between


class HSTUSpec(SequenceSpec):
    """HSTU (2402.17152): pointwise attention with a bias of places and times between events."""

    family: Literal["hstu"]

    def resolve(self, values: dict[str, Any], data: Manifest) -> HSTUConfig:
        return HSTUConfig(family="hstu", **self.shape(values))


class HSTUConfig(SequenceConfig):
    family: Literal["hstu"]

    def block_params(self) -> int:
        """7 d^2: one projection to U, V, Q, K, and one from [U, A, U * A]."""
        return 7 * self.sequence_width**2

    def dense_params(self, data: Manifest) -> int:
        d, length = self.sequence_width, self.sequence_length
        block = self.block_params() + 5 * d + length + TIME_BUCKETS  # bias d, two norms 4d
        return self.sequence_depth * block + length * d + 2 * d

    def attention_macs(self, keys: float) -> float:
        return 2 * keys * self.sequence_width  # q k^T and its mix of v

    def block_activations(self) -> int:
        # norm, u v q k before and after SiLU, three copies for attention, its norm, the output's 3d
        square = self.heads * self.sequence_length
        return 18 * self.sequence_width + 3 * square
