"""Reading an event log of any size: chosen columns, values as codes, bad rows counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from recscale.data.bags import ListColumn, ListColumns
from recscale.data.build import Progress
from recscale.data.clock import Settled, Sizes, settle
from recscale.data.dropped import (
    BAD_TIME,
    NO_NUMBER,
    NULL_ITEM,
    NULL_USER,
    OTHER_UNIT,
    Dropped,
    bad_label,
    ragged_warnings,
)
from recscale.data.ids import Coder
from recscale.data.layout import CHUNK_ROWS, DataError, create_array, open_array
from recscale.data.lists import (
    Lists,
    Shapes,
    Where,
    amounts,
    coded,
    coder_of,
    exploded,
    lists_of,
    refuse_other_lengths,
)
from recscale.data.numbers import clicks, compared, dense
from recscale.data.plain import Unfit
from recscale.data.spill import Spill
from recscale.data.tables import Log, log_batches
from recscale.data.times import Times, read_times
from recscale.spec import EventsData

T = TypeVar("T")
_TIME = {"time.whole": "<i8", "time.part": "<i4", "time.number": "|b1"}


class _Unread(DataError):
    """A column whose values are not of the kind that its part takes."""


@dataclass(frozen=True)
class Events:
    """The rows of the log in file order, as memory maps."""

    columns: dict[str, np.ndarray]
    """`time` int64 [n]; `user`, `item`, `domain` and `sparse.<name>` int32 [n] codes; `label` uint8
    [n] where there is one, of several the first, and `label.<name>` the others; `dense.<name>`
    float32 [n], NaN where missing; `row` int64 [n], the row's number among all rows of all files"""
    hashes: dict[str, np.ndarray]
    """Of each column of codes: uint64 [distinct], the same for a value in every log"""
    lists: dict[str, ListColumn]
    """`sparse.<name>` of list columns, and `history`; `columns` has int32 hashes of their rows"""
    usable: np.ndarray
    """bool [n], false where the time turned out to be of another unit than the log's"""
    clock: Settled
    files: list[tuple[Path, int]]
    """Every file and the number of its first row"""
    raw_rows: int
    dropped: Dropped
    warnings: list[str]


def read_events(data: Log, folder: Path, progress: Progress) -> Events:
    """Streams the log's files into flat arrays under `folder`.

    Memory: one chunk, the distinct users, items and sparse values, and a byte a row.
    Raises DataError for missing or unfit columns, and when nothing usable is left.
    """
    reader, ragged = _Reader(data), Counter[Path]()
    places = {name: f"raw.{i}" for i, name in enumerate(reader.arrays)}  # names may not suit a file
    spilled = {places[name]: (dtype, None) for name, dtype in reader.arrays.items()}
    files: list[tuple[Path, int]] = []
    rows = read = usable_rows = 0
    with Spill(folder, spilled) as spill, ListColumns(folder) as lists:
        for file, batch in log_batches(data, dropped=ragged):
            if not files or files[-1][0] != file:
                files.append((file, rows))
            first = files[-1][1]
            for events, where in reader.events(batch, file, rows - first):
                kept = lists.append(reader.usable(events, where, first), usable_rows)
                spill.append({places[name]: values for name, values in kept.items()})
                read += len(events)
                usable_rows += len(kept["row"])
            rows += len(batch)
            progress(rows, None)
    dropped, raw_rows = reader.dropped, read + ragged.total()
    dropped.ragged(ragged)
    columns = {name: open_array(folder, place, "r+") for name, place in places.items()}
    if not len(columns["row"]):
        dropped.check(data, raw_rows)
    settled = {part: coder.settle(reader.titles[part]) for part, coder in reader.coders.items()}
    listed = lists.read({part: its.hashes for part, its in settled.items()})
    for part, its in settled.items():
        if len(its.hashes) < len(its.codes):
            held = [column.values for p, column in listed.items() if coder_of(p) == part]
            for array in held if part in listed else [columns[part], *held]:
                recode(array, its.codes)
    for part, column in listed.items():
        column.hash_rows(columns[part])
    reading = reader.sizes.reading(reader.titles["time"])
    n = len(columns["row"])
    usable = np.empty(n, bool)
    time = create_array(folder, "raw.time", (n,), "<i8")
    whole, part, number = (columns.pop(name) for name in _TIME)
    times = Times(whole, part, number, np.broadcast_to(True, n), np.broadcast_to(False, n))
    clock = settle(reading, times, time, usable)
    dropped.told(OTHER_UNIT, int((~usable).sum()), reader.sizes.other(reading))
    if not usable.any():
        dropped.check(data, raw_rows)
    columns["time"] = time
    told = [warning for its in settled.values() for warning in its.warnings]
    return Events(
        columns={name: array.view(np.ndarray) for name, array in columns.items()},
        hashes={part: its.hashes for part, its in settled.items() if part not in listed},
        lists=listed,
        usable=usable,
        clock=clock,
        files=files,
        raw_rows=raw_rows,
        dropped=dropped,
        warnings=[
            *reader.unread(),
            *ragged_warnings(ragged, "correct them, or say the dialect by data.format"),
            *reading.warnings,
            *told,
        ],
    )


