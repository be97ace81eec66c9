"""Everything a run needs to go on as if nothing had happened: model, both optimisers' state, data
position, the curve so far. Random states are not among it: what is drawn depends on seed, step and
sample alone.

torch.distributed.checkpoint writes one file a rank, so that a run may go on with another number of
workers. Training stops only while the state is copied to memory, or until it is written where
memory is short; a thread writes it, with a gloo group of its own among the ranks. A checkpoint
counts once `facts.json`, written last, is in its folder. It vouches for every other file, by size
and CRC-32, and names its run. A checkpoint of which anything differs is set aside, by another name
of its `facts.json`, and the run goes on from an older one or from its start. Of its folder only the
newest is kept, and what lies beyond its own end: a trajectory's folder holds the state in which its
last run left it.
"""

from __future__ import annotations

import concurrent.futures as futures
import json
import math
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

import pyarrow.fs as pafs
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException

from recscale.crc import with_crc
from recscale.states import FACTS, UNREADABLE, checkpoints, facts_of, folder, newest, step_of
from recscale.storage import filesystem, guarded, remove, write
from recscale.train.average import Average
from recscale.train.dcpfiles import Reader, Writer
from recscale.train.optim import Optimizers
from recscale.train.staging import copied, fits

DAMAGED = "damaged.json"
"""What `facts.json` is called in a checkpoint that was set aside."""
CHUNK = 1 << 22  # bytes read at once
FAILURE_S = 3600.0
"""Assumed mean time between losses of a run's workers: an hour, a bad day of spot machines."""
FIRST_COST_S = 0.01
"""Assumed cost of a checkpoint before one was measured."""
LAST_WAIT_S = 10
"""What a training that fails waits for the checkpoint under way."""


def interval(cost_s: float, most_s: float, failure_s: float = FAILURE_S) -> float:
    """Seconds between checkpoints that cost `cost_s` each: sqrt(2 cost M) with M the mean time
    between failures, which minimises the expected waste cost/T + T/2M to first order (Young 1974,
    doi:10.1145/361147.361115; Daly 2006, doi:10.1016/j.future.2004.11.016), and never more than
    `most_s`. What a checkpoint costs is the time that training stood still for it and the time
    that its write took beside the training, as if they shared the machine. A kill costs at most
    the work of one interval, of one write, and of the steps between two looks at the clock."""
    return min(most_s, math.sqrt(2 * cost_s * failure_s))


class Source(NamedTuple):
    """A folder of checkpoints, a path or URI that all ranks share."""

    root: str
    name: str
    """Of the run or trajectory whose checkpoints they are; they bear it."""
    most: int | None = None
    """Steps of the latest that is of use, where others than this run write here."""


