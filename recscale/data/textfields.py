"""Columns of text as numbers, a whole column at a time."""

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


def parse_integers(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """int64 [n], 0 where missing, and bool [n], false where the text is no integer."""
    readable = np.ones(len(column), bool)
    try:
        values = column.cast(pa.int64())
    except pa.ArrowInvalid:
        matches = pc.match_substring_regex(column, r"^-?[0-9]{1,18}$").fill_null(True)
        readable = matches.to_numpy(zero_copy_only=False).copy()
        values = pc.if_else(matches, column, pa.scalar(None, pa.string())).cast(pa.int64())
    return values.fill_null(0).to_numpy(zero_copy_only=False), readable


def parse_hexadecimal(column: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """uint32 [n], 0 where missing, and bool [n], false where the text is not 1 to 8 hex digits."""
    column = column.fill_null("")
    _, offsets_buffer, text_buffer = column.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[column.offset :][: len(column) + 1]
    lengths = np.diff(offsets)
    values = np.zeros(len(column), np.uint32)
    readable = lengths <= DIGITS
    if text_buffer is None or not len(column):
        return values, readable
    nibbles = _NIBBLE[np.frombuffer(text_buffer, np.uint8)]
    for length in np.unique(lengths[readable]):
        rows = np.flatnonzero(lengths == length) if (lengths != length).any() else slice(None)
        at = offsets[:-1][rows]
        value, bad = np.zeros(len(at), np.uint32), np.zeros(len(at), np.uint8)
        for place in range(length):
            nibble = nibbles[at + place]
            value = (value << np.uint32(4)) | nibble
            bad |= nibble
        values[rows], readable[rows] = value, bad < 16
    return values, readable
