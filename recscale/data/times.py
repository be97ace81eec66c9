"""A batch of times, of any Arrow type or written form, as instants or as numbers of a unit that
only the whole log tells (see `clock`)."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions at run time, so no checker sees them.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recscale.data.plain import Unfit, example, is_text, name_of, plain, text_of
from recscale.data.timetext import NANOS, parse_dates, parse_numbers, parse_pattern
from recscale.manifest import PER_SECOND
from recscale.spec import DAY_ORDERS, TIME_UNITS

DAY_SECONDS = 86_400
FLOAT_DIGITS = 6
"""Decimals kept of numbers in binary floats: a double has seconds of today to 0.24 microseconds."""
_EXACT = {16: 2**11, 32: 2**24}
"""Up to where a float of so few bits holds every whole number."""
FIRST, LAST = -62_135_596_800, 253_402_300_799
"""Seconds of the years 1 to 9999."""


class Times(NamedTuple):
    """n times. Of an instant `whole` are unix seconds and `part` the nanoseconds after them; of a
    number `whole` is its floor, and `part` what is above it in 1e-9."""

    whole: np.ndarray
    """int64 [n]"""
    part: np.ndarray
    """int32 [n], 0 <= part < 1e9"""
    number: np.ndarray
    """bool [n], true for a number whose unit is not known yet"""
    readable: np.ndarray
    """bool [n]"""
    zoned: np.ndarray
    """bool [n], true for an instant that was written with its zone"""

    @classmethod
    def none(cls, n: int) -> Times:
        """n times, none of them read yet."""
        false = np.zeros((3, n), bool)
        return cls(np.zeros(n, np.int64), np.zeros(n, np.int32), *false)

    def put(self, rows: np.ndarray, other: Times) -> None:
        """Sets the rows (bool [n] or numbers) to the other's times."""
        for mine, its in zip(self, other, strict=True):
            mine[rows] = its

    def take(self, rows: np.ndarray | slice) -> Times:
        return Times(*(part[rows] for part in self))


def read_times(column: pa.Array, time_format: str | None) -> Times:
    """Reads n times. Those without a zone are UTC; a zoned column is instants already, so no local
    clock is ever consulted. Raises Unfit for a column whose type holds no times."""
    column = plain(column)
    typed = pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)
    if typed and time_format:
        raise Unfit(
            f"values of type {column.type}, which say themselves when they are; leave out "
            f"data.time_format: {time_format}"
        )
    if pa.types.is_timestamp(column.type):
        return _timestamps(column)
    if pa.types.is_date(column.type):
        return _timestamps(column.cast(pa.timestamp("s")))
    column = text_of(column)
    if is_text(column.type):
        return _text(column, time_format)
    if pa.types.is_decimal(column.type):  # exactly, digit by digit
        return _text(column.cast(pa.string()), time_format)
    if pa.types.is_null(column.type):
        return Times.none(len(column))
    if time_format in DAY_ORDERS:
        raise Unfit(f"numbers, such as {example(column)}, which have no day and month to order")
    if time_format and time_format not in TIME_UNITS:
        return _text(_digits(column), time_format, number=True)
    if pa.types.is_integer(column.type):
        return _integers(column)
    if pa.types.is_floating(column.type):
        return _floats(column)
    raise Unfit(
        f"values of type {name_of(column.type)}, such as {example(column)}, which are no times; "
        "give a timestamp, a date, ISO text or unix time"
    )


def _timestamps(column: pa.Array) -> Times:
    per_second = PER_SECOND[column.type.unit]
    steps, given = _int64(column.cast(pa.int64()))
    whole, part = np.divmod(steps, per_second)
    times = Times.none(len(column))
    return times._replace(
        whole=whole,
        part=(part * (NANOS // per_second)).astype(np.int32),
        readable=given & (whole >= FIRST) & (whole <= LAST),
        zoned=np.full(len(column), column.type.tz is not None),
    )


def _integers(column: pa.Array) -> Times:
    if pa.types.is_uint64(column.type):
        there = pc.less_equal(column, pa.scalar(np.iinfo(np.int64).max, pa.uint64()))
        column = pc.if_else(there, column, pa.scalar(None, pa.uint64()))
    whole, given = _int64(column.cast(pa.int64()))
    given &= whole != np.iinfo(np.int64).min  # pandas writes it for NaT
    return Times.none(len(whole))._replace(
        whole=whole, number=np.ones(len(whole), bool), readable=given
    )


def _floats(column: pa.Array) -> Times:
    values = column.cast(pa.float64()).fill_null(float("nan")).to_numpy(zero_copy_only=False)
    exact = _EXACT.get(column.type.bit_width, 2**63)
    if exact < 2**63 and (rough := np.abs(values) > exact).any():
        raise Unfit(
            f"numbers of type {column.type}, such as {example(column, rough)}, which may be "
            "rounded to minutes; write times as integers or doubles"
        )
    readable = np.isfinite(values) & (np.abs(values) < 2.0**63)
    values = np.where(readable, values, 0.0)
    whole = np.floor(values)
    scale = 10**FLOAT_DIGITS
    part = np.rint((values - whole) * scale).astype(np.int64)
    return Times.none(len(values))._replace(
        whole=whole.astype(np.int64) + part // scale,
        part=(part % scale * (NANOS // scale)).astype(np.int32),
        number=np.ones(len(values), bool),
        readable=readable,
    )


def _int64(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Values, 0 for nulls, and where there are any."""
    given = np.asarray(column.is_valid())
    return column.fill_null(0).to_numpy(zero_copy_only=False), given


def _digits(column: pa.Array) -> pa.Array:
    """Numbers as the text of their whole part, where they are whole."""
    if pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
        whole = pc.equal(pc.floor(column), column).fill_null(False)
        whole = pc.and_(whole, pc.less(pc.abs(column), 2.0**63).fill_null(False))
        column = pc.if_else(whole, column, pa.scalar(None, pa.float64())).cast(pa.int64())
    return column.cast(pa.string())


def _text(column: pa.Array, time_format: str | None, number: bool = False) -> Times:
    """Distinct texts are read once: logs repeat them (dates), and dates cost more than numbers.

    number: the text is that of a number, so zeros may be missing in front.
    """
    encoded = column.dictionary_encode()
    texts = encoded.dictionary
    times = Times.none(len(texts))
    if time_format and time_format not in (*TIME_UNITS, *DAY_ORDERS):
        seconds, nanos, readable, zoned = parse_pattern(texts, time_format, number)
        times = times._replace(whole=seconds, part=nanos, readable=readable, zoned=zoned)
    else:
        if time_format not in DAY_ORDERS:
            whole, part, readable = parse_numbers(texts)
            times = times._replace(
                whole=whole, part=part, number=readable.copy(), readable=readable
            )
        if time_format not in TIME_UNITS:
            rows = np.flatnonzero(~times.readable)
            left = texts.take(pa.array(rows))
            seconds, nanos, readable, zoned = parse_dates(left, time_format)
            dates = Times(seconds, nanos, np.zeros(len(rows), bool), readable, zoned)
            times.put(rows, dates)
    index = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    if not len(texts):
        return Times.none(len(index))
    found = times.take(index)
    in_range = found.number | ((found.whole >= FIRST) & (found.whole <= LAST))
    return found._replace(readable=found.readable & (index >= 0) & in_range)
