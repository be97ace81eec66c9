"""Bring your own log: any Parquet or CSV of user, item and time, with a column map.

Task `click`: every row with its 0/1 label; or, without a label column, every row a positive with
sampled negatives of the same user and moment. Task `next_item`: every row a target, label 1.
With `positive`, the rows that it names are the positives and the others the negatives.
A history is the user's positives of strictly earlier moments, or what a list column gives; a
sequence is all of a user's events, those of one moment in an arbitrary order that no file has a say
in. Of list columns the values lie flat, in the order of the events, whose rows share them.

Memory: about 50 bytes per event (time order, codes, group keys), as much again for a moment while
ties are ordered and columns are judged, 32 bytes per row that reads like another one, and one
chunk; the log itself and the store stay on disk.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recscale.data.build import Built, Progress, leave_one_out, reorder, split_rows
from recscale.data.copies import refuse_same_files
from recscale.data.dropped import COPY
from recscale.data.features import Owner, owner_of, signed_log1p, standardise
from recscale.data.intake import Events, read_events, recode
from recscale.data.layout import (
    BAG_IDS,
    BAG_WEIGHTS,
    CHUNK_ROWS,
    HISTORY_ITEMS,
    ROW_ARRAYS,
    create_array,
    open_array,
    present,
    remove_raw,
)
from recscale.data.lists import coder_of
from recscale.data.moments import Grouped, moment_chunks
from recscale.data.negatives import Baskets, NegativeSampler
from recscale.data.notes import (
    choice_notes,
    kept_warnings,
    label_notes,
    list_notes,
    owner_notes,
    repeat_warnings,
    several_notes,
    time_notes,
)
from recscale.data.ranks import interleave, rank_bag, rank_column
from recscale.data.repeats import copies, first_seen, in_order
from recscale.data.spans import gathered, parts, taken
from recscale.manifest import TableFacts, unused
from recscale.spec import EventsData, PublishedData

RECIPE = 3
"""Of the whole of this preparation: other arrays from the same log need another number."""


@dataclass(frozen=True)
class _Log:
    """Usable events in time order, E of them; codes as read."""

    rows: np.ndarray
    """int64 [E], where each event stands in the columns that were read"""
    time: np.ndarray
    user: np.ndarray
    item: np.ndarray
    columns: dict[str, np.ndarray]
    bags: tuple[str, ...]
    """The list columns under sparse, as the store numbers them"""
    ends: dict[str, np.ndarray]
    """`sparse.<name>` of bags and `history` -> int64 [E], where each event's values end in the
    store's flat array; they begin where those of the event before end"""

    def take(self, name: str, events: np.ndarray) -> np.ndarray:
        return self.columns[name][self.rows[events]]

    def spans(self, part: str, events: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the values of events begin and end, int64 [B]."""
        ends = self.ends[part]
        return np.where(events > 0, ends[events - 1], 0), ends[events]


@dataclass(frozen=True)
class _Rows:
    """Rows of the store to be, B of them: real events, or negatives drawn for them."""

    event: np.ndarray
    """int64 [B], the event that gives user and time"""
    item: np.ndarray
    label: np.ndarray


def build(data: EventsData | PublishedData, folder: Path, progress: Progress) -> Built:
    """Writes the arrays of the log into `folder`. Raises DataError for data unfit for the spec."""
    events = read_events(data, folder, progress)
    refuse_same_files(data, events)
    log = _in_time_order(data, events, folder)
    events.dropped.check(data, events.raw_rows)
    sampler = None
    if data.task == "click" and "label" not in log.columns:
        sampler = NegativeSampler(log.item, int(log.item.max()) + 1, data.negatives, data.seed)
    label = log.columns.get("label")
    positive = None if label is None else np.flatnonzero(label[log.rows])
    owners = _owners(data, log) if sampler else {}

    n = sum(len(rows.item) for rows in _rows(log, sampler, drawn=False))
    _write(data, folder, n, log, sampler, positive, owners, progress)
    plain = [c for c in data.columns.sparse if c not in log.bags]
    names = [unused(part, data.columns.sparse) for part in ("user", "item")] + plain
    if data.holdout.leave_one_out:
        rows, n_train = leave_one_out(open_array(folder, "history_begin"))
        raw = [f"raw.id.{i}" for i in range(len(names))]
        reorder(folder, [*ROW_ARRAYS.keys() & set(present(folder)), *raw], rows)
    else:
        of = f"data.path {data.path}: data.columns.time {data.columns.time!r}"
        n_train = split_rows(open_array(folder, "time"), data.holdout.last, of)
    columns = [open_array(folder, f"raw.id.{i}", "r+") for i in range(len(names))]
    history = open_array(folder, HISTORY_ITEMS, "r+")
    began, ended = open_array(folder, "history_begin"), open_array(folder, "history_end")
    # items of given histories may never be shown: they count like the items of rows
    met = gathered(history, began[:n_train], ended[:n_train]) if data.columns.history else ()
    tables = [
        rank_column(names[0], columns[0], n_train),
        rank_column(names[1], columns[1], n_train, more=[history], beside=met),
    ]
    tables += [rank_column(n, c, n_train) for n, c in zip(plain, columns[2:], strict=True)]
    tables += [
        _ranked_bag(folder, i, name, n_train, name in data.columns.weights)
        for i, name in enumerate(log.bags)
    ]
    interleave(columns, create_array(folder, "ids", (n, len(names))))
    standardise(open_array(folder, "dense", "r+"), n_train)
    remove_raw(folder)
    return Built(
        n_train=n_train,
        tables=tables,
        dense=list(data.columns.dense),
        history=names[1],
        raw_rows=events.raw_rows,
        dropped=dict(events.dropped.counts),
        notes=choice_notes(data, events.clock)
        | list_notes(data, log.bags)
        | time_notes(events.clock, log.time, log.user)
        | several_notes(data)
        | label_notes(data, None if label is None else label[log.rows], len(log.rows), n)
        | owner_notes(owners),
        warnings=events.warnings,
        time_unit=events.clock.unit,
        negatives=1 - len(log.rows) / n,
        calendar=not events.clock.relative,
    )


def _ranked_bag(folder: Path, i: int, name: str, n_train: int, weighted: bool) -> TableFacts:
    """Turns the codes of a bag into ids."""
    values = open_array(folder, f"{BAG_IDS}.{i}", "r+")
    begin, end = (open_array(folder, f"bag_{edge}")[:, i] for edge in ("begin", "end"))
    facts = rank_bag(name, values, begin, end, n_train)
    return facts.model_copy(update={"weighted": weighted})


def _in_time_order(data: EventsData | PublishedData, events: Events, folder: Path) -> _Log:
    """Sorts by time, without the copies of other rows, and numbers codes anew in that order.

    Under a clock of days or hours two equal rows may well be two events, so none is taken for a
    copy; and the places in a line of `sequences` are no times, so users stay in the file's order.
    """
    columns = events.columns
    if data.source == "sequences":
        rows = np.argsort(columns["time"], kind="stable")
    else:
        rows, alike = in_order(events)
        if events.clock.coarse:
            events.warnings.extend(repeat_warnings(alike, data.refuse_above))
        else:
            repeated = copies(data, events, rows, alike)
            kept = alike & ~repeated
            events.warnings.extend(kept_warnings(kept, data.refuse_above))
            events.dropped.told(COPY, int(repeated.sum()))
            rows = rows[~repeated]
    bags = tuple(c for c in data.columns.sparse if f"sparse.{c}" in events.lists)
    flat = {f"sparse.{c}": (f"{BAG_IDS}.{i}", f"{BAG_WEIGHTS}.{i}") for i, c in enumerate(bags)}
    flat |= {"history": (HISTORY_ITEMS, "")} if data.columns.history else {}
    ends = {
        part: events.lists[part].arrange(rows, folder, f"raw.ends.{i}", *names)
        for i, (part, names) in enumerate(flat.items())
    }
    _renumber(events, rows, {p: open_array(folder, name, "r+") for p, (name, _) in flat.items()})
    time, user, item = (columns[part][rows] for part in ("time", "user", "item"))
    return _Log(rows, time, user, item, columns, bags, ends)


def _renumber(events: Events, rows: np.ndarray, lists: dict[str, np.ndarray]) -> None:
    """Codes by first appearance in `rows` and in the values of their lists, in place."""
    for part, hashes in events.hashes.items():
        more = [lists[p] for p in lists if coder_of(p) == part]
        column = events.columns[part]
        codes = first_seen(itertools.chain(taken(column, rows), *map(parts, more)), len(hashes))
        for array in (column, *more):
            recode(array, codes)
    for part, values in lists.items():
        if coder_of(part) not in events.hashes:
            recode(values, first_seen(parts(values), len(events.lists[part].hashes)))


def _owners(data: EventsData | PublishedData, log: _Log) -> dict[str, Owner]:
    """Of every sparse and dense column."""
    named = [f"sparse.{c}" for c in data.columns.sparse] + [
        f"dense.{c}" for c in data.columns.dense
    ]
    return {c: owner_of(log.user, log.item, log.columns[c][log.rows]) for c in named}


def _rows(log: _Log, sampler: NegativeSampler | None, drawn: bool = True) -> Iterator[_Rows]:
    """The store's rows in time order, every positive followed by its negatives.

    Not `drawn`: the same number of rows, with no items, to learn the size of the store.
    """
    label = log.columns.get("label")
    for chunk in moment_chunks(log.time, CHUNK_ROWS):
        event = np.arange(chunk.start, chunk.stop)
        if sampler is None:
            real = np.ones(len(event), np.uint8) if label is None else label[log.rows[chunk]]
            yield _Rows(event, log.item[chunk], real)
            continue
        ends = np.searchsorted(log.time, log.time[chunk], side="right")
        baskets = Baskets.of(chunk, log.item[chunk], log.user[chunk], ends)
        negatives = sampler.draw(baskets) if drawn else sampler.blank(baskets)
        items = np.concatenate([log.item[chunk][:, None], negatives], axis=1)
        there = items.reshape(-1) >= 0
        label_row = np.zeros(items.shape, np.uint8)
        label_row[:, 0] = 1
        yield _Rows(
            np.repeat(event, items.shape[1])[there],
            items.reshape(-1)[there],
            label_row.reshape(-1)[there],
        )


def _write(
    data: EventsData | PublishedData,
    folder: Path,
    n: int,
    log: _Log,
    sampler: NegativeSampler | None,
    positive: np.ndarray | None,
    owners: dict[str, Owner],
    progress: Progress,
) -> None:
    """All arrays but `ids`; `raw` and `history_items` hold codes yet."""
    sparse = [c for c in data.columns.sparse if c not in log.bags]
    dense = data.columns.dense
    raw = [create_array(folder, f"raw.id.{i}", (n,), "<i4") for i in range(2 + len(sparse))]
    out = {name: create_array(folder, name, (n,)) for name in ("time", "label")}
    labels = ["label", *(f"label.{c}" for c in data.columns.labels[1:])]
    if len(labels) > 1:
        out["labels"] = create_array(folder, "labels", (n, len(labels)))
    out |= {name: create_array(folder, name, (n,)) for name in ("history_begin", "history_end")}
    out["dense"] = create_array(folder, "dense", (n, len(dense)))
    for edge in ("bag_begin", "bag_end") if log.bags else ():
        out[edge] = create_array(folder, edge, (n, len(log.bags)))
    clicks = Grouped(log.user if positive is None else log.user[positive], positive, len(log.user))
    clicked = clicks.events()
    if not data.columns.history:  # else they are there
        create_array(folder, HISTORY_ITEMS, clicked.shape)[:] = log.item[clicked]
    if data.task == "next_item":
        create_array(folder, "history_times", clicked.shape)[:] = log.time[clicked]
    if data.columns.domain:
        domains = log.take("domain", clicked)
        create_array(folder, "history_domains", clicked.shape)[:] = domains
    del clicked
    sold = Grouped(log.item) if Owner.ITEM in owners.values() else None
    done = 0
    for rows in _rows(log, sampler):
        here = slice(done, done + len(rows.item))
        done = here.stop
        out["time"][here], out["label"][here] = log.time[rows.event], rows.label
        for i, name in enumerate(labels) if len(labels) > 1 else ():
            out["labels"][here, i] = log.take(name, rows.event)
        raw[0][here], raw[1][here] = log.user[rows.event], rows.item
        start = np.searchsorted(log.time, log.time[rows.event])
        if data.columns.history:
            begin, end = log.spans("history", rows.event)
        else:
            begin, end = clicks.before(log.user[rows.event], start)
        out["history_begin"][here], out["history_end"][here] = begin, end
        source = {Owner.USER: rows.event}
        if sold:
            source[Owner.ITEM] = _standing(sold, rows.item, start)
        for i, name in enumerate(sparse):
            which = source[owners.get(f"sparse.{name}", Owner.USER)]
            raw[2 + i][here] = log.take(f"sparse.{name}", which)
        for i, name in enumerate(log.bags):
            which = source[owners.get(f"sparse.{name}", Owner.USER)]
            begin, end = log.spans(f"sparse.{name}", which)
            out["bag_begin"][here, i], out["bag_end"][here, i] = begin, end
        for i, name in enumerate(dense):
            which = source[owners.get(f"dense.{name}", Owner.USER)]
            out["dense"][here, i] = signed_log1p(log.take(f"dense.{name}", which))
        progress(done, n)


def _standing(sold: Grouped, items: np.ndarray, start: np.ndarray) -> np.ndarray:
    """int64 [B]: each item's last event before the moment that begins at event `start`.

    In its very first moment an item has none; its first event stands in then. Either way the
    event depends on item and moment alone, so what is read from it cannot tell a positive from
    a negative.
    """
    begin, end = sold.before(items, start)
    return sold.event_at(np.maximum(end - 1, begin))
