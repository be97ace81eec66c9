"""Columns of an event log beside user and item: whose they are, and how numbers are scaled."""

from __future__ import annotations

from enum import Enum

import numpy as np

from recscale.data.layout import CHUNK_ROWS

USER_SHARE = 0.95
"""A column is the user's when knowing the user tells it in this share of the rows."""


class Owner(Enum):
    """Whose a column is, which decides what a sampled negative is given."""

    USER = "user"
    """The negative keeps the value of the positive's row."""
    ITEM = "item"
    """Positive and negative both get the item's value as it stood before the moment."""


def owner_of(users: np.ndarray, items: np.ndarray, values: np.ndarray) -> Owner:
    """The user's if it is a function of the user in 95 % of the rows, and no less than of the item.

    users, items: int32 [n] codes; values: int32 codes or float32 numbers [n].
    """
    by_user = _told_by(users, values)
    return Owner.USER if by_user >= max(USER_SHARE, _told_by(items, values)) else Owner.ITEM


def _told_by(groups: np.ndarray, values: np.ndarray) -> float:
    """Share of the rows that hold their group's commonest value.

    Groups of a single row tell nothing and are left out; 0 when there is no other.
    """
    keys = (groups.astype(np.int64) << 32) | values.view(np.uint32)
    keys.sort()
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    sizes = np.diff(starts, append=len(keys))
    group = keys[starts] >> 32
    first = np.flatnonzero(np.diff(group, prepend=-1))
    commonest, rows = np.maximum.reduceat(sizes, first), np.add.reduceat(sizes, first)
    several = rows > 1
    return float(commonest[several].sum() / max(1, rows[several].sum()))


def signed_log1p(values: np.ndarray) -> np.ndarray:
    """sign(x) log(1 + |x|), the type kept; NaN stays NaN."""
    return np.copysign(np.log1p(np.abs(values)), values)


def standardise(dense: np.ndarray, n_train: int) -> None:
    """Scales columns of dense [n, d] in place by mean and sd of the training rows; NaN becomes 0.

    Constant columns are only centred.
    """
    width = dense.shape[1]
    count, total = np.zeros(width), np.zeros(width)
    for begin in range(0, n_train, CHUNK_ROWS):
        chunk = dense[begin : min(begin + CHUNK_ROWS, n_train)].astype(np.float64)
        count += np.isfinite(chunk).sum(0)
        total += np.nansum(chunk, axis=0)
    mean = total / np.maximum(count, 1)
    squares = np.zeros(width)
    for begin in range(0, n_train, CHUNK_ROWS):
        chunk = dense[begin : min(begin + CHUNK_ROWS, n_train)].astype(np.float64)
        squares += np.nansum((chunk - mean) ** 2, axis=0)
    sd = np.sqrt(squares / np.maximum(count, 1))
    sd[sd < 1e-6] = 1
    for begin in range(0, len(dense), CHUNK_ROWS):
        rows = slice(begin, min(begin + CHUNK_ROWS, len(dense)))
        dense[rows] = np.nan_to_num((dense[rows] - mean) / sd, nan=0.0)
