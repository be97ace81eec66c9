"""Columns of any Arrow type as a few plain ones, and sentences about those that do not fit."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions at run time, so no checker sees them.

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SHOWN = 40
"""Characters of a value or type in a sentence."""


class Unfit(ValueError):
    """A column whose type or values do not fit its part; the sentence follows "column holds"."""


def plain(column: pa.Array) -> pa.Array:
    """The same values, dictionaries, run ends, extensions and views undone: of type null, bool,
    integer, float, decimal128 or -256, string, large_string, binary (any), date, time, timestamp,
    duration, or nested."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return plain(column.storage)
    if pa.types.is_run_end_encoded(kind):
        values = plain(column.values)
        ends = column.run_ends.to_numpy(zero_copy_only=False)
        at = np.searchsorted(ends, np.arange(len(column)) + column.offset, side="right")
        return values.take(pa.array(at))
    if pa.types.is_dictionary(kind):
        return plain(column.dictionary).take(column.indices)
    if pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if pa.types.is_binary_view(kind):
        return column.cast(pa.binary())
    if pa.types.is_decimal(kind) and kind.bit_width < 128:
        return column.cast(pa.decimal128(38, kind.scale))
    return column


def is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def is_bytes(kind: pa.DataType) -> bool:
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def text_of(column: pa.Array) -> pa.Array:
    """Plain bytes as text where they are UTF-8 throughout (older Parquet writers leave it unsaid),
    and trimmed text with blanks as nulls; other columns as they are."""
    if is_bytes(column.type) and not pa.types.is_fixed_size_binary(column.type):
        try:
            column = column.cast(pa.string())
        except pa.ArrowInvalid:
            return column
    if not is_text(column.type):
        return column
    trimmed = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, trimmed.type), trimmed)


def name_of(kind: pa.DataType) -> str:
    """A type as a sentence shows it: a struct may have thousands of fields."""
    return cut(str(kind))


def cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def example(column: pa.Array, rows: np.ndarray | None = None) -> str:
    """The first value that is given (or that of the first of `rows`), as a sentence shows it."""
    at = np.flatnonzero(rows if rows is not None else np.asarray(column.is_valid()))
    if not len(at):
        return "null"
    scalar = column[int(at[0])]
    value: object = None
    try:
        value = scalar.as_py()
    except (ValueError, OverflowError):  # years outside Python's datetime, bytes that are no UTF-8
        with suppress(ValueError, OverflowError):
            value = str(scalar)
        value = value or f"a value out of the range of {scalar.type}"
    quoted = isinstance(value, str | bytes | list | dict)
    shown = "null" if value is None else repr(value) if quoted else str(value)
    return cut(shown)
