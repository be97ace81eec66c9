"""Values of a categorical column as codes that depend on what the values mean, not on their type,
the order of the files or the chunks."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions at run time, so no checker sees them.

from __future__ import annotations

import hashlib
import re
import unicodedata
import uuid
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa

from recscale.data.plain import Unfit, cut, example, is_bytes, is_text, name_of, plain

Key = str | bytes | None
"""What a value is known by: text as it stands, numbers and times as text, bytes that are no text
as they are, None where there is none."""

_WHOLE = re.compile(r"-?(\d+)(\.0*)?|-?\d(\.\d*)?(e\+|E\+?)\d+", re.ASCII)
"""As every writer has whole numbers: 17, 17.0, pandas' 1e+11, NumPy's 1.e+11, Java's 1.0E11."""
_NUMBER = re.compile(r"-?\d+(\.\d*)?|-?\d(\.\d*)?(e[+-]|E[+-]?)\d+", re.ASCII)
MISSING = {"na", "n/a", "#n/a", "nan", "null", "none", "nil", "\\n", "<na>", "nat", "undefined"}
"""Words in small letters that writers of text have for a value that is not there."""
ALIKE = 0.05
"""Share of the values from which on it is no chance that they differ in their capitals alone."""
_EXACT = {16: 1 << 11, 32: 1 << 24, 64: 1 << 53}
"""Up to where a float of so many bits holds every whole number."""


@dataclass(frozen=True)
class Coded:
    """The distinct values of a column when all of it was read."""

    codes: np.ndarray
    """int32 [as many as were given out], code given out -> code; values that mean the same share
    one"""
    hashes: np.ndarray
    """uint64 [distinct], of each code's value: the same in every log"""
    warnings: tuple[str, ...]


