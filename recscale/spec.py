"""The sweep file as frozen objects: what a user may write, and what each value means.

`recscale.specfile.load_spec` turns YAML into a `SweepSpec` or reports every error at once.
A scalar fixes a value, a list makes it an axis of the sweep. Nothing here knows where a run runs.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator


class Frozen(BaseModel):
    """A value object: unknown keys are errors, nothing changes after construction."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _as_axis(value: Any) -> Any:
    """A scalar is an axis of one value; order and duplicates are settled here, once."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not values:
        raise ValueError("an axis needs at least one value")
    if any(isinstance(v, bool) for v in values):
        raise ValueError("true and false are not values of this axis")
    duplicates = sorted({str(v) for v in values if values.count(v) > 1})
    if duplicates:
        raise ValueError(f"the value {', '.join(duplicates)} stands twice")
    return tuple(values)


def _plain_number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number, not true or false")
    return value


Count = Annotated[int, BeforeValidator(_plain_number), Field(ge=1)]
Positive = Annotated[float, BeforeValidator(_plain_number), Field(gt=0)]
Fraction = Annotated[float, BeforeValidator(_plain_number), Field(gt=0, le=1)]

CountAxis = Annotated[tuple[Count, ...], BeforeValidator(_as_axis)]
DepthAxis = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_as_axis)]
RowsAxis = Annotated[tuple[Count | None, ...], BeforeValidator(_as_axis)]
FractionAxis = Annotated[tuple[Fraction, ...], BeforeValidator(_as_axis)]
FactorAxis = Annotated[tuple[Positive, ...], BeforeValidator(_as_axis)]


def _share(value: Any) -> Any:
    """`10%` and `0.1` are the same share."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip()[:-1]) / 100
        except ValueError:
            raise ValueError(f"{value!r} is not a share; write 10% or 0.1") from None
    return _plain_number(value)


Share = Annotated[float, BeforeValidator(_share), Field(gt=0, lt=1)]


class Holdout(Frozen):
    """The evaluation set: the `last` share of the rows in time, the same for every run."""

    last: Share = 0.1


class _Data(Frozen):
    holdout: Holdout = Holdout()
    order: Literal["time", "hash"] = "time"
    """Training order: `time`, so that a data fraction is the past up to a day; or `hash`, rows in
    the order of a salted hash, so that a fraction is a nested random sample of the window."""
    refuse_above: Share = 0.05
    """Preparing stops when a larger share of the rows than this has to be dropped."""


class SyntheticData(_Data):
    """The built-in world: click logs of a planted teacher whose Bayes loss is known."""

    source: Literal["synthetic"]
    task: Literal["click"] = "click"
    rows: Annotated[Count, Field(ge=1000)] = 500_000
    """Impressions, training and evaluation together."""
    users: Count = 20_000
    items: Count = 10_000
    seed: Annotated[int, Field(ge=0)] = 0


class CriteoData(_Data):
    """Criteo Kaggle `train.txt` or Criteo 1TB `day_*`: label, 13 integers, 26 hexadecimal ids."""

    source: Literal["criteo"]
    path: str
    """A file, a directory of `day_*` files, or a glob; `.gz` is read as it is."""
    task: Literal["click"] = "click"
    max_ids: Count = 10_000_000
    """Ids kept apart per feature; rarer ones share rows by hash."""


class Columns(Frozen):
    """Which column of the log plays which part."""

    user: str
    item: str
    time: str
    label: str | None = None
    """0/1 clicks. Without it every row is a positive and negatives are sampled."""
    sparse: tuple[str, ...] = ()
    dense: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Columns:
        named = [self.user, self.item, self.time, self.label, *self.sparse, *self.dense]
        twice = sorted({c for c in named if c is not None and named.count(c) > 1})
        if twice:
            raise ValueError(f"the column {', '.join(twice)} is given two parts; name it once")
        taken = sorted({"user", "item", "history"}.intersection(self.sparse))
        if taken:
            raise ValueError(
                f"sparse: {', '.join(taken)} is the name of a table of its own (of the user, the "
                "item, the history); rename the column in the log"
            )
        return self


class Negatives(Frozen):
    """Sampled negatives of implicit feedback, only items already seen by the row's time."""

    per_positive: Count = 4
    distribution: Literal["uniform", "popularity"] = "uniform"
    """`popularity`: in proportion to how often the item had occurred by then."""


class EventsData(_Data):
    """Bring your own: Parquet or CSV, one event a row."""

    source: Literal["events"]
    path: str
    columns: Columns
    task: Literal["click", "next_item"] = "click"
    negatives: Negatives = Negatives()
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the sampled negatives."""


DataSpec = Annotated[SyntheticData | CriteoData | EventsData, Field(discriminator="source")]


class ModelSpec(Frozen):
    """The model family and its axes.

    `overarch_width` left out means: as wide as `mlp_width`, so that `mlp_width` alone scales all
    dense layers (the MLP scheme of 2208.08489) and `overarch_width` the top MLP only.
    """

    family: Literal["dlrm"]
    embedding_dim: CountAxis = (16,)
    embedding_rows: RowsAxis = (None,)
    """Rows per table (hash size); ids beyond it wrap round. null: the whole vocabulary."""
    mlp_width: CountAxis = (64,)
    overarch_width: RowsAxis = (None,)
    mlp_depth: CountAxis = (2,)
    """Hidden layers of each MLP."""
    sequence_depth: DepthAxis = (0,)
    """Causal transformer blocks over the user's history; 0 is mean pooling."""
    sequence_width: CountAxis = (32,)
    sequence_length: CountAxis = (20,)
    """Last items of the history that a model sees."""


