"""What all sequence families share: one table of items, a stack of blocks over a user's events,
and a softmax over the catalogue.

A sample is an interaction: one predicted position. The first item of a user is predicted too, from
a start token. Non-embedding parameters N are the weight matrices of the blocks, as 2311.11351
counts them; positions, norms and biases are dense parameters that are not in N.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import model_validator

from recscale.families.base import Flop, ModelConfig, ModelSpec, Rates, Table, off_lanes
from recscale.manifest import Manifest
from recscale.values import CountAxis, PartsAxis, Probability, RowsAxis

ITEM = "item"  # the model's one table, in the inputs and, when tied, in the output layer
TIME_BUCKETS = 32  # of a bias by elapsed time: one for every doubling of the seconds between
RelativeBias = Literal["none", "position", "both"]
MOST_HEADS = 1024
HEAD_WIDTH = 32  # of one attention head, where the sweep does not say how many there are


class SequenceSpec(ModelSpec):
    """Axes and options of a sequence family."""

    task = "next_item"
    losses = ("eval_loss",)
    progressive = ("progressive_loss",)
    law_variables: ClassVar[tuple[str, ...]] = ("non_embedding_params", "samples")
    sequence_depth: PartsAxis = (2,)
    """Blocks."""
    sequence_width: CountAxis = (64,)
    """Width d of the items' vectors and of every block; a multiple of 4."""
    heads: RowsAxis = (None,)
    """Attention heads of each block; null: one for every 32 of the width."""
    sequence_length: CountAxis = (50,)
    """Positions that a model sees at once."""
    tied: bool = True
    """Whether the output layer is the item table itself, as in SASRec (1808.09781), or has weights
    of its own."""
    negatives: RowsAxis = (None,)
    """Items beside the target in the training loss, drawn anew for every batch and shared by its
    positions; null: the full softmax over the items that the run's rows have. Evaluation is always
    over all items."""
    negatives_by: Literal["popularity", "uniform"] = "popularity"
    """`popularity`: in proportion to an item's share of the events in the run's rows."""
    correction: bool = True
    """Whether log(expected draws) is taken off the logits of sampled items, so that the loss tends
    to the full softmax's (logQ correction; Bengio & Senecal 2003, Yi et al. 2019)."""
    filter_seen: bool = False
    """Whether ranking metrics leave out the items that a user has met before; never the target.
    The loss is over all items either way."""
    dropout: Probability = 0.0
    """Of the embeddings and of the lowest block."""
    dropout_top: Probability | None = None
    """Of the highest block; those between fall in a line: the layer-wise adaptive dropout of
    2311.11351. Left out: the same everywhere."""

    @model_validator(mode="after")
    def _heads_divide(self) -> SequenceSpec:
        for heads in self.heads:
            for width in self.sequence_width:
                if heads and width % heads:
                    raise ValueError(
                        f"heads: {heads} heads do not divide sequence_width {width}; take a "
                        "divisor of every width"
                    )
        return self

    @property
    def other_loss(self) -> str:
        given = {
            "negatives": any(self.negatives),
            "dropout": self.dropout,
            "dropout_top": self.dropout_top,
        }
        return ", ".join(f"model.{key}" for key, value in given.items() if value)

    def shape(self, values: dict[str, Any]) -> dict[str, Any]:
        """The fields of `SequenceConfig` at one point of the axes."""
        width, depth = values["sequence_width"], values["sequence_depth"]
        top = self.dropout if self.dropout_top is None or depth == 1 else self.dropout_top
        return {
            "sequence_depth": depth,
            "sequence_width": width,
            "heads": values["heads"] or usual_heads(width),
            "sequence_length": values["sequence_length"],
            "tied": self.tied,
            "negatives": values["negatives"],
            "negatives_by": self.negatives_by if values["negatives"] else None,
            "correction": self.correction if values["negatives"] else None,
            "filter_seen": self.filter_seen,
            "dropout": self.dropout,
            "dropout_top": top,
        }

    def grown(self, config: ModelConfig, axis: str) -> dict[str, Any]:
        values = super().grown(config, axis)
        if axis == "sequence_width" and self.heads == (None,):
            values["heads"] = None  # heads follow the width, as in the sweep
        return values

    def idle(self, data: Manifest) -> dict[str, str]:
        out = {}
        if not any(self.negatives):
            why = "the softmax is over all items (negatives is null)"
            out |= dict.fromkeys(("negatives_by", "correction"), why)
        if max(self.sequence_depth) == 1:
            out["dropout_top"] = "there is one block (sequence_depth is 1)"
        return out

    def complaints(self, data: Manifest) -> list[str]:
        most = data.items.rows - 1
        return off_lanes("model.sequence_width", self.sequence_width) + [
            f"model.negatives: {n:,} of a catalogue of {most:,}; take fewer, or null for all"
            for n in self.negatives
            if n and n >= most
        ]


