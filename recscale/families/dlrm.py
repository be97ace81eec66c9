"""DLRM (Naumov et al. 2019, 1906.00091): its axes and costs."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from recscale.families.base import Flop, ModelConfig
from recscale.families.click import ClickConfig, ClickSpec
from recscale.families.towers import linear_macs, linear_params
from recscale.manifest import Manifest
from recscale.values import CountAxis, PartsAxis, RowsAxis


class DLRMSpec(ClickSpec):
    """DLRM (1906.00091): a bottom MLP over the dense features (a learned vector where there are
    none), dot products between all vectors, and an over-arch. `overarch_width` left out means: as
    wide as `mlp_width`, so that `mlp_width` alone scales all dense layers (the MLP scheme of
    2208.08489) and `overarch_width` the top MLP only."""

    follows: ClassVar[dict[str, str]] = {**ClickSpec.follows, "mlp_width": "overarch_width"}
    schemes: ClassVar[
        dict[str, tuple[str, ...]]
    ] = {  # vertical, horizontal, and so on (2208.08489)
        "rows": ("embedding_rows",),
        "dim": ("embedding_dim",),
        "overarch": ("overarch_width",),
        "mlp": ("mlp_width", "overarch_width"),
        "combined": ("embedding_rows", "embedding_dim", "mlp_width", "overarch_width"),
    }
    family: Literal["dlrm"]
    mlp_width: CountAxis = (64,)
    """Width of every dense layer, the over-arch included unless it has a width of its own."""
    overarch_width: RowsAxis = (None,)
    """Width of the over-arch, the MLP behind the interaction; null: as wide as `mlp_width`."""
    mlp_depth: PartsAxis = (2,)
    """Hidden layers of each MLP."""

    def resolve(self, values: dict[str, Any], data: Manifest) -> DLRMConfig:
        return DLRMConfig(
            family="dlrm",
            **self.inputs(values, data),
            mlp_width=values["mlp_width"],
            overarch_width=values["overarch_width"] or values["mlp_width"],
            mlp_depth=values["mlp_depth"],
        )

    def size(self, axis: str, values: dict[str, Any], data: Manifest) -> int:
        if axis == "overarch_width" and values[axis] is None:
            return values["mlp_width"]
        return super().size(axis, values, data)

    def grown(self, config: ModelConfig, axis: str) -> dict[str, Any]:
        values = super().grown(config, axis)
        if axis == "mlp_width" and self.overarch_width == (None,):
            values["overarch_width"] = None  # the over-arch follows, as in the sweep
        return values


class DLRMConfig(ClickConfig):
    family: Literal["dlrm"]
    mlp_width: int
    overarch_width: int
    mlp_depth: int

    @property
    def name(self) -> str:
        over = f"-o{self.overarch_width}" if self.overarch_width != self.mlp_width else ""
        return f"{self.input_name()}-w{self.mlp_width}{over}{self.end_name()}"

    def interacting(self, data: Manifest) -> int:
        """Vectors that enter the pairwise interaction of a set: the embedded ones and the bottom
        MLP's, or the learned one in its place where there is no dense column."""
        return self.vectors(data) + 1

    def mlp_widths(self, data: Manifest) -> tuple[list[int], list[int]]:
        """Layer widths, input to output, of the bottom MLP and of the over-arch. Each set takes
        its part of the bottom MLP's output and gives the over-arch its own dot products."""
        d, depth = self.embedding_dim, self.mlp_depth
        bottom = [len(data.dense), *[self.mlp_width] * depth, d] if data.dense else []
        n = self.interacting(data)
        interaction_out = self.multi_embedding * n * (n - 1) // 2 + (d if data.dense else 0)
        return bottom, [interaction_out, *[self.overarch_width] * depth, 1]

    def last_width(self, data: Manifest) -> int:
        return self.mlp_widths(data)[1][-2]

    def trunk_params(self, data: Manifest) -> int:
        constant = 0 if data.dense else self.embedding_dim
        return sum(map(linear_params, self.mlp_widths(data))) + self.history_params() + constant

    def trunk_flop(self, data: Manifest) -> Flop:
        linear, attention = self.history_macs()
        linear += sum(map(linear_macs, self.mlp_widths(data)))
        n = self.interacting(data)
        interaction = 2 * n * n * self.embedding_dim  # over the sets: n^2 x set_dim each
        return Flop(body=2 * linear, attention=2 * attention, interaction=interaction, head=0)

    def trunk_activations(self, data: Manifest) -> int:
        floats = sum(sum(w) for w in self.mlp_widths(data)) + self.input_activations(data)
        n = self.interacting(data)
        return 2 * (floats + n * (self.embedding_dim + self.multi_embedding * n))
