"""The clock of a whole log: in which unit its numbers count, and the coarsest unit that loses
nothing of its times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from recscale.data.layout import CHUNK_ROWS, DataError
from recscale.data.times import DAY_SECONDS, FIRST, LAST, Times
from recscale.data.timetext import NANOS, days
from recscale.manifest import PER_SECOND
from recscale.spec import TIME_UNITS

Unit = Literal["s", "ms", "us", "ns"]

FORMS = (
    "read are: timestamps and dates; ISO text (2024-01-31 15:30:00.25+02:00); unix seconds, "
    "milli-, micro- or nanoseconds; 20240131, 202401311530 and the like; and by data.time_format: "
    f"{', '.join(TIME_UNITS)}, day_first, month_first, or a strptime pattern such as %d/%m/%Y %H:%M"
)

_LITTLE, _SECONDS = 0, 1
_FROM = np.array([10**8, 10**11, 10**14, 10**17])
"""Sizes part numbers into: up to 8 digits, seconds, milli-, micro- and nanoseconds. From 1973 to
5138 each unit has sizes of its own."""
_UNITS: tuple[Unit, ...] = ("s", "s", "ms", "us", "ns")
"""Of the numbers of each size"""
_FINER: tuple[Unit, ...] = ("s", "ms", "us", "ns")
_STEPS = [NANOS // PER_SECOND[unit] for unit in _FINER]
"""Nanoseconds of each"""
_PLAUSIBLE = (788_918_400, 4_102_444_800)
"""Seconds of 1995 to 2100. Numbers mostly outside are not unix time: .NET's ticks of today would
be nanoseconds of 1990, WebKit's microseconds lie in 2390."""
_EPOCHS = {
    "days since 1970": 0,
    "days as Excel counts them": 25_569,
    "days of the calendar of Python and MATLAB": 719_163,
    "Julian days": 2_440_588,
}
"""Counts of days -> the number of 1970-01-01. Of whole numbers they may as well be steps of another
clock, and their order is the same; fractions of a day are no fractions of a second."""
_DAYS = (9_131, 29_220)
"""Days since 1970 of 1995 and 2050; later ones of one count are earlier ones of another."""
_EARLY = 40 * DAY_SECONDS
"""Unix seconds of today lie before it when they are taken for milliseconds."""
_FORMS = (
    "years (2019)",
    "months (201901)",
    "days without their century (190131)",
    "hours without their century (19013115)",
    "days with their year last (1312019)",
    *_EPOCHS,
)
_PACKED_SHARE = 0.95
"""When so many of the numbers of one size are days of the calendar, they all are meant so."""


