"""The ledger: append-only lines of JSON, one file a writer, in one directory anywhere.

Every process that writes owns a file of its own, so that any number of drivers and workers write
without locks, on a local path or an object store. Readers merge the files: of several `done`
records of one run the earliest counts, so a run is done exactly once whatever was killed, retried
or run twice.

Entries are in the order of a hybrid logical clock (Kulkarni et al. 2014): the writer's own time,
but later than every entry that it has read. Whatever is written in answer to something comes
after it, though clocks differ by hours or are set back.

Every line has a checksum. The last line of a file may have been torn by a kill: readers leave it
out, and its writer cuts it off. Any other line that is not as it was written is damage, and so is
a record whose run_id is not that of its config. Every driver notes how far it has read the other
files, and every worker how far those of drivers, so that a file that is cut, emptied, missing or
another one is told as well; but not what nobody had read, such as the last minute before a driver
was killed. Damage is told by `vouch`. Who accepts the loss gives the file the ending `.damaged`:
its good lines still count.
"""

from __future__ import annotations

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

from recscale import lines
from recscale.manifest import Manifest
from recscale.run import RunRecord
from recscale.spend import BEAT, SIGNS, Start, both, heard
from recscale.storage import StorageError, filesystem, guarded, read

if TYPE_CHECKING:
    import pandas as pd

SUFFIX = ".jsonl"
ASIDE = ".damaged"
"""After SUFFIX: a file whose damage was accepted."""
SHOWN = 20  # damaged places that an error names


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
class _File(lines.Read):
    """Likewise, and the records among the entries."""

    attempts: list[tuple[float, RunRecord]] = field(default_factory=list)
    starts: dict[str, Start] = field(default_factory=dict)
    order: float = -math.inf
    """Of the last entry."""


