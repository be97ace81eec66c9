"""Climber (Xu et al. 2025, 2502.09888): its axes and costs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from recscale.families.base import Flop
from recscale.families.sequence import SequenceConfig, SequenceSpec
from recscale.manifest import Manifest
from recscale.values import PartsAxis


class ClimberSpec(SequenceSpec):
    """Climber (2502.09888): a user's events in several sub-sequences, each through transformer
    blocks of its own with a learned temperature, which takes attention's n^2 d to n^2 d / N; then a
    gate for every number of what the sub-sequences tell. The paper takes sub-sequences by kinds of
    events; of events of one kind, each takes every N-th here, so that all reach equally far."""

    family: Literal["climber"]
    subsequences: PartsAxis = (2,)
    """Sub-sequences N, each with a stack of blocks of its own; every event is in one of them."""

    @model_validator(mode="after")
    def _each_has_an_event(self) -> ClimberSpec:
        most, shortest = max(self.subsequences), min(self.sequence_length)
        if most > shortest:
            raise ValueError(
                f"subsequences: {most} of the {shortest} positions of sequence_length; take at "
                "most as many as the shortest has positions"
            )
        return self

    def allows(self, values: dict[str, Any]) -> bool:
        return values["subsequences"] <= values["sequence_length"]

    def resolve(self, values: dict[str, Any], data: Manifest) -> ClimberConfig:
        return ClimberConfig(
            family="climber", subsequences=values["subsequences"], **self.shape(values)
        )


class ClimberConfig(SequenceConfig):
    family: Literal["climber"]
    subsequences: int

    @property
    def name(self) -> str:
        return f"{super().name}-b{self.subsequences}"

    @property
    def places(self) -> int:
        """Of a sub-sequence."""
        return -(-self.sequence_length // self.subsequences)

    def block_params(self) -> int:
        """12 d^2 a sub-sequence, as the decoder's block."""
        return self.subsequences * 12 * self.sequence_width**2

    def gate_params(self) -> int:
        """(N d)^2: from all that the sub-sequences tell to a gate for each number of it."""
        return (self.subsequences * self.sequence_width) ** 2

    def non_embedding_params(self, data: Manifest) -> int:
        return self.sequence_depth * self.block_params() + self.gate_params()

    def dense_params(self, data: Manifest) -> int:
        d, n = self.sequence_width, self.subsequences
        # a sub-sequence's biases 9d and two norms 4d, temperatures, and a bias by distance
        each = 13 * d + self.heads + self.places
        block = self.block_params() + n * each
        gate = self.gate_params() + n * d
        return self.sequence_depth * block + gate + self.sequence_length * d + 2 * d

    def attention_macs(self, keys: float) -> float:
        """q k^T and its mix of v, over a sub-sequence's share of the past."""
        return 2 * keys * self.sequence_width / self.subsequences

    def forward_flop(self, data: Manifest) -> Flop:
        """An event meets the blocks of its own sub-sequence, and the gate."""
        met = self.sequence_depth * self.block_params() / self.subsequences + self.gate_params()
        return super().forward_flop(data).model_copy(update={"body": 2 * met})

    def block_activations(self) -> int:
        # as the decoder's; scores, biased and after softmax
        return 16 * self.sequence_width + 3 * self.heads * self.places

    def activations(self, data: Manifest) -> int:
        gate = 4 * self.subsequences * self.sequence_width
        return super().activations(data) + 2 * gate