def recode(array: np.ndarray, codes: np.ndarray) -> None:
    """Replaces each code c of an array [n] by codes[c], in place."""
    for begin in range(0, len(array), CHUNK_ROWS):
        part = array[begin : begin + CHUNK_ROWS]
        part[:] = codes[part]


class _Reader:
    """The columns that a sweep reads, batch after batch."""

    def __init__(self, data: Log):
        columns, self._data = data.columns, data
        coded = {"user": columns.user, "item": columns.item}
        coded |= {"domain": columns.domain} if columns.domain else {}
        coded |= {f"sparse.{name}": name for name in columns.sparse}
        self._coded, self._shapes = coded, Shapes()
        self._weights = {f"sparse.{name}": held for name, held in columns.weights.items()}
        self._dense = {f"dense.{name}": name for name in columns.dense}
        self._labels = columns.label_columns if data.task == "click" else ()
        self.coders = {part: Coder(whole=part in ("user", "item")) for part in coded}
        named = {**coded, **self._dense, "time": columns.time}
        named |= {f"weights.{part}": held for part, held in self._weights.items()}
        named |= {"history": columns.history} if columns.history else {}
        self.titles = {
            part: f"data.columns.{part.split('.')[0]} {name!r}" for part, name in named.items()
        }
        self.arrays = {"row": "<i8", **_TIME, **dict.fromkeys(coded, "<i4")}
        self.arrays |= {"history": "<i4"} if columns.history else {}
        self.arrays |= dict.fromkeys(self._dense, "<f4")
        self.arrays |= {"label": "|u1"} if data.compared else {}
        self._label_parts = {f"label.{c}" if i else "label": c for i, c in enumerate(self._labels)}
        self.arrays |= dict.fromkeys(self._label_parts, "|u1")
        self._time_format = "seconds" if data.source == "sequences" else None  # places in a line
        if isinstance(data, EventsData):
            self._time_format = data.time_format
        self.sizes, self.dropped = Sizes(self._time_format), Dropped()

    def unread(self) -> list[str]:
        """Warnings of what the sweep names and the task does not use."""
        label = self._data.columns.label
        if label is None or self._labels:
            return []
        return [
            f"data.columns.label {label!r} is not read by task next_item, which takes every row "
            "for an event: rows that are no clicks belong out of the log"
        ]

    def events(
        self, batch: pa.RecordBatch, file: Path, first: int
    ) -> Iterator[tuple[pa.RecordBatch, Where]]:
        """Batches of one event a row. first: the place of the batch's first row in its file."""
        where = Where(file, np.arange(first, first + len(batch)))
        yield from exploded(batch, self._data.columns, self._labels, where)

    def usable(self, batch: pa.RecordBatch, where: Where, first: int) -> dict[str, Any]:
        """Rows of a batch that have user, item, time and label; the others are counted once each.
        Of list columns `Lists`.

        first: the number of the file's first row. Raises DataError for unfit columns, a line each.
        """
        try:
            return self._usable(batch, where, first)
        except _Unread as error:
            told = [str(error), *self._unread(batch, where)]
            raise DataError("\n".join(dict.fromkeys(told))) from None

    def _unread(self, batch: pa.RecordBatch, where: Where) -> Iterator[str]:
        """What is wrong with each column of single values that cannot be read."""
        reads: list[tuple[str, str, Callable[[pa.Array], Any]]] = [
            (self.titles[part], name, self.coders[part])
            for part, name in self._coded.items()
            if not self._lists(part, batch[name].type, where)
        ]
        time = self._data.columns.time
        reads.append((self.titles["time"], time, lambda c: read_times(c, self._time_format)))
        reads += [(self._label_title(c), c, clicks) for c in self._labels]
        reads += [(self.titles[part], name, dense) for part, name in self._dense.items()]
        for title, name, read in reads:
            try:
                self._read(title, name, batch, where.file, read)
            except _Unread as error:
                yield str(error)

    def _usable(self, batch: pa.RecordBatch, where: Where, first: int) -> dict[str, Any]:
        columns, file = self._data.columns, where.file
        rows: dict[str, Any] = {"row": where.rows + first}
        given = {}
        for part, name in self._coded.items():
            if self._lists(part, batch[name].type, where):
                rows[part] = self._read_lists(part, name, batch, where)
            else:
                rows[part], given[part] = self._read(
                    self.titles[part], name, batch, file, self.coders[part]
                )
        if columns.history:
            rows["history"] = self._read_lists("history", columns.history, batch, where)
        times = self._read(
            self.titles["time"],
            columns.time,
            batch,
            file,
            lambda c: read_times(c, self._time_format),
        )
        rows |= dict(zip(_TIME, times, strict=False))
        checks = [
            (NULL_USER, columns.user, given["user"]),
            (NULL_ITEM, columns.item, given["item"]),
            (BAD_TIME, columns.time, times.readable),
        ]
        for part, name in self._label_parts.items():
            rows[part], good = self._read(self._label_title(name), name, batch, file, clicks)
            checks.append((bad_label(name if len(self._labels) > 1 else ""), name, good))
        if positive := self._data.compared:
            title, name = f"data.positive {positive.column!r}", positive.column
            rows["label"], good = self._read(
                title, name, batch, file, lambda c: compared(c, positive)
            )
            checks.append((NO_NUMBER, name, good))
        for part, name in self._dense.items():
            rows[part] = self._read(self.titles[part], name, batch, file, dense)
        keep = np.ones(len(batch), bool)
        for reason, name, good in checks:
            self.dropped.add(reason, batch[name], keep & ~good, file)
            keep &= good
        self.sizes.add(times.take(keep), file)
        if keep.all():
            return rows
        return {
            name: values.keep(keep) if isinstance(values, Lists) else values[keep]
            for name, values in rows.items()
        }

    def _label_title(self, name: str) -> str:
        return f"data.columns.{'labels' if len(self._labels) > 1 else 'label'} {name!r}"

    def _lists(self, part: str, kind: pa.DataType, where: Where) -> bool:
        """Whether a column of codes is read as lists."""
        if not part.startswith("sparse."):
            return False
        return part in self._weights or self._shapes.is_list(part[7:], kind, where.file)

    def _read_lists(self, part: str, name: str, batch: pa.RecordBatch, where: Where) -> Lists:
        coder = self.coders[coder_of(part)]
        codes, given, lengths = self._read(
            self.titles[part], name, batch, where.file, lambda c: coded(c, coder)
        )
        weights = None
        if held := self._weights.get(part):
            title = self.titles[f"weights.{part}"]
            weights, counts = self._read(title, held, batch, where.file, amounts)
            refuse_other_lengths(name, lengths, held, counts, where)
        return lists_of(codes, given, lengths, weights)

    def _read(
        self,
        title: str,
        name: str,
        batch: pa.RecordBatch,
        file: Path,
        read: Callable[[pa.Array], T],
    ) -> T:
        column = batch[name]
        try:
            return read(column)
        except Unfit as error:
            raise _Unread(f"{file}: {title} holds {error}") from None
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise _Unread(
                f"{file}: {title} of type {column.type} cannot be read "
                f"({str(error).splitlines()[0]}); write it as text or numbers"
            ) from None
