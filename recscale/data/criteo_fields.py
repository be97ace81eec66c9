"""Criteo's fields of text as numbers, a whole column at a time."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions at run time, so no checker sees them.

from __future__ import annotations

import string

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

DIGITS = 8
"""Of the longest hexadecimal number that 32 bits hold."""

_NIBBLE = np.full(256, 255, np.uint8)
for _digit in string.hexdigits:
    _NIBBLE[ord(_digit)] = int(_digit, 16)


def parse_integers(column: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """int64 [n], 0 where missing, and bool [n], false where the text is no integer."""
    readable = np.ones(len(column), bool)
    try:
        parsed = column.cast(pa.int64())
    except pa.ArrowInvalid:
        matches = pc.match_substring_regex(column, r"^-?[0-9]{1,18}$").fill_null(True)
        readable = matches.to_numpy(zero_copy_only=False).copy()
        parsed = pc.if_else(matches, column, pa.scalar(None, pa.string())).cast(pa.int64())
    # the buffer itself: filling nulls by Arrow takes longer than parsing did
    values = np.frombuffer(parsed.buffers()[1], np.int64)[parsed.offset :][: len(parsed)]
    return (np.where(_given(parsed), values, 0) if parsed.null_count else values), readable


def parse_hexadecimal(column: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """uint32 [n], 0 where missing, and bool [n], false where the text is not 1 to 8 hex digits."""
    _, offsets_buffer, text_buffer = column.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[column.offset :][: len(column) + 1]
    lengths = np.diff(offsets)
    if column.null_count:
        lengths = np.where(_given(column), lengths, 0)
    values = np.zeros(len(column), np.uint32)
    readable = lengths <= DIGITS
    if text_buffer is None or not len(column):
        return values, readable
    nibbles = _NIBBLE[np.frombuffer(text_buffer, np.uint8)]
    for length in np.flatnonzero(np.bincount(lengths[readable], minlength=1)):
        rows = np.flatnonzero(lengths == length)
        at = offsets[:-1][rows]
        value, bad = np.zeros(len(at), np.uint32), np.zeros(len(at), np.uint8)
        for place in range(length):
            nibble = nibbles[at + place]
            value = (value << np.uint32(4)) | nibble
            bad |= nibble
        values[rows], readable[rows] = value, bad < 16
    return values, readable


def _given(column: pa.Array) -> np.ndarray:
    """bool [n], false where the value is null."""
    return column.is_valid().to_numpy(zero_copy_only=False)
