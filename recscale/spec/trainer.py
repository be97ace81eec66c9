"""What a sweep file says of a trainer of the user's own, and what of it does not go together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from recscale.families.command import places
from recscale.families.door import FamilyError
from recscale.families.trainer import (
    GIVEN,
    SAMPLES,
    TrainerSpec,
    axis,
    check_proportion,
    cost_at,
    named,
    source,
    wrong_axes,
)
from recscale.spec.train import TrainSpec

if TYPE_CHECKING:
    from recscale.spec.sweep import SweepSpec

KEYS = ("axes", "cost", "variables", "loss", "samples", "metrics")
"""Beside `trainer` or `command`, and without them nothing."""
PENDING = TrainerSpec(family="")
"""Stands for the trainer until all keys of the file have been read."""
TRAINING = ("seeds", "epochs", "learning_rate", "batch_size")
"""Keys of `train` that mean something where the training is one's own; its batch is settled as
1."""
OF_TRAIN = {"epochs": "epochs", "rate_factor": "learning_rate.tune", "seed": "seeds"}
"""What a run is told besides its axes -> the key of `train` that says how many of it."""
OWN_TRAINING = "the training is the trainer's own; make it an axis, or leave it out"
METRIC = r"[^\W\d][\w/. -]{0,99}"


def _as_text(value: Any) -> Any:
    """A cost that is one number is written as one."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value!r}" if plain else value


Expression = Annotated[str, BeforeValidator(_as_text)]
Axis = Annotated[tuple[int | float, ...] | str | bool, BeforeValidator(axis)]


def is_trained(values: Any) -> bool:
    """Whether the mapping of a sweep file has a trainer."""
    return isinstance(values, dict) and any(
        values.get(k) is not None for k in ("trainer", "command")
    )


def settled(spec: SweepSpec) -> TrainerSpec:
    """The trainer of a sweep. Raises ValueError with what is wrong."""
    for wrong in _wrong(spec):
        raise ValueError(wrong)
    command, key = spec.command or (), "trainer" if spec.command is None else "command"
    try:
        code = source(spec.trainer or "", command)
    except FamilyError as error:
        raise ValueError(f"{key}: {error}") from None
    said: dict[str, Any] = {
        "family": spec.trainer or named(command), "code": code, "command": command,
        "metrics": spec.metrics or "", "cost": spec.cost, "loss": spec.loss or "loss",
        "data_axis": _data(spec), "variables": spec.variables or (), **spec.declared,
    }  # fmt: skip
    found = TrainerSpec(**said)
    try:
        _check_cost(spec, found)
    except FamilyError as error:
        raise ValueError(str(error)) from None
    return found


def unasked(spec: SweepSpec) -> str | None:
    """The first key that belongs to a trainer, where there is none."""
    values = {"axes": spec.declared, **{k: getattr(spec, k) for k in KEYS[1:]}}
    key = next((k for k, v in values.items() if v), None)
    return key and f"{key}: belongs to trainer or command; a model has its axes under model"


def _data(spec: SweepSpec) -> str:
    return spec.samples or (SAMPLES if SAMPLES in spec.declared else "")


def _wrong(spec: SweepSpec) -> Iterator[str]:
    if spec.trainer is not None and spec.command is not None:
        yield "command: a sweep has a trainer or a command; leave one of them out"
    if spec.models != (PENDING,):
        yield "model: the model is the trainer's own; leave model or the trainer out"
    if spec.log is not None:
        yield (
            "data: the data is the trainer's own; leave it out, and say by an axis how much of "
            "it a run takes, such as axes: {samples: [1e6, 1e7]}"
        )
    if not any(isinstance(v, tuple) for v in spec.declared.values()):
        yield "axes: missing; a trainer needs at least one, such as axes: {hidden: [64, 128]}"
    yield from wrong_axes(spec.declared, _data(spec))
    if not spec.cost:
        yield (
            "cost: missing; say what one run costs as an expression over the axes, such as "
            f"6 * {next(iter(spec.declared))}"
        )
    known = [k for k, v in spec.declared.items() if isinstance(v, tuple)]
    if spec.samples not in (None, SAMPLES) and SAMPLES in spec.declared:
        yield (
            f"axes.{SAMPLES}: {spec.samples} is the number of samples of a run (key samples); call "
            "this axis otherwise, or leave that key out"
        )
    for v in spec.variables or ():
        if spec.variables and spec.variables.count(v) > 1:
            yield f"variables: {v!r} stands twice; name each column once"
        if v not in (*known, "epochs", "train_flop"):
            yield f"variables: {v!r} is no axis; allowed: {', '.join([*known, 'epochs'])}"
    if spec.loss and not re.fullmatch(METRIC, spec.loss):
        yield f"loss: {spec.loss!r} is no name of a number that is reported"
    if spec.loss in (*known, SAMPLES):
        yield f"loss: {spec.loss!r} is a number of its own in every report; name the one to predict"
    usual = TrainSpec()
    for key in TrainSpec.model_fields:
        if key not in TRAINING and getattr(spec.train, key) != getattr(usual, key):
            yield f"train.{key}: {OWN_TRAINING}"
    if spec.train.batch_size not in (None, 1):
        yield f"train.batch_size: {OWN_TRAINING}"
    rate = spec.train.learning_rate
    if rate.dense or rate.sparse or rate.width:
        yield "train.learning_rate: the rates are the trainer's own; it is told tune's factors"
    if spec.command is not None:
        yield from _wrong_command(spec, spec.command)
    elif spec.metrics:
        yield "metrics: belongs to command; a function reports by report(...)"


def _wrong_command(spec: SweepSpec, command: tuple[str, ...]) -> Iterator[str]:
    if not command or not command[0].strip():
        yield "command: names no program; write a list such as [python, train.py]"
    try:
        source("", command)
    except FamilyError as error:
        yield f"command: {error}"
    texts = [*command, spec.metrics or ""]
    allowed, there = {*spec.declared, *GIVEN}, places(texts)
    for name in sorted(there - allowed):
        yield f"command: {{{name}}} is no axis; allowed: {', '.join(sorted(allowed))}"
    told = {k: len(v) for k, v in spec.declared.items() if isinstance(v, tuple)}
    told = {k: 2 if k == _data(spec) else n for k, n in told.items()}
    train = spec.train
    also = {"epochs": len(train.epochs), "rate_factor": len(train.learning_rate.tune),
            "seed": train.seeds}  # fmt: skip
    for name, n in {**told, **also}.items():
        if n > 1 and name not in there:
            key = f"axes.{name}" if name in told else f"train.{OF_TRAIN[name]}"
            yield f"{key}: the command holds no {{{name}}}, so that it would change nothing; add it"
    if spec.resources.most_workers > 1:
        key = "elastic" if spec.resources.elastic else "workers"
        yield f"resources.{key}: a command runs on one worker; a function of trainer on several"


def _check_cost(spec: SweepSpec, trainer: TrainerSpec) -> None:
    """That the cost is above 0 at the first point, and in proportion to the data. Raises
    FamilyError."""
    at: dict[str, Any] = {k: v[0] for k, v in trainer.axes().items()}
    at["epochs"] = spec.train.epochs[0]
    if trainer.data_axis:
        check_proportion(trainer.cost, at, trainer.data_axis)
    else:
        cost_at(trainer.cost, at)
