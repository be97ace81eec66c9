"""AutoInt (Song et al. 2019, 1810.11921): its axes and costs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from recscale.families.base import Flop, ModelConfig
from recscale.families.click import ClickConfig, ClickSpec
from recscale.families.towers import linear_macs, linear_params
from recscale.manifest import Manifest
from recscale.values import CountAxis, DepthAxis, PartsAxis


class AutoIntSpec(ClickSpec):
    """AutoInt (1810.11921): layers of multi-head self-attention in which all features attend to
    one another, with residuals; one more layer is one higher order of interactions. Beside them, as
    in the paper's AutoInt+, a deep network over the same vectors (`mlp_depth: 0` leaves it out).
    Scores are divided by the root of a head's width, as in the authors' code, where the paper's
    equation 5 has none."""

    follows: ClassVar[dict[str, str]] = {**ClickSpec.follows, "mlp_depth": "mlp_width"}
    schemes: ClassVar[dict[str, tuple[str, ...]]] = {
        **ClickSpec.schemes,
        "attention": ("attention_width",),
        "layers": ("attention_layers",),
        "combined": ("embedding_rows", "embedding_dim", "attention_width", "mlp_width"),
    }
    family: Literal["autoint"]
    attention_layers: PartsAxis = (3,)
    """Layers of self-attention."""
    attention_width: CountAxis = (32,)
    """Width of what a layer gives each feature, over all its heads; a multiple of `heads`."""
    heads: CountAxis = (2,)
    """Attention heads of each layer."""
    norm: bool = True
    """LayerNorm behind each layer, as in the authors' code and in BARS; the paper has none."""
    mlp_width: CountAxis = (64,)
    """Width of the deep network's hidden layers."""
    mlp_depth: DepthAxis = (2,)
    """Hidden layers of the deep network; 0 is the paper's AutoInt, without it."""

    def resolve(self, values: dict[str, Any], data: Manifest) -> AutoIntConfig:
        width, depth = values["attention_width"], values["mlp_depth"]
        return AutoIntConfig(
            family="autoint",
            **self.inputs(values, data),
            attention_layers=values["attention_layers"],
            attention_width=width,
            heads=math.gcd(values["heads"], width),
            norm=self.norm,
            mlp_width=values["mlp_width"] if depth else 0,
            mlp_depth=depth,
        )

    def grown(self, config: ModelConfig, axis: str) -> dict[str, Any]:
        values = super().grown(config, axis)
        if axis == "mlp_depth" and not values["mlp_width"]:
            values["mlp_width"] = max(self.mlp_width)
        return values

    def idle(self, data: Manifest) -> dict[str, str]:
        found = super().idle(data)
        return found if any(self.mlp_depth) else {**found, "mlp_width": "mlp_depth is 0"}

    def complaints(self, data: Manifest) -> list[str]:
        return super().complaints(data) + [
            f"model.heads: {heads} heads do not divide attention_width {width}; take a divisor of "
            "every width"
            for heads, width in itertools.product(self.heads, self.attention_width)
            if width % heads
        ]


class AutoIntConfig(ClickConfig):
    family: Literal["autoint"]
    attention_layers: int
    attention_width: int
    heads: int
    norm: bool
    mlp_width: int
    mlp_depth: int

    @property
    def name(self) -> str:
        deep = f"-w{self.mlp_width}" if self.mlp_depth else ""
        layers = f"-l{self.attention_layers}-a{self.attention_width}-h{self.heads}"
        return f"{self.input_name()}{layers}{deep}{self.end_name()}"

    def entering(self) -> Iterator[int]:
        """Width of a feature as it enters each layer of a set."""
        yield self.set_dim
        yield from [self.attention_width] * (self.attention_layers - 1)

    def projections(self) -> int:
        """Weights of a set's layers: queries, keys and values, and the residual's where the width
        changes."""
        out = self.attention_width
        return sum(wide * out * (3 + (wide != out)) for wide in self.entering())

    def layer_widths(self, data: Manifest) -> tuple[list[int], list[int]]:
        """Layer widths, input to output, of the deep network (one alone where there is none) and
        of the output layer."""
        deep = [self.fields(data) * self.embedding_dim, *[self.mlp_width] * self.mlp_depth]
        attended = self.multi_embedding * self.fields(data) * self.attention_width
        return deep, [attended + (deep[-1] if self.mlp_depth else 0), 1]

    def last_width(self, data: Manifest) -> int:
        return self.layer_widths(data)[1][0]

    def trunk_params(self, data: Manifest) -> int:
        norms = 2 * self.attention_width * self.attention_layers if self.norm else 0
        layers = sum(map(linear_params, self.layer_widths(data)))
        sets = self.multi_embedding * (self.projections() + norms)
        return sets + layers + self.field_params(data) + self.history_params()

    def trunk_flop(self, data: Manifest) -> Flop:
        linear, attention = self.history_macs()
        n = self.fields(data)
        linear += sum(map(linear_macs, self.layer_widths(data)))
        linear += self.multi_embedding * n * self.projections()
        # q k^T and its mix of v; all features attend to all
        pairs = self.multi_embedding * self.attention_layers * 2 * n * n * self.attention_width
        return Flop(body=2 * linear, attention=2 * attention, interaction=2 * pairs, head=0)

    def trunk_activations(self, data: Manifest) -> int:
        n = self.fields(data)
        floats = sum(sum(w) for w in self.layer_widths(data)) + self.input_activations(data)
        # q k v, what is mixed, the residual, both sides of the norm; the scores
        layer = 7 * n * self.attention_width + self.heads * n * n
        layers = self.multi_embedding * self.attention_layers * layer
        return 2 * (floats + layers + n * self.embedding_dim)
