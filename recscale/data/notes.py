"""What a reader of a result must know of an event log: how it was read, choices, and counts."""

from __future__ import annotations

import numpy as np

from recscale.data.clock import Settled
from recscale.data.features import Owner
from recscale.data.repeats import ties
from recscale.spec import EventsData, PublishedData

UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_OWNERS = {
    Owner.USER: "belongs to the user: a negative keeps the value of its positive",
    Owner.ITEM: "belongs to the item: positives and negatives get the item's value of its last "
    "event before the moment (of its first event where there is none before)",
}


def time_notes(clock: Settled, time: np.ndarray, user: np.ndarray) -> dict[str, str]:
    """time, user: int64 and int32 [n] of all events in time order."""
    steps = UNIT_NAMES[clock.unit]
    notes = {"time": f"in {steps}, UTC; times without a zone are taken for UTC"}
    if clock.relative:
        notes["time"] = f"in {steps} of the log's own clock"
    tied = np.flatnonzero(ties(time))
    if not len(tied):
        return notes
    order = np.lexsort((user[tied], time[tied]))
    own = int(ties(time[tied][order], user[tied][order]).sum())
    notes["ties"] = (
        f"{len(tied):,} of the {len(time):,} rows share their moment with another row, {own:,} of "
        "them with one of the same user; the order within a moment is arbitrary (a salted hash of "
        "the row's values)"
    )
    if clock.coarse:
        steps = "steps of unknown length" if clock.coarse == "steps" else f"whole {clock.coarse}"
        notes["clock"] = (
            f"the times are {steps} apart: what came first within one is not known, histories hold "
            "only what lies in earlier ones, and no row is dropped as a copy of another"
        )
    return notes


def repeat_warnings(alike: np.ndarray, most: float) -> list[str]:
    """Of a coarse clock, under which repeated rows are kept: more of them than a log mostly has.

    alike: bool [n], which rows read like another one; most: the share of them that is no news.
    """
    n, rows = int(alike.sum()), len(alike)
    if n <= most * rows:
        return []
    return [
        f"{n:,} of the {rows:,} rows repeat another one in time, user, item and all else that is "
        "read; so coarse a clock does not tell whether they are other events, so they are kept; "
        "where files overlap, leave one of them out"
    ]


def kept_warnings(alike: np.ndarray, most: float) -> list[str]:
    """Of a fine clock, under which rows count once that are equal in every column: rows that are
    only read alike, and many of them. alike, most: as for `repeat_warnings`."""
    n, rows = int(alike.sum()), len(alike)
    if n <= most * rows:
        return []
    return [
        f"{n:,} of the {rows:,} rows repeat another one in time, user, item and all else that is "
        "read, and differ only in columns that are not, so they are kept; where that is a row "
        "number or a file's own column, they are copies: leave it, or one of the files, out"
    ]


def label_notes(
    data: EventsData | PublishedData, label: np.ndarray | None, events: int, rows: int
) -> dict[str, str]:
    """Of task click: what became a positive, and how many negatives were added.

    label: uint8 [events], None where every event is a positive; rows: of the store.
    """
    if data.task != "click":
        return {}
    if label is not None:
        of = str(data.compared) if data.compared else f"column {data.columns.label_columns[0]!r}"
        return {
            "positives": f"{of}: {int(label.sum()):,} of {events:,} rows; the others are the "
            "negatives, and none were added"
        }
    k, added = data.negatives.per_positive, rows - events
    whatever = "" if isinstance(data, EventsData) else ", whatever its rating"
    return {
        "positives": f"every row{whatever}: {events:,}; {added:,} negatives were added "
        "(data.positive or data.columns.label would take them from the log)",
        "negatives": f"{k} per positive, {data.negatives.distribution} over the items seen by the "
        "end of the moment, none that the user takes in it, with replacement; "
        f"{k * events - added} could not be drawn for want of such items",
    }


def several_notes(data: EventsData | PublishedData) -> dict[str, str]:
    """Of several labels: how they make one loss."""
    if not isinstance(data, EventsData) or not (labels := data.columns.labels):
        return {}
    each = ", ".join(f"{name} {data.label_weights.get(name, 1):g}" for name in labels)
    return {
        "labels": f"weights in the loss: {each}; histories hold the rows whose {labels[0]} is 1, "
        "and a row without one of its labels is dropped"
    }


def choice_notes(data: EventsData | PublishedData, clock: Settled) -> dict[str, str]:
    """How rows are parted, and what histories, sequences and numbers hold."""
    notes = {
        "split": "rows of the moment at the boundary all evaluate",
        "history": f"the user's positives of strictly earlier moments ({UNIT_NAMES[clock.unit]})",
    }
    if data.task == "next_item":
        notes["sequence"] = (
            "all of a user's events in time order, those of one moment in an arbitrary one; "
            "evaluation events whose item never occurs in training are read as history but are no "
            "targets (their share is the item table's unseen rate)"
        )
    if data.holdout.leave_one_out:
        notes["split"] = (
            "leave-one-out: every user's last event evaluates, and training holds later events of "
            "other users; for comparison with literature, not for a law"
        )
    if data.columns.dense:
        notes["dense"] = (
            "sign(x) log(1 + |x|), then by mean and sd of the training rows; missing and infinite "
            "values are 0 then, true is 1 and false 0 before"
        )
    return notes


def list_notes(data: EventsData | PublishedData, bags: tuple[str, ...]) -> dict[str, str]:
    """bags: the list columns under sparse."""
    notes = {}
    if data.columns.history:
        notes["history"] = (
            f"column {data.columns.history!r}, oldest first; its items count in the ranks of the "
            "item table"
        )
    if bags:
        notes["bags"] = (
            "a list's missing values are left out, an empty list pools to zero; the pool is the "
            "mean of the values' vectors, or their sum weighted by columns.weights over the sum of "
            "the weights' magnitudes in the row"
        )
    return notes


def owner_notes(owners: dict[str, Owner]) -> dict[str, str]:
    return {name.replace(".", " ", 1): _OWNERS[owner] for name, owner in owners.items()}
