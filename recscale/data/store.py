"""A prepared store as the training loop reads it: contiguous slices of memory-mapped arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recscale.data.checksums import Arrays
from recscale.data.layout import BAG_IDS, BAG_WEIGHTS, HISTORY_ITEMS, array_path
from recscale.data.spans import places
from recscale.manifest import (
    PER_SECOND,
    Manifest,
    StoreError,
    TableFacts,
    load_sealed,
    prepare_anew,
)

__all__ = ["Bag", "Batch", "Split", "Store", "StoreError", "shard"]


@dataclass(frozen=True)
class Bag:
    """The values of B rows in one list column, row after row."""

    ids: np.ndarray
    """int64 [sum of lengths], capped by `embedding_rows`"""
    weights: np.ndarray
    """float32 [sum of lengths], of each value in its row's pool: 1 / length, or the log's own
    weights over the sum of their magnitudes"""
    lengths: np.ndarray
    """int32 [B], any from 0"""


@dataclass(frozen=True)
class Batch:
    """Rows of a store, B of them, as plain arrays."""

    dense: np.ndarray
    """float32 [B, n_dense]"""
    ids: np.ndarray
    """int64 [B, n_plain], in the order of the manifest's plain tables, capped by
    `embedding_rows`"""
    label: np.ndarray
    """float32 [B], or [B, k] of rows that have several"""
    history: np.ndarray
    """int64 [sum of lengths], ids of the manifest's history table, oldest first, capped likewise"""
    history_lengths: np.ndarray
    """int32 [B]"""
    bags: tuple[Bag, ...]
    """In the order of the manifest's bags."""


@dataclass(frozen=True)
class Split:
    """Rows [begin, end) of a store, in its order."""

    store: Store
    begin: int
    end: int

    def __len__(self) -> int:
        return self.end - self.begin

    def read(
        self, begin: int, end: int, *, embedding_rows: int | None = None, history_length: int = 0
    ) -> Batch:
        """Rows [begin, end) of this split.

        `embedding_rows` R maps an id to id % R in every table with more rows than R: ids are
        frequency ranks, so the R most frequent values never share a row with each other.
        `history_length` keeps the last so many items of every history.
        Raises IndexError for rows outside the split.
        """
        if not 0 <= begin <= end <= len(self):
            raise IndexError(f"rows {begin}:{end} of a split of {len(self)} rows")
        rows = slice(self.begin + begin, self.begin + end)
        store, sizes = self.store, self.store.table_rows
        ids = store.within("ids", store.rows("ids", rows), sizes)
        if embedding_rows is not None and (sizes > embedding_rows).any():
            ids = ids % np.minimum(sizes, embedding_rows)
        history, lengths = self._histories(rows, history_length)
        table_rows = store.history_rows
        if embedding_rows is not None and table_rows > embedding_rows:
            history = history % embedding_rows
        return Batch(
            dense=np.array(store.rows("dense", rows)),
            ids=ids.astype(np.int64),
            label=store.rows(store.label_array, rows).astype(np.float32),
            history=history.astype(np.int64),
            history_lengths=lengths.astype(np.int32),
            bags=tuple(
                self._bag(rows, i, facts, embedding_rows)
                for i, facts in enumerate(store.manifest.bags)
            ),
        )

    def _bag(self, rows: slice, i: int, facts: TableFacts, embedding_rows: int | None) -> Bag:
        store, name = self.store, f"{BAG_IDS}.{i}"
        begin = store.rows("bag_begin", rows)[:, i]
        lengths = store.rows("bag_end", rows)[:, i] - begin
        at = places(begin, lengths)
        ids = store.within(name, store.take(name, at), facts.rows).astype(np.int64)
        if embedding_rows is not None and facts.rows > embedding_rows:
            ids %= embedding_rows
        if facts.weighted:
            weights = store.take(f"{BAG_WEIGHTS}.{i}", at)
        else:
            weights = np.repeat(1 / np.maximum(lengths, 1).astype(np.float32), lengths)
        return Bag(ids, weights, lengths.astype(np.int32))

    def _histories(self, rows: slice, keep: int) -> tuple[np.ndarray, np.ndarray]:
        """Items [sum of lengths] and lengths [B] of histories, the last `keep` items of each."""
        store = self.store
        if keep == 0 or store.manifest.history is None:
            return np.empty(0, np.int32), np.zeros(rows.stop - rows.start, np.int64)
        last = store.rows("history_end", rows)
        first = np.maximum(store.rows("history_begin", rows), last - keep)
        lengths = np.asarray(last - first)
        items = store.take(HISTORY_ITEMS, places(first, lengths))
        return store.within(HISTORY_ITEMS, items, store.history_rows), lengths


