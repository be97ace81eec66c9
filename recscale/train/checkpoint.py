"""Everything a run needs to go on as if nothing had happened: model, both optimisers' state, data
position, the curve so far, random states.

torch.distributed.checkpoint writes one file a rank, so that a run may go on with another number of
workers. Training stops only while the state is copied to memory; a thread writes it, with a gloo
group of its own among the ranks. A checkpoint counts once `facts.json`, written last, is in its
folder. Only the newest is kept.
"""

from __future__ import annotations

import concurrent.futures as futures
import io
import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.staging import BlockingAsyncStager

from recscale.storage import exists, filesystem, guarded, read, remove, write
from recscale.train.dcpfiles import Reader, Writer
from recscale.train.optim import Optimizers

PREFIX = "step-"
FACTS = "facts.json"
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


class Checkpoints:
    """The checkpoints of one run in the folder `root`, a path or URI that all ranks share. Every
    rank makes one and calls its methods together with the others."""

    def __init__(self, root: str | Path, most_s: float, model: Any, optimizers: Optimizers):
        self.place, self.most_s = str(root), most_s
        self.fs, self.root = filesystem(root)
        self.model, self.optimizers = model, optimizers
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

    def load(self) -> dict[str, Any] | None:
        """Restores the newest complete checkpoint and returns its facts, or None without one.
        Raises StorageError."""
        newest = _latest(self.fs, self.root)
        if newest is None:
            return None
        self.optimizers.materialise()
        state = self._state()
        with guarded(self.place), _unwrapped():
            dcp.load(state, storage_reader=Reader(self.fs, newest), no_dist=self.world == 1)
        self.model.load_state_dict(state["model"])
        self.optimizers.both.load_state_dict(state["optimizers"])
        random = f"{newest}/random-{self.rank}.pt"
        if exists(self.fs, random):  # absent for a rank that the earlier world did not have
            torch.set_rng_state(torch.load(io.BytesIO(read(self.fs, random)), weights_only=True))
        facts = json.loads(read(self.fs, f"{newest}/{FACTS}"))
        self.kept = facts["step"]
        return facts

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
        state = BlockingAsyncStager().stage(self._state())
        random = io.BytesIO()
        torch.save(torch.get_rng_state(), random)
        text = json.dumps({**facts, "step": step})
        self.under_way = self.writer.submit(self._write, step, state, random.getvalue(), text)
        if self.noticed:
            self.finish()
        self.saved_at = time.monotonic()
        self.cost_s = self.saved_at - begun + self.write_s

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

    def _write(self, step: int, state: dict[str, Any], random: bytes, facts: str) -> None:
        folder, begun = f"{self.root}/{PREFIX}{step:012d}", time.monotonic()
        with guarded(self.place), _unwrapped():
            self.fs.create_dir(folder, recursive=True)
            write(self.fs, f"{folder}/random-{self.rank}.pt", random)
            dcp.save(
                state,
                storage_writer=Writer(self.fs, folder),
                process_group=self.group,
                no_dist=self.world == 1,
            )
            if self.rank == 0:
                # beside the tensors: a dict without tensors breaks loading on another world size
                write(self.fs, f"{folder}/{FACTS}", facts.encode())
                self.kept = step
                for old in _checkpoints(self.fs, self.root):
                    if old != folder:
                        remove(self.fs, old)
        self.write_s = time.monotonic() - begun

    def _state(self) -> dict[str, Any]:
        model, optimizers = self.model.state_dict(), self.optimizers.both.state_dict()
        return {"model": model, "optimizers": optimizers}


def latest(root: str | Path) -> str | None:
    """The newest complete checkpoint in the folder `root`."""
    return _latest(*filesystem(root))


def _latest(fs: pafs.FileSystem, root: str) -> str | None:
    complete = _checkpoints(fs, root)
    return max((path for path in complete if complete[path]), default=None)


def _checkpoints(fs: pafs.FileSystem, root: str) -> dict[str, bool]:
    """The checkpoints under `root` and whether each is complete, by their files alone: an
    object store need not list folders."""
    found = fs.get_file_info(pafs.FileSelector(root, recursive=True, allow_not_found=True))
    below = len(root.rstrip("/")) + 1
    complete: dict[str, bool] = {}
    for info in found:
        step, _, name = info.path[below:].partition("/")
        if info.type == pafs.FileType.File and step.startswith(PREFIX):
            path = info.path[:below] + step
            complete[path] = complete.get(path, False) or name == FACTS
    return complete


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
