"""HSTU (Zhai et al. 2024, 2402.17152): its axes and costs."""

from __future__ import annotations

from typing import Any, Literal

from recscale.families.sequence import (
    RelativeBias,
    SequenceConfig,
    SequenceSpec,
    relative_params,
)
from recscale.manifest import Manifest


class HSTUSpec(SequenceSpec):
    """HSTU (2402.17152): pointwise attention with a bias of places and times between events."""

    family: Literal["hstu"]
    relative_bias: RelativeBias = "both"
    """Added to the attention's scores by the distance in positions and in time, in positions alone,
    or not at all: what decides, with `residual`, whether depth pays (2412.00714)."""
    residual: bool = True
    """Whether a block's input is added to its output."""
    norm: Literal["pre", "post"] = "pre"
    """LayerNorm before each block or after it."""

    def resolve(self, values: dict[str, Any], data: Manifest) -> HSTUConfig:
        return HSTUConfig(
            family="hstu",
            relative_bias=self.relative_bias,
            residual=self.residual,
            norm=self.norm,
            **self.shape(values),
        )


class HSTUConfig(SequenceConfig):
    family: Literal["hstu"]
    relative_bias: RelativeBias = "both"
    residual: bool = True
    norm: Literal["pre", "post"] = "pre"

    def block_params(self) -> int:
        """7 d^2: one projection to U, V, Q, K, and one from [U, A, U * A]."""
        return 7 * self.sequence_width**2

    def dense_params(self, data: Manifest) -> int:
        d, length = self.sequence_width, self.sequence_length
        block = self.block_params() + 5 * d  # bias d, two norms 4d
        block += relative_params(self.relative_bias, length)
        return self.sequence_depth * block + length * d + 2 * d

    def attention_macs(self, keys: float) -> float:
        return 2 * keys * self.sequence_width  # q k^T and its mix of v

    def block_activations(self) -> int:
        # norm, u v q k before and after SiLU, three copies for attention, its norm, the output's 3d
        square = self.heads * self.sequence_length
        return 18 * self.sequence_width + 3 * square
