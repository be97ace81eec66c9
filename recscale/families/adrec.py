"""Ad-Rec (Adnan et al. 2023, 2308.14902): its axes and costs."""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar, Literal

from recscale.families.base import Flop
from recscale.families.click import ClickConfig, ClickSpec
from recscale.families.towers import linear_macs, linear_params
from recscale.manifest import Manifest
from recscale.values import CountAxis, PartsAxis


class AdRecSpec(ClickSpec):
    """Ad-Rec (2308.14902): masked transformer blocks over the features' vectors, of which the dense
    columns' MLP gives the first, and an over-arch. Its abstract says that the mask leaves out
    irrelevant interactions; which those are was nowhere to be read. Chosen here: a feature attends
    to itself and to those before it in the data's order, so that every pair counts once."""

    schemes: ClassVar[dict[str, tuple[str, ...]]] = {
        **ClickSpec.schemes,
        "layers": ("layers",),
    }
    family: Literal["adrec"]
    layers: PartsAxis = (2,)
    """Transformer blocks, as wide as a feature's vector: `embedding_dim` widens them."""
    heads: CountAxis = (2,)
    """Attention heads of each block; a divisor of a feature's width in one set."""
    mask: Literal["triangular", "none"] = "triangular"
    """`none`: every feature attends to all."""
    mlp_width: CountAxis = (64,)
    """Width of the MLP over the dense features and of the over-arch."""
    mlp_depth: PartsAxis = (2,)
    """Hidden layers of each MLP."""

    def resolve(self, values: dict[str, Any], data: Manifest) -> AdRecConfig:
        config = AdRecConfig(
            family="adrec",
            **self.inputs(values, data),
            layers=values["layers"],
            heads=1,
            mask=self.mask,
            mlp_width=values["mlp_width"],
            mlp_depth=values["mlp_depth"],
        )
        return config.model_copy(update={"heads": math.gcd(values["heads"], config.set_dim)})

    def complaints(self, data: Manifest) -> list[str]:
        out = super().complaints(data)
        each = itertools.product(self.heads, self.embedding_dim, self.multi_embedding)
        for heads, dim, sets in each if not out else ():
            if dim // sets % heads:
                among = f" in {sets} sets" if sets > 1 else ""
                out.append(
                    f"model.heads: {heads} heads do not divide embedding_dim {dim}{among}; take a "
                    "divisor of every width"
                )
        return out


class AdRecConfig(ClickConfig):
    family: Literal["adrec"]
    layers: int
    heads: int
    mask: Literal["triangular", "none"]
    mlp_width: int
    mlp_depth: int

    @property
    def name(self) -> str:
        whole = "n" if self.mask == "none" else ""
        sizes = f"-l{self.layers}-h{self.heads}{whole}-w{self.mlp_width}"
        return f"{self.input_name()}{sizes}{self.end_name()}"

    def attending(self, data: Manifest) -> int:
        """Vectors of a set that attend to one another: the embedded ones and the dense MLP's."""
        return self.vectors(data) + bool(data.dense)

    def end_widths(self, data: Manifest) -> tuple[list[int], list[int]]:
        """Layer widths of the MLP over the dense features and of the over-arch."""
        hidden = [self.mlp_width] * self.mlp_depth
        bottom = [len(data.dense), *hidden, self.embedding_dim] if data.dense else []
        return bottom, [self.attending(data) * self.embedding_dim, *hidden, 1]

    def last_width(self, data: Manifest) -> int:
        return self.end_widths(data)[1][-2]

    def trunk_params(self, data: Manifest) -> int:
        d = self.set_dim
        block = 12 * d * d + 13 * d  # attention 4d^2+4d, feed-forward 8d^2+5d, two norms 4d
        ends = sum(map(linear_params, self.end_widths(data)))
        return self.multi_embedding * self.layers * block + ends + self.history_params()

    def trunk_flop(self, data: Manifest) -> Flop:
        linear, attention = self.history_macs()
        linear += sum(map(linear_macs, self.end_widths(data)))
        n, d = self.attending(data), self.set_dim
        blocks = self.multi_embedding * self.layers
        linear += blocks * n * 12 * d * d
        pairs = blocks * n * n * d  # half of q k^T and of its mix of v
        masked = self.mask == "triangular"
        return Flop(
            body=2 * linear,
            attention=2 * (attention + pairs * masked),
            interaction=0 if masked else 2 * 2 * pairs,
            head=0,
        )

    def trunk_activations(self, data: Manifest) -> int:
        floats = sum(sum(w) for w in self.end_widths(data)) + self.input_activations(data)
        n = self.attending(data)
        # q k v, mixed, projected, two sums, two norms, the hidden layer twice; the scores
        block = n * 17 * self.set_dim + self.heads * n * n
        return 2 * (floats + self.multi_embedding * self.layers * block)
