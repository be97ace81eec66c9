"""Trainers of a user's own as sweeps, runs and ledgers hold them: a function or a command, the axes
that the sweep declares for it, and what a run costs as an expression over them.

Only the trainer knows its data. The planner sees a log one sample long, so that a data fraction is
the number of samples; without an axis that says how many, a run is one sample.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, model_validator

from recscale.families import command as program
from recscale.families.base import Flop, ModelConfig, ModelSpec, Rates, Table
from recscale.families.declared import RESERVED
from recscale.families.door import FamilyError, load_function
from recscale.manifest import Manifest
from recscale.values import as_axis

if TYPE_CHECKING:
    from recscale.run import TrainConfig

LOSS = "loss"
SAMPLES = "samples"
FIELDS = frozenset({"cost", "loss", "command", "metrics", "data_axis", "variables"})
"""Beside its axes, as sweeps and ledgers hold them."""
GIVEN = ("epochs", "seed", "rate_factor", "checkpoint_dir")
"""What a trainer is told besides its axes."""
FREE = frozenset({
    SAMPLES, "batch_size", "dense_rate", "sparse_rate", "warmup", "eval_points", "precision",
    "schedule", "warmup_samples", "sgd_after", "sgd_rate", "probes", "grown",
})  # fmt: skip
"""Of the names that a family may not use, those that mean nothing where the trainer is one's own,
and the one that means the data."""
LONGEST_NAME = 80
DATA = Manifest(
    source="trainer", task="trainer", fingerprint="of the trainer", n_train=1, n_eval=0,
    tables=(), dense=(), history=None, raw_rows=0,
)  # fmt: skip
"""Of a sweep with a trainer."""


class TrainerSpec(ModelSpec):
    """A trainer with the axes of a sweep; made of the keys `trainer` or `command` and those beside
    them."""

    model_config = ConfigDict(extra="allow")
    task: str = "trainer"  # type: ignore[misc]
    losses = ("eval_loss",)
    code: str = ""
    """Fingerprint of the source."""
    command: tuple[str, ...] = ()
    metrics: str = ""
    cost: str = ""
    loss: str = LOSS
    data_axis: str = ""
    """The axis that is the number of samples; empty where none is."""
    variables: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _as_tuples(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}

    @property
    def law_variables(self) -> tuple[str, ...]:  # type: ignore[override]
        """As stated, else the axes that the sweep varies, as many as a law takes."""
        swept = [k for k, v in self.axes().items() if len(v) > 1]
        swept += [SAMPLES] if len(self.amounts) > 1 else []
        named = self.variables or tuple(swept[:4]) or ("train_flop",)
        return tuple(SAMPLES if v == self.data_axis else v for v in named)

    @property
    def columns(self) -> tuple[str, ...]:
        return ("family", *(self.model_extra or {}))

    @property
    def amounts(self) -> tuple[int, ...]:
        return tuple((self.model_extra or {}).get(self.data_axis, ()))

    def axes(self) -> dict[str, tuple[Any, ...]]:
        extra = (self.model_extra or {}).items()
        each = {k: v for k, v in extra if isinstance(v, tuple)}
        each.pop(self.data_axis, None)
        return each

    def may_grow(self, axis: str, value: Any) -> bool:
        return isinstance(value, int)

    def resolve(self, values: dict[str, Any], data: Manifest) -> TrainerConfig:
        settled = {k: v for k, v in (self.model_extra or {}).items() if k != self.data_axis}
        settled |= {k: values[k] for k in self.axes()}
        return TrainerConfig(
            family=self.family, code=self.code, command=self.command, metrics=self.metrics,
            cost=self.cost, loss=self.loss, data_axis=self.data_axis, **settled,
        )  # fmt: skip


class TrainerConfig(ModelConfig):
    """One point of the axes of a user's own trainer, which stand beside these fields."""

    model_config = ConfigDict(extra="allow")
    task: str = "trainer"  # type: ignore[misc]
    rates = Rates(1.0, 1.0)  # the trainer's own: factors on them are all that is known here
    code: str = ""
    command: tuple[str, ...] = ()
    metrics: str = ""
    cost: str = ""
    loss: str = LOSS
    data_axis: str = ""

    def __hash__(self) -> int:
        return hash((self.family, self.code, self.cost, *(self.model_extra or {}).items()))

    @property
    def values(self) -> dict[str, Any]:
        """The values of axes, but that of the data."""
        return dict(self.model_extra or {})

    @property
    def columns(self) -> tuple[str, ...]:
        own = [self.data_axis] if self.data_axis not in ("", SAMPLES) else []
        return ("family", "code", *self.values, *own)

    def row(self, train: TrainConfig) -> dict[str, Any]:
        own = {"family": self.family, "code": self.code, **self.values}
        named = self.data_axis not in ("", SAMPLES)  # samples are a column of every run
        return {**own, self.data_axis: samples_of(self, train)} if named else own

    @property
    def name(self) -> str:
        first = self.family.rpartition(":")[2].rpartition("/")[2]
        each = (
            f"{''.join(word[:1] for word in k.split('_'))}{v if isinstance(v, int) else f'{v:g}'}"
            for k, v in self.values.items()
            if isinstance(v, int | float) and not isinstance(v, bool)
        )
        return "-".join([first, *each])[:LONGEST_NAME].rstrip("-.")

    def given(self, train: TrainConfig) -> dict[str, Any]:
        """What the trainer is told of a run: its axes, and the rest of what is settled of it."""
        told = {**self.values, "epochs": train.epochs, "seed": train.seed}
        told |= {"rate_factor": train.rate_factor}
        return {**told, self.data_axis: samples_of(self, train)} if self.data_axis else told

    def whole(self, train: TrainConfig) -> tuple[int, float]:
        """(samples, FLOPs or whatever unit the cost is in) of a run. Raises FamilyError."""
        passes = train.epochs if self.data_axis else 1
        return passes * samples_of(self, train), cost_at(self.cost, self.given(train))

    def check_here(self) -> None:
        """Raises FamilyError where the source is not here, or another one."""
        here = source(self.family, self.command)
        if here != self.code:
            raise FamilyError(
                f"{self.family} has another source here ({here or 'none'}) than the run was "
                f"planned with ({self.code}): give the command again where the file is, or bring "
                "it back as it was"
            )

    def tables(self, data: Manifest) -> dict[str, Table]:
        return {}

    def dense_params(self, data: Manifest) -> int:
        return 0

    def forward_flop(self, data: Manifest) -> Flop:
        return Flop(body=0, attention=0, interaction=0, head=0)

    def lookups(self, data: Manifest) -> dict[str, float]:
        return {}

    def activations(self, data: Manifest) -> int:
        return 0


