"""Columns of numbers, whatever type or text they come in: dense ones, 0/1 labels, comparisons."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions at run time, so no checker sees them.

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recscale.data.ids import MISSING
from recscale.data.plain import Unfit, example, is_text, name_of, plain, text_of
from recscale.spec import Comparison

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_LARGEST = float(np.finfo(np.float32).max)


def numbers(column: pa.Array, remedy: str) -> tuple[np.ndarray, np.ndarray]:
    """float64 [n], NaN where missing or unreadable, and bool [n], false where a value is given that
    is no number. true is 1 and false 0, also as text.

    Raises Unfit, with the remedy, for a type that holds no numbers.
    """
    column = text_of(plain(column))
    kind = column.type
    if is_text(kind):
        return _of_text(column)
    fits = (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    )
    if not fits:
        raise Unfit(
            f"values of type {name_of(kind)}, such as {example(column)}, which are no numbers; "
            f"{remedy}"
        )
    # by way of double: some types have no cast to it by themselves
    values = column.cast(pa.int8()) if pa.types.is_boolean(kind) else column
    values = values.cast(pa.float64(), safe=False).fill_null(float("nan"))
    return values.to_numpy(zero_copy_only=False), np.ones(len(column), bool)


def _of_text(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    column = pc.utf8_lower(column)
    as_digits = {"true": "1", "false": "0"}
    words = pc.index_in(column, pa.array(list(as_digits)))
    column = pc.if_else(
        words.is_valid(), pa.array(list(as_digits.values()), column.type).take(words), column
    )
    infinite = pc.is_in(column, pa.array(["nan", "inf", "-inf"], column.type))
    column = pc.if_else(infinite, pa.scalar(None, column.type), column)
    readable = pc.match_substring_regex(column, _NUMBER).fill_null(True)
    column = pc.if_else(readable, column, pa.scalar(None, column.type))
    values = pc.utf8_ltrim(column, "+").cast(pa.float64()).fill_null(float("nan"))
    return values.to_numpy(zero_copy_only=False), np.asarray(readable)


def dense(column: pa.Array) -> np.ndarray:
    """float32 [n], NaN where missing or infinite; beyond float32 the largest that it holds.

    Raises Unfit for a column that holds anything else than numbers.
    """
    values, readable = numbers(column, _remedy(column.type))
    if not readable.all():
        shown = example(plain(column), ~readable)
        text = str(plain(column)[int(np.flatnonzero(~readable)[0])].as_py()).strip()
        amounts = readable.mean() > 0.5 or any(c.isdigit() for c in text)
        remedy = (
            "write plain numbers there, or nothing" if amounts else "list it under sparse instead"
        )
        if text.lower() in MISSING:
            remedy = f'where that stands for none, say data.format: {{nulls: ["", {text!r}]}}'
        elif re.fullmatch(r"[+-]?[\d.]+,\d+", text):
            remedy = "write numbers with a decimal point"
        raise Unfit(f"something else than numbers, such as {shown}; {remedy}")
    values = np.where(np.isfinite(values), values, np.nan)
    return np.clip(values, -_LARGEST, _LARGEST).astype(np.float32)


def _remedy(kind: pa.DataType) -> str:
    """What to do with a column of no numbers; amounts, also in lists, are no codes."""
    while pa.types.is_nested(kind) and kind.num_fields == 1:
        kind = kind.field(0).type
    derive = "derive one number a row from them"
    return derive if pa.types.is_floating(kind) else f"{derive}, or list it under sparse"


def clicks(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [n] labels, and bool [n], true where the value is 0, 1, true or false, in any type.

    Raises Unfit for a type that holds none of them.
    """
    values, _ = numbers(column, "a label is 0 or 1, true or false")
    return (values == 1).astype(np.uint8), (values == 0) | (values == 1)


def compared(column: pa.Array, positive: Comparison) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [n], 1 where the comparison holds, and bool [n], true where there is a number.

    Raises Unfit for a type that holds no numbers.
    """
    values, _ = numbers(column, "compare a column of numbers")
    there = ~np.isnan(values)
    return (there & positive(values)).astype(np.uint8), there
