"""List columns of a log: bags of values, histories, and rows that hold many events.

A null list holds nothing, like an empty one; null elements are left out. Lists have no longest
length: a model reads every value of a bag, and the last `sequence_length` of a history.
"""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions at run time, so no checker sees them.

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recscale.data.layout import BAG_IDS, BAG_WEIGHTS, HISTORY_ITEMS, DataError
from recscale.data.spans import chunks
from recscale.data.spill import Spill
from recscale.spec import Columns

Codes = Callable[[pa.Array], tuple[np.ndarray, np.ndarray]]
"""int32 [n] codes of values, and bool [n], true where a value is given."""
HISTORY = "history"  # the part of the column that holds histories
_SALT, _MIX = np.uint64(0xD1B54A32D192ED03), np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Where:
    """Of which rows a sentence speaks."""

    file: Path
    first: int | None
    """Number of the first row at hand, counted from 1; None where rows are not the file's own."""

    def __call__(self, nth: int) -> str:
        return f"{self.file}: " + (f"row {self.first + nth}: " if self.first is not None else "")


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
        """Of the rows that a mask [n] names."""
        if rows.all():
            return self
        values = np.repeat(rows, self.lengths)
        weights = None if self.weights is None else self.weights[values]
        return Lists(self.values[values], weights, self.lengths[rows])

    def hashes(self) -> np.ndarray:
        """int32 [n], equal for rows that hold the same values, whatever their order."""
        mixed = (self.values.astype(np.uint64) + _SALT) * _MIX
        mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX
        sums = np.zeros(len(mixed) + 1, np.uint64)
        np.cumsum(mixed ^ (mixed >> np.uint64(32)), out=sums[1:])
        ends = np.cumsum(self.lengths)
        return ((sums[ends] - sums[ends - self.lengths]) >> np.uint64(33)).astype(np.int32)


