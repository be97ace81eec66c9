"""The ledger: append-only lines of JSON, one file a writer, in one directory anywhere.

Every process that writes owns a file of its own, so that any number of drivers and workers write
without locks, on a local path or an object store. Readers merge the files: of several `done`
records of one run the earliest counts, so a run is done exactly once whatever was killed, retried
or run twice. A line torn by a kill is left out by readers, and the next append to that file
starts on a new line.

Entries are in the order of a hybrid logical clock (Kulkarni et al. 2014): the writer's own time,
but later than every entry that it has read. Whatever is written in answer to something comes
after it, though clocks differ by hours or are set back.
"""

from __future__ import annotations

import json
import math
import os
import socket
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.fs as pafs
from pydantic import ValidationError

from recscale.run import RunRecord
from recscale.spend import SIGNS, Start, both, heard
from recscale.storage import StorageError, filesystem, guarded, read

if TYPE_CHECKING:
    import pandas as pd

SUFFIX = ".jsonl"


@contextmanager
def of_this_version(place: str) -> Iterator[None]:
    """Raises StorageError for facts at `place` that this version does not know."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{error.title}, {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise StorageError(
            f"{place}: the ledger was written by another version of recscale ({what}); read it "
            "with that version, or give the sweep another name or `storage`"
        ) from error


@dataclass
class _File:
    """What has been read of one writer's file."""

    size: int = 0
    tail: bytes = b""
    entries: list[dict[str, Any]] = field(default_factory=list)
    attempts: list[tuple[float, RunRecord]] = field(default_factory=list)
    starts: dict[str, Start] = field(default_factory=dict)
    order: float = -math.inf
    """Of the last entry."""