def samples_of(config: TrainerConfig, train: TrainConfig) -> int:
    """Samples of one pass, as the data axis has them; 1 where no axis does."""
    return math.floor(train.data_fraction + 1e-6) if config.data_axis else 1


def cost_at(text: str, values: dict[str, Any]) -> float:
    """The value of a cost's expression at one point. Raises FamilyError."""
    from recscale.laws import LawError
    from recscale.laws.expressions import parse

    if not text:
        raise FamilyError(
            "cost: the runs were recorded with numbers of their own, and what another would cost "
            "is not known; record them with an expression over the axes, such as "
            "6 * hidden * samples"
        )
    numbers = {k: v for k, v in values.items() if isinstance(v, int | float)}
    try:
        cost = float(parse(text).numbers({k: float(v) for k, v in numbers.items()}))
    except LawError as error:
        raise FamilyError(
            f"cost: {text!r} cannot be evaluated: {error}; it is arithmetic on "
            f"{', '.join(numbers)}, such as 6 * {' * '.join(list(numbers)[:2])}"
        ) from None
    if not (math.isfinite(cost) and cost > 0):
        at = ", ".join(f"{k} {v:g}" for k, v in numbers.items())
        raise FamilyError(f"cost: {text!r} is {cost:g} at {at}; what a run costs is above 0")
    return cost


def check_proportion(text: str, values: dict[str, Any], data_axis: str) -> None:
    """Raises FamilyError where a cost does not grow in proportion to the samples of a run."""
    one, more = (cost_at(text, {**values, data_axis: n}) for n in (1, 1000))
    if abs(more / one / 1000 - 1) > 1e-6:
        raise FamilyError(
            f"cost: {text!r} does not grow in proportion to {data_axis}, the samples of a run: "
            "write it as so much a sample; or where it cannot be, give that axis another name"
        )


def source(family: str, command: tuple[str, ...]) -> str:
    """Fingerprint of a trainer's source. Raises FamilyError where it is not here."""
    if not command:
        return load_function(family).code
    program.program(command)
    program.check_script(command)
    return program.code_of(command)


def named(command: tuple[str, ...]) -> str:
    """What a command is called in tables: its script, else its program."""
    found = program.script(command)
    return os.path.basename(found or command[0])


def axis(value: Any) -> Any:
    """The values of a declared axis: a tuple of numbers, whole ones as int; a text or truth is one
    value for all runs. Raises ValueError."""
    if isinstance(value, str | bool):
        return value
    values = as_axis(value)
    for v in values:
        if isinstance(v, str):
            raise ValueError(f"{v!r}: an axis is of numbers; give one text, or a sweep for each")
        if not isinstance(v, int | float):
            raise ValueError("should be a number, a list of numbers, or one text")
    if all(abs(v) < 2**53 and float(v).is_integer() for v in values):
        return as_axis([int(v) for v in values])
    return tuple(float(v) for v in values)


def _means(name: str) -> bool:
    """Whether a name is that of something else where the values of axes stand."""
    return hasattr(TrainerConfig, name) or hasattr(TrainerSpec, name)


def wrong_axes(axes: dict[str, Any], data: str) -> Iterator[str]:
    """What is wrong with the declared axes' names, and with the one that is the data."""
    for name in axes:
        if not name.isidentifier() or name.startswith("_"):
            yield f"axes.{name}: the name of an axis is letters, digits and _, a letter first"
        elif name == "epochs":
            yield "axes.epochs: give train.epochs, which the trainer finds as config['epochs']"
        elif name in (RESERVED - FREE | FIELDS) or name in GIVEN or _means(name):
            hint = ""
            if name == "data_fraction":
                hint = ", or the axis samples with numbers of samples"
            yield f"axes.{name}: recscale uses this name itself; call it otherwise{hint}"
    if data and data not in axes:
        yield f"samples: {data!r} is no axis; allowed: {', '.join(axes)}"
    elif data and not isinstance(axes[data], tuple):
        yield f"axes.{data}: a number of samples is a whole number"
    elif data and not all(isinstance(v, int) and v >= 1 for v in axes[data]):
        yield f"axes.{data}: numbers of samples are whole numbers from 1 on"
