"""The sweep file as frozen objects: what a user may write, and what each value means.

`recscale.specfile.load_spec` turns YAML into a `SweepSpec` or reports every error at once.
A scalar fixes a value, a list makes it an axis of the sweep. Nothing here knows where a run runs.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_validator,
)

from recscale.families import AnyModelSpec
from recscale.values import (
    Count,
    CountAxis,
    FactorAxis,
    Fraction,
    FractionAxis,
    Frozen,
    Positive,
    Share,
    one_or_more,
    plain_number,
)


class Holdout(Frozen):
    """The evaluation set: the `last` share of the rows in time, the same for every run."""

    last: Share = 0.1
    leave_one_out: bool = False
    """Of task next_item, to reproduce literature only: evaluate on the last event of every user
    with two or more, whenever that was, instead of on the last share of all events in time."""


class _Data(Frozen):
    holdout: Holdout = Holdout()
    order: Literal["time", "hash"] = "time"
    """Training order: `time`, so that a data fraction is the past up to a day; or `hash`, rows in
    the order of a salted hash, so that a fraction is a nested random sample of the window: of its
    rows, for next_item of its users with all their events."""
    refuse_above: Share = 0.05
    """Preparing stops when a larger share of the rows than this has to be dropped."""

    @model_validator(mode="after")
    def _leave_one_out_of_sequences(self) -> _Data:
        if self.holdout.leave_one_out and getattr(self, "task", None) != "next_item":
            raise ValueError("holdout.leave_one_out belongs to task next_item; use holdout.last")
        return self


class SyntheticData(_Data):
    """The built-in worlds: click logs, or users' walks among items for next_item, of a planted
    teacher whose Bayes loss is known."""

    source: Literal["synthetic"]
    task: Literal["click", "next_item"] = "click"
    rows: Annotated[Count, Field(ge=1000)] = 500_000
    """Impressions, training and evaluation together."""
    users: Count = 20_000
    items: Count = 10_000
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _walks_have_a_time(self) -> SyntheticData:
        if self.holdout.leave_one_out:
            raise ValueError("holdout.leave_one_out is for logs of literature; use holdout.last")
        return self


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
    domain: str | None = None
    """The domain that an event belongs to, such as a shop's department: for probe `transfer`."""
    sparse: tuple[str, ...] = ()
    dense: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Columns:
        named = [self.user, self.item, self.time, self.label, self.domain]
        named += [*self.sparse, *self.dense]
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

    @property
    def domain(self) -> str | None:
        return self.columns.domain

    @model_validator(mode="after")
    def _domains_of_sequences(self) -> EventsData:
        if self.columns.domain and self.task != "next_item":
            raise ValueError("columns.domain belongs to task next_item; list it under sparse")
        return self


class PublishedData(_Data):
    """MovieLens and Amazon Reviews as published, and files of one user a line; see
    `recscale.data.formats`. Ratings count as events, whatever their stars."""

    source: Literal["movielens", "amazon", "sequences"]
    path: str
    """A file, a folder, or a glob: of `amazon` a file a domain."""
    task: Literal["click", "next_item"] = "next_item"
    negatives: Negatives = Negatives()
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the sampled negatives."""

    @property
    def domain(self) -> str | None:
        return "domain" if self.source == "amazon" and self.task == "next_item" else None

    @property
    def columns(self) -> Columns:
        return Columns(user="user", item="item", time="time", domain=self.domain)

    @model_validator(mode="after")
    def _lines_have_no_time(self) -> PublishedData:
        if self.source == "sequences" and not self.holdout.leave_one_out:
            raise ValueError(
                "source sequences: its lines hold an order and no time, so there is no split in "
                "time; set holdout.leave_one_out: true, or bring a log with times as source events"
            )
        return self


DataSpec = Annotated[
    SyntheticData | CriteoData | EventsData | PublishedData, Field(discriminator="source")
]


class LearningRate(Frozen):
    dense: Positive = 1e-3
    sparse: Positive = 5e-2
    width: Count | None = None
    """The width of a sequence model that both rates are meant for: at width d they are multiplied
    by width / d, as 2203.03466 (muP) does under Adam. null: the same rates at every width."""
    tune: FactorAxis = (1.0,)
    """Factors on both rates, tried for every architecture and fraction; the best enters the law."""


class TrainSpec(Frozen):
    data_fraction: FractionAxis = (1.0,)
    batch_size: Count = 1024
    """Global batch, over all workers."""
    epochs: CountAxis = (1,)
    """Passes over the training rows; law form `repeated` says what repeating is worth."""
    seeds: Count = 1
    learning_rate: LearningRate = LearningRate()
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the steps in which the rate rises; after them it falls linearly to zero."""
    eval_points: Count = 6
    """Evaluations along the run: at the end and at halvings of its samples before it."""
    sgd_after: Fraction | None = None
    """Share of the steps after which the dense parameters go on under plain SGD instead of Adam
    (2311.11351 switches once Adam has converged); null: never."""
    sgd_rate: Positive = 0.1
    """Its learning rate, under the same schedule."""
    diverge_above: Annotated[Positive, Field(gt=1)] = 2.0
    """A run whose loss exceeds this multiple of the base rate's entropy has diverged."""


