"""Ids as frequency ranks: what a raw value of a categorical feature becomes in the store."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from recscale.data.layout import CHUNK_ROWS
from recscale.data.spans import gathered, parts
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
        if not len(self.values):
            return np.zeros(raw.shape, np.int32)
        if self.lookup is not None:
            return self.lookup[np.minimum(raw, len(self.lookup) - 1)]
        at = np.minimum(np.searchsorted(self.values, raw), len(self.values) - 1)
        return np.where(self.values[at] == raw, self.ids[at], np.int32(self.rows - 1))


def count_values(chunks: Iterable[np.ndarray]) -> Counts:
    """Counts of non-negative integers.

    Holds 16 bytes per distinct value and one chunk, whatever the number of chunks.
    """
    total = Counts(np.empty(0, np.int32), np.empty(0, np.int64))
    pending: list[Counts] = []
    for chunk in chunks:
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
    beside: Iterable[np.ndarray] = (),
) -> TableFacts:
    """Replaces raw values of column [n] by their ids, in place, and those of the arrays `more`.
    `beside`: chunks of values that training meets elsewhere, which count like the column's own.

    Only one column's ranking is in memory at a time: 20 bytes per distinct value.
    """
    ranking = rank(count_values(itertools.chain(parts(column[:n_train]), beside)), max_ids)
    for array in (column, *more):
        _apply(ranking, array)
    return _facts(name, ranking, parts(column[n_train:]))


def rank_bag(
    name: str, values: np.ndarray, begin: np.ndarray, end: np.ndarray, n_train: int
) -> TableFacts:
    """Replaces raw values [m] of a bag by their ids, in place; rows hold values [begin, end), both
    [n]. A value counts as often as training rows hold it."""
    ranking = rank(count_values(gathered(values, begin[:n_train], end[:n_train])))
    _apply(ranking, values)
    facts = _facts(name, ranking, gathered(values, begin[n_train:], end[n_train:]))
    mean_length = float(np.mean(end[:n_train] - begin[:n_train]))
    return facts.model_copy(update={"bag": True, "mean_length": mean_length})


def _apply(ranking: Ranking, column: np.ndarray) -> None:
    for chunk in parts(column):
        chunk[:] = ranking.apply(chunk)


def _facts(name: str, ranking: Ranking, evaluated: Iterable[np.ndarray]) -> TableFacts:
    """Of a table, from its ranking and the ids of the evaluation rows."""
    unseen = total = 0
    for chunk in evaluated:
        unseen += int((chunk == ranking.rows - 1).sum())
        total += len(chunk)
    shared = int((np.bincount(ranking.ids, minlength=1)[ranking.ids] > 1).sum())
    return TableFacts(
        name=name,
        rows=ranking.rows,
        distinct=len(ranking.values),
        collision_rate=shared / max(1, len(ranking.values)),
        unseen_rate=unseen / max(1, total),
    )


def interleave(columns: Sequence[np.ndarray], out: np.ndarray) -> None:
    """Columns [n] side by side into out [n, columns], a chunk at a time."""
    for begin in range(0, len(out), CHUNK_ROWS):
        rows = slice(begin, min(begin + CHUNK_ROWS, len(out)))
        out[rows] = np.stack([column[rows] for column in columns], axis=1)
