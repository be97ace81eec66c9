"""Texts as times: numbers, ISO 8601 and its like, day first or month first, strptime patterns."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions at run time, so no checker sees them.

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

NANOS = 10**9
_NUMBER = r"^(?P<sign>[+-]?)(?P<whole>[0-9]{1,18}|[0-8][0-9]{18})(?:\.(?P<fraction>[0-9]*))?$"
_EXPONENT = r"^[+-]?[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]+$"

_CLOCK = (
    r"(?:(?:[T_, ] *)(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
    r" *(?P<half>[AaPp][Mm])? *(?P<zone>[Zz]|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?$"
)
_YEAR_FIRST = r"^(?P<year>[0-9]{4})[-/.](?P<month>[0-9]{1,2})[-/.](?P<day>[0-9]{1,2})" + _CLOCK
_DAY_FIRST = (
    r"^(?P<day>[0-9]{1,2})[-/. ](?P<month>[0-9]{1,2})[-/. ](?P<year>[0-9]{4}|[0-9]{2})" + _CLOCK
)
_MONTH_FIRST = (
    r"^(?P<month>[0-9]{1,2})[-/. ](?P<day>[0-9]{1,2})[-/. ](?P<year>[0-9]{4}|[0-9]{2})" + _CLOCK
)

AMBIGUOUS = re.compile(r"['\"]?[0-9]{1,2}[-/. ][0-9]{1,2}[-/. ][0-9]{2,4}\b")
"""Like 03/04/2019, of which a key must say whether it is in March."""

Dates = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""int64 [n] unix seconds, int32 [n] nanoseconds after them, bool [n] readable, bool [n] zoned"""


