"""DCN V2 (Wang et al. 2021, 2008.13535): its axes and costs."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from recscale.families.base import Flop
from recscale.families.click import ClickConfig, ClickSpec
from recscale.families.towers import linear_macs, linear_params
from recscale.manifest import Manifest
from recscale.values import CountAxis, PartsAxis, RowsAxis


class DCNv2Spec(ClickSpec):
    """DCN V2 (2008.13535): cross layers x_{l+1} = x_0 * (W x_l + b) + x_l over the embedded
    features and the dense ones (equation 1), with a deep network on top of them or beside them."""

    schemes: ClassVar[dict[str, tuple[str, ...]]] = {
        **ClickSpec.schemes,
        "cross": ("cross_layers",),
    }
    family: Literal["dcnv2"]
    cross_layers: PartsAxis = (3,)
    """Cross layers: one more is one higher order of interactions."""
    cross_rank: RowsAxis = (None,)
    """Rank r of each W = U V^T (equation 2); null: a full matrix."""
    mlp_width: CountAxis = (64,)
    """Width of the deep network's hidden layers."""
    mlp_depth: PartsAxis = (2,)
    """Hidden layers of the deep network."""
    structure: Literal["stacked", "parallel"] = "stacked"
    """Where the deep network stands: behind the cross layers, or beside them (figure 1)."""

    def resolve(self, values: dict[str, Any], data: Manifest) -> DCNv2Config:
        return DCNv2Config(
            family="dcnv2",
            **self.inputs(values, data),
            cross_layers=values["cross_layers"],
            cross_rank=values["cross_rank"],
            mlp_width=values["mlp_width"],
            mlp_depth=values["mlp_depth"],
            structure=self.structure,
        )


class DCNv2Config(ClickConfig):
    family: Literal["dcnv2"]
    cross_layers: int
    cross_rank: int | None
    mlp_width: int
    mlp_depth: int
    structure: Literal["stacked", "parallel"]

    @property
    def name(self) -> str:
        rank = f"q{self.cross_rank}" if self.cross_rank else ""
        beside = "p" if self.structure == "parallel" else ""
        widths = f"-c{self.cross_layers}{rank}-w{self.mlp_width}{beside}"
        return f"{self.input_name()}{widths}{self.end_name()}"

    def cross_width(self, data: Manifest) -> int:
        """Width of x_0 in one set: its embedded features and the dense ones as they are."""
        return self.vectors(data) * self.set_dim + len(data.dense)

    def layer_widths(self, data: Manifest) -> tuple[list[int], list[int]]:
        """Layer widths, input to output, of the deep network and of the output layer."""
        x = self.multi_embedding * self.cross_width(data)
        hidden = [x, *[self.mlp_width] * self.mlp_depth]
        return hidden, [hidden[-1] + (x if self.structure == "parallel" else 0), 1]

    def cross_macs(self, data: Manifest) -> int:
        """Multiply-adds of one set's cross layers, which are also their weights."""
        x = self.cross_width(data)
        each = 2 * x * self.cross_rank if self.cross_rank else x * x
        return self.cross_layers * each

    def last_width(self, data: Manifest) -> int:
        return self.layer_widths(data)[1][0]

    def trunk_params(self, data: Manifest) -> int:
        cross = self.cross_macs(data) + self.cross_layers * self.cross_width(data)
        deep = sum(map(linear_params, self.layer_widths(data)))
        return self.multi_embedding * cross + deep + self.history_params()

    def trunk_flop(self, data: Manifest) -> Flop:
        linear, attention = self.history_macs()
        linear += sum(map(linear_macs, self.layer_widths(data)))
        interaction = 2 * self.multi_embedding * self.cross_macs(data)
        return Flop(body=2 * linear, attention=2 * attention, interaction=interaction, head=0)

    def trunk_activations(self, data: Manifest) -> int:
        floats = sum(sum(w) for w in self.layer_widths(data)) + self.input_activations(data)
        cross = self.cross_layers * (2 * self.cross_width(data) + (self.cross_rank or 0))
        return 2 * (floats + self.multi_embedding * cross)
