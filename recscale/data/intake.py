"""Reading an event log of any size: chosen columns, values as codes, bad rows counted."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions at run time, so no checker sees them.

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recscale.data.build import Progress
from recscale.data.dialects import RAGGED
from recscale.data.layout import DataError, open_array
from recscale.data.lists import ListColumns, Lists, Shapes, Where, exploded, read_lists
from recscale.data.spill import Spill
from recscale.data.tables import log_batches
from recscale.data.times import unix_seconds
from recscale.spec import Columns, EventsData, PublishedData

NULL_USER, NULL_ITEM = "user missing", "item missing"
DUPLICATE = "same user, item and time"
BAD_TIME, BAD_LABEL = "time unreadable", "label not 0 or 1"


@dataclass(frozen=True)
class Events:
    """The usable rows of the log in file order, as memory maps."""

    columns: dict[str, np.ndarray]
    """`time` int64 [n]; `user`, `item` and `sparse.<name>` int32 [n] codes by first appearance;
    `label` uint8 [n] where there is one; `dense.<name>` float32 [n], NaN where missing. Of list
    columns: `ends.sparse.<name>` int64 [n], where each row's values end in the store's
    `bag_ids.<i>`, and in `sparse.<name>` hashes of all of a row's values; `ends.history` likewise,
    in the store's `history_items`"""
    bags: tuple[str, ...]
    """The list columns under sparse, as the store's bags are numbered."""
    raw_rows: int
    dropped: Counter[str]


