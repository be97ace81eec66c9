"""What makes a prepared log useless, or its laws crooked, whatever it came from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from recscale.data.build import Built
from recscale.data.layout import CHUNK_ROWS, HISTORY_ITEMS, DataError, open_array
from recscale.spec import CriteoData, DataSpec, EventsData, SyntheticData

VALUES_PER_ROW = 0.5
"""From here on a column has nearly one value a row: most are met once in training."""
LEVEL = 1e-3
"""Spread of a dense column over the training rows, as the model reads it, below which it is taken
for constant. Columns of event logs that change have a standard deviation of 1 there."""
UNSEEN = 0.5
"""A column is warned of when more of the evaluation rows have a value that training never met."""

_REMEDY = "hold out more (data.holdout.last), or bring a longer log"


def refuse_unlearnable(data: DataSpec, folder: Path, built: Built) -> None:
    """Raises DataError for clicks of one class in training or evaluation, where no loss can be
    normalised, and where no evaluation row has an item that training knows."""
    where = "data" if isinstance(data, SyntheticData) else f"data.path {data.path}"
    label, n = open_array(folder, "label"), built.n_train
    total = len(label) - n
    several = data.columns.labels if isinstance(data, EventsData) else ()
    for i, name in enumerate(several):
        _refuse_one_class(data, f"{where}: label {name!r}", open_array(folder, "labels")[:, i], n)
    if data.task == "click" and not several:
        _refuse_one_class(data, where, label, n)
    item = next((t for t in built.tables if t.name == built.history), None)
    if item is not None and data.task == "next_item" and item.distinct < 2:
        raise DataError(
            f"{where}: the {n:,} training rows have one item alone, so there is nothing to "
            "predict; check data.columns.item, or bring a longer log"
        )
    if item is not None and item.unseen_rate == 1 and not data.holdout.leave_one_out:
        raise DataError(
            f"{where}: none of the {total:,} evaluation rows has an item that occurs in the {n:,} "
            f"training rows, so nothing learnt of items can show; {_REMEDY}, or check that the "
            "item and time columns are the right ones"
        )


def _refuse_one_class(data: DataSpec, where: str, label: np.ndarray, n: int) -> None:
    """label: uint8 [rows], the first n of which train."""
    total = len(label) - n
    parts = {"training": (int(label[:n].sum()), n), "evaluation": (int(label[n:].sum()), total)}
    shown = ", ".join(f"{c:,} of {rows:,} {name} rows" for name, (c, rows) in parts.items())
    single = [name for name, (clicks, rows) in parts.items() if clicks in (0, rows)]
    if len(single) == 2:
        raise DataError(
            f"{where}: positives are {shown}, so there is nothing to tell apart; "
            f"{_remedy_of_one_class(data)}"
        )
    if single:
        raise DataError(
            f"{where}: positives are {shown}; of {single[0]} rows of one class no normalised "
            f"entropy exists; {_REMEDY}"
        )


def _remedy_of_one_class(data: DataSpec) -> str:
    if isinstance(data, SyntheticData | CriteoData):
        return "check what the first column of the files says"
    if data.compared:
        return (
            f"compare {data.compared.column!r} in data.positive with a number that parts its values"
        )
    if data.columns.labels:
        return "check what it says, or leave it out of data.columns.labels"
    if data.columns.label is None:
        return (
            "no negative could be drawn beside the positives, for the log has no second item that "
            "was seen by then; check data.columns.item, or bring a longer log"
        )
    return (
        f"check what data.columns.label {data.columns.label!r} says, or leave that key out where "
        "every row is a positive: then negatives are drawn"
    )


def table_warnings(built: Built) -> list[str]:
    """A sentence for every categorical column that hardly repeats in the rows of the log."""
    found, rows = [], round(built.n_train * (1 - built.negatives))
    for table in built.tables:
        reasons = []
        if table.distinct > VALUES_PER_ROW * rows * table.mean_length > 0:
            reasons.append(f"{table.distinct:,} values in {rows:,} training rows of the log")
        if table.unseen_rate > UNSEEN:
            new = "values are new" if table.bag else "rows hold one that is new"
            reasons.append(f"{table.unseen_rate:.0%} of the evaluation {new}")
        if reasons:
            found.append(
                f"{table.name}: {' and '.join(reasons)}; such a column adds table parameters that "
                "hardly learn, which bends every law in them: leave it out, give coarser values, "
                "or cap its rows by model.embedding_rows"
            )
    return found


def idle_warnings(folder: Path, built: Built) -> list[str]:
    """A sentence that names all columns that are the same in every training row, or none."""
    idle = [*_idle_tables(folder, built), *_idle_dense(folder, built)]
    if not idle:
        return []
    each = "holds one value or none" if len(idle) == 1 else "hold one value each or none"
    return [
        f"{', '.join(idle)}: {each} in all {built.n_train:,} training rows, which teaches nothing; "
        "check what the log has there, or leave such columns out"
    ]


def history_warnings(data: DataSpec, folder: Path, built: Built) -> list[str]:
    """A sentence where a history column and the item column hold nothing in common."""
    if not isinstance(data, EventsData) or not data.columns.history:
        return []
    plain = [t for t in built.tables if not t.bag]
    at = next(i for i, t in enumerate(plain) if t.name == built.history)
    ids, past = open_array(folder, "ids"), open_array(folder, HISTORY_ITEMS)
    taken = np.zeros(plain[at].rows, bool)
    for rows in _training(built):
        taken[ids[rows, at]] = True
    taken[0] = False  # whatever is no value of the training rows
    if not len(past) or any(
        taken[past[begin : begin + CHUNK_ROWS]].any() for begin in range(0, len(past), CHUNK_ROWS)
    ):
        return []
    return [
        f"data.columns.history {data.columns.history!r}: none of its {len(past):,} values is an "
        f"item of {data.columns.item!r} in the training rows, so that what a user took says "
        "nothing of what is shown; check that both columns write items in one way"
    ]


def label_warnings(data: DataSpec, folder: Path, built: Built) -> list[str]:
    """A sentence for every two labels that say the same, or the opposite, of each training row."""
    names = data.columns.labels if isinstance(data, EventsData) else ()
    found = []
    for i, j in itertools.combinations(range(len(names)), 2):
        labels = open_array(folder, "labels")
        unlike = sum(int((labels[at, i] != labels[at, j]).sum()) for at in _training(built))
        if unlike in (0, built.n_train):
            how = "the opposite of" if unlike else "the same as"
            found.append(
                f"data.columns.labels: {names[i]!r} says {how} {names[j]!r} in all "
                f"{built.n_train:,} training rows, so that one question counts twice in the loss; "
                "leave one of them out"
            )
    return found


def _idle_tables(folder: Path, built: Built) -> Iterator[str]:
    bags = [t.name for t in built.tables if t.bag]
    for table in built.tables:
        if table.distinct > 1:
            continue
        if table.bag and table.distinct:  # an empty row differs from one with the value
            begin, end = (open_array(folder, f"bag_{edge}") for edge in ("begin", "end"))
            at = bags.index(table.name)
            if any((begin[rows, at] == end[rows, at]).any() for rows in _training(built)):
                continue
        yield table.name


def _idle_dense(folder: Path, built: Built) -> Iterator[str]:
    if not built.dense:
        return
    dense = open_array(folder, "dense")
    low = np.min([dense[rows].min(0) for rows in _training(built)], axis=0)
    high = np.max([dense[rows].max(0) for rows in _training(built)], axis=0)
    yield from (name for name, idle in zip(built.dense, high - low < LEVEL, strict=True) if idle)


def _training(built: Built) -> Iterator[slice]:
    for begin in range(0, built.n_train, CHUNK_ROWS):
        yield slice(begin, min(begin + CHUNK_ROWS, built.n_train))