def relative_params(bias: RelativeBias, length: int) -> int:
    """Weights of a block's bias: one a distance in positions, and one a bucket of elapsed time."""
    return {"none": 0, "position": length, "both": length + TIME_BUCKETS}[bias]


def usual_heads(width: int) -> int:
    """Most heads of at least HEAD_WIDTH that divide the width."""
    most = min(MOST_HEADS, max(1, width // HEAD_WIDTH))
    return next(h for h in range(most, 0, -1) if width % h == 0)


class SequenceConfig(ModelConfig):
    task = "next_item"
    # 3e-3 loses 0.24 (decoder) and 0.54 nats (HSTU) on Online Retail, 0.1 on walks, and gains 0.03
    # on a chain that 700 steps learn to 0.04 nats of its entropy anyway; sparse 0.3 loses 0.2 to
    # 0.35 on Online Retail
    rates = Rates(dense=1e-3, sparse=1e-1, width=64)
    sequence_depth: int
    sequence_width: int
    heads: int
    sequence_length: int
    tied: bool
    negatives: int | None
    negatives_by: Literal["popularity", "uniform"] | None
    correction: bool | None
    filter_seen: bool
    dropout: float
    dropout_top: float

    @property
    def name(self) -> str:
        shape = f"l{self.sequence_depth}-d{self.sequence_width}-h{self.heads}"
        sampled = f"-n{self.negatives}" if self.negatives else ""
        return f"{self.family}-{shape}-s{self.sequence_length}{sampled}"

    def catalogue(self, data: Manifest) -> int:
        """Items V that the softmax ranks: all that occur in training."""
        return data.items.rows - 1

    def scored_items(self, data: Manifest) -> int:
        """Items that a position is scored against in training, of a run on all rows; fewer where
        those of its fraction do not have them all. Evaluation takes them all."""
        return self.negatives + 1 if self.negatives else self.catalogue(data)

    def tables(self, data: Manifest) -> dict[str, Table]:
        """The catalogue, a row for items that never occur in training, and the start token."""
        return {ITEM: Table(data.items.rows + 1, self.sequence_width)}

    def head_params(self, data: Manifest) -> int:
        """None of its own when tied: the table's rows are counted there."""
        return 0 if self.tied else self.catalogue(data) * self.sequence_width

    def block_params(self) -> int:
        """Weight matrices of one block."""
        raise NotImplementedError

    def attention_macs(self, keys: float) -> float:
        """Multiply-adds of one block's attention of one position over `keys` positions."""
        raise NotImplementedError

    def non_embedding_params(self, data: Manifest) -> int:
        return self.sequence_depth * self.block_params()

    def mean_keys(self, data: Manifest) -> float:
        """Positions that a position attends to, on average: half a full sequence (the causal half
        of S^2), less where users have few events. An upper estimate: it does not know how
        long users are cut into sequences."""
        return min(self.sequence_length / 2, data.history_mean_length + 1)

    def forward_flop(self, data: Manifest) -> Flop:
        attention = self.sequence_depth * self.attention_macs(self.mean_keys(data))
        return Flop(
            body=2 * self.non_embedding_params(data),
            attention=2 * attention,
            interaction=0,
            head=2 * self.sequence_width * self.scored_items(data),
        )

    def lookups(self, data: Manifest) -> dict[str, float]:
        return {ITEM: 2.0 if self.tied and self.negatives else 1.0}  # the target's own, too

    def step_lookups(self, data: Manifest) -> dict[str, int]:
        return {ITEM: self.negatives or self.catalogue(data)} if self.tied else {}

    def block_activations(self) -> int:
        """Floats of one position that one block's backward needs."""
        raise NotImplementedError

    def activations(self, data: Manifest) -> int:
        body = self.sequence_depth * self.block_activations() + 4 * self.sequence_width
        # logits, their softmax and its gradient
        return 2 * body + 3 * self.scored_items(data)
