"""Whole list columns of a log: spilled as they are read, then put in the order of the events."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recscale.data.build import scramble
from recscale.data.layout import CHUNK_ROWS, create_array, open_array
from recscale.data.lists import Lists, coder_of
from recscale.data.spans import chunks, places
from recscale.data.spill import Spill


@dataclass(frozen=True)
class ListColumn:
    """All rows of a list column in file order, as memory maps."""

    ends: np.ndarray
    """int64 [n], where each row's values end; they begin where those of the row before end"""
    values: np.ndarray
    """int32 [m] codes"""
    weights: np.ndarray | None
    """float32 [m]"""
    hashes: np.ndarray
    """uint64 [distinct], of the value behind each code: the same in every log"""

    def spans(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int64 [B]: where the values of rows begin, and how many there are."""
        begin = np.where(rows > 0, self.ends[rows - 1], 0)
        return begin, self.ends[rows] - begin

    def hash_rows(self, out: np.ndarray) -> None:
        """Fills int32 [n] with hashes of the rows: equal for the same values in any order."""
        for begin in range(0, len(out), CHUNK_ROWS):
            rows = np.arange(begin, min(begin + CHUNK_ROWS, len(out)))
            first, lengths = self.spans(rows)
            for part in chunks(lengths):
                values = self.values[places(first[part], lengths[part])]
                sums = np.zeros(len(values) + 1, np.uint64)
                np.cumsum(scramble(self.hashes[values]), out=sums[1:])
                ends = np.cumsum(lengths[part])
                total = sums[ends] - sums[ends - lengths[part]]
                out[rows[part]] = (scramble(total) >> np.uint64(33)).astype(np.int32)

    def arrange(
        self, rows: np.ndarray, folder: Path, ends: str, values: str, weights: str
    ) -> np.ndarray:
        """Writes the values of `rows` [E], in their order, into the arrays of these names, and
        returns `ends` int64 [E], where each row's values end."""
        stops = create_array(folder, ends, (len(rows),), "<i8")
        done = 0
        for begin in range(0, len(rows), CHUNK_ROWS):
            here = slice(begin, begin + CHUNK_ROWS)
            stops[here] = done + np.cumsum(self.spans(rows[here])[1])
            done = int(stops[min(begin + CHUNK_ROWS, len(rows)) - 1])
        out = {"values": create_array(folder, values, (done,), "<i4")}
        if self.weights is not None:
            out["weights"] = create_array(folder, weights, (done,), "<f4")
        done = 0
        for begin in range(0, len(rows), CHUNK_ROWS):
            first, lengths = self.spans(rows[begin : begin + CHUNK_ROWS])
            for part in chunks(lengths):
                at = places(first[part], lengths[part])
                for name, array in out.items():
                    array[done : done + len(at)] = getattr(self, name)[at]
                done += len(at)
        return stops


class ListColumns:
    """Spills the list columns of a log as they are read. A context manager that closes files."""

    def __init__(self, folder: Path):
        self._folder, self._open = folder, ExitStack()
        self._columns: dict[str, _Spilled] = {}

    def __enter__(self) -> ListColumns:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def append(self, rows: dict[str, Any], before: int) -> dict[str, np.ndarray]:
        """Takes the lists out of the columns of rows that follow `before` others, and leaves int32
        [n] in their place, to be filled with hashes of the rows."""
        out = dict(rows)
        for part, lists in rows.items():
            if isinstance(lists, Lists):
                if part not in self._columns:
                    nth, weighted = len(self._columns), lists.weights is not None
                    self._columns[part] = _Spilled(self._folder, nth, weighted, self._open)
                    self._columns[part].append(Lists.empty(before))
                self._columns[part].append(lists)
                out[part] = np.zeros(len(lists.lengths), np.int32)
        return out

    def read(self, hashes: Mapping[str, np.ndarray]) -> dict[str, ListColumn]:
        """Part -> its column, once the files are closed. hashes: of the values of each part's
        codes."""
        return {p: spilled.read(hashes[coder_of(p)]) for p, spilled in self._columns.items()}


class _Spilled:
    """One list column while it is read."""

    def __init__(self, folder: Path, nth: int, weighted: bool, files: ExitStack):
        self._folder, self._done = folder, 0
        parts = ("values", "weights")[: 1 + weighted]
        self._ends = f"raw.list.{nth}.ends"
        self._names = {part: f"raw.list.{nth}.{part}" for part in parts}
        types = {"values": ("<i4", None), "weights": ("<f4", None)}
        self._rows = files.enter_context(Spill(folder, {self._ends: ("<i8", None)}))
        self._held = files.enter_context(
            Spill(folder, {name: types[part] for part, name in self._names.items()})
        )

    def append(self, lists: Lists) -> None:
        ends = self._done + np.cumsum(lists.lengths)
        self._rows.append({self._ends: ends})
        self._held.append({name: getattr(lists, part) for part, name in self._names.items()})
        self._done += int(lists.lengths.sum())

    def read(self, hashes: np.ndarray) -> ListColumn:
        held = {part: open_array(self._folder, n, "r+") for part, n in self._names.items()}
        arrays = {"weights": None, **{part: array.view(np.ndarray) for part, array in held.items()}}
        ends = open_array(self._folder, self._ends).view(np.ndarray)
        return ListColumn(ends=ends, hashes=hashes, **arrays)
