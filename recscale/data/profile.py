"""What the values of a column look like: their kind, how many differ, whether they are times."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions at run time, so no checker sees them.

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Kind = Literal["number", "text", "moment", "list", "nested", "empty"]
MISSING = ("", "NA", "N/A", "NULL", "null", "NaN", "nan", "None", "\\N")
"""Texts that mostly stand for a missing value."""


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

    @property
    def numbers(self) -> np.ndarray:
        return self.values.to_numpy(zero_copy_only=False)

    @property
    def share(self) -> float:
        """Different values in a value."""
        return self.distinct / max(1, len(self.values))

    @property
    def binary(self) -> bool:
        """0 and 1 alone, or true and false."""
        return self.kind == "number" and bool(np.isin(self.numbers, (0, 1)).all())

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
    example = _shown(given[0])
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


def _shown(value: pa.Scalar) -> str:
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


@dataclass(frozen=True)
class Clock:
    """How a column tells times."""

    words: str
    """Such as `unix seconds, 2019-11-24 to 2019-11-30`."""
    format: str | None = None
    """What `data.time_format` has to say; None where the values say it."""
    doubt: str | None = None
    coarse: bool = False
    """Whether many events share a moment: dates and hours."""


UNITS = (("seconds", 1.0), ("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9))
SINCE, UNTIL = 6.3e8, 2.5e9
"""Unix seconds of 1989 and 2049: numbers in between are taken for times of a log."""
PACKED = {8: ("%Y%m%d", "%y%m%d%H"), 10: ("%Y%m%d%H",), 12: ("%Y%m%d%H%M",), 14: ("%Y%m%d%H%M%S",)}
"""Digits of a packed date -> its patterns."""
_ISO = (
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ]\d{1,2}:\d\d(:\d\d([.,]\d+)?)?)?"
    r"( ?(Z|UTC|[+-]\d\d(:?\d\d)?))?"
)
_SLASHED = r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}|\d\d)(,? \d{1,2}:\d\d(:\d\d)?( ?[AaPp][Mm])?)?"
WRITTEN = (
    "%a %b %d %H:%M:%S %z %Y", "%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %b %Y, %H:%M",
    "%d-%b-%Y", "%d-%b-%Y %H:%M:%S",
)  # fmt: skip
"""Patterns that are tried on text of another form."""
_LOOKED_AT = 500  # texts tried against a pattern


def clock(column: Profile, named_time: bool) -> Clock | None:
    """How the column tells times, None where it does not. Numbers that count from no known start
    are times only where the name says so."""
    if column.kind == "moment":
        ends = pc.min_max(column.values)
        low, high = (_shown(ends[end])[:10] for end in ("min", "max"))
        coarse = column.type.startswith("date")
        return Clock(f"{column.type}, {low} to {high}", None, None, coarse)
    if column.kind == "number":
        return _of_numbers(column, named_time)
    return _of_text(column) if column.kind == "text" else None


def _of_numbers(column: Profile, named_time: bool) -> Clock | None:
    numbers = column.numbers
    low, high = float(numbers.min()), float(numbers.max())
    for pattern in PACKED.get(len(f"{high:.0f}"), ()) if column.whole else ():
        days = _read(pattern, [f"{v:0{len(f'{high:.0f}')}.0f}" for v in np.unique(numbers)])
        if days and days[0].year >= 1990 and days[-1].year <= 2049:
            coarse = not pattern.endswith("S")
            return Clock(f"packed as {pattern}, {_days(*days)}", pattern, None, coarse)
    for unit, scale in UNITS:
        if SINCE * scale <= low and high <= UNTIL * scale:
            days = [datetime.fromtimestamp(v / scale, UTC) for v in (low, high)]
            return Clock(f"unix {unit}, {_days(*days)}")
    if named_time and low >= 0 and column.distinct > 1:
        doubt = (
            f"its numbers, {column.range}, count from an unknown start; taken as seconds, so dates "
            "mean nothing, the order does"
        )
        return Clock("numbers", "seconds", doubt, column.share < 0.05)
    return None


def _of_text(column: Profile) -> Clock | None:
    texts = pc.unique(column.values).to_pylist()
    texts = texts[:: max(1, len(texts) // _LOOKED_AT)]
    if _all(re.compile(_ISO).fullmatch, texts):
        low, high = min(texts), max(texts)
        return Clock(f"ISO text, {low[:10]} to {high[:10]}", coarse=len(low) <= 10)
    matches = [re.fullmatch(_SLASHED, t) for t in texts]
    if all(matches):
        first = max(int(m[1]) for m in matches if m)
        second = max(int(m[2]) for m in matches if m)
        if first > 12 >= second:
            return Clock(f"text, day first, such as {texts[0]}", "day_first")
        sure = second > 12 >= first
        doubt = None if sure else f"{texts[0]} may have its day or its month first"
        if first <= 12:
            coarse = ":" not in texts[0]
            return Clock(f"text, month first, such as {texts[0]}", "month_first", doubt, coarse)
    for pattern in WRITTEN:
        if _read(pattern, texts):
            return Clock(f"text, such as {texts[0]}", pattern, None, "%H" not in pattern)
    return None


def _all(test: Callable[[str], object], texts: list[str]) -> bool:
    return all(test(text) for text in texts)


def _read(pattern: str, texts: list[str]) -> tuple[datetime, datetime] | None:
    """The first and the last of the texts as times; None where one does not fit the pattern."""
    try:
        read = sorted(datetime.strptime(t, pattern) for t in texts)
    except ValueError:
        return None
    return read[0], read[-1]


def _days(first: datetime, last: datetime) -> str:
    return f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
