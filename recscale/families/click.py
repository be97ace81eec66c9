"""What all click families share: tables of the categorical features, and a history encoder."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from recscale.families.base import LANES, Flop, ModelConfig, ModelSpec, Rates, Table, off_lanes
from recscale.families.towers import Towers
from recscale.manifest import Manifest, unused
from recscale.values import CountAxis, DepthAxis, PartsAxis, RowsAxis

BAG_FLOATS = 3  # that backward keeps of a bag's value: its 8-byte id and its weight
ENOUGH = 100
"""Clicks of a run (or rows without one, if they are fewer) from which on the usual rates hold.
Source: tests/benchmarks/defaults.py, 2026-11-30."""
HEAD_WIDTH = 16  # of one attention head over the history; narrower encoders have a single head


class ClickSpec(ModelSpec):
    """Axes of the inputs of a click model."""

    task = "click"
    losses = ("eval_ne", "eval_loss")
    progressive = ("progressive_ne", "progressive_loss")
    follows: ClassVar[dict[str, str]] = {
        "sequence_depth": "sequence_width",
        "experts": "expert_width",
        "tower_depth": "tower_width",
    }
    schemes: ClassVar[dict[str, tuple[str, ...]]] = {
        "rows": ("embedding_rows",),
        "dim": ("embedding_dim",),
        "mlp": ("mlp_width",),
        "combined": ("embedding_rows", "embedding_dim", "mlp_width"),
    }
    embedding_dim: CountAxis = (16,)
    """Dimension of every table; a multiple of 4."""
    embedding_rows: RowsAxis = (None,)
    """Rows per table (hash size); ids beyond it wrap round. null: the whole vocabulary."""
    multi_embedding: PartsAxis = (1,)
    """Sets of tables that share `embedding_dim` among them, each with an interaction of its own
    (2310.04400): 4 sets at embedding_dim 64 are four tables of dimension 16 a feature."""
    sequence_depth: DepthAxis = (0,)
    """Causal transformer blocks over the user's history; 0 is mean pooling."""
    sequence_width: CountAxis = (32,)
    """Width of those blocks."""
    sequence_length: CountAxis = (20,)
    """Last items of the history that a model sees."""
    sequence_encoder: Literal["decoder", "hstu"] = "decoder"
    """The blocks over the history: softmax attention and a feed-forward layer of 4 x width, or
    HSTU's pointwise attention (2402.17152) with a bias by distance in positions; a click log's
    store keeps no times of histories."""
    sequence_target: bool = False
    """Whether the row's own item stands behind its history as one more event, whose output is the
    history's vector, so that a history is read for what is asked of it. False: the mean of all
    events' outputs."""

    experts: DepthAxis = (0,)
    """Of several labels (`data.columns.labels`): experts behind the network's last hidden values,
    which every label mixes by a gate of its own (MMoE, Ma et al. 2018); 0: each label's tower reads
    those values as they are."""
    expert_width: CountAxis = (64,)
    """Width of each expert's one layer."""
    tower_depth: DepthAxis = (0,)
    """Hidden layers of each label's own tower, below its output unit."""
    tower_width: CountAxis = (64,)
    """Their width."""

    def inputs(self, values: dict[str, Any], data: Manifest) -> dict[str, Any]:
        """The fields of `ClickConfig` at one point of the axes."""
        depth, rows = values["sequence_depth"], values["embedding_rows"]
        experts = values["experts"] if data.labels else 0
        towers = values["tower_depth"] if data.labels else 0
        largest = max((t.rows for t in data.tables), default=0)
        return {
            "embedding_dim": values["embedding_dim"],
            "embedding_rows": rows if rows is not None and rows < largest else None,
            # as many sets as the dimension can be shared among
            "multi_embedding": math.gcd(
                values["multi_embedding"], max(1, values["embedding_dim"] // LANES)
            ),
            "sequence_depth": depth,
            "sequence_width": values["sequence_width"] if depth else 0,
            "sequence_length": values["sequence_length"] if data.history else 0,
            "sequence_encoder": self.sequence_encoder if depth else "decoder",
            "sequence_target": bool(self.sequence_target and depth and data.history),
            "experts": experts,
            "expert_width": values["expert_width"] if experts else 0,
            "tower_depth": towers,
            "tower_width": values["tower_width"] if towers else 0,
        }

    def size(self, axis: str, values: dict[str, Any], data: Manifest) -> int:
        if axis == "embedding_rows" and values[axis] is None:
            return max((t.rows for t in data.tables), default=1)
        return super().size(axis, values, data)

    def grown(self, config: ModelConfig, axis: str) -> dict[str, Any]:
        values = super().grown(config, axis)
        for depth, width in ClickSpec.follows.items():
            if axis == depth and not values[width]:
                values[width] = max(getattr(self, width))
        return values

    def idle(self, data: Manifest) -> dict[str, str]:
        return self._idle_history(data) | self._idle_towers(data)

    def _idle_history(self, data: Manifest) -> dict[str, str]:
        if data.history is None:
            keys = ("sequence_width", "sequence_length", "sequence_encoder", "sequence_target")
            return dict.fromkeys(keys, "the data has no histories")
        if any(self.sequence_depth):
            return {}
        idle = ("sequence_width", "sequence_encoder", "sequence_target")
        return dict.fromkeys(idle, "sequence_depth is 0")

    def _idle_towers(self, data: Manifest) -> dict[str, str]:
        if not data.labels:
            keys = ("experts", "expert_width", "tower_depth", "tower_width")
            return dict.fromkeys(keys, "the data has one label (data.columns.labels names several)")
        out = {} if any(self.experts) else {"expert_width": "experts is 0"}
        return out | ({} if any(self.tower_depth) else {"tower_width": "tower_depth is 0"})

    def complaints(self, data: Manifest) -> list[str]:
        out = []
        if data.history is None and any(self.sequence_depth):
            out.append(
                f"model.sequence_depth: the {data.source} data has no user histories; leave it at 0"
            )
        plain = data.history in [t.name for t in data.plain]
        if self.sequence_target and data.history and not plain:
            out.append(
                f"model.sequence_target: the histories' column {data.history} has no single value "
                "a row; leave it at false"
            )
        for sets in self.multi_embedding:
            key = "embedding_dim" if sets == 1 else "multi_embedding"
            out += off_lanes(f"model.{key}", self.embedding_dim, sets)
        return out


class ClickConfig(ModelConfig):
    """Inputs of a click model: one vector a table, and one of the user's history; the same again
    for every set of a multi-embedding."""

    task = "click"
    # dense 1e-3 costs DLRM and DCN V2 0.005 to 0.01 nats on the larger world, 1e-2 costs all three
    # 0.02 to 0.03 on the smaller one; sparse 0.03 and 0.1 differ by 0.005 at most
    rates = Rates(dense=3e-3, sparse=1e-1)
    embedding_dim: int
    """Of a feature, over all its sets."""
    embedding_rows: int | None
    """Cap on the rows of each table; None is the whole vocabulary."""
    sequence_depth: int
    sequence_width: int
    sequence_length: int
    multi_embedding: int = 1
    sequence_encoder: Literal["decoder", "hstu"] = "decoder"
    sequence_target: bool = False
    experts: int = 0
    expert_width: int = 0
    tower_depth: int = 0
    tower_width: int = 0

    def last_width(self, data: Manifest) -> int:
        """Width of the last hidden values, which output units and towers read."""
        raise NotImplementedError

    def trunk_params(self, data: Manifest) -> int:
        """Dense parameters of the family's own network with one output unit."""
        raise NotImplementedError

    def trunk_flop(self, data: Manifest) -> Flop:
        """Forward FLOPs of a sample of the same."""
        raise NotImplementedError

    def trunk_activations(self, data: Manifest) -> int:
        """Its floats, as `activations` counts them."""
        raise NotImplementedError

    def towers(self, data: Manifest) -> Towers | None:
        """What several labels have behind the last hidden values; None of one label."""
        if not data.labels:
            return None
        return Towers(
            labels=len(data.labels),
            width=self.last_width(data),
            experts=self.experts,
            expert_width=self.expert_width,
            tower_width=self.tower_width,
            tower_depth=self.tower_depth,
        )

    def dense_params(self, data: Manifest) -> int:
        towers = self.towers(data)
        return self.trunk_params(data) + (towers.params if towers else 0)

    def forward_flop(self, data: Manifest) -> Flop:
        trunk, towers = self.trunk_flop(data), self.towers(data)
        if towers is None:
            return trunk
        return trunk.model_copy(update={"body": trunk.body + 2 * towers.macs})

    def activations(self, data: Manifest) -> int:
        towers = self.towers(data)
        return self.trunk_activations(data) + (2 * towers.activations if towers else 0)

    def usual_rates(self, data: Manifest, fraction: float) -> Rates:
        return rarer_rates(self.rates, data, fraction)

    @property
    def set_dim(self) -> int:
        """Dimension of one table."""
        return self.embedding_dim // self.multi_embedding

    def set_names(self, feature: str) -> list[str]:
        """The tables of a feature, one a set."""
        if self.multi_embedding == 1:
            return [feature]
        return [f"{feature}_set{i}" for i in range(self.multi_embedding)]

    def tables(self, data: Manifest) -> dict[str, Table]:
        """One table a feature and set, and the history's own, with the rows of the items' table."""
        cap = self.embedding_rows
        rows = {t.name: min(t.rows, cap) if cap else t.rows for t in data.tables}
        if self.reads_history(data):
            rows[self.history_name(data)] = rows[data.items.name]
        return {name: Table(n, self.set_dim) for f, n in rows.items() for name in self.set_names(f)}

    def history_name(self, data: Manifest) -> str:
        """The table of the items in users' histories."""
        return unused("history", [t.name for t in data.tables])

    def reads_history(self, data: Manifest) -> bool:
        return bool(self.sequence_length and data.history)

    def vectors(self, data: Manifest) -> int:
        """Embedded vectors of a sample in each set: one a feature, the history's among them."""
        return len(data.tables) + self.reads_history(data)

    def fields(self, data: Manifest) -> int:
        """Vectors of a set where every dense column has one of its own, beside the embedded ones
        (recscale.models.click.Fields)."""
        return self.vectors(data) + len(data.dense)

    def field_params(self, data: Manifest) -> int:
        """Parameters of the dense columns' own vectors, over all sets."""
        return len(data.dense) * self.embedding_dim

    @property
    def events(self) -> int:
        """Most events that the encoder sees: the history's, and the row's own item."""
        return self.sequence_length + self.sequence_target

    def lookups(self, data: Manifest) -> dict[str, float]:
        rows = {t.name: t.mean_length for t in data.tables}
        if self.reads_history(data):
            seen = min(data.history_mean_length, self.sequence_length)
            rows[self.history_name(data)] = seen + self.sequence_target
        return {name: n for f, n in rows.items() for name in self.set_names(f)}

    def history_params(self) -> int:
        """Parameters of the history encoders, one a set: `depth` blocks of width s between two
        projections."""
        if not self.sequence_depth:
            return 0
        s, d, events = self.sequence_width, self.set_dim, self.events
        block = {
            "decoder": 12 * s * s + 13 * s,  # attention 4s^2+4s, feed-forward 8s^2+5s, two norms 4s
            "hstu": 7 * s * s + 5 * s + events,  # a bias s, two norms 4s, the distances
        }[self.sequence_encoder]
        ends = (d * s + s) + events * s + 2 * s + (s * d + d)
        return self.multi_embedding * (ends + self.sequence_depth * block)

    def history_macs(self) -> tuple[float, float]:
        """Multiply-adds of the encoders' linear layers and of their causal attention. Histories
        count at their full length S, the most that is computed: the encoder pads in attention only
        (recscale.models.history)."""
        if not self.sequence_depth:
            return 0.0, 0.0
        s, d, length = self.sequence_width, self.set_dim, self.events
        block = {"decoder": 12, "hstu": 7}[self.sequence_encoder] * s * s
        linear = length * (d * s + self.sequence_depth * block) + s * d
        attention = self.sequence_depth * length**2 * s  # half of q k^T and of its mix of v
        return self.multi_embedding * linear, self.multi_embedding * attention

    def input_activations(self, data: Manifest) -> int:
        """Floats of the bags' look-ups and of the encoder's forward pass."""
        bags = math.ceil(BAG_FLOATS * sum(t.mean_length for t in data.bags))
        bags *= self.multi_embedding
        if not self.reads_history(data):
            return bags
        # per block: two norms, q k v, attention out, projection, 4s hidden twice, two residuals;
        # of HSTU see recscale.families.hstu
        block = {"decoder": 16, "hstu": 18}[self.sequence_encoder] * self.sequence_width
        if self.sequence_encoder == "hstu":
            block += 3 * self.events * history_heads(self.sequence_width)
        blocks = self.multi_embedding * self.sequence_depth * block
        return bags + self.events * (self.embedding_dim + blocks)

    def input_name(self) -> str:
        """Dimension, sets if there are several, and rows."""
        sets = f"-m{self.multi_embedding}" if self.multi_embedding > 1 else ""
        return f"{self.family}-d{self.embedding_dim}{sets}-r{self.embedding_rows or 'all'}"

    def end_name(self) -> str:
        """History encoder, experts and towers, where there are any."""
        kind = "h" if self.sequence_encoder == "hstu" else ""
        target = "t" if self.sequence_target else ""
        past = f"-s{self.sequence_depth}{kind}{target}" if self.sequence_length else ""
        experts = f"-x{self.experts}x{self.expert_width}" if self.experts else ""
        towers = f"-t{self.tower_depth}x{self.tower_width}" if self.tower_depth else ""
        return f"{past}{experts}{towers}"


def history_heads(width: int) -> int:
    """Attention heads of a history encoder of this width."""
    return width // HEAD_WIDTH if width % HEAD_WIDTH == 0 else 1


def rarer_rates(usual: Rates, data: Manifest, fraction: float) -> Rates:
    """Lower by the square of how few clicks the run has: Adam and Adagrad take steps of one size
    however small the gradients are, so a handful of clicks, or the stretch of rows between two,
    moves a model further than they can tell. Of several labels the one with the most counts: the
    trunk learns by it, whatever the others have."""
    if data.label_rate_train is None:
        return usual
    share = max(min(click, 1 - click) for click in data.label_rates)
    rarer = max(1.0, share * fraction * data.n_train)
    share = float(f"{min(1.0, (rarer / ENOUGH) ** 2):.2g}")
    return Rates(share * usual.dense, share * usual.sparse)
