"""The kinds of values a sweep file holds, and the frozen object they stand in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from recscale.words import shown


class Frozen(BaseModel):
    """A value object: unknown keys are errors, nothing changes after construction."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


MOST_ON_AXIS = 1000


def as_axis(value: Any) -> Any:
    """A scalar is an axis of one value; order and duplicates are settled here, once."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not values:
        raise ValueError("an axis needs at least one value")
    if any(isinstance(v, bool) for v in values):
        raise ValueError("true and false are not values of this axis")
    if len(values) > MOST_ON_AXIS:
        raise ValueError(f"{len(values):,} values; an axis takes {MOST_ON_AXIS:,} at most")
    duplicates = sorted({str(v) for v in values if values.count(v) > 1})
    if duplicates:
        raise ValueError(f"the value {', '.join(duplicates[:3])} stands twice")
    return tuple(values)


def one_or_more(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def plain_number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("should be a number")
    return value


LARGEST = 10**12
"""Of all counts: bytes and seconds of larger ones mean nothing."""


def whole_number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("should be a whole number")
    if isinstance(value, int | float) and abs(value) > LARGEST:
        raise ValueError(f"should be at most {LARGEST:.0e}")
    return value


def no_repeats(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = sorted({v for v in values if values.count(v) > 1})
    if twice:
        raise ValueError(f"{twice[0]!r} stands twice")
    return values


Whole = Annotated[int, BeforeValidator(whole_number), Field(ge=0)]
Count = Annotated[int, BeforeValidator(whole_number), Field(ge=1)]
Positive = Annotated[float, BeforeValidator(plain_number), Field(gt=0)]
Probability = Annotated[float, BeforeValidator(plain_number), Field(ge=0, lt=1)]
Fraction = Annotated[float, BeforeValidator(plain_number), Field(gt=0, le=1)]
Schedule = Literal["decayed", "anytime"]
Precision = Literal["float32", "bfloat16"]

CountAxis = Annotated[tuple[Count, ...], BeforeValidator(as_axis)]
PartsAxis = Annotated[tuple[Annotated[Count, Field(le=1000)], ...], BeforeValidator(as_axis)]
"""Of what is built one by one, such as layers."""
DepthAxis = Annotated[tuple[Annotated[Whole, Field(le=1000)], ...], BeforeValidator(as_axis)]
RowsAxis = Annotated[tuple[Count | None, ...], BeforeValidator(as_axis)]
FractionAxis = Annotated[tuple[Fraction, ...], BeforeValidator(as_axis)]
FactorAxis = Annotated[tuple[Positive, ...], BeforeValidator(as_axis)]


def share(value: Any) -> Any:
    """`10%` and `0.1` are the same share."""
    if isinstance(value, str):
        text = value.strip()
        try:
            return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            raise ValueError(f"{shown(value)} is not a share; write 10% or 0.1") from None
    return plain_number(value)


Share = Annotated[float, BeforeValidator(share), Field(gt=0, lt=1)]
