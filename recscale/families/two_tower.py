"""Two-tower retrieval (Yi et al. 2019): its axes and costs."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from recscale.families.base import Flop, ModelConfig, ModelSpec, Rates, Table, off_lanes
from recscale.families.sequence import ITEM
from recscale.families.towers import linear_macs, linear_params
from recscale.manifest import Manifest
from recscale.values import Count, CountAxis, DepthAxis, RowsAxis

CONTRAST = 256
"""Negatives of the contrastive entropy in 2403.18684."""


class TwoTowerSpec(ModelSpec):
    """Two towers for retrieval (Yi et al. 2019; how such models scale: 2403.18684): one over the
    mean of the user's last items, one over an item, both from one item table; a score is the dot
    product of what they give. Trained by a softmax over other targets of the batch and sampled
    items, with the log of how often each is expected there taken off its score (logQ); evaluated
    over the whole catalogue."""

    task = "next_item"
    family: Literal["two_tower"]
    losses = ("eval_loss", "eval_contrastive")
    schemes: ClassVar[dict[str, tuple[str, ...]]] = {
        "dim": ("embedding_dim",),
        "towers": ("tower_width",),
        "combined": ("embedding_dim", "tower_width", "output_dim"),
    }
    follows: ClassVar[dict[str, str]] = {"tower_depth": "tower_width"}
    embedding_dim: CountAxis = (32,)
    """Dimension of the item table; a multiple of 4."""
    tower_width: CountAxis = (64,)
    """Width of each tower's hidden layers."""
    tower_depth: DepthAxis = (1,)
    """Hidden layers of each tower, with ReLU; 0: one linear layer alone."""
    output_dim: CountAxis = (32,)
    """Dimension of the vectors that are searched in serving."""
    sequence_length: CountAxis = (50,)
    """Last items of the user whose mean the user's tower reads."""
    in_batch: RowsAxis = (None,)
    """Other targets of the batch that each sample is scored against, fewer than `batch_size`; null:
    all of them. Few of them are a noisy softmax: at batch 255, 31 end .03 nats above 127 on the
    walks of the contract suite (2026-11-30)."""
    negatives: DepthAxis = (0,)
    """Items that each sample is scored against besides: drawn for every batch, uniformly from those
    that the run's rows have (mixed negative sampling, Yang et al. 2020)."""
    correction: bool = True
    """Whether log(expected number) is taken off the scores of in-batch and sampled items, by which
    the loss tends to that of a softmax over all items; without it, scores learn how much likelier
    an item is than by its popularity."""
    contrastive: Annotated[Count, Field(le=10_000)] = CONTRAST
    """Negatives of `eval_contrastive`: the mean of -log of the target's share of a softmax over
    itself and so many items, drawn uniformly from the others for each evaluation event, the same in
    all runs. It moves with recall and is smooth (2403.18684)."""
    filter_seen: bool = False
    """Whether ranking metrics leave out the items that a user has met before; never the target."""

    @model_validator(mode="after")
    def _all_or_numbers(self) -> TwoTowerSpec:
        if None in self.in_batch and len(self.in_batch) > 1:
            raise ValueError(
                "in_batch: null stands for all others of the batch, and stands alone; beside other "
                "values write their number, train.batch_size - 1"
            )
        return self

    def on_batch(self, batch: int) -> TwoTowerSpec:
        if self.in_batch != (None,):
            return self
        return self.model_copy(update={"in_batch": (batch - 1,)})

    @property
    def other_loss(self) -> str:
        return "model.in_batch"

    def resolve(self, values: dict[str, Any], data: Manifest) -> TwoTowerConfig:
        depth = values["tower_depth"]
        return TwoTowerConfig(
            family="two_tower",
            **{k: v for k, v in values.items() if k in self.axes() and k != "tower_width"},
            tower_width=values["tower_width"] if depth else 0,
            correction=self.correction,
            contrastive=self.contrastive,
            filter_seen=self.filter_seen,
        )

    def grown(self, config: ModelConfig, axis: str) -> dict[str, Any]:
        values = super().grown(config, axis)
        if axis == "tower_depth" and not values["tower_width"]:
            values["tower_width"] = max(self.tower_width)
        return values

    def may_grow(self, axis: str, value: Any) -> bool:
        """The batch is one for the sweep."""
        return axis != "in_batch" or value in self.in_batch

    def complaints(self, data: Manifest) -> list[str]:
        return off_lanes("model.embedding_dim", self.embedding_dim)

    def idle(self, data: Manifest) -> dict[str, str]:
        return {} if any(self.tower_depth) else {"tower_width": "tower_depth is 0"}


class TwoTowerConfig(ModelConfig):
    task = "next_item"
    rates = Rates(dense=1e-3, sparse=1e-1)
    family: Literal["two_tower"]
    embedding_dim: int
    tower_width: int
    tower_depth: int
    output_dim: int
    sequence_length: int
    in_batch: int
    negatives: int
    correction: bool
    contrastive: int
    filter_seen: bool

    @property
    def name(self) -> str:
        towers = f"-t{self.tower_depth}x{self.tower_width}" if self.tower_depth else "-t0"
        against = f"-b{self.in_batch}-n{self.negatives}"
        size = f"-d{self.embedding_dim}{towers}-o{self.output_dim}"
        return f"{self.family}{size}-s{self.sequence_length}{against}"

    @property
    def widths(self) -> list[int]:
        """Layer widths of a tower, input to output."""
        return [self.embedding_dim, *[self.tower_width] * self.tower_depth, self.output_dim]

    @property
    def scored(self) -> int:
        """Items that a sample is scored against in training, its own among them."""
        return 1 + self.in_batch + self.negatives

    def tables(self, data: Manifest) -> dict[str, Table]:
        """The catalogue, a row for items that never occur in training, and the start token."""
        return {ITEM: Table(data.items.rows + 1, self.embedding_dim)}

    def dense_params(self, data: Manifest) -> int:
        return 2 * linear_params(self.widths)

    def forward_flop(self, data: Manifest) -> Flop:
        """A sample passes its user and its target through their towers; in-batch items are other
        samples' targets, sampled ones pass once a step."""
        return Flop(
            body=2 * 2 * linear_macs(self.widths),
            attention=0,
            interaction=0,
            head=2 * self.output_dim * self.scored,
        )

    def step_flop(self, data: Manifest) -> float:
        return 2.0 * self.negatives * linear_macs(self.widths)

    def lookups(self, data: Manifest) -> dict[str, float]:
        """The user's last items, the start token among them, and the target."""
        return {ITEM: 1 + min(self.sequence_length, data.history_mean_length + 1)}

    def step_lookups(self, data: Manifest) -> dict[str, int]:
        return {ITEM: self.negatives}

    def activations(self, data: Manifest) -> int:
        # the vectors read, their sums and means; both towers; scores, their softmax, its gradient
        read = 3 * self.sequence_length * self.embedding_dim
        return 2 * (read + 2 * sum(self.widths)) + 3 * self.scored
