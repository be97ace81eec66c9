"""A whole sweep: its parts, and what they must agree on."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_validator,
)

from recscale.families import AnyModelSpec, ModelSpec, TrainerSpec
from recscale.families.click import ClickSpec
from recscale.spec.data import DataSpec, EventsData
from recscale.spec.search import FACTORS, LawSpec, SearchSpec
from recscale.spec.sizes import too_many
from recscale.spec.train import BudgetSpec, ResourcesSpec, TrainSpec
from recscale.spec.trainer import PENDING, Axis, Expression, is_trained, settled, unasked
from recscale.values import (
    Frozen,
    no_repeats,
    one_or_more,
)

Probe = Literal["long_tail", "cold_start", "robustness", "transfer", "trajectory", "latency"]


NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
STORE = "store"
"""The folder under `storage` that holds prepared data, where no sweep of that name fits."""
TRAINING_AXES = ("epochs", "data_fraction")  # the axes that are no part of an architecture
FOOTING = ("forward_flop", "samples")
"""What the laws of several families have in common: compute per sample, and samples."""


def sweep_name(value: str) -> str:
    """The name, if it can be one. Raises ValueError."""
    if not re.fullmatch(NAME, value):
        raise ValueError(
            "a sweep's name begins with a letter or digit and holds only letters, digits, _, - and "
            "dots, 100 at most, such as mine or mine_2"
        )
    if value == STORE:
        raise ValueError("prepared data lies in a folder of this name; choose another")
    return value


def _several(value: Any) -> Any:
    """One mapping is a sweep of one family, a list of them compares families."""
    return value if isinstance(value, list | tuple) else (value,)


class SweepSpec(Frozen):
    """A sweep file."""

    model_config = ConfigDict(serialize_by_alias=True)

    name: Annotated[str, AfterValidator(sweep_name)]
    """Of the sweep and of its folder under `storage`: letters, digits, `_`, `-` and dots, at most
    100."""
    log: Annotated[DataSpec | None, Field(alias="data")]
    """Which log, and how it becomes a task. Left out with a trainer of one's own, which brings its
    own data."""
    models: Annotated[tuple[AnyModelSpec, ...], BeforeValidator(_several), Field(alias="model")]
    """`model` in the file: one family, or a list of families to compare."""
    trainer: str | None = None
    """In place of data and model: a function of your own, `my_pkg.train:train`, which trains one
    point of `axes`: train(config, report, checkpoint_dir). README.md, "Your own trainer". Report
    early and evenly: one that breaks off costs a distance between two reports more than it told
    of, and before its first the whole run, since nobody knows what it has done."""
    command: tuple[str, ...] | None = None
    """Likewise: a program and its arguments, such as [python, train.py, --hidden, "{hidden}"], in
    which names in braces stand for the values of a run: axes, `seed`, `epochs`, `rate_factor` and
    `checkpoint_dir`. No shell reads it. It prints JSON lines that hold `samples` and the loss.
    `python` is the one that runs recscale."""
    declared: Annotated[dict[str, Axis], Field(alias="axes")] = {}
    """Of a trainer: name -> the values of one run or, as a list, of the sweep. Whole numbers are
    grown by doublings by searches and `ask`; a text or true is one value for all runs."""
    cost: Expression | None = None
    """Of a trainer: training FLOPs of one run (or any unit), an expression over the axes such as
    6 * hidden * samples."""
    samples: str | None = None
    """Of a trainer: the axis that is the number of samples of a run, to which its cost is in
    proportion; left out, the axis `samples` if there is one. Searches and `ask` take any number of
    them; without such an axis the data of all runs is the same."""
    variables: tuple[str, ...] | None = None
    """Of a trainer: the axes that its law is over; left out, up to four that the sweep varies."""
    loss: str | None = None
    """Of a trainer: which reported number is the loss; left out, `loss`. Tables call it
    `eval_loss`."""
    metrics: str | None = None
    """Of a command: a file of JSON lines that it writes, such as "{checkpoint_dir}/log.jsonl", in
    place of its output."""
    train: TrainSpec = TrainSpec()
    """How every run is trained; data and passes are axes too."""
    probes: Annotated[tuple[Probe, ...], AfterValidator(no_repeats)] = ()
    """What every run is asked at its end: the hard tasks of 2311.11351, of next-item models, see
    `recscale.train.probes`; and `latency`, of any, the seconds in which it answers 128 requests:
    users' next items out of the whole catalogue, or rows of a click log."""
    search: SearchSpec = SearchSpec()
    """How the axes are searched."""
    law: LawSpec = LawSpec()
    """Which law is fitted to the runs."""
    budget: BudgetSpec
    """What the sweep may spend, failures counted; never crossed."""
    resources: ResourcesSpec = ResourcesSpec()
    """What one run stands on, and how many run side by side."""
    storage: str = "runs"
    """Where ledger, checkpoints and prepared data go; `$VARIABLES` are expanded."""
    track: Annotated[
        tuple[Literal["tensorboard", "mlflow", "wandb"], ...],
        BeforeValidator(one_or_more),
        AfterValidator(no_repeats),
    ] = ()
    """Trackers that hear of every evaluation, through Ray Tune's own callbacks. Addresses and keys
    stay in the environment: MLFLOW_TRACKING_URI, WANDB_API_KEY."""

    @model_validator(mode="before")
    @classmethod
    def _trainer_stands_for_both(cls, values: Any) -> Any:
        return {"data": None, "model": PENDING, **values} if is_trained(values) else values

    @model_validator(mode="after")
    def _trainer_settled(self) -> SweepSpec:
        trained = any(isinstance(m, TrainerSpec) for m in self.models)
        if self.trainer is not None or self.command is not None:
            if trained and self.models != (PENDING,):  # from a ledger
                return self
            model = settled(self)
            found = self.model_copy(update={"models": (model,)})
            if model.data_axis not in self.search.base:
                return found
            base = {"data_fraction" if k == model.data_axis else k: v
                    for k, v in self.search.base.items()}  # fmt: skip
            search = self.search.model_copy(update={"base": base})
            return found.model_copy(update={"search": search})
        if trained:
            raise ValueError("model.task: trainer is no task of a model; give trainer or command")
        if self.log is None:
            raise ValueError("data: missing; this key is required")
        if wrong := unasked(self):
            raise ValueError(wrong)
        return self

    @property
    def data(self) -> DataSpec:
        """The log of a sweep that has one: all but those with a trainer."""
        assert self.log is not None
        return self.log

    @property
    def model(self) -> AnyModelSpec:
        """The family of a sweep of one; a sweep of several is seen through its `parts`."""
        (only,) = self.models
        return only

    def parts(self) -> tuple[SweepSpec, ...]:
        """One sweep a family, each with the law that they have in common; a sweep of one family is
        its only part."""
        if len(self.models) == 1:
            return (self,)
        law = self.law.model_copy(update={"variables": self.law_variables})
        return tuple(alone.model_copy(update={"law": law}) for alone in self.families())

    def families(self) -> tuple[SweepSpec, ...]:
        """One sweep a family."""
        return tuple(self._alone(m) for m in self.models)

    def _alone(self, model: AnyModelSpec) -> SweepSpec:
        """The sweep of one of the families, with the base values that are on its axes."""
        alone = self.model_copy(update={"models": (model,)})
        axes = alone.axes()
        base = {k: v for k, v in self.search.base.items() if v in axes.get(k, ())}
        search = self.search.model_copy(update={"base": base})
        return alone.model_copy(update={"search": search})

    def on(self, n_train: int) -> SweepSpec:
        """The sweep with what it leaves to the log settled: the batch, and what follows from it."""
        batch = self.train.batch_size
        if batch is None:
            usual = self.train.usual_batch(n_train, self.resources.most_workers)
            batch = 1 if self.log is None else usual
        train = self.train.model_copy(update={"batch_size": batch})
        models = tuple(m.on_batch(batch) for m in self.models)
        return self.model_copy(update={"train": train, "models": models})

    def _check_loss(self, model: ModelSpec) -> None:
        """Raises ValueError where the law's loss is none that this family's runs have."""
        later = model.progressive
        allowed = model.losses + getattr(self.log, "label_losses", ())
        allowed += later if self.train.schedule == "anytime" else ()
        if self.law_loss in later and (why := self._no_progress(model)):
            raise ValueError(f"law.loss: {self.law_loss!r}: {why}; take {model.losses[0]}")
        if self.law_loss in allowed:
            return
        more = (
            ""
            if set(later) <= set(allowed)
            else (f"; {', '.join(later)} under train.schedule anytime")
        )
        raise ValueError(
            f"law.loss: {self.law_loss!r} is no loss of family {model.family}; allowed: "
            f"{', '.join(allowed)}{more}"
        )

    def _no_progress(self, model: ModelSpec) -> str:
        """Why runs of this family have no progressive loss."""
        if model.other_loss:
            return f"by {model.other_loss} the training minimises another loss than is evaluated"
        if max(self.train.epochs) > 1:
            return "no batch of a second pass (train.epochs) is met before it was learnt"
        return ""

    def axes(self) -> dict[str, tuple[Any, ...]]:
        """Every architecture axis, passes and the data fraction, in the file's order of meaning."""
        amounts = self.model.amounts or self.train.data_fraction
        return {**self.model.axes(), "epochs": self.train.epochs, "data_fraction": amounts}

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
    def axis_variables(self) -> tuple[str, ...]:
        """The columns that measure the swept axes, each apart; empty where a law is stated over
        others, and for several families. An axis that may be null has no number there."""
        if self.law.variables or len(self.models) > 1 or self.law.form not in ("additive", "auto"):
            return ()
        swept = {k: v for k, v in self.tried().items() if len(set(v)) > 1}
        data = "unique_samples" if "epochs" in swept else "samples"
        named = {"embedding_rows": "table_rows", "data_fraction": data}
        return tuple(
            named.get(k, k) for k, v in swept.items() if k in (*named, "heads") or None not in v
        )

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
        if search.strategy != "schemes" and (search.schemes or search.factors != FACTORS):
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
            if not model.schemes:
                raise ValueError(
                    f"search.strategy: the family {model.family} has no scaling schemes; take "
                    "grid, axes or frontier"
                )
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
    def _budget_is_of_what_is_used(self) -> SweepSpec:
        if self.budget.gpu_hours is not None and not self.resources.gpus_per_worker:
            raise ValueError(
                f"budget.gpu_hours: {self.budget.gpu_hours:g}, and no worker has a GPU "
                "(resources.gpus_per_worker 0): it would limit nothing; give budget.flop or "
                "budget.usd, or say how many GPUs a worker has"
            )
        return self

    @model_validator(mode="after")
    def _can_be_planned(self) -> SweepSpec:
        if wrong := too_many(self):
            raise ValueError(wrong)
        return self

    @model_validator(mode="after")
    def _consistent(self) -> SweepSpec:
        most = self.resources.most_workers
        if self.log and self.train.batch_size and self.train.batch_size < most:
            raise ValueError(
                f"train.batch_size {self.train.batch_size} is smaller than the {most} workers that "
                "share it (resources.workers, resources.elastic); raise the batch or take fewer"
            )
        for model in self.models:
            needed = "click" if model.task == "custom" else model.task
            if self.log and self.log.task != needed:
                raise ValueError(
                    f"model.family {model.family} needs data.task {needed}, not {self.log.task}"
                )
            labels = self.log.columns.labels if isinstance(self.log, EventsData) else ()
            if labels and not isinstance(model, ClickSpec):
                raise ValueError(
                    f"model.family {model.family} learns one label, and data.columns.labels names "
                    f"{', '.join(labels)}; take a built-in click family, or name one column under "
                    "data.columns.label"
                )
            others = [p for p in self.probes if p != "latency"]
            if others and model.task != "next_item":
                raise ValueError(
                    f"probes: {', '.join(others)} belong to models of task next_item; leave them "
                    "out (latency is of any)"
                )
            if self.train.learning_rate.width and model.task != "next_item":
                raise ValueError(
                    "train.learning_rate.width belongs to sequence models; use tune for click "
                    "models"
                )
            self._check_loss(model)
        if "transfer" in self.probes and not getattr(self.log, "domain", None):
            raise ValueError(
                "probes: transfer needs data.columns.domain, the column that says which domain an "
                "event belongs to"
            )
        each = [alone.axes() for alone in self.families()]
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
