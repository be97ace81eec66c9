"""A start's signs of life in the ledger: what it will have spent at most until the next one.

The worker measures itself, by its own monotonic clock and its own count of samples, and says an
amount before it is spent: training does not go beyond the samples that the ledger knows of. A
start that is killed therefore costs what it last said, at most one heartbeat more than it used.
"""

from __future__ import annotations

import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from recscale.cost import TRAIN_OVER_FORWARD, estimate, priced
from recscale.engine.job import Job
from recscale.engine.logs import own_log
from recscale.manifest import Manifest
from recscale.spend import BEAT, Start, heard
from recscale.storage import StorageError

HEARTBEAT_S = 1.0
"""Seconds between signs of life."""
HEARTBEAT_SHARE = 0.01
"""Of a start's age, where that is longer: an append to an object store writes the file anew, and
ten hours of training make some 600 lines this way instead of 36,000."""
EARLY = 0.75
"""Share of a heartbeat after which the next is written, so that it is there in time."""


HOLD_S = 3.0
"""Seconds that a resized group waits before it trains. It does again, unasked, what its run did
since the checkpoint: the budget's guard looks every second, and what it stops ends within two."""


class CheckpointLost(RuntimeError):
    """A start that has more to train than the driver decided on: the budget is asked again."""


class Heart:
    """Of one start, on rank 0."""

    def __init__(
        self,
        say: Callable[..., None],
        job: Job,
        world: int,
        resized: bool = False,
        now: Callable[[], float] = time.monotonic,
    ):
        """`say` appends an entry to the ledger; `resized` says that the job was begun before;
        `now` is this process's clock (s)."""
        self.say, self.job, self.world, self.now = say, job, world, now
        self.hold_s = HOLD_S if resized else 0.0
        self.id = uuid.uuid4().hex[:12]
        place = job.run.place
        self.place = place if place.trajectory != job.run_id else None
        self.total = self.look = 0
        self.sure = True
        self.flop_per_sample = 0.0
        self.origin: int | None = None
        self.kept: int | None = None
        self.position = self.promised = 0
        """Samples of the last look, and those that the ledger knows of."""
        self.begun = self.began_at = self.looked_at = now()
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.trouble: StorageError | None = None
        self.told: Start
        """What it last said, or tried to."""
        self._tell("start", pid=os.getpid(), host=socket.gethostname(), log=own_log())

    def opened(self, data: Manifest, look: int, sure: bool = True) -> None:
        """The data is there. `look` is the most samples between two calls of `looked`; where that
        is not `sure`, a start that is not heard of is taken to train on at its mean speed."""
        run = self.job.run
        cost = estimate(run.model, run.train, data, self.job.needs)
        self.total = cost.samples
        self.flop_per_sample = TRAIN_OVER_FORWARD * cost.forward.total
        self.look, self.sure = look, sure

    def repeat(self) -> None:
        """Tells of the time from a thread, until `end`."""
        threading.Thread(target=self._repeat, name="heart", daemon=True).start()

    def began(self, samples: int) -> float:
        """The checkpoint is loaded; training goes on from `samples` after the seconds returned.
        Raises CheckpointLost."""
        with self.lock:
            self.origin = self.kept = self.position = self.promised = samples
            self.began_at = self.looked_at = self.now() + self.hold_s
            if samples < self.job.kept:
                raise CheckpointLost(
                    f"the checkpoint of {self.job.kept:,} samples from which this run was to go on "
                    f"is gone or damaged: what is left begins at {samples:,}"
                )
            self._promise()
        return self.hold_s

    def looked(self, samples: int, kept: int) -> None:
        """Training has come to `samples`, and a whole checkpoint holds `kept`. Raises the
        StorageError of a sign of life that could not be written."""
        if self.trouble:
            raise self.trouble
        with self.lock:
            news = kept != self.kept
            self.position, self.kept, self.looked_at = samples, kept, self.now()
            if news or min(self.total, samples + self.look) > self.promised:
                self._promise()

    def beat(self) -> None:
        """A sign of life that is due."""
        with self.lock:
            if not self.ended.is_set():
                self._promise()

    def end(self, samples: int | None = None, kept: int | None = None) -> None:
        """After the training came to `samples`, and left a state of so many `kept`; None: to
        somewhere before the next look, and what was kept by the last."""
        self.ended.set()
        with self.lock:
            self.kept = self.kept if kept is None else kept
            begun = self.origin is not None and self.promised > self.origin
            if samples is None:
                samples = min(self.total, self.position + self.look * begun)
            self.promised = samples
            self._tell(BEAT, over=True)

    def _repeat(self) -> None:
        while not self.ended.wait(EARLY * self.interval()):
            try:
                self.beat()
            except StorageError as trouble:  # the training's thread raises it
                self.trouble = trouble
                return

    def interval(self) -> float:
        """Seconds from one sign of life to the next."""
        return max(HEARTBEAT_S, HEARTBEAT_SHARE * (self.now() - self.begun))

    def _promise(self) -> None:
        """As many samples as training comes to in a heartbeat at its mean speed."""
        if self.origin is not None:
            took = self.looked_at - self.began_at
            speed = (self.position - self.origin) / took if took > 0 else 0.0
            unheard = 0.0 if self.sure else speed * (self.now() - self.looked_at)
            ahead = max(self.look, math.ceil(unheard)) + math.ceil(speed * self.interval())
            self.promised = min(self.total, self.position + ahead)
        self._tell(BEAT)

    def _where(self) -> dict[str, Any]:
        """On which training the run lies, if others do as well."""
        if self.place is None:
            return {}
        found = {"trajectory": self.place.trajectory, "end": self.total}
        if self.place.trunk == self.place.trajectory:
            return found
        return {**found, "trunk": self.place.trunk, "fork": self.total // self.place.epochs}

    def _tell(self, kind: str, over: bool = False, **more: Any) -> None:
        now = self.now()
        next_s = 0.0 if over else self.interval()
        worker_s = (now - self.begun + next_s) * self.world
        hours, usd = priced(worker_s, self.job.needs)
        samples = max(0, self.promised - (self.origin or 0))
        facts = {
            "start": self.id,
            "run_id": self.job.run_id,
            "launch": self.job.launch,
            "workers": self.world,
            "next_s": next_s,
            **self._where(),
            "origin": self.origin,
            "kept": self.kept,
            "samples": samples,
            "flop": self.flop_per_sample * samples,
            "worker_s": worker_s,
            "gpu_hours": hours,
            "usd": usd,
            "over": over,
        }
        self.told = heard(None, {**facts, "order": 0.0})
        self.say(kind, **facts, **more)
