"""DeepFM (Guo et al. 2017, 1703.04247): its axes and costs."""

from __future__ import annotations

from typing import Any, Literal

from recscale.families.base import Flop
from recscale.families.click import ClickConfig, ClickSpec
from recscale.families.towers import linear_macs, linear_params
from recscale.manifest import Manifest
from recscale.values import CountAxis, PartsAxis


class DeepFMSpec(ClickSpec):
    """DeepFM (1703.04247): a factorisation machine, whose pairs of features are dot products of
    their vectors, beside a deep network over the same vectors. The machine's first-order weight of
    a value is its vector's product with one learned vector a feature (as FwFM weighs, 1806.03514),
    not a number of its own: fbgemm's tables have no dimension 1."""

    family: Literal["deepfm"]
    mlp_width: CountAxis = (64,)
    """Width of the deep network's hidden layers."""
    mlp_depth: PartsAxis = (2,)
    """Hidden layers of the deep network."""

    def resolve(self, values: dict[str, Any], data: Manifest) -> DeepFMConfig:
        return DeepFMConfig(
            family="deepfm",
            **self.inputs(values, data),
            mlp_width=values["mlp_width"],
            mlp_depth=values["mlp_depth"],
        )


class DeepFMConfig(ClickConfig):
    family: Literal["deepfm"]
    mlp_width: int
    mlp_depth: int

    @property
    def name(self) -> str:
        return f"{self.input_name()}-w{self.mlp_width}{self.end_name()}"

    def layer_widths(self, data: Manifest) -> tuple[list[int], list[int]]:
        """Layer widths, input to output, of the deep network and of the output layer, which weighs
        all vectors (first order), each set's pairs, and what the deep network says."""
        flat = self.fields(data) * self.embedding_dim
        deep = [flat, *[self.mlp_width] * self.mlp_depth]
        return deep, [flat + self.multi_embedding + deep[-1], 1]

    def last_width(self, data: Manifest) -> int:
        return self.layer_widths(data)[1][0]

    def trunk_params(self, data: Manifest) -> int:
        layers = sum(map(linear_params, self.layer_widths(data)))
        return layers + self.field_params(data) + self.history_params()

    def trunk_flop(self, data: Manifest) -> Flop:
        """The machine's own FLOPs are sums and squares element by element, which are left out: it
        costs n d, not n^2 d."""
        linear, attention = self.history_macs()
        linear += sum(map(linear_macs, self.layer_widths(data)))
        return Flop(body=2 * linear, attention=2 * attention, interaction=0, head=0)

    def trunk_activations(self, data: Manifest) -> int:
        floats = sum(sum(w) for w in self.layer_widths(data)) + self.input_activations(data)
        return 2 * (floats + 2 * self.fields(data) * self.embedding_dim)