def packed(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 [n] unix seconds of 20240131, 2024013115, 202401311530 or 20240131153000, and bool [n],
    true where the digits are such a moment of the years 1900 to 2100."""
    size = np.searchsorted(np.array([10**8, 10**10, 10**12, 10**14]), numbers, side="right")
    full = numbers * np.array([10**6, 10**4, 10**2, 1, 1])[size]
    full = np.where((numbers >= 19 * 10**6) & (size < 4), full, 0)
    date, clock = np.divmod(full, 10**6)
    day, real = days(date // 10_000, date // 100 % 100, date % 100)
    hour, minute, second = clock // 10_000, clock // 100 % 100, clock % 100
    # nine, eleven or thirteen digits are none of them
    real &= (date >= 19_000_101) & (date <= 21_001_231) & _even_digits(numbers)
    real &= (hour <= 23) & (minute <= 59) & (second <= 59)
    return day * DAY_SECONDS + hour * 3600 + minute * 60 + second, real


def _even_digits(numbers: np.ndarray) -> np.ndarray:
    """bool [n]: 8, 10, 12 or 14 digits."""
    digits = np.searchsorted(10 ** np.arange(7, 15), numbers, side="right") + 7
    return (digits % 2 == 0) & (digits <= 14)


@dataclass(frozen=True)
class Reading:
    """How the log's numbers become instants."""

    per_second: int | None
    """Steps of the numbers' unit; None for packed dates"""
    sizes: np.ndarray
    """bool [5], which sizes of numbers are read; the others are of another unit"""
    relative: bool = False
    """The numbers count from an unknown start in steps of unknown length."""
    warnings: tuple[str, ...] = ()

    def instants(self, times: Times) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """int64 [n] unix seconds, int64 [n] nanoseconds after them, and bool [n] readable."""
        seconds, nanos = times.whole.astype(np.int64), times.part.astype(np.int64)
        readable = times.readable.astype(bool)
        rows = np.flatnonzero(times.number & readable)
        if not len(rows):
            return seconds, nanos, readable
        numbers, parts = seconds[rows], nanos[rows]
        if self.per_second is None:
            seconds[rows], fits = packed(numbers)
            fits &= parts == 0
            nanos[rows] = 0
        else:
            seconds[rows], steps = np.divmod(numbers, self.per_second)
            nanos[rows] = steps * (NANOS // self.per_second) + parts // self.per_second
            fits = self.sizes[_size(numbers)]
            fits &= (seconds[rows] >= FIRST) & (seconds[rows] <= LAST)
        readable[rows] = fits
        return seconds, nanos, readable


class Sizes:
    """What was seen of the times of a log, batch by batch."""

    def __init__(self, time_format: str | None):
        self._format = time_format
        self._counts, self._plausible, self._packed = np.zeros((3, len(_UNITS)), np.int64)
        self._calendar = np.zeros(9, np.int64)
        self._examples: dict[int, tuple[Path, str]] = {}
        self._zoned = self._unzoned = self._early = 0
        self._parted = False  # whether little numbers have fractions

    def add(self, times: Times, file: Path) -> None:
        dates = times.readable & ~times.number
        self._early += int((dates & (times.whole >= 0) & (times.whole < _EARLY)).sum())
        self._zoned += int((dates & times.zoned).sum())
        self._unzoned += int((dates & ~times.zoned).sum())
        rows = np.flatnonzero(times.number & times.readable)
        if not len(rows):
            return
        numbers, part = times.whole[rows], times.part[rows]
        size = _size(numbers)
        n = len(_UNITS)
        self._counts += np.bincount(size, minlength=n)
        seconds = numbers // np.array([PER_SECOND[unit] for unit in _UNITS])[size]
        now = (seconds >= _PLAUSIBLE[0]) & (seconds < _PLAUSIBLE[1])
        self._plausible += np.bincount(size[now], minlength=n)
        self._packed += np.bincount(size[packed(numbers)[1] & (part == 0)], minlength=n)
        little = size == _LITTLE
        self._calendar += _calendar(numbers[little], part[little])
        self._parted |= bool(part[little].any())
        for each in set(np.unique(size).tolist()) - self._examples.keys():
            row = np.flatnonzero(size == each)[0]
            fraction = f"{part[row] / NANOS:.9g}"[1:] if part[row] else ""
            self._examples[each] = file, f"{numbers[row]}{fraction}"

    def reading(self, column: str) -> Reading:
        """column: as in data.columns.time 'ts'. Raises DataError when the numbers may mean several
        things, with the key that settles it."""
        told = (*self._zone_mix(column), *self._wrong_unit(column))
        everything = np.ones(len(_UNITS), bool)
        if self._format in TIME_UNITS:
            per_second = 1000 ** TIME_UNITS.index(self._format)
            return Reading(per_second, everything, warnings=told)
        most = int(self._counts.argmax())
        total = int(self._counts[most])
        if not total:
            return Reading(1, everything, warnings=told)
        if self._packed[most] >= _PACKED_SHARE * total:
            return Reading(None, everything, warnings=told)
        file, example = self._examples[most]
        if most == _LITTLE or self._plausible[most] < total / 2:
            if self._zoned + self._unzoned > total:  # a few numbers among dates are no times
                return Reading(1, ~everything, warnings=told)
            form = int(self._calendar.argmax())
            alike = self._calendar[form] >= _PACKED_SHARE * total
            if alike and _FORMS[form] in _EPOCHS and self._parted:
                raise DataError(
                    f"{file}: {column}: {example} looks like {_FORMS[form]}, which are not read; "
                    "write dates, or unix seconds; if it is a number of another clock, say "
                    "data.time_format: seconds"
                )
            if most != _LITTLE or alike and _FORMS[form] not in _EPOCHS:
                raise DataError(
                    f"{file}: {column}: {example} as a time may mean several things, none of them "
                    f"sure; say with data.time_format which; {FORMS}"
                )
            little = (
                f"{column} holds small numbers, such as {example}, which are taken for seconds of "
                "the log's own clock; their order is sure, their unit is not: data.time_format: "
                "seconds (or another unit) settles it"
            )
            return Reading(1, np.arange(len(_UNITS)) <= _SECONDS, True, (*told, little))
        if self._counts[_LITTLE]:
            told += (
                f"{column}: {self._counts[_LITTLE]:,} of the times, such as "
                f"{self._examples[_LITTLE][1]}, lie near 1970; if they stand for times that are "
                "not known, leave them blank in the log",
            )
        return Reading(
            PER_SECOND[_UNITS[most]],
            np.isin(np.arange(len(_UNITS)), [_LITTLE, most]),
            warnings=told,
        )

    def other(self, reading: Reading) -> tuple[Path, str] | None:
        """An example of the numbers that `reading` leaves out, where there are any."""
        left = np.flatnonzero((self._counts > 0) & ~reading.sizes)
        return self._examples[int(left[0])] if len(left) else None

    def _wrong_unit(self, column: str) -> Iterator[str]:
        if self._early > _PACKED_SHARE * (self._zoned + self._unzoned):
            yield (
                f"{column}: {self._early:,} of the timestamps lie in the first days of 1970, as "
                "where unix seconds were taken for milli-, micro- or nanoseconds when the log was "
                "written; their order holds, their days and hours do not"
            )

    def _zone_mix(self, column: str) -> Iterator[str]:
        if self._zoned and self._unzoned:
            yield (
                f"{column}: {self._zoned:,} times carry a zone and {self._unzoned:,} do not; those "
                "without are taken for UTC"
            )


def _size(numbers: np.ndarray) -> np.ndarray:
    return np.searchsorted(_FROM, np.abs(numbers), side="right")


def _calendar(numbers: np.ndarray, part: np.ndarray) -> np.ndarray:
    """int64 [9]: how many of little numbers look like each of _FORMS."""
    year = (numbers >= 1900) & (numbers <= 2100)
    month = (numbers >= 190_001) & (numbers <= 210_012) & (numbers % 100 - 1 < 12)
    month &= numbers % 100 > 0
    day, hour = _without_century(numbers), _without_century(numbers // 100) & (numbers % 100 < 24)
    last = (numbers >= 10**6) & (numbers % 10_000 >= 1900) & (numbers % 10_000 <= 2100)
    whole = [form & (part == 0) for form in (year, month, day, hour, last)]
    since = [(numbers >= day + _DAYS[0]) & (numbers < day + _DAYS[1]) for day in _EPOCHS.values()]
    return np.array([form.sum() for form in (*whole, *since)])


def _without_century(numbers: np.ndarray) -> np.ndarray:
    real = days(2000 + numbers // 10_000, numbers // 100 % 100, numbers % 100)[1]
    return real & (numbers >= 10_101) & (numbers <= 991_231)


@dataclass(frozen=True)
class Settled:
    """The times of a log as one int64 each."""

    unit: Unit
    """The coarsest that loses nothing"""
    relative: bool
    """They count from the log's own start, not from 1970."""
    coarse: str | None
    """`days` or `hours` where all times lie whole ones apart; `steps` of unknown length"""


def settle(reading: Reading, times: Times, out: np.ndarray, readable: np.ndarray) -> Settled:
    """Writes the log's times [n] to out (int64) and which of them can be read to readable (bool),
    a chunk at a time; the arrays of `times` may be memory maps."""
    chunks = [slice(i, i + CHUNK_ROWS) for i in range(0, len(out), CHUNK_ROWS)]
    finest, low, high, numbers = 0, LAST, FIRST, True
    apart = {"days": DAY_SECONDS, "hours": 3600}
    start: int | None = None
    for rows in chunks:
        part = times.take(rows)
        seconds, nanos, good = reading.instants(part)
        readable[rows] = good
        if not good.any():
            continue
        seconds, nanos = seconds[good], nanos[good]
        low, high = min(low, int(seconds.min())), max(high, int(seconds.max()))
        numbers &= bool(part.number[good].all())
        finest = max(finest, next(i for i, s in enumerate(_STEPS) if not (nanos % s).any()))
        start = int(seconds[0]) if start is None else start
        apart = {k: v for k, v in apart.items() if not ((seconds - start) % v).any()}
    unit: Unit = _FINER[finest]
    if unit == "ns" and max(-low, high) >= np.iinfo(np.int64).max // NANOS:
        unit = "us"
    for rows in chunks:
        seconds, nanos, good = reading.instants(times.take(rows))
        steps = seconds * PER_SECOND[unit] + nanos // (NANOS // PER_SECOND[unit])
        out[rows] = np.where(good, steps, 0)
    relative = reading.relative or (numbers and low >= 0 and high < _FROM[0])
    coarse = "steps" if reading.relative else next(iter(apart), None) if not finest else None
    return Settled(unit, relative, coarse)