class Coder:
    """Values -> codes 0, 1, 2, ... in order of first appearance."""

    def __init__(self, whole: bool):
        """whole: numbers must be whole, as ids are."""
        self._whole = whole
        self._known: dict[Key, int] = {}
        self._typed = False  # whether some file holds the column as numbers

    def __call__(self, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """int32 [n] codes, and bool [n], true where a value is given (neither null nor blank).

        Raises Unfit for a type or value that cannot be an id.
        """
        column = plain(column)
        kind = column.type
        _check(column)
        self._typed |= pa.types.is_decimal(kind) or _is_number(kind)
        encoded = column.dictionary_encode(null_encoding="encode")
        keys = keys_of(encoded.dictionary, self._whole)
        known = self._known
        codes = np.array([known.setdefault(key, len(known)) for key in keys], np.int32)
        given = np.array([key is not None for key in keys], bool)
        index = encoded.indices.to_numpy(zero_copy_only=False)
        return (codes[index], given[index]) if len(keys) else (index, index.astype(bool))

    def settle(self, column: str) -> Coded:
        """The codes for good. `column` names it in warnings, such as data.columns.user 'uid'."""
        known = self._known
        texts = {key.strip() for key in known if isinstance(key, str)}
        form = _NUMBER if self._typed else _WHOLE
        numbers = all(form.fullmatch(text) for text in texts)
        binary = {key for key in known if isinstance(key, bytes)}
        codes: dict[Key, int] = {}
        merged = np.empty(len(known), np.int32)
        for key, code in known.items():
            meant = key.strip() if isinstance(key, str) else key
            meant = _number(meant) if numbers and isinstance(meant, str) else meant
            if binary and isinstance(meant, str) and _uuid(meant) in binary:
                meant = _uuid(meant)
            merged[code] = codes.setdefault(meant, len(codes))
        hashes = np.fromiter((hash_of(key) for key in codes), np.uint64, len(codes))
        warnings = [*_zeros(column, codes), *_padded(column, known, codes)]
        warnings += [*_accents(column, codes), *_spellings(column, codes)]
        warnings += _points(column, codes) if not numbers else []
        warnings += _missing(column, codes) if self._whole else _written_lists(column, codes)
        return Coded(merged, hashes, tuple(warnings))


def _check(column: pa.Array) -> None:
    """Raises Unfit for a plain type whose values are no ids."""
    kind = column.type
    fits = (
        is_text(kind)
        or is_bytes(kind)
        or _is_number(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
        or pa.types.is_date(kind)
        or pa.types.is_time(kind)
        or pa.types.is_timestamp(kind)
    )
    if not fits:
        raise Unfit(
            f"values of type {name_of(kind)}, such as {example(column)}, which are no ids; "
            "give one text, whole number or run of bytes a row"
        )


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def keys_of(values: pa.Array, whole: bool = False) -> list[Key]:
    """Keys of the values of a plain array. Raises Unfit for numbers that are no ids: fractions
    where they must be whole, and floats too large to tell neighbours apart."""
    kind = values.type
    if pa.types.is_floating(kind):
        return _float_keys(values, whole)
    if pa.types.is_decimal(kind):
        return [_decimal_key(value, whole) for value in values.to_pylist()]
    if pa.types.is_timestamp(kind):
        return _timestamp_keys(values)
    if is_bytes(kind):
        return [_bytes_key(value) for value in values.to_pylist()]
    if pa.types.is_time(kind):
        texts = values.cast(pa.string()).to_pylist()
        return [t and (t.rstrip("0").rstrip(".") if "." in t else t) for t in texts]
    try:
        texts = values.to_pylist() if is_text(kind) else values.cast(pa.string()).to_pylist()
    except UnicodeDecodeError:  # a column that calls itself text and is in another encoding
        return [_bytes_key(value) for value in values.cast(pa.large_binary()).to_pylist()]
    return [None if text is None or not text or text.isspace() else text for text in texts]


def _float_keys(values: pa.Array, whole: bool) -> list[Key]:
    exact = _EXACT[values.type.bit_width]
    keys: list[Key] = []
    # a float32's own digits (0.1), not those of the double nearest to it
    texts = values.cast(pa.string()).to_pylist()
    for value, text in zip(values.to_pylist(), texts, strict=True):
        if value is None or value != value:
            keys.append(None)
        elif not value.is_integer():
            if whole:
                raise Unfit(
                    f"the number {text} (type {values.type}), and ids are whole numbers or text"
                )
            keys.append(text)
        elif abs(value) > exact:
            raise Unfit(
                f"the number {text} as {values.type}, which tells whole numbers apart only up to "
                f"{exact:,}, so that several ids may have become one; write the column as integers "
                "or text"
            )
        else:
            keys.append(str(int(value)))
    return keys


def _decimal_key(value: Decimal | None, whole: bool) -> Key:
    if value is None:
        return None
    if value == value.to_integral_value():
        return str(int(value))
    if whole:
        raise Unfit(f"the number {value} (a decimal), and ids are whole numbers or text")
    return format(value.normalize(), "f")


def _timestamp_keys(values: pa.Array) -> list[Key]:
    """ISO text without trailing zeros, so that the unit does not matter; instants in UTC."""
    unit, zone = values.type.unit, "Z" if values.type.tz else ""
    steps = values.cast(pa.int64()).to_pylist()
    keys: list[Key] = []
    for step in steps:
        if step is None:
            keys.append(None)
            continue
        text = str(np.datetime64(step, unit))
        head, dot, fraction = text.partition(".")
        fraction = fraction.rstrip("0")
        keys.append(head + (dot + fraction if fraction else "") + zone)
    return keys


def _bytes_key(value: bytes | None) -> Key:
    """Text where the bytes are that and nothing would be trimmed from it; otherwise the bytes."""
    if not value:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value
    return text if text == text.strip() else value


def _number(text: str) -> str:
    """Decimal text without needless zeros or exponent; leading zeros stay, for they mean another
    id than the number does."""
    if "e" in text or "E" in text:
        value = Decimal(text)
        return str(int(value)) if value == value.to_integral_value() else format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _uuid(text: str) -> bytes | None:
    """The 16 bytes of a UUID that is written out."""
    try:
        return uuid.UUID(text).bytes if len(text) in (32, 36) else None
    except ValueError:
        return None


def hash_of(key: Key) -> int:
    """64 bits, the same for a value in every log."""
    data = b"text " + key.encode() if isinstance(key, str) else b"bytes " + key if key else b""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _zeros(column: str, codes: dict[Key, int]) -> list[str]:
    """A warning of ids that differ from others in their leading zeros alone."""
    padded = [
        key
        for key in codes
        if isinstance(key, str)
        and key.startswith("0")
        and key.isdecimal()
        and (key.lstrip("0") or "0") != key
        and (key.lstrip("0") or "0") in codes
    ]
    if not padded:
        return []
    bare = padded[0].lstrip("0") or "0"
    return [
        f"{column}: {len(padded):,} values stand both with leading zeros and without, such as "
        f"{padded[0]!r} and {bare!r}; they count as different, so if they mean one and the same, "
        "write them alike in all files"
    ]


def _points(column: str, codes: dict[Key, int]) -> list[str]:
    """A warning of whole numbers that stand both as 17 and as 17.0 among texts that are none."""
    twice = [
        key
        for key in codes
        if isinstance(key, str) and key.endswith(".0") and key.removesuffix(".0") in codes
    ]
    if not twice:
        return []
    return [
        f"{column}: {len(twice):,} values stand both with a decimal point and without, such as "
        f"{twice[0]!r} and {twice[0].removesuffix('.0')!r}; they count as different beside values "
        "that are no numbers, so write them alike in all files"
    ]


def _accents(column: str, codes: dict[Key, int]) -> list[str]:
    """A warning of values that look alike and differ in Unicode's way of writing accents."""
    texts = [key for key in codes if isinstance(key, str) and not key.isascii()]
    odd = [text for text in texts if not unicodedata.is_normalized("NFC", text)]
    twice = [text for text in odd if unicodedata.normalize("NFC", text) in codes]
    if not twice:
        return []
    return [
        f"{column}: {len(twice):,} values stand both with composed accents and with decomposed "
        f"ones, such as {twice[0]!r}; they look alike and count as different, so write them in one "
        "Unicode form (NFC) in all files"
    ]


def _spellings(column: str, codes: dict[Key, int]) -> list[str]:
    """A warning of values of which many differ in small and capital letters alone, or in the dashes
    of a UUID. A few do so by chance where ids are random letters of both kinds."""
    texts = [key for key in codes if isinstance(key, str)]
    odd = [text for text in texts if text.lower() != text or len(text) == 36]
    if not odd:
        return []
    first: dict[str, str] = {}
    twice = [t for t in texts if first.setdefault(_folded(t), t) != t]
    if len(twice) < max(1, ALIKE * len(texts)):
        return []
    return [
        f"{column}: {len(twice):,} values are written in two ways that differ in capital letters "
        f"or dashes alone, such as {first[_folded(twice[0])]!r} and {twice[0]!r}; they count as "
        "different, so if they mean one and the same, write them alike in all files"
    ]


def _folded(text: str) -> str:
    text = text.lower()
    return text.replace("-", "") if len(text) == 36 and text.count("-") == 4 else text


def _missing(column: str, codes: dict[Key, int]) -> list[str]:
    """A warning of words that mostly stand for a missing value."""
    words = [key for key in codes if isinstance(key, str) and key.strip().lower() in MISSING]
    if not words:
        return []
    return [
        f"{column}: {', '.join(map(repr, words))} counts as a value like others; if it stands for "
        "a missing one, leave it blank in the log, or in text say data.format: {nulls: [...]}"
    ]


def _written_lists(column: str, codes: dict[Key, int]) -> list[str]:
    """A warning of lists that were written as text."""
    texts = [key for key in codes if isinstance(key, str)]
    lists = [
        key for key in texts if key.startswith(("[", "(", "{")) and key.endswith(("]", ")", "}"))
    ]
    if len(lists) <= len(texts) / 2:
        return []
    return [
        f"{column}: values such as {cut(lists[0])!r} are lists written as text, of which each "
        "counts as one value; write Parquet or JSON lines, in which a list is a bag of values"
    ]


def _padded(column: str, known: dict[Key, int], codes: dict[Key, int]) -> list[str]:
    """A warning of values that became one because blanks around them are not read."""
    if len(codes) == len(known):
        return []
    written = Counter(key.strip() for key in known if isinstance(key, str))
    several = [text for text, times in written.items() if times > 1]
    if not several:
        return []
    return [
        f"{column}: {len(several):,} values stand both with blanks around them and without, such "
        f"as {several[0]!r}; they count as one"
    ]
