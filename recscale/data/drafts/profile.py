"""What the values of a column look like: their kind, and how many differ."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions at run time, so no checker sees them.

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Kind = Literal["number", "text", "moment", "list", "nested", "empty"]
MISSING = ("", "NA", "N/A", "NULL", "null", "NaN", "nan", "None", "\\N")
"""Texts that mostly stand for a missing value."""
DECIMAL_COMMA = r"^[-+]?(\d+|\d{1,3}(\.\d{3})+),\d+$"
NEARLY_UNIQUE = 0.9
"""Share of different values above which a column tells one row from another and nothing else."""
FEW = 50
"""Different whole numbers up to which a column without a telling name counts as categories."""


@dataclass(frozen=True)
class Profile:
    """One column of a sample."""

    name: str
    type: str
    """As the files declare it."""
    kind: Kind
    rows: int
    filled: float
    """Share of the rows that have a value."""
    distinct: int
    """Different values, of a list column different elements."""
    example: str
    values: pa.Array
    """The values that are there; numbers as float64, all else as it is."""
    whole: bool = False
    """Of numbers: none has a fraction."""
    nulls: tuple[str, ...] = ()
    """Words that stand for a missing value here."""
    spoken: str = ""
    """The name without what all of the log's names say; see `names.without_prefix`."""

    @property
    def said(self) -> str:
        return self.spoken or self.name

    @property
    def numbers(self) -> np.ndarray:
        return self.values.to_numpy(zero_copy_only=False)

    @property
    def share(self) -> float:
        """Different values in a value."""
        return self.distinct / max(1, len(self.values))

    @property
    def differ(self) -> str:
        return f"{self.distinct:,} different values in {len(self.values):,}"

    @property
    def binary(self) -> bool:
        """0 and 1 alone, or true and false."""
        return self.kind == "number" and bool(np.isin(self.numbers, (0, 1)).all())

    @property
    def words(self) -> tuple[str, ...]:
        """The different words of a text column that has two."""
        if self.kind != "text" or self.distinct != 2:
            return ()
        return tuple(sorted(pc.unique(self.values).to_pylist()))

    @property
    def decimal_commas(self) -> bool:
        """Text that is numbers with a comma for the point, such as 12,50."""
        if self.kind != "text":
            return False
        return bool(pc.all(pc.match_substring_regex(self.values, DECIMAL_COMMA)).as_py())

    @property
    def range(self) -> str:
        low, high = self.numbers.min(), self.numbers.max()
        return f"{low:.6g} to {high:.6g}"

    @property
    def counts_rows(self) -> bool:
        """Whether each value is the one before it and 1."""
        steps = np.diff(self.numbers) if self.kind == "number" and self.rows > 2 else np.zeros(1)
        return bool(self.filled == 1 and (steps == 1).mean() > 0.99)


def profile(name: str, column: pa.ChunkedArray | pa.Array) -> Profile:
    """A column of a sample as its values look, whatever type they are kept in."""
    rows, declared = len(column), str(column.type)
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    array = _plain(array)
    kind, nulls = _kind(array.type), ()
    if kind == "text":
        array = pc.utf8_trim_whitespace(array.cast(pa.string()))
        found = set(pc.unique(array).to_pylist()) & set(MISSING)
        absent = pc.is_in(array, pa.array(sorted(found), pa.string()))
        array = array.filter(pc.invert(absent))
        nulls = tuple(sorted(found - {""}))
    given = array.drop_null()
    filled = len(given) / max(1, rows)
    if not len(given):
        return Profile(name, declared, "empty", rows, 0.0, 0, "", given)
    example = shown(given[0])
    if kind == "list":
        elements = pc.list_flatten(given)
        distinct = len(pc.unique(elements.drop_null()))
        return Profile(name, declared, kind, rows, filled, distinct, example, given)
    if kind == "nested":
        return Profile(name, declared, kind, rows, filled, 0, example, given)
    distinct, whole = len(pc.unique(given)), False
    if kind in ("number", "text") and (numbers := _numbers(given)) is not None:
        if not np.isfinite(numbers).all():
            numbers = numbers[np.isfinite(numbers)]
            distinct = len(np.unique(numbers))
        kind, given = "number" if len(numbers) else "empty", pa.array(numbers)
        whole = bool((numbers == np.floor(numbers)).all())
    return Profile(name, declared, kind, rows, filled, distinct, example, given, whole, nulls)


def shown(value: pa.Scalar) -> str:
    try:
        return str(value.as_py())
    except (OverflowError, ValueError):  # a time outside of Python's years
        return str(value.cast(pa.string()).as_py())


def _plain(array: pa.Array) -> pa.Array:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    kind = array.type
    if pa.types.is_decimal(kind):  # not every kernel takes all of them
        return pa.array([None if v is None else float(v) for v in array.to_pylist()], pa.float64())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or "binary" in str(kind):
        return pa.array([None if v is None else v.hex() for v in array.to_pylist()], pa.string())
    return array


def _kind(kind: pa.DataType) -> Kind:
    t = pa.types
    if t.is_boolean(kind) or t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind):
        return "number"
    if t.is_timestamp(kind) or t.is_date(kind):
        return "moment"
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        return "list" if _kind(kind.value_type) in ("number", "text", "empty") else "nested"
    if t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind):
        return "text"
    return "empty" if t.is_null(kind) else "nested"


def _numbers(given: pa.Array) -> np.ndarray | None:
    """float64 of values that all are numbers; None where one is not."""
    if pa.types.is_string(given.type) and (words := _truths(given)) is not None:
        return words
    try:
        return given.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None


def _truths(given: pa.Array) -> np.ndarray | None:
    text = pc.utf8_lower(given)
    if set(pc.unique(text).to_pylist()) <= {"true", "false"}:
        return pc.equal(text, "true").to_numpy(zero_copy_only=False).astype(np.float64)
    return None
