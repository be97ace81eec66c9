"""What every source shares while it builds a store: the split in time and the training order."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from recscale.data.layout import (
    CHUNK_ROWS,
    ROW_ARRAYS,
    DataError,
    array_path,
    create_array,
    open_array,
    present,
)
from recscale.manifest import Floor, TableFacts
from recscale.spec import SyntheticData

Progress = Callable[[int, int | None], None]
"""Called with rows done and rows in all, None while that is unknown."""

WORLD_BYTES = 250
"""Of a row of a synthetic world while it is made."""
_SALT = np.uint64(0xD1B54A32D192ED03)  # fixed, so that nested samples are the same everywhere


@dataclass(frozen=True)
class Built:
    """What a source says of the arrays that it wrote, all of them in time order."""

    n_train: int
    tables: list[TableFacts]
    dense: list[str]
    history: str | None
    """Name of the table whose ids the histories hold."""
    raw_rows: int
    dropped: dict[str, int] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    time_unit: Literal["s", "ms", "us", "ns"] = "s"
    """One step of `time`"""
    negatives: float = 0.0
    """Share of the rows that were sampled and not in the log"""
    calendar: bool = False
    """Whether `time` counts from 1970."""
    floor: Floor | None = None


def refuse_large(data: SyntheticData, folder: Path) -> None:
    """Raises DataError for a world that the disk below `folder` does not hold."""
    free = shutil.disk_usage(folder).free
    if data.rows * WORLD_BYTES > free:
        raise DataError(
            f"data.rows: {data.rows:,} rows take up to {data.rows * WORLD_BYTES / 1e9:,.3g} GB "
            f"while they are made, and {folder.parent} has {free / 1e9:,.3g} GB free; take fewer "
            "rows, or another storage"
        )


def split_rows(time: np.ndarray, last: float, of: str = "data") -> int:
    """Training rows of rows with ascending `time`: all before the last share of them.

    Rows of the moment at the boundary all go to the evaluation side, so that every training row
    is strictly earlier than every evaluation row.

    of: names the log and its time column. Raises DataError when nothing is left to train.
    """
    wanted = len(time) - max(1, round(last * len(time)))
    n_train = int(np.searchsorted(time, time[max(0, wanted)], side="left")) if len(time) else 0
    if n_train == 0:
        raise DataError(
            f"{of}: none of the {len(time):,} rows is earlier than the moment at which the last "
            f"{last:.0%} of them begin, so there is nothing to train on; give a log with finer "
            "times, or lower data.holdout.last"
        )
    return n_train


def leave_one_out(begin: np.ndarray) -> tuple[np.ndarray, int]:
    """int64 [n], rows in another order, and how many of them train: first all rows but the last
    one of every user with two or more, then those, both as they stood.

    begin: [n], the number of each row's user. Raises DataError when no user has two rows.
    """
    _, last, counts = np.unique(begin[::-1], return_index=True, return_counts=True)
    out = len(begin) - 1 - np.sort(last[counts > 1])[::-1]
    if not len(out):
        raise DataError(
            "holdout.leave_one_out: no user has two events, so there is nothing to evaluate; check "
            "data.columns.user, or use holdout.last"
        )
    trains = np.ones(len(begin), bool)
    trains[out] = False
    return np.concatenate([np.flatnonzero(trains), out]), int(trains.sum())


def reorder(folder: Path, names: Sequence[str], rows: np.ndarray) -> None:
    """Puts the rows of arrays into another order; one array at a time is in memory."""
    for name in names:
        array = open_array(folder, name, "r+")
        array[:] = array[rows]


def hash_order(numbers: np.ndarray) -> np.ndarray:
    """int64 [n]: rows by a salted hash of their numbers [n], equal ones as they stood.

    Of rows numbered in time a prefix is a uniform sample, of rows numbered by user one of users;
    it holds every shorter prefix. 24 bytes a row.
    """
    return np.argsort(scramble(numbers.astype(np.uint64)), kind="stable")


def scramble(x: np.ndarray) -> np.ndarray:
    """uint64 [n]: a salted hash of uint64 [n], one to one (splitmix64)."""
    x = x + _SALT
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def arrange(
    folder: Path, n_train: int, order: Literal["time", "hash"], by_user: bool = False
) -> None:
    """Puts the training rows of every row array into training order; `by_user` keeps a user's
    rows together, in time order."""
    if order == "time":
        return
    # the place where a user's events begin is the user's number
    numbers = open_array(folder, "history_begin")[:n_train] if by_user else np.arange(n_train)
    rows = hash_order(numbers)
    for name in present(folder):
        if name not in ROW_ARRAYS:
            continue
        source = open_array(folder, name)
        target = create_array(folder, f"{name}.new", source.shape, source.dtype.str)
        for begin in range(0, n_train, CHUNK_ROWS):
            end = min(begin + CHUNK_ROWS, n_train)
            target[begin:end] = source[rows[begin:end]]
        for begin in range(n_train, len(source), CHUNK_ROWS):
            target[begin : begin + CHUNK_ROWS] = source[begin : begin + CHUNK_ROWS]
        del source, target
        os.replace(array_path(folder, f"{name}.new"), array_path(folder, name))