class Checkpoints:
    """The checkpoints of one run, written to the first of its sources and read from all. Every
    rank makes one and calls its methods together with the others."""

    def __init__(
        self,
        sources: Sequence[Source],
        most_s: float,
        model: Any,
        optimizers: Optimizers,
        average: Average | None = None,
    ):
        self.place, self.name, _ = sources[0]
        self.fs, self.root = filesystem(self.place)
        self.sources = [s._replace(root=filesystem(s.root)[1]) for s in sources]
        self.most_s = most_s
        self.model, self.optimizers, self.average = model, optimizers, average
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.group = _gloo(dist.group.WORLD) if self.world > 1 else None  # type: ignore[arg-type]
        self.cost_s = FIRST_COST_S
        self.interval_s = interval(self.cost_s, most_s)
        self.write_s = 0.0
        self.kept = 0
        """Step of the newest whole checkpoint."""
        self.saved_at = time.monotonic()
        self.noticed = False
        self.writer = futures.ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self.under_way: futures.Future[None] | None = None
        self.set_aside: list[str] = []
        """What was found damaged, a sentence each."""

    def load(self) -> dict[str, Any] | None:
        """Restores the newest complete checkpoint that is as it was written, and returns its
        facts, or None without one; sets damaged ones aside. Raises StorageError."""
        with guarded(self.place):
            newest, facts = self._newest()
        if newest is None:
            return None
        self.optimizers.materialise()
        state = self._state()
        with guarded(self.place), _unwrapped():
            dcp.load(state, storage_reader=Reader(self.fs, newest), no_dist=self.world == 1)
        self.model.load_state_dict(state["model"])
        self.optimizers.both.load_state_dict(state["optimizers"])
        self.kept = facts["step"]
        return facts

    def _newest(self) -> tuple[str | None, dict[str, Any]]:
        """The newest checkpoint of which nothing differs, and its facts, on every rank."""
        while True:
            path, name = self._same(self._latest())
            if path is None:
                return None, {}
            told = {}, ""
            if self.rank == 0:
                told = facts_of(self.fs, path, name, resting=self.average is not None)
            facts, wrong = self._same(told)
            if not wrong:
                mine = sorted(facts.pop("files").items())[self.rank :: self.world]
                wrong = "".join(self._each(self._differing(path, mine)))
            if not wrong:
                return path, facts
            self.set_aside.append(f"{path}/{wrong}: this checkpoint was set aside")
            if self.rank == 0:
                self.fs.move(f"{path}/{FACTS}", f"{path}/{DAMAGED}")
            self._each("")  # nobody looks again before it is done

    def _latest(self) -> tuple[str | None, str]:
        """The newest complete checkpoint of any source, and the source's name."""
        each = [(newest(self.fs, s.root, s.most), s.name) for s in self.sources]
        return max(each, key=lambda e: -1 if e[0] is None else step_of(e[0]))

    def _differing(self, folder: str, files: list[tuple[str, list[int]]]) -> str:
        """Which of the files is not as it was written; empty where all are."""
        for name, written in files:
            found = _sum_of(self.fs, f"{folder}/{name}")
            if found is None:
                return f"{name} is missing or cannot be read"
            if found != tuple(written):
                return f"{name} is damaged"
        return ""

    def _same(self, mine: Any) -> Any:
        """Rank 0's, on every rank."""
        if self.world == 1:
            return mine
        value = [mine]
        dist.broadcast_object_list(value, src=0, group=self.group)
        return value[0]

    def _each(self, mine: Any) -> list[Any]:
        """Every rank's, in their order, on every rank."""
        if self.world == 1:
            return [mine]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, mine, group=self.group)
        return values

    def due(self, drain_s: float | None) -> bool:
        """Whether it is time; `drain_s` are the seconds until a node is taken away, None without
        notice. A notice is answered at once, and then by the interval for so short a life."""
        at_once = drain_s is not None and not self.noticed
        self.noticed = drain_s is not None
        life = FAILURE_S if drain_s is None else max(1.0, drain_s)
        self.interval_s = interval(self.cost_s, self.most_s, life)
        return at_once or time.monotonic() - self.saved_at >= self.interval_s

    def save(self, step: int, facts: dict[str, Any]) -> None:
        """Copies the state and has it written; `facts` is JSON. Raises StorageError, also of the
        write before this one."""
        begun = time.monotonic()
        self.finish()
        state = self._state()
        if apart := fits(state):
            state = copied(state)
        told = json.loads(json.dumps({**facts, "step": step}))  # the loop goes on with its own
        self.under_way = self.writer.submit(self._write, step, state, told)
        if self.noticed or not apart:
            self.finish()
        self.saved_at = time.monotonic()
        stood = self.saved_at - begun
        self.cost_s = stood + self.write_s if apart else stood

    def finish(self) -> None:
        """Waits for the write under way and raises what went wrong with it."""
        if self.under_way:
            under_way, self.under_way = self.under_way, None
            under_way.result()

    def close(self) -> None:
        """After the training's end; raises what went wrong with the last write."""
        self.writer.shutdown()
        self.finish()

    def abandon(self) -> None:
        """Ends the writing of a training that failed."""
        self.writer.shutdown(wait=False)
        if self.under_way:
            futures.wait([self.under_way], LAST_WAIT_S)

    def _write(self, step: int, state: dict[str, Any], facts: dict[str, Any]) -> None:
        here, begun = folder(self.root, step), time.monotonic()
        with guarded(self.place), _unwrapped():
            self.fs.create_dir(here, recursive=True)
            writer = Writer(self.fs, here)
            dcp.save(
                state,
                storage_writer=writer,
                process_group=self.group,
                no_dist=self.world == 1,
            )
            files = {name: s for sums in self._each(writer.sums) for name, s in sums.items()}
            if self.rank == 0:
                # beside the tensors: a dict without tensors breaks loading on another world size
                about = {"run": self.name, "recscale": version("recscale")}
                whole = with_crc({**facts, **about, "files": files})
                write(self.fs, f"{here}/{FACTS}", json.dumps(whole).encode())
                self.kept = step
                for old, names in checkpoints(self.fs, self.root).items():
                    if old < here or FACTS not in names:
                        remove(self.fs, old)
        self.write_s = time.monotonic() - begun

    def _state(self) -> dict[str, Any]:
        model, optimizers = self.model.state_dict(), self.optimizers.both.state_dict()
        mean = {"average": self.average.state} if self.average else {}
        return {"model": model, "optimizers": optimizers, **mean}


def _sum_of(fs: pafs.FileSystem, path: str) -> tuple[int, int] | None:
    """Bytes and CRC-32 of a file; None where it cannot be read. Raises OSError likewise."""
    size = crc = 0
    try:
        with fs.open_input_file(path) as source:
            while chunk := source.read(CHUNK):
                size, crc = size + len(chunk), zlib.crc32(chunk, crc)
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        return None
    return size, crc


@cache
def _gloo(default: dist.ProcessGroup) -> dist.ProcessGroup:
    """All ranks once more, so that the writing threads meet apart from the training."""
    return dist.new_group(backend="gloo")  # type: ignore[return-value]


@contextmanager
def _unwrapped() -> Iterator[None]:
    """DCP hands every rank what went wrong on any: the error of the disk, if there is one."""
    try:
        yield
    except CheckpointException as error:
        causes = [cause for cause, _ in error.failures.values()]
        disk = next((c for c in causes if isinstance(c, OSError)), None)
        raise disk or RuntimeError(str(error)) from error
