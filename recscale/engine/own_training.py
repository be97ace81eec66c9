"""A run of a trainer of the user's own: its checkpoints' folder, its reports, and its record.

What has been reported is kept beside the trainer's own checkpoint, so that a run that is killed
goes on with the curve that it had. Samples are promised to the budget from one report to the next:
what a start has done beyond its last report when it is killed is known by nobody, and taken to be
at most the most between two of its reports, or what it does in that time at its mean speed. One
that is killed or fails before its first report may have done anything, and costs the whole run.
"""

from __future__ import annotations

import json
import math
import os
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import pyarrow.fs as pafs

from recscale.crc import vouched, with_crc
from recscale.engine.heart import Heart
from recscale.engine.job import Job, finished_record
from recscale.engine.rests import folder
from recscale.families import TrainerConfig
from recscale.families.trainer import DATA
from recscale.frame import TAKEN
from recscale.ledger import SUFFIX, Ledger
from recscale.rescue import rescue
from recscale.run import CurvePoint, RunConfig, RunRecord, Way
from recscale.spend import Start
from recscale.storage import StorageError, filesystem, guarded, is_uri, read, remove, write
from recscale.train.progress import Outcome
from recscale.trainers import Heard, RanAway, TrainerFailed, call
from recscale.trainers.heard import Point

REPORTS = "reports.json"
FILES = "files"
EVERY_S = 0.5
"""Least seconds between two notes of what was reported."""


class Shelf:
    """The folder of one run's checkpoints. On a path it is the trainer's own; of an object store
    there is a copy on this machine, which is put back after a report."""

    def __init__(self, place: str):
        self.place = place
        self.fs, self.root = filesystem(place)
        self.remote = is_uri(place)
        self.facts = self._facts()
        self.files = str(self.facts.get("files", FILES))
        self.local = f"{self.root}/{FILES}"
        self.seen: list[tuple[str, int, int]] = []
        with guarded(place):
            if self.remote:
                self.local = tempfile.mkdtemp(prefix="recscale-")
                if self.facts:
                    self._copy(f"{self.root}/{self.files}", self.local, out=False)
            else:
                os.makedirs(self.local, exist_ok=True)
        self.seen = self._state()

    @property
    def holds(self) -> bool:
        """Whether the trainer has left anything to go on from."""
        return any(Path(self.local).iterdir())

    def changed(self) -> bool:
        """Whether the trainer has written since the last `note`."""
        return self._state() != self.seen

    def clear(self) -> None:
        """Forgets the reports and removes the files."""
        with guarded(self.place):
            remove(self.fs, self.root)

    def note(self, facts: Mapping[str, Any]) -> None:
        """Keeps facts beside the files, and the files as they are now. Raises StorageError."""
        with guarded(self.place):
            before, state = self.files, self._state()
            if self.remote and state != self.seen:
                self.files = f"{FILES}-{time.time_ns()}"
                self._copy(self.local, f"{self.root}/{self.files}", out=True)
            self.seen = state
            text = json.dumps(with_crc({**facts, "files": self.files}))
            self.fs.create_dir(self.root, recursive=True)
            write(self.fs, f"{self.root}/{REPORTS}", text.encode())
            if before != self.files:
                remove(self.fs, f"{self.root}/{before}")

    def _facts(self) -> dict[str, Any]:
        """What was noted; empty where nothing was, or it is damaged: the run begins anew then."""
        with guarded(self.place):
            if not self.fs.get_file_info(f"{self.root}/{REPORTS}").is_file:
                return {}
            return vouched(read(self.fs, f"{self.root}/{REPORTS}")) or {}

    def _state(self) -> list[tuple[str, int, int]]:
        found = []
        for path in Path(self.local).rglob("*"):
            with suppress(FileNotFoundError):  # a part of a file that has just been put in place
                stat = path.stat()
                if not path.is_dir():
                    found.append((str(path), stat.st_size, stat.st_mtime_ns))
        return sorted(found)

    def _copy(self, source: str, target: str, out: bool) -> None:
        local = pafs.LocalFileSystem()
        here, there = (local, self.fs) if out else (self.fs, local)
        found = here.get_file_info(pafs.FileSelector(source, recursive=True, allow_not_found=True))
        if not found:
            return
        there.create_dir(target, recursive=True)
        pafs.copy_files(source, target, source_filesystem=here, destination_filesystem=there)


def train_own(job: Job, ledger: Ledger, heart: Heart | None, world: int, send: Any) -> None:
    """Trains a run by the user's own trainer and, where there is a heart (on rank 0), writes its
    record. Raises what the trainer raises, and StorageError."""
    run, shelf = job.run, Shelf(folder(job.run_dir, job.run_id))
    model = run.model
    assert isinstance(model, TrainerConfig)
    if heart is None:
        call(model, run.train, shelf.local, lambda numbers: None)
        return
    desk = Desk(run, model, shelf, heart, world, send)
    samples = None
    try:
        heart.repeat()
        desk.begin()
        ended = desk.train()
        samples = ended.whole.samples
    finally:
        with suppress(StorageError):  # of a place that is gone: it shows when more is written
            heart.end(samples)
    record = finished_record(job, DATA, ended, told(ledger, heart))
    write_record(ledger, desk.as_reported(record))
    with guarded(shelf.place):
        remove(shelf.fs, shelf.root)