class Ledger:
    """The records of a sweep at `path` (a run directory or its `ledger` folder)."""

    def __init__(self, path: str | Path, name: str | None = None):
        """Opens the ledger; `name` continues a writer's file, by default a new one is begun at
        the first append."""
        self.place = str(path)
        self.fs, root = filesystem(path)
        self.root = root if root.rstrip("/").endswith("ledger") else f"{root.rstrip('/')}/ledger"
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        self.name = name or f"{stamp}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._files: dict[str, _File] = {}
        self._written: bytes | None = None
        self._latest = -math.inf

    # -- writing ----------------------------------------------------------------------------
    def append(self, kind: str, **facts: Any) -> None:
        """Adds one entry; it is on disk (or in the object store) when this returns. Raises
        StorageError when the place is full, gone or refused."""
        if self._written is None:  # what is there comes before what is written now
            self._refresh_all()
        now = time.time()
        self._latest = max(now, math.nextafter(self._latest, math.inf))
        entry = {"kind": kind, "at": now, "order": self._latest, **facts}
        line = json.dumps(entry, allow_nan=False)
        data = line.encode() + b"\n"
        path = f"{self.root}/{self.name}{SUFFIX}"
        with guarded(self.place):
            if isinstance(self.fs, pafs.LocalFileSystem):
                self._append_local(path, data)
            else:  # object stores cannot append, but this file has one writer: put it anew, whole
                self._put_anew(path, data)

    def record(self, record: RunRecord) -> None:
        """Adds the record of one attempt."""
        self.append("run", record=record.model_dump(mode="json"))

    def _append_local(self, path: str, data: bytes) -> None:
        if self._written is None:  # later a missing folder is a place that is gone
            os.makedirs(self.root, exist_ok=True)
            self._written = b""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                data = b"\n" + data  # a torn last line stays torn; ours starts on a new one
            while data:
                data = data[os.write(fd, data) :]
            os.fsync(fd)
        finally:
            os.close(fd)

    def _put_anew(self, path: str, data: bytes) -> None:
        if self._written is None:
            self.fs.create_dir(self.root, recursive=True)
            there = self.fs.get_file_info(path).type != pafs.FileType.NotFound
            self._written = _on_new_line(read(self.fs, path)) if there else b""
        whole = self._written + data
        with self.fs.open_output_stream(path) as out:
            out.write(whole)
        self._written = whole

    # -- reading ----------------------------------------------------------------------------
    def entries(self) -> list[dict[str, Any]]:
        """Every entry of every writer in order. Only what is new since the last call is read."""
        self._refresh_all()
        merged = [(e["order"], name, e) for name, f in self._files.items() for e in f.entries]
        return [e for _, _, e in sorted(merged, key=lambda t: t[:2])]

    def starts(self) -> list[Start]:
        """Every start of a run, as it was last heard of, in order."""
        self._refresh_all()
        found: dict[str, Start] = {}
        for file in self._files.values():
            for i, start in file.starts.items():
                found[i] = both(found[i], start) if i in found else start
        return sorted(found.values(), key=lambda s: (s.order, s.id))

    def _refresh_all(self) -> None:
        selector = pafs.FileSelector(self.root, allow_not_found=True)
        with guarded(self.place):
            for info in self.fs.get_file_info(selector):
                if info.path.endswith(SUFFIX):
                    self._refresh(info.path, info.size or 0)

    def _refresh(self, path: str, size: int) -> None:
        file = self._files.setdefault(path, _File())
        if size <= file.size:
            return
        with self.fs.open_input_file(path) as source:
            source.seek(file.size)
            data = source.read()
        *whole, tail = (file.tail + data).split(b"\n")
        entries = [e for line in whole if (e := _parse(line)) is not None]
        for e in entries:  # an older version wrote no order; one file is in order as it is
            file.order = e["order"] = max(file.order, e.get("order", e["at"]))
        self._latest = max(self._latest, file.order)
        with of_this_version(self.place):
            for e in entries:
                if e["kind"] == "run":
                    file.attempts.append((e["order"], RunRecord.model_validate(e["record"])))
                elif e["kind"] in SIGNS and "start" in e:
                    file.starts[e["start"]] = heard(file.starts.get(e["start"]), e)
        file.entries += entries
        file.size, file.tail = file.size + len(data), tail

    def attempts(self) -> list[RunRecord]:
        """Every recorded attempt, failures and repeats included, in order."""
        self._refresh_all()
        records = [(at, name, r) for name, f in self._files.items() for at, r in f.attempts]
        return [r for _, _, r in sorted(records, key=lambda t: t[:2])]

    def records(self) -> list[RunRecord]:
        """The one record that counts of every run: the earliest that is done or diverged, else
        the latest failure."""
        return standing(self.attempts())

    def frame(self) -> pd.DataFrame:
        """One row a run, units in the column names; see `recscale.frame`. Which runs may enter a
        law is as the sweep asks."""
        from recscale.frame import records_frame

        plan = next((e for e in reversed(self.entries()) if e["kind"] == "plan"), {})
        asked = plan.get("spec", {}).get("law", {}).get("below_baseline", False)
        return records_frame(self.records(), below_baseline=asked)

    def curves(self) -> pd.DataFrame:
        """One row a point of a learning curve: run_id and the fields of `CurvePoint`."""
        from recscale.frame import curves_frame

        return curves_frame(self.records())


def standing(attempts: Iterable[RunRecord]) -> list[RunRecord]:
    """The one record that counts of every run, of attempts in order."""
    best: dict[str, RunRecord] = {}
    for record in attempts:
        before = best.get(record.run_id)
        if before is None or not before.settled:
            best[record.run_id] = record
    return list(best.values())


def finished(records: Iterable[RunRecord]) -> dict[str, RunRecord]:
    """Runs that need not be trained again."""
    return {r.run_id: r for r in records if r.settled}


def _parse(line: bytes) -> dict[str, Any] | None:
    """One entry, or None for a line torn by a kill."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "kind" in entry and "at" in entry else None


def _on_new_line(data: bytes) -> bytes:
    return data + b"\n" if data and not data.endswith(b"\n") else data