def parse_numbers(texts: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """int64 [n] floors, int32 [n] what is above them in 1e-9, and bool [n], true for numbers."""
    found = pc.extract_regex(texts, _NUMBER)
    readable = np.asarray(found.is_valid())
    whole = _field(found, "whole")
    fraction = _fraction(found)
    negative = np.asarray(pc.equal(pc.struct_field(found, "sign"), "-").fill_null(False))
    whole = np.where(negative, -whole - (fraction > 0), whole)
    fraction = np.where(negative & (fraction > 0), NANOS - fraction, fraction)
    powers = np.asarray(pc.match_substring_regex(texts, _EXPONENT).fill_null(False))
    for row in np.flatnonzero(powers):  # rare: a table program wrote them
        value = float(texts[int(row)].as_py())
        readable[row] = abs(value) < 2.0**63
        whole[row], fraction[row] = (
            (int(value // 1), int(value % 1 * NANOS)) if readable[row] else (0, 0)
        )
    return whole, fraction.astype(np.int32), readable


def parse_dates(texts: pa.Array, order: str | None) -> Dates:
    """Year first, and also day first or month first where `order` says so."""
    found = _parse(texts, _YEAR_FIRST)
    if order:
        other = _parse(texts, _DAY_FIRST if order == "day_first" else _MONTH_FIRST)
        found = _either(found, other)
    rows = np.flatnonzero(~found[2])
    singly = [_iso(text) for text in texts.take(pa.array(rows)).to_pylist()]
    for row, one in zip(rows, singly, strict=True):
        if one is not None:
            found[0][row], found[1][row], found[2][row], found[3][row] = *one[:2], True, one[2]
    return found


def parse_pattern(texts: pa.Array, pattern: str, number: bool) -> Dates:
    """By strptime; texts of numbers get back the zeros that a number does not keep in front."""
    if number:
        width = len(datetime(2019, 11, 24, 13, 5, 58, tzinfo=UTC).strftime(pattern))
        texts = pc.utf8_lpad(texts, width, "0")
    moments = pd.to_datetime(
        pd.Series(texts.to_pylist(), dtype="str"), format=pattern, errors="coerce", utc=True
    )
    readable = moments.notna().to_numpy()
    steps = moments.dt.tz_localize(None).to_numpy()
    seconds = steps.astype("datetime64[s]")
    nanos = (steps - seconds).astype("timedelta64[ns]").astype(np.int64)
    zoned = np.full(len(texts), "%z" in pattern)
    whole = np.where(readable, seconds.astype(np.int64), 0)
    return whole, np.where(readable, nanos, 0).astype(np.int32), readable, zoned


def days(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 [n] days since 1970-01-01, and bool [n], false where the calendar has no such day."""
    fits = (month >= 1) & (month <= 12) & (year >= 1) & (year <= 9999)
    months = np.where(fits, (year - 1970) * 12 + month - 1, 0)
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    after = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return first + day - 1, fits & (day >= 1) & (day <= after - first)


def _parse(texts: pa.Array, pattern: str) -> Dates:
    found = pc.extract_regex(texts, pattern)
    year, month, day, hour, minute, second = (
        _field(found, name) for name in ("year", "month", "day", "hour", "minute", "second")
    )
    # two digits as POSIX reads them: 69 to 99 are of the twentieth century
    short = np.asarray(pc.equal(pc.utf8_length(pc.struct_field(found, "year")), 2).fill_null(False))
    year = np.where(short, np.where(year >= 69, 1900, 2000) + year, year)
    half = pc.utf8_lower(pc.struct_field(found, "half"))
    twelve = np.asarray(pc.is_in(half, pa.array(["am", "pm"], half.type)))
    afternoon = np.asarray(pc.equal(half, "pm").fill_null(False))
    fits = ~twelve | ((hour >= 1) & (hour <= 12))
    hour = np.where(twelve, hour % 12 + 12 * afternoon, hour)
    day_number, real = days(year, month, day)
    zone = pc.struct_field(found, "zone")
    offset, zoned = _offset(zone)
    readable = np.asarray(found.is_valid()) & real & fits
    readable &= (hour <= 23) & (minute <= 59) & (second <= 60)
    seconds = day_number * 86_400 + hour * 3600 + minute * 60 + second - offset
    return np.where(readable, seconds, 0), _fraction(found).astype(np.int32), readable, zoned


def _either(one: Dates, other: Dates) -> Dates:
    seconds, nanos, readable, zoned = (
        np.where(one[2], a, b) for a, b in zip(one, other, strict=True)
    )
    return seconds, nanos, readable, zoned


def _field(found: pa.StructArray, name: str) -> np.ndarray:
    """int64 [n], 0 where the group is missing."""
    text = pc.struct_field(found, name)
    text = pc.if_else(pc.equal(text, ""), "0", text).fill_null("0")
    return text.cast(pa.int64()).to_numpy(zero_copy_only=False)


def _fraction(found: pa.StructArray) -> np.ndarray:
    """int64 [n] of 1e-9; further digits are cut off."""
    digits = pc.utf8_slice_codeunits(pc.struct_field(found, "fraction"), 0, 9)
    return (
        pc.utf8_rpad(digits, 9, "0").fill_null("0").cast(pa.int64()).to_numpy(zero_copy_only=False)
    )


def _offset(zone: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """int64 [n] seconds east of Greenwich, and bool [n], whether a zone is written."""
    encoded = zone.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    seconds = np.array([*(_east(name) for name in names), 0], np.int64)
    given = np.array([*(bool(name) for name in names), False], bool)
    index = encoded.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
    return seconds[index], given[index]


def _east(zone: str) -> int:
    """Of `Z`, `UTC`, `+02`, `+0200` or `+02:00`."""
    digits = zone[1:].replace(":", "")
    if not digits.isdecimal():
        return 0
    seconds = int(digits[:2]) * 3600 + int(digits[2:4] or 0) * 60
    return -seconds if zone[0] == "-" else seconds


def _iso(text: str) -> tuple[int, int, bool] | None:
    """Rarer forms of ISO 8601, such as 20240131T1530 and 2024-W05-3; None for another text, digits
    alone included: they may stand for anything."""
    if text.isdecimal():
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    zoned = moment.tzinfo is not None
    since = moment.replace(tzinfo=moment.tzinfo or UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = since // timedelta(seconds=1)
    return seconds, since.microseconds * 1000, zoned
