"""Training inside Ray: in the trial actor for one worker, in a warm Train group for several.

A run on one worker trains in the Tune trial's own process, which Tune reuses for the next run. A
run on several workers is leased to a Ray Train worker group that stays up for the whole sweep; its
Tune trial only hands the job over and passes on what comes back. Either way rank 0 writes the
record to the ledger itself, so that a driver that dies loses nothing that was finished.
"""

from __future__ import annotations

import functools
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recscale.engine.drain import NodeDrain
from recscale.engine.heart import Heart
from recscale.engine.job import Job, check_version, finished_record
from recscale.engine.monitor import RunMonitor
from recscale.engine.own_training import told, train_own, write_record
from recscale.engine.rests import folder, make_room
from recscale.families import TrainerConfig
from recscale.ledger import Ledger, finished
from recscale.manifest import StoreError
from recscale.run import CurvePoint
from recscale.spend import BEAT, found
from recscale.storage import StorageError, filesystem, guarded, remove


@dataclass
class RayHost:
    """Tells Tune of every evaluation, through `send`, and the ledger and the monitor of every look;
    only rank 0 speaks."""

    rank: int
    world: int
    checkpoints: str
    checkpoint_s: float
    send: Any
    drain: Callable[[], float | None]
    monitor: RunMonitor | None
    heart: Heart | None
    tell: Callable[..., None]
    """Adds an entry of a kind to the ledger."""

    def began(self, samples: int) -> None:
        if self.heart:
            time.sleep(self.heart.began(samples))  # the other ranks wait at their first exchange

    def looked(self, samples: int, train_loss: float, kept: int) -> None:
        if self.heart:
            self.heart.looked(samples, kept)
        if self.monitor:
            self.monitor.looked(samples, train_loss)

    def report(self, point: CurvePoint) -> None:
        if self.monitor:
            self.monitor.evaluated(point)
            self.send(point.columns())

    def damaged(self, found: list[str]) -> None:
        if self.rank == 0:
            self.tell("damage", found=found)

    def drain_s(self) -> float | None:
        return self.drain()


def tune_trial(config: dict[str, Any]) -> None:
    """A Tune trial that trains one run in its own process."""
    from ray import tune

    run_job(Job(**config["job"]), rank=0, world=1, send=tune.report, drain=NodeDrain())


def leased_trial(config: dict[str, Any]) -> None:
    """A Tune trial that hands its run to the warm worker group. Raises RuntimeError with the
    group's error when the run failed there."""
    import ray
    from ray import tune

    bus = ray.get_actor(config["bus"])
    ticket = ray.get(bus.submit.remote(config["job"]))
    heard = 0
    while True:
        messages = ray.get(bus.poll.remote(ticket, heard))
        heard += len(messages)
        for message in messages:
            if "end" in message:
                if message["end"]:
                    raise RuntimeError(message["end"])
                return
            tune.report(message)


def serve_leases(config: dict[str, Any]) -> None:
    """A worker of the warm group: trains one leased run after another until the bus closes. An
    error ends the whole group, because its other ranks may wait for this one; Train starts a new
    group and the driver decides on the run again. A group that Train resizes ends without an
    error, and the new one goes on with the same lease from its last checkpoint."""
    import ray
    import ray.train
    import ray.util
    from ray.train.collective import broadcast_from_rank_zero

    bus = ray.get_actor(config["bus"])
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    group = f"{os.getpid()}-{time.time()}"
    if rank == 0:
        here = ray.util.get_current_placement_group()
        ray.get(bus.enter.remote(config["slot"], group, here))
    while True:
        lease = ray.get(bus.lease.remote(config["slot"], group)) if rank == 0 else None
        lease = broadcast_from_rank_zero(lease)
        if lease is None:
            return
        ticket, payload = lease
        try:
            run_job(
                Job(**payload),
                rank=rank,
                world=world,
                send=lambda message, ticket=ticket: ray.get(bus.push.remote(ticket, message)),
                drain=NodeDrain(),
            )
        except Exception:
            ray.get(bus.end.remote(ticket, traceback.format_exc()))
            raise
        if rank == 0:
            ray.get(bus.end.remote(ticket, ""))


def run_job(job: Job, rank: int, world: int, send: Any, drain: Callable[[], float | None]) -> None:
    """Trains the run and, on rank 0, writes its record; does nothing for a run that another
    driver has finished meanwhile. Raises OtherVersion, and StorageError when the run directory or
    the store cannot be used."""
    check_version(job)
    run, ledger = job.run, Ledger(job.run_dir, joins=True)
    if _done(job, ledger, rank, world):
        return
    heart = None
    if rank == 0:
        resized = any(s.launch == job.launch for s in ledger.starts())
        heart = Heart(ledger.append, job, world, resized)
    if isinstance(run.model, TrainerConfig):
        train_own(job, ledger, heart, world, send)
        return
    import torch

    from recscale.data.store import Store
    from recscale.train.loop import WATCH_STEPS, train

    torch.set_num_threads(job.needs.cpus_per_worker)
    monitor = samples = kept = None
    anytime = run.train.schedule == "anytime"
    checkpoints = folder(job.run_dir, run.place.trajectory)
    tell = functools.partial(ledger.append, run_id=job.run_id)
    try:
        if heart:
            heart.repeat()
        with whole(job.store) as copy:
            store = Store.open(copy)
            if heart:
                heart.opened(store.manifest, WATCH_STEPS * run.train.batch_size)
                monitor = RunMonitor(job, store.manifest, world)
            every_s = job.needs.checkpoint_s
            host = RayHost(rank, world, checkpoints, every_s, send, drain, monitor, heart, tell)
            outcome = train(run, store, host)
        samples = outcome.samples
        kept = outcome.kept if anytime else None
    finally:
        if heart:
            with suppress(StorageError):  # of a place that is gone: it shows when more is written
                heart.end(samples, kept)
        if monitor:
            monitor.ended()
    if heart:
        write_record(ledger, finished_record(job, store.manifest, outcome, told(ledger, heart)))
        if anytime:
            for trajectory in make_room(job.run_dir, job.needs.resting_bytes):
                ledger.append(BEAT, **found(trajectory, 0))
            return
        with guarded(checkpoints):
            remove(*filesystem(checkpoints))


def _done(job: Job, ledger: Ledger, rank: int, world: int) -> bool:
    """Whether another driver has finished the run, on every rank."""
    done = rank == 0 and job.run_id in finished(ledger.records())
    if world > 1:
        import torch.distributed as dist

        verdict = [done]
        dist.broadcast_object_list(verdict, src=0)
        done = verdict[0]
    return done


@contextmanager
def whole(store: str) -> Iterator[Path]:
    """This node's copy of a store. One that is found damaged is removed, so that the next attempt
    copies it anew. Raises StorageError, which ends the sweep: other runs would meet it too."""
    from recscale.data.remote import discard, fetched

    copy = fetched(store)
    try:
        yield copy
    except StoreError as error:
        if copy != Path(store):
            discard(copy)
            raise RuntimeError(f"{error} (a copy of {store}: it is made anew)") from error
        raise StorageError(str(error)) from error