class Store:
    """A prepared data set: rows [0, n_train) train, rows [n_train, n_train + n_eval) evaluate."""

    def __init__(self, path: Path, manifest: Manifest, arrays: Arrays):
        self.path = path
        self.manifest = manifest
        self.arrays = arrays
        self.table_rows = np.array([t.rows for t in manifest.plain], np.int32)
        self.label_array = "labels" if manifest.labels else "label"
        self.history_rows = manifest.items.rows if manifest.history else 0

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Memory maps the arrays of a prepared store: about a millisecond, whatever its size.
        Their values are compared with their checksums as they are read.

        Raises StoreError when the folder was never prepared, belongs to another version of the
        layout, lacks an array, or holds a damaged one.
        """
        path = Path(path)
        try:
            manifest, seal = load_sealed(path)
        except FileNotFoundError:
            raise StoreError(
                f"{path} holds no prepared data; run `recscale prepare` on the sweep file"
            ) from None
        return cls(path, manifest, Arrays(path, seal))

    def rows(self, name: str, rows: slice) -> np.ndarray:
        """Rows of an array, a view. Raises StoreError where they were changed."""
        return self.arrays.checked[name].rows(rows)

    def take(self, name: str, at: np.ndarray) -> np.ndarray:
        """Values of an array at places int64 [n], likewise."""
        return self.arrays.checked[name].take(at)

    def within(self, name: str, ids: np.ndarray, rows: int | np.ndarray) -> np.ndarray:
        """The ids, int32 [...], of that array. Raises StoreError unless each lies in its table of
        so many rows: a model would train another row in silence."""
        found = ids.view(np.uint32)  # one comparison for both ends
        if not (found < np.asarray(rows, np.uint32)).all():
            raise StoreError(outside(array_path(self.path, name), ids, rows))
        return ids

    def seconds(self, times: np.ndarray) -> np.ndarray:
        """int64 [n] whole seconds of times of the store."""
        return times.astype(np.int64) // PER_SECOND[self.manifest.time_unit]

    def train(self, fraction: float = 1.0) -> Split:
        """The first floor(fraction * n_train) training rows; a smaller fraction is inside it."""
        if not 0 < fraction <= 1:
            raise ValueError(f"a data fraction lies in (0, 1], not at {fraction}")
        return Split(self, 0, math.floor(fraction * self.manifest.n_train))

    def eval(self) -> Split:
        """The evaluation rows: the same for every fraction, all later than the training rows."""
        n_train = self.manifest.n_train
        return Split(self, n_train, n_train + self.manifest.n_eval)

    def verify(self) -> None:
        """Reads every array and raises StoreError when one was changed since it was prepared."""
        for name in self.arrays:
            self.arrays[name]


def outside(path: Path, ids: np.ndarray, rows: int | np.ndarray) -> str:
    """Which of the ids, int32 [...], is not in its table."""
    wrong = np.argwhere((ids < 0) | (ids >= rows))[0]
    table = np.broadcast_to(rows, ids.shape)[tuple(wrong)]
    return (
        f"{path} holds the id {ids[tuple(wrong)]}, its table has the rows 0 to {table - 1}: the "
        "store was not written by `recscale prepare`, or by a faulty version; "
        f"{prepare_anew(path.parent)}"
    )


def shard(begin: int, end: int, rank: int, world: int) -> tuple[int, int]:
    """Rank's part of rows [begin, end): contiguous, none twice, none lost, sizes within one row."""
    if not 0 <= rank < world:
        raise ValueError(f"rank {rank} of a world of {world}")
    size, extra = divmod(max(0, end - begin), world)
    first = begin + rank * size + min(rank, extra)
    return first, first + size + (rank < extra)
