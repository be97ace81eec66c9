"""Files that hold the same rows under two names: equal bytes, also once they are unpacked, or equal
rows in any order and format."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from recscale.data.identity import Content
from recscale.data.intake import Events
from recscale.data.layout import DataError
from recscale.data.repeats import read_hashes, unread_digests
from recscale.data.streams import COMPRESSED, kind_of, open_bytes, readable
from recscale.data.tables import Log, whole_rows

HEAD = 1 << 16
"""Unpacked bytes by which files are told apart before they are read whole."""
SMALLEST = 3
"""Rows of a file from which on it is no accident that another one holds the same in other bytes:
under a clock of days a user may well take one item twice, and a stream may write files of a row."""
T = TypeVar("T")


def refuse_copies(path: str, seen: Sequence[Content], holds_rows: Callable[[Path], bool]) -> None:
    """Raises DataError where two files have one content, so that its rows would count twice, and
    might train and evaluate at once. Files without rows may be alike."""
    for alike in _groups(seen, lambda c: c.digest):
        _refuse(path, [c.file for c in alike], holds_rows)
    texts = [c.file for c in seen if kind_of(c.file) in COMPRESSED | {"text"}]
    if any(kind_of(file) in COMPRESSED for file in texts):
        for near in _groups(texts, lambda f: _unpacked(f, HEAD)):
            for alike in _groups(near, lambda f: _unpacked(f, None)):
                _refuse(path, alike, holds_rows)


def refuse_same_files(data: Log, events: Events) -> None:
    """Raises DataError where two files hold the same rows, in any order and format: row by row a
    coarse clock shows no copies, and a finer one drops them without a name. Of files that differ
    in their columns, as where one was written with its row numbers, those that both have count."""
    starts = [first for _, first in events.files]
    number = events.columns["row"]
    cuts = np.searchsorted(number, [*starts, np.iinfo(np.int64).max])
    lengths = np.diff(cuts)
    sizes, counts = np.unique(lengths, return_counts=True)
    sizes = sizes[(counts > 1) & (sizes >= SMALLEST)]
    if data.source == "sequences" or not len(sizes):
        return

    def read(i: int) -> tuple[int, int]:
        hashes = read_hashes(events, np.arange(cuts[i], cuts[i + 1]))
        return int(lengths[i]), int(hashes.sum())

    def names(i: int) -> set[str]:
        row = number[cuts[i] : cuts[i] + 1] - starts[i]
        return set(next(whole_rows(data, events.files[i][0], row)).schema.names)

    for near in _groups(np.flatnonzero(np.isin(lengths, sizes)).tolist(), read):
        shared = set.intersection(*map(names, near))

        def unread(i: int, shared: set[str] = shared) -> int:
            return int(unread_digests(data, events, number[cuts[i] : cuts[i + 1]], shared).sum())

        for alike in _groups(near, unread):
            raise DataError(_told(data.path, [events.files[i][0] for i in alike[:3]]))


def _groups(things: Iterable[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    """Those of equal key, two or more of them together."""
    by: dict[Hashable, list[T]] = defaultdict(list)
    for thing in things:
        by[key(thing)].append(thing)
    return [group for group in by.values() if len(group) > 1]


def _refuse(path: str, files: list[Path], holds_rows: Callable[[Path], bool]) -> None:
    if holds_rows(files[0]):
        raise DataError(_told(path, files[:3]))


def _told(path: str, files: list[Path]) -> str:
    return (
        f"data.path {path}: {' and '.join(map(str, files))} hold the same rows, which would count "
        "twice; keep one of them, or give a narrower glob"
    )


def _unpacked(file: Path, length: int | None) -> str:
    digest = hashlib.blake2b()
    with readable(file), open_bytes(file) as source:
        while block := source.read(HEAD):
            digest.update(block)
            if length is not None:
                break
    return digest.hexdigest()
