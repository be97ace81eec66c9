"""How a column of a sample tells times."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions at run time, so no checker sees them.

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow.compute as pc

from recscale.data.drafts.profile import Profile, shown


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
_BASIC = r"\d{8}T\d{4}(\d\d([.,]\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?"
"""ISO 8601's basic format, such as 20260131T153000Z."""
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
        low, high = (shown(ends[end])[:10] for end in ("min", "max"))
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
    if _all(re.compile(_BASIC).fullmatch, texts):
        return Clock(f"ISO text, {min(texts)[:8]} to {max(texts)[:8]}")
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