class LearningRate(Frozen):
    dense: Positive = 1e-3
    sparse: Positive = 5e-2
    tune: FactorAxis = (1.0,)
    """Factors on both rates, tried for every architecture and fraction; the best enters the law."""


class TrainSpec(Frozen):
    data_fraction: FractionAxis = (1.0,)
    batch_size: Count = 1024
    """Global batch, over all workers."""
    epochs: Count = 1
    seeds: Count = 1
    learning_rate: LearningRate = LearningRate()
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the steps in which the rate rises; after them it falls linearly to zero."""
    eval_points: Count = 6
    """Evaluations along the run: at the end and at halvings of its samples before it."""
    diverge_above: Annotated[Positive, Field(gt=1)] = 2.0
    """A run whose loss exceeds this multiple of the base rate's entropy has diverged."""


class SearchSpec(Frozen):
    strategy: Literal["grid", "axes"] = "grid"
    """`grid`: every combination. `axes`: one axis at a time round `base`."""
    base: dict[str, float | int | None] = {}
    """Base value per axis for `axes`; the middle one of an axis, and all data, where left out."""


class LawSpec(Frozen):
    form: Literal["auto", "additive", "power", "gamma", "kaplan", "repeated"] = "additive"
    """See `recscale.laws.forms`; `auto` chooses by the error on the dearer runs."""
    variables: tuple[str, ...] = ("table_params", "dense_params", "samples")
    loss: Literal["eval_loss", "eval_ne"] = "eval_ne"


class BudgetSpec(Frozen):
    """What the sweep may spend, failures counted; never crossed."""

    flop: Positive | None = None
    gpu_hours: Positive | None = None
    usd: Positive | None = None

    @model_validator(mode="after")
    def _at_least_one(self) -> BudgetSpec:
        if self.flop is None and self.gpu_hours is None and self.usd is None:
            raise ValueError("give at least one of flop, gpu_hours, usd")
        return self


class ResourcesSpec(Frozen):
    workers: Count = 1
    cpus_per_worker: Count = 1
    gpus_per_worker: Annotated[float, BeforeValidator(_plain_number), Field(ge=0)] = 0
    machine: str = "cpu"
    """A row of `cluster/prices.yaml`: what a worker-hour costs and what it sustains."""
    retries: Annotated[int, Field(ge=0)] = 2
    """Fresh starts from the last checkpoint after a crash, before a run is recorded as failed."""
    checkpoint_s: Positive = 60
    """Seconds between checkpoints: the most work that a kill can cost."""


class SweepSpec(Frozen):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    data: DataSpec
    model: ModelSpec
    train: TrainSpec = TrainSpec()
    search: SearchSpec = SearchSpec()
    law: LawSpec = LawSpec()
    budget: BudgetSpec
    resources: ResourcesSpec = ResourcesSpec()
    storage: str = "runs"
    """Where ledger, checkpoints and prepared data go; `$VARIABLES` are expanded."""

    def axes(self) -> dict[str, tuple[Any, ...]]:
        """Every architecture axis and the data fraction, in the file's order of meaning."""
        model = {k: getattr(self.model, k) for k in type(self.model).model_fields if k != "family"}
        return {**model, "data_fraction": self.train.data_fraction}

    @field_validator("search")
    @classmethod
    def _strategy_has_base(cls, search: SearchSpec) -> SearchSpec:
        if search.base and search.strategy != "axes":
            raise ValueError("base belongs to strategy axes")
        return search

    @model_validator(mode="after")
    def _consistent(self) -> SweepSpec:
        if self.train.batch_size % self.resources.workers:
            raise ValueError(
                f"train.batch_size {self.train.batch_size} must be a multiple of "
                f"resources.workers {self.resources.workers}, so that every worker gets its share"
            )
        if self.data.task != "click":
            raise ValueError(f"model.family {self.model.family} needs data.task click")
        axes = self.axes()
        for key, value in self.search.base.items():
            if key not in axes:
                raise ValueError(f"search.base.{key}: not an axis; allowed: {', '.join(axes)}")
            if value not in axes[key]:
                raise ValueError(
                    f"search.base.{key}: {value} is not a value of the axis; "
                    f"allowed: {', '.join(map(str, axes[key]))}"
                )
        return self


def middle(values: tuple[Any, ...]) -> Any:
    """The middle value of an axis, the upper one of two: the default base of a one-axis sweep."""
    return values[math.floor(len(values) / 2)]
