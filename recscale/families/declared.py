"""What a family of a user's own declares: its axes as typed fields of a class, which is also one
point of them. `recscale.Family`, which builds a network of a point, extends it."""

from __future__ import annotations

import types
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from recscale.values import Frozen, as_axis, plain_number, whole_number

TASKS = ("click", "next_item", "custom")
RESERVED = frozenset({
    "family", "task", "code", "version", "name", "run", "run_id", "status", "enters_law",
    "left_out", "worse_than", "protocol", "epochs", "data_fraction", "batch_size", "rate_factor",
    "seed",
    "table_params", "dense_params", "head_params", "non_embedding_params", "table_rows", "samples",
    "unique_samples", "train_flop", "forward", "forward_flop", "eval_flop", "lookup_bytes",
    "optimizer_bytes", "peak_bytes", "time_s", "gpu_hours", "usd", "trajectory", "increment_flop",
    "samples_per_s", "workers", "resumed", "reason", "error", "finished_at", "dense_rate",
    "sparse_rate", "warmup", "eval_points", "diverge_above", "sgd_after", "sgd_rate", "precision",
    "schedule", "warmup_samples", "probes", "grown", "eval_loss", "train_loss", "eval_ne",
})  # fmt: skip
"""What recscale calls something else in tables of runs or in a sweep's `model`: no axis."""


class Declared(Frozen):
    """A field is an axis or an option: `mlp_width: int = 64`. Whole numbers (and `int | None`) and
    fractions (`float`) are axes, of which a sweep may list several values; a search and advice grow
    whole numbers by doublings, as far as bounds such as `Field(64, le=512)` allow. `bool`, `str`
    and `Literal` are options, one value for all runs of a sweep. Values that do not go together are
    refused by a pydantic validator of the class."""

    model_config = ConfigDict(protected_namespaces=())
    task: ClassVar[str] = "click"
    version: ClassVar[str] = ""
    """Changed by hand where a change of the network lies outside the class's own source files."""

    @classmethod
    def check_declared(cls) -> None:
        """Raises ValueError where the class is no family that a sweep can hold."""
        name = cls.__name__
        if cls.task not in TASKS:
            raise ValueError(f"task = {cls.task!r}; allowed: {', '.join(map(repr, TASKS))}")
        if not isinstance(cls.version, str):
            raise ValueError(f"version = {cls.version!r} should be text")
        if not cls.model_fields:
            raise ValueError(f"{name} declares no axes; give it fields such as mlp_width: int = 64")
        for axis, field in cls.model_fields.items():
            base = next((b for b in cls.__mro__ if axis in b.__dict__ and b is not cls), None)
            if axis in RESERVED or (base and axis not in getattr(base, "model_fields", {})):
                raise ValueError(
                    f"the axis {axis} has a name that recscale uses itself; call it otherwise"
                )
            if kind_of(field) is None:
                raise ValueError(
                    f"the axis {axis} has the type {_typed(field.annotation)}; axes are int, "
                    "int | None, float, bool, str or Literal"
                )
            if not field.is_required():
                default = field.get_default(call_default_factory=True)
                try:
                    _value(cls, axis).validate_python(default, strict=True)
                except ValidationError as error:
                    raise ValueError(
                        f"the default of the axis {axis}, {default!r}, is not of its type: "
                        f"{error.errors()[0]['msg']}"
                    ) from None


Kind = Literal["count", "number", "option"]


def kind_of(field: FieldInfo) -> Kind | None:
    """Whether a field is an axis of whole numbers, one of numbers, or an option; None for what no
    sweep file holds."""
    parts = _parts(field.annotation)
    if parts <= {int, type(None)} and int in parts:
        return "count"
    if parts <= {int, float, type(None)} and float in parts:
        return "number"
    if parts and all(p in (bool, str, type(None)) or get_origin(p) is Literal for p in parts):
        return "option" if parts != {type(None)} else None
    return None


def _parts(annotation: Any) -> set[Any]:
    if get_origin(annotation) is Annotated:
        return _parts(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return set().union(*map(_parts, get_args(annotation)))
    return {annotation}


def _typed(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


@cache
def sweep_of(cls: type[Declared]) -> type[Frozen]:
    """What a sweep file may say of the family: each axis one value or a list, each option one."""
    fields: dict[str, Any] = {"family": (str, Field(description="This path."))}
    for name, field in cls.model_fields.items():
        kind = kind_of(field)
        each = _each(field)
        if kind == "option":
            fields[name] = (each, field.default)
            continue
        reader = whole_number if kind == "count" else plain_number
        each = Annotated[each, BeforeValidator(reader)]
        default = field.get_default(call_default_factory=True)
        default = ... if default is PydanticUndefined else (default,)
        fields[name] = (
            Annotated[tuple[each, ...], BeforeValidator(as_axis)],
            Field(default, description=field.description),
        )
    made: Any = create_model(cls.__name__, __base__=Frozen, **fields)
    made.__doc__ = cls.__doc__
    return made


def axes_of(cls: type[Declared]) -> Iterator[str]:
    """Names of the axes."""
    return (k for k, f in cls.model_fields.items() if kind_of(f) != "option")


def grows(cls: type[Declared], axis: str, value: Any) -> bool:
    """Whether an axis can have a value that no sweep names: a whole number within its bounds."""
    if kind_of(cls.model_fields[axis]) != "count":
        return False
    try:
        _value(cls, axis).validate_python(value)
    except ValidationError:
        return False
    return True


@cache
def _value(cls: type[Declared], axis: str) -> TypeAdapter[Any]:
    """What reads one value of an axis."""
    return TypeAdapter(_each(cls.model_fields[axis]))


def _each(field: FieldInfo) -> Any:
    """The type of one value, with its bounds."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
