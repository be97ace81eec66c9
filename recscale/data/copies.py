"""Files that hold the same rows under two names: equal bytes, also once they are unpacked."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from recscale.data.identity import Content
from recscale.data.layout import DataError
from recscale.data.streams import COMPRESSED, kind_of, open_bytes, readable

HEAD = 1 << 16
"""Unpacked bytes by which files are told apart before they are read whole."""
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


def _groups(things: Iterable[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    """Those of equal key, two or more of them together."""
    by: dict[Hashable, list[T]] = defaultdict(list)
    for thing in things:
        by[key(thing)].append(thing)
    return [group for group in by.values() if len(group) > 1]


def _refuse(path: str, files: list[Path], holds_rows: Callable[[Path], bool]) -> None:
    if holds_rows(files[0]):
        raise DataError(
            f"data.path {path}: {' and '.join(map(str, files[:3]))} hold the same rows, which "
            "would count twice; keep one of them, or give a narrower glob"
        )


def _unpacked(file: Path, length: int | None) -> str:
    digest = hashlib.blake2b()
    with readable(file), open_bytes(file) as source:
        while block := source.read(HEAD):
            digest.update(block)
            if length is not None:
                break
    return digest.hexdigest()
