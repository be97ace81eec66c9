"""Wukong (Zhang et al. 2024, 2403.02545): its axes and costs."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from recscale.families.base import Flop
from recscale.families.click import ClickConfig, ClickSpec
from recscale.families.towers import linear_macs, linear_params
from recscale.manifest import Manifest
from recscale.values import CountAxis, PartsAxis


class WukongSpec(ClickSpec):
    """Wukong (2403.02545): a stack of layers, each a factorisation-machine block beside a linear
    compression block, so that layer i holds interactions of up to 2^i features. The paper scales
    `layers` first, then `n_F`, `n_L`, `k` and the MLPs."""

    schemes: ClassVar[dict[str, tuple[str, ...]]] = {
        **ClickSpec.schemes,
        "layers": ("layers",),
        "vectors": ("n_F", "n_L"),
        "compression": ("k",),
    }
    family: Literal["wukong"]
    layers: PartsAxis = (2,)
    """Layers of the stack."""
    n_F: CountAxis = (8,)
    """Vectors that a layer's factorisation-machine block gives on."""
    n_L: CountAxis = (8,)
    """Vectors that a layer's linear compression block gives on."""
    k: CountAxis = (8,)
    """Columns to which the matrix of dot products is compressed."""
    mlp_width: CountAxis = (64,)
    """Width of every MLP: over the dense features, in each block, and the over-arch."""
    mlp_depth: PartsAxis = (2,)
    """Hidden layers of each MLP."""

    def resolve(self, values: dict[str, Any], data: Manifest) -> WukongConfig:
        own = ("layers", "n_F", "n_L", "k", "mlp_width", "mlp_depth")
        return WukongConfig(
            family="wukong", **self.inputs(values, data), **{name: values[name] for name in own}
        )


class WukongConfig(ClickConfig):
    family: Literal["wukong"]
    layers: int
    n_F: int
    n_L: int
    k: int
    mlp_width: int
    mlp_depth: int

    @property
    def name(self) -> str:
        sizes = f"-l{self.layers}-F{self.n_F}-L{self.n_L}-k{self.k}-w{self.mlp_width}"
        return f"{self.input_name()}{sizes}{self.end_name()}"

    def entering(self, data: Manifest) -> list[int]:
        """Vectors that enter each layer of a set."""
        first = self.vectors(data) + bool(data.dense)
        return [first, *[self.n_F + self.n_L] * (self.layers - 1)]

    def block_widths(self, entering: int) -> list[int]:
        """Layer widths of a factorisation-machine block's MLP."""
        return [entering * self.k, *[self.mlp_width] * self.mlp_depth, self.n_F * self.set_dim]

    def end_widths(self, data: Manifest) -> tuple[list[int], list[int]]:
        """Layer widths of the MLP over the dense features and of the over-arch."""
        hidden = [self.mlp_width] * self.mlp_depth
        bottom = [len(data.dense), *hidden, self.embedding_dim] if data.dense else []
        return bottom, [(self.n_F + self.n_L) * self.embedding_dim, *hidden, 1]

    def mixing(self, entering: int) -> int:
        """Weights that mix vectors in a layer: compression to k columns, to n_L vectors, and the
        residual's projection where the number of vectors changes."""
        leaving = self.n_F + self.n_L
        residual = leaving * entering if leaving != entering else 0
        return entering * self.k + entering * self.n_L + residual

    def last_width(self, data: Manifest) -> int:
        return self.end_widths(data)[1][-2]

    def trunk_params(self, data: Manifest) -> int:
        layers = sum(
            self.mixing(n) + linear_params(self.block_widths(n)) + 2 * n * self.k + 2 * self.set_dim
            for n in self.entering(data)
        )  # the last two: the norms of the block's input and of the layer's output
        ends = sum(map(linear_params, self.end_widths(data)))
        return self.multi_embedding * layers + ends + self.history_params()

    def trunk_flop(self, data: Manifest) -> Flop:
        linear, attention = self.history_macs()
        linear += sum(map(linear_macs, self.end_widths(data)))
        interaction = 0
        for n in self.entering(data):
            linear += self.multi_embedding * linear_macs(self.block_widths(n))
            # X^T Y and X (X^T Y) cost n k d each: the n x n matrix is never made
            interaction += self.embedding_dim * (self.mixing(n) + n * self.k)
        return Flop(body=2 * linear, attention=2 * attention, interaction=2 * interaction, head=0)

    def trunk_activations(self, data: Manifest) -> int:
        floats = sum(sum(w) for w in self.end_widths(data)) + self.input_activations(data)
        for n in self.entering(data):
            block = 2 * n * self.k + sum(self.block_widths(n))
            vectors = (n + self.k + 3 * (self.n_F + self.n_L)) * self.set_dim
            floats += self.multi_embedding * (block + vectors)
        return 2 * floats
