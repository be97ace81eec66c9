"""Rows that hold any number of values each, as spans [begin, end) of one flat array."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recscale.data.layout import CHUNK_ROWS


def places(begin: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """int64 [sum of lengths], where the values of B spans stand, span after span.

    Value j of a span sits at begin + j, and j counts up from the span's own offset in the result.
    """
    offsets = np.cumsum(lengths) - lengths
    return np.repeat(begin - offsets, lengths) + np.arange(lengths.sum())


def gathered(values: np.ndarray, begin: np.ndarray, end: np.ndarray) -> Iterator[np.ndarray]:
    """The values of B spans, span after span, a chunk at a time: some CHUNK_ROWS values, or one
    span that is longer."""
    for first in range(0, len(begin), CHUNK_ROWS):
        rows = slice(first, first + CHUNK_ROWS)
        starts, lengths = np.asarray(begin[rows]), np.asarray(end[rows] - begin[rows])
        for part in chunks(lengths):
            yield values[places(starts[part], lengths[part])]


def parts(column: np.ndarray) -> Iterator[np.ndarray]:
    """A column [n], a chunk at a time."""
    for begin in range(0, len(column), CHUNK_ROWS):
        yield column[begin : begin + CHUNK_ROWS]


def taken(column: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """column[rows], a chunk at a time."""
    for some in parts(rows):
        yield column[some]


def chunks(lengths: np.ndarray) -> Iterator[slice]:
    """Consecutive spans that together hold at most CHUNK_ROWS values, or a single longer one."""
    ends = np.cumsum(lengths)
    first, done = 0, 0
    while first < len(lengths):
        last = max(first + 1, int(np.searchsorted(ends, done + CHUNK_ROWS, side="right")))
        yield slice(first, last)
        first, done = last, int(ends[last - 1])
