"""List columns of a log, batch by batch: bags of values, histories, and rows that hold many events.

A null list holds nothing, like an empty one; null elements are left out. Lists have no longest
length: a model reads every value of a bag, and the last `sequence_length` of a history.
"""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions at run time, so no checker sees them.

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recscale.data.layout import DataError
from recscale.data.numbers import dense
from recscale.data.plain import Unfit, name_of, plain
from recscale.data.spans import chunks
from recscale.spec import Columns

Code = Callable[[pa.Array], tuple[np.ndarray, np.ndarray]]
"""int32 [n] codes of values, and bool [n], true where a value is given."""
_LISTS = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)


class Where(NamedTuple):
    """Of which rows of a file a sentence speaks."""

    file: Path
    rows: np.ndarray
    """int64 [n], each row's place in its file, from 0"""


class Lists(NamedTuple):
    """n rows of any number of values each."""

    values: np.ndarray
    """int32 [m], codes, row after row"""
    weights: np.ndarray | None
    """float32 [m]; those of a row add up to 1 in magnitude, or are all 0"""
    lengths: np.ndarray
    """int64 [n]"""

    @classmethod
    def empty(cls, n: int) -> Lists:
        """n rows without a value."""
        return cls(np.empty(0, np.int32), np.empty(0, np.float32), np.zeros(n, np.int64))

    def keep(self, rows: np.ndarray) -> Lists:
        """The rows that a mask [n] names."""
        held = np.repeat(rows, self.lengths)
        weights = None if self.weights is None else self.weights[held]
        return Lists(self.values[held], weights, self.lengths[rows])


def coder_of(part: str) -> str:
    """The part whose codes a column of codes has: a history is of items."""
    return "item" if part == "history" else part


def is_list(kind: pa.DataType) -> bool:
    """Whether a type holds a list of values in each row; a map is none."""
    if isinstance(kind, pa.BaseExtensionType):
        return is_list(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return is_list(kind.value_type)
    return any(test(kind) for test in _LISTS)


def flattened(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """All values of a column of lists [m], and the length of each row int64 [n]; a column of type
    null is one of null lists. Raises Unfit for another type."""
    kind = column.type
    if pa.types.is_null(kind):
        return pa.nulls(0), np.zeros(len(column), np.int64)
    if not is_list(kind):
        raise Unfit(
            f"single values of type {name_of(kind)}; it must be a list column, such as list<string>"
        )
    column = plain(column)
    lengths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    return pc.list_flatten(column), lengths.astype(np.int64)


def coded(column: pa.Array, code: Code) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The values of a column of lists: int32 [m] codes, bool [m], which are given, and int64 [n],
    each row's length. Raises Unfit for another type, or for elements that are no plain values."""
    values, lengths = flattened(column)
    if pa.types.is_nested(values.type):
        raise Unfit(
            f"lists of {name_of(values.type)}; the elements of a list must be plain "
            "values, such as numbers or text"
        )
    return *code(values), lengths


def amounts(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """float64 [m] numbers of a column of lists, NaN where missing, and int64 [n], each row's
    length. Raises Unfit for another type."""
    values, lengths = flattened(column)
    return dense(values).astype(np.float64), lengths


def lists_of(
    codes: np.ndarray, given: np.ndarray, lengths: np.ndarray, weights: np.ndarray | None
) -> Lists:
    """Rows of the values that are given, and have a weight where there are weights [m]."""
    row = np.repeat(np.arange(len(lengths)), lengths)
    shares = None
    if weights is not None:
        given = given & ~np.isnan(weights)
        total = np.bincount(row[given], np.abs(weights[given]), len(lengths))
        shares = (weights / np.where(total > 0, total, 1)[row]).astype(np.float32)[given]
    if not given.all():
        codes, lengths = codes[given], np.bincount(row[given], minlength=len(lengths))
    return Lists(codes, shares, lengths)


def refuse_other_lengths(
    one: str, lengths: np.ndarray, other: str, counts: np.ndarray, where: Where
) -> None:
    """Raises DataError at the first row whose two lists differ in length."""
    if (lengths == counts).all():
        return
    row = int(np.flatnonzero(lengths != counts)[0])
    raise DataError(
        f"{where.file}: row {where.rows[row] + 1}: {one!r} holds {lengths[row]} values and "
        f"{other!r} {counts[row]}; the two lists of a row must be of one length"
    )


class Shapes:
    """Which columns of a log hold lists: those whose first typed batch does."""

    def __init__(self) -> None:
        self._lists: dict[str, tuple[bool, Path]] = {}

    def is_list(self, name: str, kind: pa.DataType, file: Path) -> bool:
        """Whether `name` is read as lists here. Raises DataError when one file has lists and
        another single values."""
        if pa.types.is_null(kind):
            return self._lists.get(name, (False, file))[0]
        here = is_list(kind)
        before, first = self._lists.setdefault(name, (here, file))
        if here != before:
            one, other = ("lists", "single values")[:: 1 if here else -1]
            raise DataError(
                f"{file}: data.columns.sparse: {name!r} holds {one} here and {other} in {first}; "
                "write it in one way in all files"
            )
        return here


def exploded(
    batch: pa.RecordBatch, columns: Columns, labels: Sequence[str], where: Where
) -> Iterator[tuple[pa.RecordBatch, Where]]:
    """One row an event of rows that hold a list of items: every list column is taken apart beside
    the items, any other value stands in all of the row's events. Without lists of items the batch
    as it is. Some CHUNK_ROWS events at a time, or one longer row. labels: the columns that are read
    as labels.

    Raises DataError where lists of a row differ in length, for a list of users, and where one
    label would stand for all items.
    """
    if not is_list(batch[columns.item].type):
        yield batch, where
        return
    apart = [c for c in batch.schema.names if is_list(batch[c].type)]
    if columns.user in apart:
        raise DataError(
            f"{where.file}: data.columns.user: {columns.user!r} holds lists; a row may list a "
            "user's items, but has one user"
        )
    if single := [c for c in labels if c not in apart]:
        raise DataError(
            f"{where.file}: data.columns.label: {single[0]!r} is one value a row where "
            f"{columns.item!r} holds lists; give a list of labels, one an item"
        )
    flat = {c: flattened(batch[c]) for c in apart}
    lengths = flat[columns.item][1]
    for name, (_, counts) in flat.items():
        refuse_other_lengths(columns.item, lengths, name, counts, where)
    begin = np.cumsum(lengths) - lengths
    for part in chunks(lengths):
        size = int(lengths[part].sum())
        row = np.repeat(np.arange(part.start, part.stop), lengths[part])
        taken = [
            flat[c][0].slice(int(begin[part.start]), size)
            if c in flat
            else batch[c].take(pa.array(row))
            for c in batch.schema.names
        ]
        events = pa.RecordBatch.from_arrays(taken, batch.schema.names)
        yield events, Where(where.file, where.rows[row])
