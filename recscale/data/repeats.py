"""Rows of one moment: which of them are copies of another row, and in which order they stand.

Neither may follow the order of the files, which are often sorted by item: a model would learn it.
Ties stand in the order of a salted hash of all that the sweep reads of a row, so a user's items of
one moment are in any order, whatever files, shards or item numbers they came by.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
import pyarrow as pa
from pyarrow.types import is_nested

from recscale.data.build import scramble
from recscale.data.ids import hash_of, keys_of
from recscale.data.intake import Events
from recscale.data.layout import CHUNK_ROWS
from recscale.data.numbers import numbers as measured
from recscale.data.plain import Unfit, plain
from recscale.data.tables import Log, columns_read, whole_rows
from recscale.spec import positive_column


def ties(*keys: np.ndarray) -> np.ndarray:
    """bool [n]: which of the rows equal a neighbour in all keys [n]; they are sorted by them."""
    same = np.logical_and.reduce([key[1:] == key[:-1] for key in keys])
    tied = np.zeros(len(keys[0]), bool)
    tied[1:] |= same
    tied[:-1] |= same
    return tied


def in_order(events: Events) -> tuple[np.ndarray, np.ndarray]:
    """int64 [n] the usable rows in time order, ties by their hash, and bool [n], true where a row
    reads like the one before it: of the same time and hash."""
    rows = np.flatnonzero(events.usable)
    time = events.columns["time"][rows]
    rows = rows[np.argsort(time, kind="stable")]
    time = events.columns["time"][rows]
    at = np.flatnonzero(ties(time))
    hashes = read_hashes(events, rows[at])
    order = np.lexsort((hashes, time[at]))
    rows[at], hashes, tied = rows[at][order], hashes[order], time[at]
    alike = np.zeros(len(rows), bool)
    alike[at[1:]] = (hashes[1:] == hashes[:-1]) & (tied[1:] == tied[:-1])
    return rows, alike


def first_seen(codes: Iterable[np.ndarray], n: int) -> np.ndarray:
    """int32 [n]: code -> its place by first appearance among these codes, chunk after chunk, so
    that codes tell nothing of the order of files either; those that never appear come last."""
    first = np.full(n, np.iinfo(np.int64).max)
    done = 0
    for here in codes:
        np.minimum.at(first, here, np.arange(done, done + len(here)))
        done += len(here)
    places = np.empty(n, np.int32)
    places[np.argsort(first, kind="stable")] = np.arange(n, dtype=np.int32)
    return places


def read_hashes(events: Events, rows: np.ndarray) -> np.ndarray:
    """uint64 [n]: of all that is read of each row, the same in every order of files."""
    found = np.empty(len(rows), np.uint64)
    names = sorted(events.columns.keys() - {"row"})
    for begin in range(0, len(rows), CHUNK_ROWS):
        here = rows[begin : begin + CHUNK_ROWS]
        mixed = np.zeros(len(here), np.uint64)
        for name in names:
            values = events.columns[name][here]
            if name in events.hashes:
                values = events.hashes[name][values]
            elif values.dtype == np.float32:
                values = np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32)
            mixed = scramble(mixed + values.astype(np.uint64))
        found[begin : begin + CHUNK_ROWS] = mixed
    return found


def copies(data: Log, events: Events, rows: np.ndarray, alike: np.ndarray) -> np.ndarray:
    """bool [n]: which of the rows repeat another in every column of their files.

    rows, alike: as `in_order` gives them. Only rows that read alike are looked up in the files, for
    what was not read of them; 32 bytes each. Raises DataError for files that can no longer be read.
    """
    repeated = np.zeros(len(rows), bool)
    member = alike.copy()
    member[:-1] |= alike[1:]
    at = np.flatnonzero(member)
    if not len(at):
        return repeated
    run = np.cumsum(~alike[at])
    number = events.columns["row"][rows[at]]
    digest = unread_digests(data, events, number)
    order = np.lexsort((number, digest, run))
    same = (run[order][1:] == run[order][:-1]) & (digest[order][1:] == digest[order][:-1])
    # the values of one row's list may be equal, and are no copies of each other
    group = np.cumsum(np.concatenate([[True], ~same])) - 1
    first = number[order][np.flatnonzero(np.concatenate([[True], ~same]))][group]
    repeated[at[order[number[order] != first]]] = True
    return repeated


def unread_digests(
    data: Log, events: Events, numbers: np.ndarray, columns: Collection[str] | None = None
) -> np.ndarray:
    """uint64 [n]: of the rows with these numbers, of what their hashes do not say: the columns that
    were not read, whole lists, and numbers that were rounded or only compared. A value that was
    read may be written otherwise in another file.

    columns: all others are left out of account.
    """
    read, exact = columns_read(data), {*data.columns.dense, positive_column(data)}
    order = np.argsort(numbers, kind="stable")
    ascending = numbers[order]
    starts = [first for _, first in events.files]
    cuts = np.searchsorted(ascending, [*starts, np.iinfo(np.int64).max])
    found = np.empty(len(numbers), np.uint64)
    for (file, first), begin, end in zip(events.files, cuts[:-1], cuts[1:], strict=True):
        if begin == end:
            continue
        done = int(begin)
        for batch in whole_rows(data, file, ascending[begin:end] - first):
            said = [f.name for f in batch.schema if f.name in read and not is_nested(f.type)]
            heard = [n for n in batch.schema.names if columns is None or n in columns]
            beside = {name: batch[name] for name in heard if name not in said}
            beside |= {
                name: pa.array(measured(batch[name], "")[0]) for name in said if name in exact
            }
            found[order[done : done + len(batch)]] = rowunread_digests(beside, len(batch))
            done += len(batch)
    return found


def rowunread_digests(columns: Mapping[str, pa.Array], n: int) -> np.ndarray:
    """uint64 [n] of every row: columns by name, in any order; a column that another file lacks
    counts as missing there."""
    total = np.zeros(n, np.uint64)
    for name, column in columns.items():
        values = _hashes(plain(column))
        mixed = scramble(values + np.uint64(hash_of(name)))
        total += np.where(values > 0, mixed, np.uint64(0))
    return total


def _hashes(column: pa.Array) -> np.ndarray:
    """uint64 [n] of values, 0 where missing."""
    try:
        encoded = column.dictionary_encode(null_encoding="encode")
        keys = keys_of(encoded.dictionary)
        index = encoded.indices.to_numpy(zero_copy_only=False)
    except (Unfit, pa.ArrowException):  # nested values, or numbers that are no ids
        keys = [None if value is None else repr(value) for value in column.to_pylist()]
        index = np.arange(len(keys))
    each = [0 if key is None else hash_of(key) for key in keys]
    return np.array(each, np.uint64)[index] if each else np.zeros(len(index), np.uint64)
