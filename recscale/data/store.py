"""A prepared store as the training loop reads it: contiguous slices of memory-mapped arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from recscale.data.layout import (
    BAG_IDS,
    BAG_WEIGHTS,
    HISTORY_DOMAINS,
    HISTORY_ITEMS,
    HISTORY_TIMES,
    ROW_ARRAYS,
    VERSION,
    array_path,
    fingerprint,
    open_array,
)
from recscale.data.spans import places
from recscale.manifest import PER_SECOND, Manifest, TableFacts, load_manifest


class StoreError(ValueError):
    """The folder holds no store that this version can read; the sentence says what to do."""


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
    """float32 [B]"""
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
        arrays, sizes = self.store.arrays, self.store.table_rows
        ids = arrays["ids"][rows]
        if embedding_rows is not None and (sizes > embedding_rows).any():
            ids = ids % np.minimum(sizes, embedding_rows)
        history, lengths = self._histories(rows, history_length)
        table_rows = self.store.history_rows
        if embedding_rows is not None and table_rows > embedding_rows:
            history = history % embedding_rows
        return Batch(
            dense=np.array(arrays["dense"][rows]),
            ids=ids.astype(np.int64),
            label=arrays["label"][rows].astype(np.float32),
            history=history.astype(np.int64),
            history_lengths=lengths.astype(np.int32),
            bags=tuple(
                self._bag(rows, i, facts, embedding_rows)
                for i, facts in enumerate(self.store.manifest.bags)
            ),
        )

    def _bag(self, rows: slice, i: int, facts: TableFacts, embedding_rows: int | None) -> Bag:
        arrays = self.store.arrays
        begin = arrays["bag_begin"][rows, i]
        lengths = arrays["bag_end"][rows, i] - begin
        at = places(begin, lengths)
        ids = np.take(arrays[f"{BAG_IDS}.{i}"], at).astype(np.int64)
        if embedding_rows is not None and facts.rows > embedding_rows:
            ids %= embedding_rows
        if facts.weighted:
            weights = np.take(arrays[f"{BAG_WEIGHTS}.{i}"], at)
        else:
            weights = np.repeat(1 / np.maximum(lengths, 1).astype(np.float32), lengths)
        return Bag(ids, weights, lengths.astype(np.int32))

    def _histories(self, rows: slice, keep: int) -> tuple[np.ndarray, np.ndarray]:
        """Items [sum of lengths] and lengths [B] of histories, the last `keep` items of each."""
        if keep == 0 or self.store.manifest.history is None:
            return np.empty(0, np.int32), np.zeros(rows.stop - rows.start, np.int64)
        arrays = self.store.arrays
        last = arrays["history_end"][rows]
        first = np.maximum(arrays["history_begin"][rows], last - keep)
        lengths = np.asarray(last - first)
        return np.take(arrays[HISTORY_ITEMS], places(first, lengths)), lengths


class Store:
    """A prepared data set: rows [0, n_train) train, rows [n_train, n_train + n_eval) evaluate."""

    def __init__(self, path: Path, manifest: Manifest, arrays: dict[str, np.ndarray]):
        self.path = path
        self.manifest = manifest
        self.arrays = arrays
        self.table_rows = np.array([t.rows for t in manifest.plain], np.int32)
        self.history_rows = manifest.items.rows if manifest.history else 0

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Memory maps the arrays of a prepared store: about a millisecond, whatever its size.

        Raises StoreError when the folder was never prepared, belongs to another version of the
        layout, or lacks an array.
        """
        path = Path(path)
        try:
            manifest = load_manifest(path)
        except FileNotFoundError:
            raise StoreError(
                f"{path} holds no prepared data; run `recscale prepare` on the sweep file"
            ) from None
        except (ValidationError, ValueError) as error:
            raise StoreError(
                f"{path} has a manifest that this version cannot read; remove the folder and run "
                f"`recscale prepare` again ({str(error).splitlines()[0]})"
            ) from None
        if manifest.version != VERSION:
            raise StoreError(
                f"{path} was prepared in layout {manifest.version}, this version reads layout "
                f"{VERSION}; remove the folder and run `recscale prepare` again"
            )
        names = _arrays(manifest)
        names += [HISTORY_DOMAINS] if array_path(path, HISTORY_DOMAINS).exists() else []
        missing = [n for n in names if not array_path(path, n).exists()]
        if missing:
            raise StoreError(
                f"{path} lacks {', '.join(missing)}; remove the folder and run "
                "`recscale prepare` again"
            )
        return cls(path, manifest, {n: open_array(path, n).view(np.ndarray) for n in names})

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
        every = [t.rows for t in self.manifest.tables]
        found = fingerprint(self.path, self.manifest.n_train, every)
        if found != self.manifest.fingerprint:
            raise StoreError(
                f"the arrays of {self.path} were changed after they were prepared (fingerprint "
                f"{found}, manifest {self.manifest.fingerprint}); remove the folder and run "
                "`recscale prepare` again"
            )


def _arrays(manifest: Manifest) -> list[str]:
    """Names of the arrays that a store of this manifest holds, domains aside."""
    absent = [] if manifest.history else ["history"]
    absent += [] if manifest.bags else ["bag"]
    names = [n for n in ROW_ARRAYS if n.split("_")[0] not in absent]
    names += [HISTORY_ITEMS] if manifest.history else []
    names += [HISTORY_TIMES] if manifest.task == "next_item" else []
    for i, facts in enumerate(manifest.bags):
        names += [f"{BAG_IDS}.{i}"] + [f"{BAG_WEIGHTS}.{i}"] * facts.weighted
    return names


def shard(begin: int, end: int, rank: int, world: int) -> tuple[int, int]:
    """Rank's part of rows [begin, end): contiguous, none twice, none lost, sizes within one row."""
    if not 0 <= rank < world:
        raise ValueError(f"rank {rank} of a world of {world}")
    size, extra = divmod(max(0, end - begin), world)
    first = begin + rank * size + min(rank, extra)
    return first, first + size + (rank < extra)
