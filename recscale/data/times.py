"""Times of a log as unix seconds: timestamps, ISO text, unix seconds or milliseconds."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions at run time, so no checker sees them.

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MILLISECONDS_FROM = 1e11
"""Numbers of this size or more are milliseconds: as seconds they lie after the year 5000, as
milliseconds from 1973 on."""

_NUMBER = r"^\s*-?\d+(\.\d*)?\s*$"


def unix_seconds(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """int64 [n] whole unix seconds, and bool [n], true where the value could be read.

    Times without a zone are taken as UTC. Fractions of a second are cut off: rows of one second
    count as one moment. Raises TypeError for a column that cannot hold times.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return unix_seconds(column.cast(kind.value_type))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _timestamps(column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _numbers(column.cast(pa.float64(), safe=False))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _text(column.cast(pa.string()))
    raise TypeError(f"a column of type {kind} holds no times")


def _timestamps(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    seconds = pc.floor_temporal(column, unit="second").cast(pa.timestamp("s"), safe=False)
    readable = np.asarray(seconds.is_valid())
    return seconds.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), readable


def _numbers(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    values = column.fill_null(float("nan")).to_numpy(zero_copy_only=False)
    readable = np.isfinite(values) & (np.abs(values) < MILLISECONDS_FROM * 1e4)
    values = np.where(readable, values, 0.0)
    milliseconds = np.abs(values) >= MILLISECONDS_FROM
    seconds = np.floor(np.where(milliseconds, values / 1000, values))
    return seconds.astype(np.int64), readable


def _text(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    numeric = np.asarray(pc.match_substring_regex(column, _NUMBER).fill_null(False))
    if numeric.all() and len(numeric):
        return _numbers(pc.utf8_trim_whitespace(column).cast(pa.float64()))
    for zone in (None, "UTC"):
        try:
            return _timestamps(column.cast(pa.timestamp("us", zone)))
        except pa.ArrowInvalid:
            continue
    # Some value is unlike the rest: read the distinct ones singly to find out which.
    encoded = column.dictionary_encode()
    read = [_one(text) for text in encoded.dictionary.to_pylist()]
    each = np.array([0 if seconds is None else seconds for seconds in read], np.int64)
    good = np.array([seconds is not None for seconds in read], bool)
    index = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    present = index >= 0
    if not len(each):
        return np.zeros(len(index), np.int64), present
    return np.where(present, each[index], 0), present & good[index]


def _one(text: str) -> int | None:
    """Seconds of one text, None where it is no time."""
    try:
        value = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.timestamp() // 1)
    seconds, readable = _numbers(pa.array([value], pa.float64()))
    return int(seconds[0]) if readable[0] else None
