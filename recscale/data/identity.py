"""What a log is made of: every file by the digest of all its bytes, never by where it lies.

A digest costs a pass over the file, so it is remembered beside the stores, with what tells cheaply
whether the file is still the same: its size, both its times (a restored mtime leaves a new ctime)
and a few sampled blocks. A terabyte that stands still costs a stat and 32 KB of each file.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

from recscale.crc import vouched, with_crc
from recscale.data.layout import DataError
from recscale.data.streams import readable
from recscale.storage import unfollowed, write

MEMORY = ".files.json"
SAMPLES, SAMPLE = 8, 4096  # blocks, bytes of each
SETTLED = 2_000_000_000
"""Nanoseconds that a file must have rested before a digest is remembered: a write within one tick
of the clock of a file system (up to 2 s) leaves no later time behind."""


@dataclass(frozen=True)
class Content:
    """One file as it was when it was digested."""

    file: Path
    state: tuple[Any, ...]
    """Size, times and sampled blocks: changes with the content"""
    digest: str
    """BLAKE2b of all bytes"""


def contents(files: Iterable[Path], root: Path) -> list[Content]:
    """Every file's content, digested unless the memory under `root` holds its digest.

    Raises DataError for a file that cannot be read, or changes while it is.
    """
    known = _load(root)
    found, fresh = [], {}
    for file in files:
        at = os.path.abspath(file)
        now = time.time_ns()
        state = state_of(file)
        entry = known.get(at, {})
        digest = str(entry.get("digest", ""))
        if tuple(entry.get("state", ())) != state:
            with readable(file), open(file, "rb") as source:
                digest = hashlib.file_digest(source, _hash).hexdigest()
            refuse_changed([Content(file, state, digest)])
            if max(state[1:3]) < now - SETTLED:
                fresh[at] = {"state": state, "digest": digest}
        found.append(Content(file, state, digest))
    if fresh:
        root.mkdir(parents=True, exist_ok=True)
        _remember(root, fresh)
    return found


def state_of(file: Path) -> tuple[Any, ...]:
    """(size, mtime and ctime in ns, digest of sampled blocks). Raises DataError."""
    with readable(file):
        status = os.stat(file)
        digest = _hash()
        with open(file, "rb") as source:
            last = max(0, status.st_size - SAMPLE)
            for i in range(SAMPLES):
                source.seek(last * i // (SAMPLES - 1))
                digest.update(source.read(SAMPLE))
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, digest.hexdigest()


def refuse_changed(seen: Iterable[Content]) -> None:
    """Raises DataError where a file is no longer what it was."""
    for content in seen:
        file = content.file
        if not file.exists() or state_of(file) != content.state:
            raise DataError(
                f"{file}: changed while it was prepared; nothing was kept; give the command again "
                "when nothing writes to it any more, or prepare a copy"
            )


def note_prepared(seen: Sequence[Content], root: Path) -> None:
    """Remembers what was prepared from where, so that a later change can be told."""
    known = _load(root)
    today = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    entries = {}
    for content in seen:
        at = os.path.abspath(content.file)
        if known.get(at, {}).get("prepared_digest") != content.digest:
            entries[at] = {"prepared": today, "prepared_digest": content.digest}
    if entries:
        _remember(root, entries)


def changed_since(seen: Sequence[Content], root: Path) -> str | None:
    """What is new in files prepared before, in a sentence; None where nothing is."""
    known = _load(root)
    changed = []
    for content in seen:
        entry = known.get(os.path.abspath(content.file), {})
        if entry.get("prepared_digest", content.digest) != content.digest:
            changed.append((str(content.file), entry["prepared"]))
    if not changed:
        return None
    file, date = changed[0]
    more = f" (and {len(changed) - 1} more files)" if len(changed) > 1 else ""
    return (
        f"{file}{more} changed since it was prepared on {date}: prepared anew; runs of the old "
        "content stay in the ledger as orphaned"
    )


def _hash() -> Any:
    return hashlib.blake2b(digest_size=16)


def _load(root: Path) -> dict[str, dict[str, Any]]:
    try:
        return vouched((root / MEMORY).read_bytes()) or {}  # a damaged memory is none
    except FileNotFoundError:
        return {}


def _remember(root: Path, entries: dict[str, dict[str, Any]]) -> None:
    if not os.access(root, os.W_OK):  # stores that are only read: to digest again costs time alone
        return
    with open(root / f"{MEMORY}.lock", "w", opener=unfollowed) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = _load(root)
        for at, entry in entries.items():
            known[at] = known.get(at, {}) | entry
        whole = json.dumps(with_crc(known)).encode()
        write(pafs.LocalFileSystem(), str(root / MEMORY), whole)