class Ledger:
    """The records of a sweep at `path` (a run directory or its `ledger` folder)."""

    def __init__(self, path: str | Path, name: str | None = None, joins: bool = False):
        """Opens the ledger; `name` continues a writer's file, by default a new one is begun at
        the first append. A worker `joins` the ledger of a driver: where its folder is gone, it
        makes none anew."""
        self.place = str(path)
        self.fs, root = filesystem(path)
        self.root = root if root.rstrip("/").endswith("ledger") else f"{root.rstrip('/')}/ledger"
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        self.name = name or f"{stamp}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._files: dict[str, _File] = {}
        self._joins = joins
        self._noted: dict[str, int] = {}
        """Of other writers' files: bytes that an entry of this one vouches for."""
        self._written: bytes | None = None
        self._latest = -math.inf

    @property
    def home(self) -> str:
        """The run directory."""
        return self.root.removesuffix("/ledger")

    # -- writing ----------------------------------------------------------------------------
    def append(self, kind: str, **facts: Any) -> None:
        """Adds one entry; it is on disk (or in the object store) when this returns. Raises
        StorageError when the place is full, gone or refused."""
        if self._written is None:  # what is there comes before what is written now
            self._refresh_all()
        now, seen = time.time(), self._news()
        self._latest = max(now, math.nextafter(self._latest, math.inf))
        noted = {"seen": seen} if seen else {}
        entry = {"kind": kind, "at": now, "order": self._latest, **facts, **noted}
        data = lines.written(entry)
        path = f"{self.root}/{self.name}{SUFFIX}"
        with guarded(self.place):
            if isinstance(self.fs, pafs.LocalFileSystem):
                self._append_local(path, data)
            else:  # object stores cannot append, but this file has one writer: put it anew, whole
                self._put_anew(path, data)
        self._noted |= {name: size for name, (size, _) in seen.items()}

    def record(self, record: RunRecord | None = None, **run: Any) -> str:
        """Adds the record of one attempt: of a run of nobody's sweep by what `record_of` in
        `recscale.recorded` takes, such as axes={"hidden": 64}, cost="6 * hidden * samples",
        samples=1e6, loss=0.41. `status`, `report`, `ask` and `fit` read such a ledger.

        Returns the run's id. Raises RecordError for what is no run, or another result of one that
        is recorded; and StorageError.
        """
        if record is None:
            from recscale.recorded import record_of

            record = record_of(**run)
            if not self._is_new(record):
                return record.run_id
        self.append("run", record=record.model_dump(mode="json"))
        return record.run_id

    def _is_new(self, record: RunRecord) -> bool:
        """Whether a run of nobody's sweep is not recorded yet. Raises RecordError where it is, with
        another result, and in the ledger of a sweep."""
        from recscale.recorded import RecordError

        if any(e["kind"] == "plan" for e in self.entries()):
            raise RecordError(
                f"{self.place}: this is the ledger of a sweep; record other runs in a folder of "
                "their own"
            )
        known = finished(self.records()).get(record.run_id)
        if known is None:
            return True
        was, now = (r.final.eval_loss if r.final else r.status for r in (known, record))
        if was != now:
            raise RecordError(
                f"{record.run_id} is recorded with {was}, and now with {now}: a second run of the "
                "same sizes needs another seed"
            )
        return False

    def _news(self) -> dict[str, tuple[int, int]]:
        """Bytes and CRC-32 of what was read of other writers' files since this one noted it."""
        own = f"{self.root}/{self.name}{SUFFIX}"
        return {
            path.rpartition("/")[2]: (file.size, file.crc)
            for path, file in self._files.items()
            if path != own and not path.endswith(ASIDE) and (file.drives or not self._joins)
            if file.size > self._noted.get(path.rpartition("/")[2], 0)
        }

    def _append_local(self, path: str, data: bytes) -> None:
        if self._written is None:  # later a missing folder is a place that is gone
            if not self._joins:
                os.makedirs(self.root, exist_ok=True)
            self._written = b""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                before = lines.mended(os.pread(fd, size, 0))
                os.ftruncate(fd, min(size, len(before)))
                data = before[size:] + data
            while data:
                data = data[os.write(fd, data) :]
            os.fsync(fd)
        finally:
            os.close(fd)

    def _put_anew(self, path: str, data: bytes) -> None:
        if self._written is None:
            self.fs.create_dir(self.root, recursive=True)
            there = self.fs.get_file_info(path).type != pafs.FileType.NotFound
            self._written = lines.mended(read(self.fs, path)) if there else b""
        whole = self._written + data
        with self.fs.open_output_stream(path) as out:
            out.write(whole)
        self._written = whole

    # -- reading ----------------------------------------------------------------------------
    def entries(self) -> list[dict[str, Any]]:
        """Every entry of every writer in order, but the beats, which `starts` has. Only what is
        new since the last call is read."""
        self._refresh_all()
        merged = [
            (e["order"], name, e)
            for name, f in self._files.items()
            for e in f.entries
            if e["kind"] != BEAT
        ]
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
            try:
                found = self.fs.get_file_info(selector)
            except NotADirectoryError:
                raise StorageError(
                    f"{self.root} is no folder, as a ledger is; restore it from a copy, or move it "
                    "away to begin anew"
                ) from None
            sizes = {i.path: i.size or 0 for i in found if i.is_file}
            for path, size in sorted(sizes.items()):
                accepted = path.endswith(SUFFIX + ASIDE) and path.removesuffix(ASIDE) not in sizes
                if path.endswith(SUFFIX) or accepted:
                    self._refresh(path, size)

    def _refresh(self, path: str, size: int) -> None:
        file = self._files.setdefault(path, _File())
        if size <= file.looked and not file.tail:  # a torn line may give way to one as long
            return
        with self.fs.open_input_file(path) as source:
            source.seek(file.size)
            entries = file.hear(source.read())
        for e in entries:  # an older version wrote no order; one file is in order as it is
            file.order = e["order"] = max(file.order, e.get("order", e["at"]))
        self._latest = max(self._latest, file.order)
        try:
            with of_this_version(path):
                records = [
                    (e["order"], RunRecord.model_validate(e["record"]))
                    for e in entries
                    if e["kind"] == "run"
                ]
                for e in entries:
                    if e["kind"] in SIGNS and "start" in e:
                        file.starts[e["start"]] = heard(file.starts.get(e["start"]), e)
        except StorageError:
            del self._files[path]  # nor does it read as empty the next time
            raise
        if entries:  # of many hours of beats only what they note of other files is kept
            told = [e for e in entries if e["kind"] != BEAT or "seen" in e]
            file.entries[-len(entries) :] = told
        for at, r in records:
            if r.config.is_run(r.run_id):
                file.attempts.append((at, r))
            else:
                whose = f"holds the configuration of {r.config.run_id}"
                file.damage.append(f" is damaged: its record of {r.run_id} {whose}")

    def damage(self) -> list[tuple[str, str]]:
        """What is not as it was written: the file, and `:line` where it can be named with what is
        wrong there; together a sentence. Files whose damage was accepted are left out."""
        self._refresh_all()
        read = {p: f for p, f in self._files.items() if not p.endswith(ASIDE)}
        found = [(path, what) for path, file in read.items() for what in file.found()]
        notes = [e["seen"] for file in read.values() for e in file.entries if "seen" in e]
        wrong: dict[str, str] = {}
        for name, (size, crc) in (item for note in notes for item in note.items()):
            path = f"{self.root}/{name}"
            if path not in read and path + ASIDE in self._files:
                continue
            if what := self._lacks(path, size, crc):
                wrong[path] = what
        return found + sorted(wrong.items())

    def _lacks(self, path: str, size: int, crc: int) -> str:
        """See `lines.Read.lacks`. A listing may be older than what others have read: what seems to
        be missing is looked for once more."""
        with guarded(self.place):
            try:
                self._refresh(path, size)
            except OSError:
                if self.fs.get_file_info(path).is_file:
                    raise
                self._files.pop(path, None)
                return f" is missing: it held {size:,} bytes or more"
        return self._files[path].lacks(size, crc)

    def vouch(self) -> None:
        """Raises StorageError where anything is damaged: what is lost would be trained again, and
        its cost is missing in the spend."""
        if not (found := self.damage()):
            self._vouch_for_none()
            return
        shown = [f"{path}{what}" for path, what in found[:SHOWN]]
        shown += [f"and {len(found) - SHOWN} more"] * (len(found) > SHOWN)
        # a file in another's place speaks of files that never were here: it goes first
        file, what = min(found, key=lambda f: "is missing" in f[1])
        take = "touch" if "is missing" in what else f"mv {file}"
        raise StorageError(
            "\n".join(shown) + "\nrestore such a file from a copy; or accept that what it held is "
            "lost, so that those runs are trained again and what they cost is not counted, by the "
            f"ending {ASIDE}: {take} {file}{ASIDE}; its good lines still count"
        )

    def _vouch_for_none(self) -> None:
        """Raises StorageError where all entries are gone: what Tune keeps beside them is made after
        the first."""
        if any(file.looked or path.endswith(ASIDE) for path, file in self._files.items()):
            return
        run_dir = self.root.rpartition("/")[0]
        if self.fs.get_file_info(f"{run_dir}/tune").type == pafs.FileType.Directory:
            raise StorageError(
                f"{self.root} holds no entry, and {run_dir}/tune says that runs were trained here; "
                f"restore it from a copy, or remove {run_dir} to begin anew, so that they are "
                "trained again and what they cost is not counted"
            )

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
        from recscale.frame import judged, records_frame

        self.vouch()
        plan = next((e for e in reversed(self.entries()) if e["kind"] == "plan"), {})
        law, records = plan.get("spec", {}).get("law", {}), self.records()
        if loss := law.get("loss"):
            with of_this_version(self.place):
                records = judged(records, loss, Manifest.model_validate(plan["data"]))
        return records_frame(records, below_baseline=law.get("below_baseline", False))

    def curves(self) -> pd.DataFrame:
        """One row a point of a learning curve: run_id and the fields of `CurvePoint`."""
        from recscale.frame import curves_frame

        self.vouch()
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