class Desk:
    """Where the reports of one start come in."""

    def __init__(
        self,
        run: RunConfig,
        model: TrainerConfig,
        shelf: Shelf,
        heart: Heart,
        world: int,
        send: Any,
    ):
        self.run, self.model, self.shelf, self.heart, self.world = run, model, shelf, heart, world
        self.send = send
        self.began = time.monotonic()
        self.total, self.cost = model.whole(run.train)
        self.earlier = Way(*shelf.facts.get("way", Way()))
        resumes = shelf.holds and bool(shelf.facts.get("points"))
        points = shelf.facts["points"] if resumes else []
        taken = {*TAKEN, *model.given(run.train)}
        self.heard = Heard(model.loss, taken, tuple(Point.model_validate(p) for p in points))
        self.resumed = shelf.facts.get("resumed", 0) + 1 if resumes else 0
        self.earlier = self.earlier if resumes else Way()
        self.kept = self.position = self._before_last() if resumes else 0
        self.noted_at = -math.inf

    def begin(self) -> None:
        """Tells the budget from where it goes on. Raises CheckpointLost."""
        self.heart.opened(DATA, look=self.heard.gap or self.total, sure=False)
        time.sleep(self.heart.began(self.kept))

    def train(self) -> Outcome:
        try:
            call(self.model, self.run.train, self.shelf.local, self.hear)
            last = self.heard.ended()
        except RanAway as error:
            self.position = self._units(self.heard.last or 0)
            return self._ended("diverged", str(error), self.position)
        if self.heard.last is None and not (self.model.data_axis and last.samples >= self.total):
            self.shelf.clear()
            raise TrainerFailed(
                f"went on from its checkpoint without a report, so that what it came to after "
                f"{last.samples:,} samples is not known: it begins anew"
            )
        return self._ended("done", None, self.total)

    def hear(self, numbers: Mapping[str, Any]) -> None:
        """One report."""
        point = self.heard.hear(numbers, self._way().time_s)
        self.position = self._units(point.samples)
        # a checkpoint must not be newer than what is known of its curve
        if self.shelf.changed() or time.monotonic() - self.noted_at >= EVERY_S:
            self._note()
        self.heart.looked(self.position, self.kept)
        # without a data axis the run counts whole
        if self.model.data_axis and self.heart.look != self.heard.gap:
            self.heart.look = self.heard.gap
            self.heart.beat()
        self.send(self._point(point, self.total).columns())

    def as_reported(self, record: RunRecord) -> RunRecord:
        """The record with the samples that were reported, where no axis says how many."""
        if self.model.data_axis or record.measured is None or record.final is None:
            return record
        update = {"samples": record.final.samples}
        return record.model_copy(update={"measured": record.measured.model_copy(update=update)})

    def _note(self) -> None:
        self.noted_at = time.monotonic()
        points = [p.model_dump() for p in self.heard.points]
        self.shelf.note({"points": points, "way": self._way(), "resumed": self.resumed})
        self.kept = self._before_last() if self.shelf.holds else 0

    def _before_last(self) -> int:
        """Samples, as the plan counts them, that a checkpoint holds for certain: one may be written
        before the report of its samples or after it."""
        at = [p.samples for p in self.heard.points[-2:-1]]
        return self._units(at[0]) if at and self.model.data_axis else 0

    def _units(self, samples: int) -> int:
        """Samples of a report as the plan counts them; without a data axis a run is one, and
        counts whole from its first report on."""
        return min(self.total, samples) if self.model.data_axis else 1

    def _way(self) -> Way:
        now = time.monotonic() - self.began
        return Way(
            self.position, self.earlier.time_s + now, self.earlier.worker_s + now * self.world,
            len(self.heard.points),
        )  # fmt: skip

    def _point(self, p: Point, whole: int) -> CurvePoint:
        """A report as a point of the curve of a run that ends at `whole` samples."""
        return CurvePoint(
            samples=p.samples,
            train_flop=self.cost * min(1.0, p.samples / whole) if whole else self.cost,
            time_s=p.time_s,
            train_loss=p.train_loss,
            eval_loss=p.loss,
            metrics=p.metrics,
        )

    def _ended(
        self, status: Literal["done", "diverged"], error: str | None, samples: int
    ) -> Outcome:
        points = self.heard.points
        last = self.total if self.model.data_axis else max((p.samples for p in points), default=1)
        return Outcome(
            status=status,
            before=Way(),
            curve=[self._point(p, last) for p in points],
            whole=self._way()._replace(samples=samples, evaluations=0),
            workers=self.world,
            resumed=self.resumed,
            error=error,
            peak_bytes=1024 * resource.getrusage(
                resource.RUSAGE_CHILDREN if self.model.command else resource.RUSAGE_SELF
            ).ru_maxrss,
        )  # fmt: skip


def told(ledger: Ledger, heart: Heart) -> Sequence[Start]:
    """The starts of a run as far as the ledger can be read, the one of `heart` last."""
    starts: list[Start] = []
    with suppress(StorageError):  # of a place that is gone: it shows when the record is written
        starts = [s for s in ledger.starts() if s.run_id == heart.job.run_id]
    return sorted(starts, key=lambda s: s.id == heart.id) or [heart.told]


def write_record(ledger: Ledger, record: RunRecord) -> None:
    """Raises StorageError that says where the record was kept instead."""
    try:
        ledger.record(record)
    except StorageError as error:
        kept = rescue(record, ledger.root, f"{ledger.name}{SUFFIX}")
        raise StorageError(f"{error}; {kept}") from error