def is_list(kind: pa.DataType) -> bool:
    """Whether a type holds a list of values in each row; a map is none."""
    if isinstance(kind, pa.BaseExtensionType):
        return is_list(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return is_list(kind.value_type)
    return any(
        test(kind)
        for test in (
            pa.types.is_list,
            pa.types.is_large_list,
            pa.types.is_fixed_size_list,
            pa.types.is_list_view,
            pa.types.is_large_list_view,
        )
    )


def flattened(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """All values of a column of lists [m], and the length of each row int64 [n]; a column of type
    null is one of null lists."""
    if pa.types.is_null(column.type):
        return pa.nulls(0), np.zeros(len(column), np.int64)
    column = _plain(column)
    lengths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    return pc.list_flatten(column), lengths.astype(np.int64)


def _plain(column: pa.Array) -> pa.Array:
    """A column of lists without the encodings that may stand round it."""
    if isinstance(column, pa.ExtensionArray):
        return _plain(column.storage)
    if pa.types.is_dictionary(column.type):
        return _plain(column.dictionary_decode())
    if pa.types.is_run_end_encoded(column.type):
        return _plain(pc.run_end_decode(column))
    return column


def read_lists(
    batch: pa.RecordBatch, part: str, name: str, weights: str | None, codes: Codes, where: Where
) -> Lists:
    """The values of column `name`, with their `weights` from another column. Raises DataError for
    another type, for values that are no plain ones, and for weights that are no numbers or of
    another length."""
    if not is_list(batch[name].type) and not pa.types.is_null(batch[name].type):
        raise DataError(
            f"{where.file}: data.columns.{part}: {name!r} is of type {batch[name].type}; it must "
            "be a list column, such as list<string>"
        )
    values, lengths = flattened(batch[name])
    if pa.types.is_nested(values.type):
        raise DataError(
            f"{where.file}: data.columns.{part}: {name!r} holds lists of {values.type}; the "
            "elements of a list must be plain values, such as numbers or text"
        )
    coded, given = codes(values)
    row = np.repeat(np.arange(len(lengths)), lengths)
    share = None
    if weights is not None:
        amounts = _weights(batch, name, weights, lengths, where)
        given &= np.isfinite(amounts)
        total = np.bincount(row[given], np.abs(amounts[given]), len(lengths))
        share = (amounts / np.where(total > 0, total, 1)[row]).astype(np.float32)[given]
    if not given.all():
        coded, lengths = coded[given], np.bincount(row[given], minlength=len(lengths))
    return Lists(coded, share, lengths)


def _weights(
    batch: pa.RecordBatch, name: str, weights: str, lengths: np.ndarray, where: Where
) -> np.ndarray:
    """float64 [m], NaN where missing."""
    column = batch[weights]
    if not is_list(column.type) and not pa.types.is_null(column.type):
        raise DataError(
            f"{where.file}: data.columns.weights: {weights!r} is of type {column.type}; the "
            f"weights of {name!r} must be a list column too, one number a value"
        )
    amounts, counts = flattened(column)
    _same_lengths(name, lengths, weights, counts, where)
    if not (pa.types.is_null(amounts.type) or _is_number(amounts.type)):
        raise DataError(
            f"{where.file}: data.columns.weights: {weights!r} holds lists of {amounts.type}; "
            "weights must be numbers"
        )
    return amounts.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _same_lengths(
    one: str, lengths: np.ndarray, other: str, counts: np.ndarray, where: Where
) -> None:
    """Raises DataError at the first row whose two lists differ in length."""
    if (lengths == counts).all():
        return
    row = int(np.flatnonzero(lengths != counts)[0])
    raise DataError(
        f"{where(row)}{one!r} holds {lengths[row]} values and {other!r} {counts[row]}; the two "
        "lists of a row must be of one length"
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


class ListColumns:
    """The list columns of a log, spilled as they are read: where each row ends, and the values one
    row after another, where the store keeps them. A context manager that closes the files."""

    def __init__(self, folder: Path, columns: Columns):
        self._folder, self._weighted = folder, {f"sparse.{c}" for c in columns.weights}
        self._spills: dict[str, tuple[Spill, Spill]] = {}
        self._done: dict[str, int] = {}
        self._open = ExitStack()

    def __enter__(self) -> ListColumns:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def bags(self) -> tuple[str, ...]:
        """The list columns under sparse, as the store's bags are numbered."""
        return tuple(part.removeprefix("sparse.") for part in self._spills if part != HISTORY)

    @property
    def places(self) -> dict[str, str]:
        """`ends.<part>` -> the array that holds where the rows of a list column end."""
        return {f"ends.{part}": _ends(i) for i, part in enumerate(self._spills)}

    def append(self, rows: dict[str, Any], before: int) -> dict[str, np.ndarray]:
        """Spills the lists among the columns of rows that follow `before` others. Returns the
        columns with hashes in place of lists, and without the history."""
        for part, values in rows.items():
            if isinstance(values, Lists):
                if part not in self._spills:
                    self._create(part)
                    self._append(part, Lists.empty(before))
                self._append(part, values)
        hashed = {p: v.hashes() if isinstance(v, Lists) else v for p, v in rows.items()}
        return {part: values for part, values in hashed.items() if part != HISTORY}

    def _create(self, part: str) -> None:
        nth = len(self.bags)
        arrays = {HISTORY_ITEMS if part == HISTORY else f"{BAG_IDS}.{nth}": "<i4"}
        arrays |= {f"{BAG_WEIGHTS}.{nth}": "<f4"} if part in self._weighted else {}
        spills = (
            Spill(self._folder, {_ends(len(self._spills)): ("<i8", None)}),
            Spill(self._folder, {name: (dtype, None) for name, dtype in arrays.items()}),
        )
        for spill in spills:
            self._open.enter_context(spill)
        self._spills[part], self._done[part] = spills, 0

    def _append(self, part: str, rows: Lists) -> None:
        ends, values = self._spills[part]
        ends.append(dict.fromkeys(ends.names, self._done[part] + np.cumsum(rows.lengths)))
        given = [rows.values, rows.weights]
        values.append(dict(zip(values.names, given, strict=False)))
        self._done[part] += int(rows.lengths.sum())


def _ends(nth: int) -> str:
    return f"raw.ends.{nth}"


def exploded(
    batch: pa.RecordBatch, columns: Columns, labelled: bool, where: Where
) -> Iterator[tuple[Where, pa.RecordBatch]]:
    """One row an event of rows that hold a list of items: every list column is taken apart beside
    the items, any other value stands in all of the row's events. Without lists of items the batch
    as it is. Some CHUNK_ROWS events at a time, or one longer row.

    Raises DataError where lists of a row differ in length, for a list of users, and where one
    label would stand for all items.
    """
    if not is_list(batch[columns.item].type):
        yield where, batch
        return
    apart = [c for c in batch.schema.names if is_list(batch[c].type)]
    if columns.user in apart:
        raise DataError(
            f"{where.file}: data.columns.user: {columns.user!r} holds lists; a row may list a "
            "user's items, but has one user"
        )
    if labelled and columns.label not in apart:
        raise DataError(
            f"{where.file}: data.columns.label: {columns.label!r} is one value a row where "
            f"{columns.item!r} holds lists; give a list of labels, one an item"
        )
    flat = {c: flattened(batch[c]) for c in apart}
    lengths = flat[columns.item][1]
    for name, (_, counts) in flat.items():
        _same_lengths(columns.item, lengths, name, counts, where)
    begin = np.cumsum(lengths) - lengths
    for part in chunks(lengths):
        size = int(lengths[part].sum())
        row = pa.array(np.repeat(np.arange(part.start, part.stop), lengths[part]))
        taken = [
            flat[c][0].slice(int(begin[part.start]), size) if c in flat else batch[c].take(row)
            for c in batch.schema.names
        ]
        yield Where(where.file, None), pa.RecordBatch.from_arrays(taken, batch.schema.names)