class _Codes:
    """Values -> 0, 1, 2, ... in order of first appearance, whatever the chunks."""

    def __init__(self) -> None:
        self._known: dict[str | None, int] = {}

    def __call__(self, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """int32 [n] codes, and bool [n], true where a value is given (neither null nor blank)."""
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        encoded = column.dictionary_encode(null_encoding="encode")
        names = pc.utf8_trim_whitespace(encoded.dictionary.cast(pa.string())).to_pylist()
        known = self._known
        codes = np.array([known.setdefault(name or None, len(known)) for name in names], np.int32)
        given = np.array([bool(name) for name in names], bool)
        index = encoded.indices.to_numpy(zero_copy_only=False)
        return (codes[index], given[index]) if len(names) else (index, index.astype(bool))


def read_events(data: EventsData | PublishedData, folder: Path, progress: Progress) -> Events:
    """Streams the log's files into flat arrays under `folder`.

    Memory: one chunk and the distinct users, items and sparse values.
    Raises DataError for missing or unfit columns, and when nothing usable is left.
    """
    columns = data.columns
    labelled = columns.label is not None and data.task == "click"
    codes = {part: _Codes() for part in ("user", "item", "domain")}
    codes |= {f"sparse.{c}": _Codes() for c in columns.sparse}
    dtypes = {"user": "<i4", "item": "<i4", "time": "<i8"}
    dtypes |= {f"sparse.{c}": "<i4" for c in columns.sparse}
    dtypes |= {f"dense.{c}": "<f4" for c in columns.dense}
    dtypes |= {"domain": "<i4"} if columns.domain else {}
    dtypes |= {"label": "|u1"} if labelled else {}
    places = {name: f"raw.{i}" for i, name in enumerate(dtypes)}  # names may not suit a file
    dropped: Counter[str] = Counter()
    raw_rows = 0
    shapes, usable = Shapes(), 0
    with (
        Spill(folder, {places[name]: (dtype, None) for name, dtype in dtypes.items()}) as spill,
        ListColumns(folder, columns) as lists,
    ):
        for where, batch in _events(data, labelled, dropped):
            raw_rows += len(batch)
            rows = _usable(batch, columns, codes, labelled, dropped, where, shapes)
            rows = lists.append(rows, usable)
            spill.append({places[name]: values for name, values in rows.items()})
            usable += len(rows["time"])
            progress(raw_rows, None)
    raw_rows += dropped[RAGGED]
    places |= lists.places
    arrays = {name: open_array(folder, place).view(np.ndarray) for name, place in places.items()}
    if not len(arrays["time"]):
        raise DataError(
            f"data.path {data.path}: none of the {raw_rows} rows is usable "
            f"({_described(dropped) or 'the files hold no rows'})"
        )
    return Events(arrays, lists.bags, raw_rows, dropped)


def _events(
    data: EventsData | PublishedData, labelled: bool, dropped: Counter[str]
) -> Iterator[tuple[Where, pa.RecordBatch]]:
    """Batches of one event a row."""
    here, first = None, 1
    for file, batch in log_batches(data, dropped=dropped):
        first = first if file == here else 1
        yield from exploded(batch, data.columns, labelled, Where(file, first))
        here, first = file, first + len(batch)


def check_dropped(data: EventsData | PublishedData, events: Events) -> None:
    """Raises DataError when more rows are dropped than the spec allows."""
    lost = sum(events.dropped.values()) / events.raw_rows
    if lost > data.refuse_above:
        raise DataError(
            f"data.path {data.path}: {lost:.1%} of the {events.raw_rows} rows would be dropped "
            f"({_described(events.dropped)}), more than data.refuse_above "
            f"({data.refuse_above:.1%}); correct the log or data.columns, or raise "
            "data.refuse_above"
        )


def _described(dropped: Counter[str]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in dropped.most_common())


def _usable(
    batch: pa.RecordBatch,
    columns: Columns,
    codes: dict[str, _Codes],
    labelled: bool,
    dropped: Counter[str],
    where: Where,
    shapes: Shapes,
) -> dict[str, Any]:
    """Rows of a batch that have user, item, time and label; the others are counted once each."""
    file = where.file
    user, has_user = codes["user"](batch[columns.user])
    item, has_item = codes["item"](batch[columns.item])
    try:
        time, has_time = unix_seconds(batch[columns.time])
    except TypeError as error:
        raise DataError(
            f"{file}: data.columns.time: {columns.time!r}: {error}; it must be a timestamp, ISO "
            "text, or unix seconds or milliseconds"
        ) from None
    rows: dict[str, Any] = {"user": user, "item": item, "time": time}
    checks = [(NULL_USER, has_user), (NULL_ITEM, has_item), (BAD_TIME, has_time)]
    if labelled and columns.label:
        rows["label"], has_label = _labels(batch[columns.label])
        checks.append((BAD_LABEL, has_label))
    if columns.domain:
        rows["domain"], _ = codes["domain"](batch[columns.domain])
    for name in columns.sparse:
        part, weights = f"sparse.{name}", columns.weights.get(name)
        if weights or shapes.is_list(name, batch[name].type, file):
            rows[part] = read_lists(batch, part, name, weights, codes[part], where)
        else:
            rows[part], _ = codes[part](batch[name])
    if columns.history:
        part, name = "history", columns.history
        rows[part] = read_lists(batch, part, name, None, codes["item"], where)
    for name in columns.dense:
        rows[f"dense.{name}"] = _numbers(batch[name], name, file)
    keep = np.ones(len(batch), bool)
    for reason, good in checks:
        lost = int((keep & ~good).sum())
        if lost:
            dropped[reason] += lost
        keep &= good
    return {
        name: values.keep(keep) if isinstance(values, Lists) else values[keep]
        for name, values in rows.items()
    }


def _labels(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [n] labels, and bool [n], true where the value is 0, 1, true or false."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    text = pc.utf8_lower(pc.utf8_trim_whitespace(column.cast(pa.string()))).fill_null("")
    one = np.asarray(pc.is_in(text, pa.array(["1", "1.0", "true"])))
    zero = np.asarray(pc.is_in(text, pa.array(["0", "0.0", "false"])))
    return one.astype(np.uint8), one | zero


def _numbers(column: pa.Array, name: str, file: Path) -> np.ndarray:
    """float32 [n], NaN where missing or infinite."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        if pa.types.is_string(column.type):
            column = pc.utf8_trim_whitespace(column)
            column = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
        values = column.cast(pa.float32(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"{file}: data.columns.dense: {name!r} holds something else than numbers "
            f"({str(error).splitlines()[0]}); list it under sparse instead"
        ) from None
    numbers = values.fill_null(float("nan")).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(numbers), numbers, np.float32("nan"))
