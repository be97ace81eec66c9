"""What all click families share: tables of the categorical features, and a history encoder."""

from __future__ import annotations

from typing import Any, ClassVar

from recscale.families.base import ModelConfig, ModelSpec, Table
from recscale.manifest import Manifest
from recscale.values import CountAxis, DepthAxis, RowsAxis

HISTORY = "history"  # the table of the items in users' histories


class ClickSpec(ModelSpec):
    """Axes of the inputs of a click model."""

    task = "click"
    losses = ("eval_ne", "eval_loss")
    follows: ClassVar[dict[str, str]] = {"sequence_depth": "sequence_width"}
    embedding_dim: CountAxis = (16,)
    embedding_rows: RowsAxis = (None,)
    """Rows per table (hash size); ids beyond it wrap round. null: the whole vocabulary."""
    sequence_depth: DepthAxis = (0,)
    """Causal transformer blocks over the user's history; 0 is mean pooling."""
    sequence_width: CountAxis = (32,)
    sequence_length: CountAxis = (20,)
    """Last items of the history that a model sees."""

    def inputs(self, values: dict[str, Any], data: Manifest) -> dict[str, Any]:
        """The fields of `ClickConfig` at one point of the axes."""
        depth, rows = values["sequence_depth"], values["embedding_rows"]
        largest = max((t.rows for t in data.tables), default=0)
        return {
            "embedding_dim": values["embedding_dim"],
            "embedding_rows": rows if rows is not None and rows < largest else None,
            "sequence_depth": depth,
            "sequence_width": values["sequence_width"] if depth else 0,
            "sequence_length": values["sequence_length"] if data.history else 0,
        }

    def grown(self, config: ModelConfig, axis: str) -> dict[str, Any]:
        values = super().grown(config, axis)
        if axis == "sequence_depth" and not values["sequence_width"]:
            values["sequence_width"] = max(self.sequence_width)
        return values

    def complaints(self, data: Manifest) -> list[str]:
        if data.history is None and any(self.sequence_depth):
            return [f"model.sequence_depth: the {data.source} data has no user histories; leave it "
                    "at 0"]  # fmt: skip
        return []


class ClickConfig(ModelConfig):
    """Inputs of a click model: one vector a table, and one of the user's history."""

    task = "click"
    embedding_dim: int
    embedding_rows: int | None
    """Cap on the rows of each table; None is the whole vocabulary."""
    sequence_depth: int
    sequence_width: int
    sequence_length: int

    def tables(self, data: Manifest) -> dict[str, Table]:
        """One table a feature, and the history's own, with the rows of the items' table."""
        cap, d = self.embedding_rows, self.embedding_dim
        found = {t.name: Table(min(t.rows, cap) if cap else t.rows, d) for t in data.tables}
        if self.reads_history(data):
            found[HISTORY] = found[str(data.history)]
        return found

    def reads_history(self, data: Manifest) -> bool:
        return bool(self.sequence_length and data.history)

    def vectors(self, data: Manifest) -> int:
        """Embedded vectors of a sample: one a table, the history's among them."""
        return len(data.tables) + self.reads_history(data)

    def lookups(self, data: Manifest) -> dict[str, float]:
        rows = {t.name: 1.0 for t in data.tables}
        if self.reads_history(data):
            rows[HISTORY] = min(data.history_mean_length, self.sequence_length)
        return rows

    def history_params(self) -> int:
        """Parameters of the history encoder: `depth` blocks of width s between two projections."""
        if not self.sequence_depth:
            return 0
        s, d = self.sequence_width, self.embedding_dim
        block = 12 * s * s + 13 * s  # attention 4s^2+4s, feed-forward 8s^2+5s, two norms 4s
        ends = (d * s + s) + self.sequence_length * s + 2 * s + (s * d + d)
        return ends + self.sequence_depth * block

    def history_macs(self) -> tuple[float, float]:
        """Multiply-adds of the encoder's linear layers and of its causal attention. Histories
        count at their padded length, because that is what is computed."""
        if not self.sequence_depth:
            return 0.0, 0.0
        s, d, length = self.sequence_width, self.embedding_dim, self.sequence_length
        linear = length * (d * s + self.sequence_depth * 12 * s * s) + s * d
        return linear, self.sequence_depth * length**2 * s  # half of q k^T and of its mix of v

    def history_activations(self, data: Manifest) -> int:
        """Floats of the encoder's forward pass."""
        if not self.reads_history(data):
            return 0
        # per block: two norms, q k v, attention out, projection, 4s hidden twice, two residuals
        blocks = self.sequence_depth * 16 * self.sequence_width
        return self.sequence_length * (self.embedding_dim + blocks)

    def sequence_name(self) -> str:
        return f"-s{self.sequence_depth}" if self.sequence_length else ""