def _amount(value: Any) -> Any:
    """`100x`, or a plain amount."""
    if isinstance(value, str) and value.strip().lower().endswith("x"):
        try:
            times = float(value.strip()[:-1])
        except ValueError:
            times = 0.0
        if not 1 < times < math.inf:
            raise ValueError("write times the largest run as a number above 1, such as 100x")
        return f"{times:g}x"
    if isinstance(value, str):
        raise ValueError("write an amount such as 1e18, or times the largest run such as 100x")
    return plain_number(value)


Amount = Annotated[str | Positive, BeforeValidator(_amount)]


class TargetSpec(Frozen):
    """What the run that is to be foretold may cost; one of them, as an amount or as times the
    largest run that the axes allow (`100x`)."""

    flop: Amount | None = None
    gpu_hours: Amount | None = None
    usd: Amount | None = None

    @model_validator(mode="after")
    def _one(self) -> TargetSpec:
        if sum(v is not None for v in (self.flop, self.gpu_hours, self.usd)) != 1:
            raise ValueError("give one of flop, gpu_hours, usd")
        return self

    def asked(self) -> tuple[str, str | float]:
        """The unit and the amount as it was written."""
        return next((k, v) for k, v in self if v is not None)


_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


class SearchSpec(Frozen):
    strategy: Literal["grid", "axes", "schemes", "frontier"] = "grid"
    """`grid`: every combination. `axes`: one axis at a time round `base`. `schemes`: each scaling
    scheme of the family by itself round the model as written, and data. `frontier`: a start of
    cheap runs, then those that tell most about `target` for their cost. The axes are then what may
    be tried, and `train.seeds` the most runs of one point."""
    base: dict[str, float | int | None] = {}
    """Base value per axis for `axes`; the middle one of an axis, and all data, where left out."""
    schemes: tuple[str, ...] = ()
    """For `schemes`: those to run, such as rows, dim, overarch, mlp, combined; all if left out."""
    factors: FactorAxis = _FACTORS
    """For `schemes`: multiples of the base."""
    target: TargetSpec | None = None
    """Where the law must be right."""
    goal: Literal["loss", "allocation", "slopes"] = "loss"
    """What must be right there: the loss; how the best run splits its cost between parameters and
    data; or what a doubling of each of the law's variables gains."""
    interval: Share | None = None
    """The search ends when the 90 % interval at the target is no wider than this to either side:
    a share of the loss, decades of the split's widest variable, a share of the mean gain."""
    warm_start: str | None = None
    """The run directory of an earlier sweep on the same data, or a table of runs (.csv, .parquet)
    with the law's columns: what they tell is not bought again. `$VARIABLES` are expanded."""


class LawSpec(Frozen):
    form: Literal["auto", "additive", "power", "gamma", "kaplan", "repeated"] = "additive"
    """See `recscale.laws.forms`; `auto` chooses by the error on the dearer runs."""
    variables: tuple[str, ...] | None = None
    """Columns of the runs table; left out, those of the family, such as `table_params`,
    `dense_params` and `samples` of a click model."""
    hold_out_largest: Count | None = None
    """So many of the largest models, by the first variable, are foretold by a law fitted to the
    others and shown beside what they measured: the acceptance test of 2311.11351."""
    loss: str | None = None
    """The column to fit; left out, `eval_ne` for clicks and `eval_loss` (nats) for next items."""


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
    elastic: tuple[Count, Count] | None = None
    """[least, most] workers in place of `workers`: a run starts on what is there, and Ray Train
    resizes it as nodes come and go. Neither is part of a run's identity."""
    cpus_per_worker: Count = 1
    gpus_per_worker: Annotated[float, BeforeValidator(plain_number), Field(ge=0)] = 0
    machine: str = "cpu"
    """A row of `cluster/prices.yaml`: what a worker-hour costs and what it sustains."""
    retries: Annotated[int, Field(ge=0)] = 2
    """Fresh starts from the last checkpoint after a crash, before a run is recorded as failed."""
    checkpoint_s: Positive = 60
    """The most seconds between checkpoints, hence of work that a kill can cost. Within it the
    interval follows from what a checkpoint costs; see `recscale.train.checkpoint.interval`."""
    concurrent: Count | None = None
    """Runs side by side at most. A cluster that scales itself is asked for room for all of them
    at once; left out, for one more than it holds now."""

    @model_validator(mode="after")
    def _workers_or_elastic(self) -> ResourcesSpec:
        if self.elastic is None:
            return self
        if self.workers != 1:
            raise ValueError("give workers, or elastic: [least, most], not both")
        if self.elastic[0] > self.elastic[1]:
            raise ValueError(f"elastic: [least, most] needs least <= most, not {self.elastic}")
        return self

    @property
    def least_workers(self) -> int:
        return self.elastic[0] if self.elastic else self.workers

    @property
    def most_workers(self) -> int:
        return self.elastic[1] if self.elastic else self.workers


