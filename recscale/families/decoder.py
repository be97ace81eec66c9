"""Decoder-only transformer over item ids (LSRM, 2311.11351; SASRec, 1808.09781): axes and costs."""

from __future__ import annotations

from typing import Any, Literal

from recscale.families.sequence import (
    RelativeBias,
    SequenceConfig,
    SequenceSpec,
    relative_params,
)
from recscale.manifest import Manifest


class DecoderSpec(SequenceSpec):
    """A decoder-only transformer over a user's items (2311.11351)."""

    family: Literal["decoder"]
    norm: Literal["pre", "post"] = "pre"
    """LayerNorm before each sub-layer, which trains deep stacks stably, or after it."""
    relative_bias: RelativeBias = "none"
    """Added to the attention's scores by the distance in positions, or in positions and in time,
    shared by the heads, as HSTU has it: what decides, with `residual`, whether depth pays
    (2412.00714)."""
    residual: bool = True
    """Whether each sub-layer's input is added to its output."""

    def resolve(self, values: dict[str, Any], data: Manifest) -> DecoderConfig:
        return DecoderConfig(
            family="decoder",
            norm=self.norm,
            relative_bias=self.relative_bias,
            residual=self.residual,
            **self.shape(values),
        )


class DecoderConfig(SequenceConfig):
    family: Literal["decoder"]
    norm: Literal["pre", "post"]
    relative_bias: RelativeBias = "none"
    residual: bool = True

    def block_params(self) -> int:
        """12 d^2 (2311.11351): attention 4 d^2, a feed-forward layer of 4 d with 8 d^2."""
        return 12 * self.sequence_width**2

    def dense_params(self, data: Manifest) -> int:
        d, length = self.sequence_width, self.sequence_length
        block = self.block_params() + 13 * d  # biases 9d, two norms 4d
        block += relative_params(self.relative_bias, length)
        return self.sequence_depth * block + length * d + 2 * d

    def attention_macs(self, keys: float) -> float:
        return 2 * keys * self.sequence_width  # q k^T and its mix of v

    def block_activations(self) -> int:
        # two norms, q k v, attention out, projection, 4d hidden twice, two residuals
        return 16 * self.sequence_width
