"""Ids as frequency ranks: what a raw value of a categorical feature becomes in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recscale.data.layout import CHUNK_ROWS
from recscale.manifest import TableFacts

LOOKUP_LIMIT = 1 << 24
"""Largest raw value for which a direct table (4 bytes each) replaces a binary search."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, Fibonacci hashing


@dataclass(frozen=True)
class Counts:
    """How often each raw value occurs in the training part."""

    values: np.ndarray
    """[distinct], ascending"""
    counts: np.ndarray
    """int64 [distinct]"""


@dataclass(frozen=True)
class Ranking:
    """Raw value -> id. Rank 0 is the most frequent in training; ties go to the smaller value."""

    values: np.ndarray
    """[distinct], ascending"""
    ids: np.ndarray
    """int32 [distinct], the id of each value"""
    rows: int
    """Ids in use, the last of them for values unseen in training."""
    lookup: np.ndarray | None
    """int32 [largest value + 2], or None where values are sparse"""

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Ids (int32) of raw values, of the same shape."""
        if self.lookup is not None:
            return self.lookup[np.minimum(raw, len(self.lookup) - 1)]
        at = np.minimum(np.searchsorted(self.values, raw), len(self.values) - 1)
        return np.where(self.values[at] == raw, self.ids[at], np.int32(self.rows - 1))


def count_values(column: np.ndarray, n_train: int) -> Counts:
    """Counts of the non-negative integers column[:n_train].

    Holds 16 bytes per distinct value and one chunk, whatever the length of the column.
    """
    total = Counts(np.empty(0, column.dtype), np.empty(0, np.int64))
    pending: list[Counts] = []
    for begin in range(0, n_train, CHUNK_ROWS):
        chunk = column[begin : min(begin + CHUNK_ROWS, n_train)]
        pending.append(Counts(*np.unique(chunk, return_counts=True)))
        # Merging only once the pieces outgrow the total keeps the work near linear.
        if sum(len(p.values) for p in pending) > len(total.values):
            total, pending = _merge([total, *pending]), []
    return _merge([total, *pending])


def _merge(parts: list[Counts]) -> Counts:
    values, inverse = np.unique(np.concatenate([p.values for p in parts]), return_inverse=True)
    counts = np.bincount(
        inverse, weights=np.concatenate([p.counts for p in parts]), minlength=len(values)
    )
    return Counts(values, counts.astype(np.int64))


def rank(counted: Counts, max_ids: int | None = None) -> Ranking:
    """Ranks by falling count. With `max_ids`, rarer values share ids below it by their hash."""
    distinct = len(counted.values)
    order = np.argsort(-counted.counts, kind="stable")
    ids = np.empty(distinct, np.int32)
    ids[order] = np.arange(distinct, dtype=np.int32)
    rows = distinct + 1
    if max_ids is not None and distinct > max_ids:
        rare = ids >= max_ids
        ids[rare] = _hash(counted.values[rare]) % np.uint64(max_ids)
        rows = max_ids + 1
    lookup = None
    if distinct and int(counted.values[-1]) < LOOKUP_LIMIT:
        lookup = np.full(int(counted.values[-1]) + 2, rows - 1, np.int32)
        lookup[counted.values] = ids
    return Ranking(counted.values, ids, rows, lookup)


def _hash(values: np.ndarray) -> np.ndarray:
    """A 64-bit mix of integers; the high half is the well-mixed one."""
    return (values.astype(np.uint64) * _MULTIPLIER) >> np.uint64(32)


def rank_column(
    name: str,
    column: np.ndarray,
    n_train: int,
    max_ids: int | None = None,
    more: Sequence[np.ndarray] = (),
) -> TableFacts:
    """Replaces raw values of column [n] by their ids, in place, and those of the arrays `more`.

    Only one column's ranking is in memory at a time: 20 bytes per distinct value.
    """
    ranking = rank(count_values(column, n_train), max_ids)
    for array in (column, *more):
        for begin in range(0, len(array), CHUNK_ROWS):
            rows = slice(begin, min(begin + CHUNK_ROWS, len(array)))
            array[rows] = ranking.apply(array[rows])
    unseen = sum(
        int((column[begin : begin + CHUNK_ROWS] == ranking.rows - 1).sum())
        for begin in range(n_train, len(column), CHUNK_ROWS)
    )
    shared = int((np.bincount(ranking.ids, minlength=1)[ranking.ids] > 1).sum())
    return TableFacts(
        name=name,
        rows=ranking.rows,
        distinct=len(ranking.values),
        collision_rate=shared / max(1, len(ranking.values)),
        unseen_rate=unseen / max(1, len(column) - n_train),
    )


def interleave(columns: Sequence[np.ndarray], out: np.ndarray) -> None:
    """Columns [n] side by side into out [n, columns], a chunk at a time."""
    for begin in range(0, len(out), CHUNK_ROWS):
        rows = slice(begin, min(begin + CHUNK_ROWS, len(out)))
        out[rows] = np.stack([column[rows] for column in columns], axis=1)