Probe = Literal["long_tail", "cold_start", "robustness", "transfer", "trajectory"]


TRAINING_AXES = ("epochs", "data_fraction")  # the axes that are no part of an architecture
FOOTING = ("forward_flop", "samples")
"""What the laws of several families have in common: compute per sample, and samples."""


def _several(value: Any) -> Any:
    """One mapping is a sweep of one family, a list of them compares families."""
    return value if isinstance(value, list | tuple) else (value,)


class SweepSpec(Frozen):
    model_config = ConfigDict(serialize_by_alias=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    data: DataSpec
    models: Annotated[tuple[AnyModelSpec, ...], BeforeValidator(_several), Field(alias="model")]
    """`model` in the file: one family, or a list of families to compare."""
    train: TrainSpec = TrainSpec()
    probes: tuple[Probe, ...] = ()
    """The hard tasks of 2311.11351 that every next-item model faces at the end of its run; see
    `recscale.train.probes`."""
    search: SearchSpec = SearchSpec()
    law: LawSpec = LawSpec()
    budget: BudgetSpec
    resources: ResourcesSpec = ResourcesSpec()
    storage: str = "runs"
    """Where ledger, checkpoints and prepared data go; `$VARIABLES` are expanded."""
    track: Annotated[
        tuple[Literal["tensorboard", "mlflow", "wandb"], ...], BeforeValidator(one_or_more)
    ] = ()
    """Trackers that hear of every evaluation, through Ray Tune's own callbacks. Addresses and keys
    stay in the environment: MLFLOW_TRACKING_URI, WANDB_API_KEY."""

    @property
    def model(self) -> AnyModelSpec:
        """The family of a sweep of one; a sweep of several is seen through its `parts`."""
        (only,) = self.models
        return only

    def parts(self) -> tuple[SweepSpec, ...]:
        """One sweep a family; a sweep of one family is its only part."""
        if len(self.models) == 1:
            return (self,)
        law = self.law.model_copy(update={"variables": self.law_variables})
        return tuple(self._alone(m).model_copy(update={"law": law}) for m in self.models)

    def _alone(self, model: AnyModelSpec) -> SweepSpec:
        """The sweep of one of the families, with the base values that are on its axes."""
        alone = self.model_copy(update={"models": (model,)})
        axes = alone.axes()
        base = {k: v for k, v in self.search.base.items() if v in axes.get(k, ())}
        search = self.search.model_copy(update={"base": base})
        return alone.model_copy(update={"search": search})

    def axes(self) -> dict[str, tuple[Any, ...]]:
        """Every architecture axis, passes and the data fraction, in the file's order of meaning."""
        train = self.train
        return {**self.model.axes(), "epochs": train.epochs, "data_fraction": train.data_fraction}

    def tried(self) -> dict[str, tuple[Any, ...]]:
        """Every axis with the values that the sweep gives it, those of scaling schemes too."""
        axes = self.axes()
        if self.search.strategy != "schemes":
            return axes
        model = self.model
        leader = {follower: axis for axis, follower in model.follows.items()}
        for scheme in self.search.schemes or model.schemes:
            for axis in model.schemes[scheme]:
                base = axes[axis][0]
                size = base or (axes[leader[axis]][0] if axis in leader else None)
                if size:  # the whole vocabulary has no multiples here
                    scaled = (round(f * size) for f in self.search.factors if f != 1)
                    axes[axis] = (base, *sorted({max(1, x) for x in scaled}))
        return axes

    @property
    def law_variables(self) -> tuple[str, ...]:
        """As stated; else the family's own, and for several what all of them have."""
        usual = self.models[0].law_variables if len(self.models) == 1 else FOOTING
        if self.law.form == "repeated":
            usual = (usual[-2], "samples", "unique_samples")
        return self.law.variables or usual

    @property
    def law_loss(self) -> str:
        return self.law.loss or self.models[0].losses[0]

    @field_serializer("models", mode="wrap")
    def _as_written(self, models: Any, dump: SerializerFunctionWrapHandler) -> Any:
        dumped = list(dump(models))
        return dumped[0] if len(dumped) == 1 else dumped

    @field_validator("models")
    @classmethod
    def _families_differ(cls, models: tuple[AnyModelSpec, ...]) -> tuple[AnyModelSpec, ...]:
        names = [m.family for m in models]
        if not names:
            raise ValueError("a sweep needs at least one family")
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(
                f"the family {', '.join(twice)} stands twice; a list compares different families, "
                "and what varies within one is an axis"
            )
        return models

    @field_validator("search")
    @classmethod
    def _strategy_has_base(cls, search: SearchSpec) -> SearchSpec:
        if search.base and search.strategy != "axes":
            raise ValueError("base belongs to strategy axes")
        given = [k for k in ("target", "goal", "interval", "warm_start")
                 if k in search.model_fields_set and getattr(search, k) is not None]  # fmt: skip
        if search.strategy != "frontier" and set(given) - {"goal"}:
            raise ValueError(f"{', '.join(given)} belongs to strategy frontier")
        if search.strategy == "frontier" and search.target is None:
            raise ValueError("strategy frontier needs a target, such as target: {flop: 100x}")
        if search.strategy != "schemes" and (search.schemes or search.factors != _FACTORS):
            raise ValueError("schemes and factors belong to strategy schemes")
        return search

    @model_validator(mode="after")
    def _strategy_suits_the_model(self) -> SweepSpec:
        if self.search.strategy == "frontier" and len(self.models) > 1:
            raise ValueError(
                "search.strategy: frontier searches one family at a time; write a sweep for each, "
                "or compare them by grid, axes or schemes"
            )
        for model in self.models if self.search.strategy == "schemes" else ():
            lists = [f"model.{k}" for k, v in model.axes().items() if len(v) > 1]
            lists += ["train.epochs"] if len(self.train.epochs) > 1 else []
            if lists:
                raise ValueError(
                    f"{lists[0]}: strategy schemes scales the model as written; give one "
                    "value, and search.factors for its multiples"
                )
            unknown = [s for s in self.search.schemes if s not in model.schemes]
            if unknown:
                raise ValueError(
                    f"search.schemes: {unknown[0]!r} is no scheme of family {model.family}; "
                    f"allowed: {', '.join(model.schemes)}"
                )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> SweepSpec:
        most = self.resources.most_workers
        if self.train.batch_size < most:
            raise ValueError(
                f"train.batch_size {self.train.batch_size} is smaller than the {most} workers that "
                "share it (resources.workers, resources.elastic); raise the batch or take fewer"
            )
        if self.search.strategy == "frontier" and len(self.models) > 1:
            raise ValueError(
                f"model: strategy frontier searches one family and this names {len(self.models)}; "
                "give each a sweep of its own"
            )
        for model in self.models:
            if self.data.task != model.task:
                raise ValueError(
                    f"model.family {model.family} needs data.task {model.task}, "
                    f"not {self.data.task}"
                )
            if self.probes and model.task != "next_item":
                raise ValueError("probes belong to models of task next_item; leave them out")
            if self.train.learning_rate.width and model.task != "next_item":
                raise ValueError(
                    "train.learning_rate.width belongs to sequence models; use tune for click "
                    "models"
                )
            if self.law_loss not in model.losses:
                raise ValueError(
                    f"law.loss: {self.law_loss!r} is no loss of family {model.family}; "
                    f"allowed: {', '.join(model.losses)}"
                )
        if "transfer" in self.probes and not getattr(self.data, "domain", None):
            raise ValueError(
                "probes: transfer needs data.columns.domain, the column that says which domain an "
                "event belongs to"
            )
        each = [self._alone(model).axes() for model in self.models]
        for key, value in self.search.base.items():
            values = [v for axes in each for v in axes.get(key, ())]
            if not values:
                known = dict.fromkeys(k for axes in each for k in axes)
                raise ValueError(f"search.base.{key}: not an axis; allowed: {', '.join(known)}")
            if value not in values:
                raise ValueError(
                    f"search.base.{key}: {value} is not a value of the axis; "
                    f"allowed: {', '.join(map(str, dict.fromkeys(values)))}"
                )
        return self


def middle(values: tuple[Any, ...]) -> Any:
    """The middle value of an axis, the upper one of two: the default base of a one-axis sweep."""
    return values[math.floor(len(values) / 2)]
