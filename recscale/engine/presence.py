"""One driver a run directory: who drives is written there, and a second one is refused.

Two drivers would train every run twice, with one checkpoint folder and twice the budget. Each
writes a small file of its own beneath `drivers/` and renews it while it lives, which asks no locks
of a local path, NFS or an object store. Of drivers that start at the same moment one goes on
(after Lamport's bakery, 1974): who comes announces itself first and then waits until it is alone;
it gives up when another that lives drives already, or comes earlier by name.

A driver that was killed leaves its file. On its own host its process, by id and start time, says
that it is dead; seen from another host its file is watched for WATCH_S.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.fs as pafs

from recscale.planner import PlanError
from recscale.storage import StorageError, exists, filesystem, guarded, read, write

RENEW_S = 4.0
"""Seconds between renewals of a driver's file."""
WATCH_S = 15.0
"""Seconds after which a file that is not renewed is of a driver that died on another host."""
LOOK_S = 0.1
SUFFIX = ".json"


class AlreadyDriven(PlanError):
    """The run directory has a driver that lives."""


class Displaced(PlanError):
    """This driver was taken for dead by another, which drives now."""


@dataclass(frozen=True)
class Driver:
    """A driver, as its file tells. `machine` is that of one boot and one process namespace, in
    which `pid` and `born`, its start in clock ticks since boot, name a process; empty where the
    system has no /proc."""

    name: str
    host: str
    machine: str
    pid: int
    born: int
    since: float
    """Unix seconds."""
    drives: bool = False
    """False while it waits for its turn."""
    renewed: int = 0

    @classmethod
    def here(cls) -> Driver:
        pid, host = os.getpid(), socket.gethostname()
        name = f"{host}-{pid}-{uuid.uuid4().hex[:8]}"
        return cls(name, host, _machine(), pid, _born(pid) or 0, time.time())

    def dead(self) -> bool | None:
        """None where that cannot be known from here."""
        if not self.machine or self.machine != _machine():
            return None
        return _born(self.pid) != self.born

    def before(self, other: Driver) -> bool:
        """Whether it goes first, of two that live."""
        return self.drives or self.name < other.name

    def words(self) -> str:
        since = datetime.fromtimestamp(self.since, UTC).strftime("%Y-%m-%d %H:%M:%S")
        return f"process {self.pid} on host {self.host}, since {since} UTC"


class Presence:
    """Held while this process drives the sweep in `run_dir`, as a context.

    Raises AlreadyDriven where another driver lives, after at most WATCH_S of watching it, and
    StorageError.
    """

    def __init__(self, run_dir: str):
        self.run_dir = run_dir
        self.fs, root = filesystem(run_dir)
        self.root = f"{root.rstrip('/')}/drivers"
        self.me = Driver.here()
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.trouble: StorageError | PlanError | None = None
        """What ended the renewals."""
        self.followed = False
        """Whether a driver that was killed had left its file."""

    def __enter__(self) -> Presence:
        with guarded(self.run_dir):
            self.fs.create_dir(self.root, recursive=True)
            self._write()
            threading.Thread(target=self._renew, name="presence", daemon=True).start()
            try:
                self._wait()
                with self.lock:
                    self._check_own()
                    self.me = replace(self.me, drives=True)
                    self._write()
            except BaseException:
                self.leave()
                raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.leave()

    def check(self) -> None:
        """Raises what ended the renewals: nobody else can tell any more that this driver lives."""
        if self.trouble:
            raise self.trouble

    def check_now(self) -> None:
        """Likewise, by a look at the place. Raises StorageError where it cannot be read."""
        self.check()
        with guarded(self.run_dir):
            self._check_own()

    def _wait(self) -> None:
        """Until no other driver is ahead. Raises AlreadyDriven."""
        seen: dict[str, tuple[bytes, float, bool]] = {}
        """By file: what it last held, since when, and whether it was renewed before our eyes."""
        while others := self._others():
            now = time.monotonic()
            for path, content in others.items():
                before, since, renewed = seen.get(path, (content, now, False))
                if content != before:
                    since, renewed = now, True
                seen[path] = content, since, renewed
                other = parsed(content)
                dead = other.dead() if other else None
                if dead or (dead is None and now - since > WATCH_S):
                    self.followed = True
                    self._remove(path)
                elif other and (dead is False or renewed) and other.before(self.me):
                    raise AlreadyDriven(
                        f"{self.run_dir}: another driver runs this sweep: {other.words()}; follow "
                        "it with `recscale status`, or end it and give the same command again"
                    )
            time.sleep(LOOK_S)

    def _others(self) -> dict[str, bytes]:
        """The files of other drivers."""
        found = {}
        for info in self.fs.get_file_info(pafs.FileSelector(self.root)):
            if info.path.endswith(SUFFIX) and not info.path.endswith(f"/{self.me.name}{SUFFIX}"):
                with suppress(FileNotFoundError):  # gone since
                    found[info.path] = read(self.fs, info.path)
        return found

    def _renew(self) -> None:
        renewed_at = time.monotonic()
        while not self.ended.wait(RENEW_S):
            try:
                with self.lock, guarded(self.run_dir):
                    if self.ended.is_set():
                        return
                    self._check_own()
                    self.me = replace(self.me, renewed=self.me.renewed + 1)
                    self._write()
                renewed_at = time.monotonic()
            except PlanError as trouble:
                self.trouble = trouble
                return
            except StorageError as trouble:
                if time.monotonic() - renewed_at > WATCH_S:
                    self.trouble = trouble
                    return

    def _check_own(self) -> None:
        """Raises Displaced where another driver has taken this one for dead, and FileNotFoundError
        where the run directory is gone."""
        if not exists(self.fs, self._path()):
            if isinstance(self.fs, pafs.LocalFileSystem) and not exists(self.fs, self.root):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.root)
            raise Displaced(
                f"{self.run_dir}: another driver has taken this sweep over, since this one gave no "
                f"sign of life for {WATCH_S:.0f} s; or its folder was deleted"
            )

    def _path(self) -> str:
        return f"{self.root}/{self.me.name}{SUFFIX}"

    def _write(self) -> None:
        write(self.fs, self._path(), json.dumps(asdict(self.me)).encode())

    def leave(self) -> None:
        """This process drives no more."""
        self.ended.set()
        with self.lock:
            self._remove(self._path())

    def _remove(self, path: str) -> None:
        with suppress(OSError):
            self.fs.delete_file(path)


def parsed(content: bytes) -> Driver | None:
    """None for what no driver of this version wrote."""
    try:
        return Driver(**json.loads(content))
    except (ValueError, TypeError):
        return None


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _born(pid: int) -> int | None:
    """Start of a process in clock ticks since boot; None for one that does not live."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])
