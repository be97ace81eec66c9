"""Warm Ray Train worker groups for runs on several workers.

Starting a group costs tens of seconds, so a sweep leases one run after another to it. A group that
gets none for IDLE_S gives its nodes back, and another is started when a run needs it.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import ray
import ray.train
import ray.util
from ray.exceptions import RayActorError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.execution.callback import ControllerCallback

from recscale.engine.job import ON_HEAD
from recscale.engine.worker import serve_leases
from recscale.spec import ResourcesSpec

IDLE_S = 60.0
RESIZE_S = 60.0
"""Seconds between Train's looks for nodes that came, which is Ray's own default."""
PAUSE_S = 0.25
"""Seconds between the looks of a group that waits for its first nodes, or for new ones."""


@dataclass
class Ticket:
    """A job handed in, and all that was heard of it; the last message is its end."""

    job: dict[str, Any]
    slot: int | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False


class Bus:
    """An actor between trials and worker groups: jobs one way, results the other.

    A slot has one group at a time. What its last group left unfinished is leased to its next one,
    unless the last one failed: then the ticket ends with the error, and the run is decided on
    again or given up.
    """

    def __init__(self) -> None:
        self.tickets: list[Ticket] = []
        self.groups: dict[int, str] = {}
        self.placements: dict[int, Any] = {}
        self.free: set[int] = set()
        """Slots whose group is starting, or waits for a lease."""
        self.closed = False
        self.broken = ""
        self.news = asyncio.Condition()

    async def submit(self, job: dict[str, Any]) -> int:
        """Takes a job; what hands in a run that is still under way gets its ticket back."""
        for number, ticket in enumerate(self.tickets):
            if ticket.job["run_id"] == job["run_id"] and not ticket.ended:
                return number
        self.tickets.append(Ticket(job))
        number = len(self.tickets) - 1
        if self.broken:
            await self.end(number, self.broken)
        await self._tell()
        return number

    async def enter(self, slot: int, group: str, placement: Any) -> None:
        """A new worker group serves `slot`, on the CPUs of a placement group."""
        self.groups[slot], self.placements[slot] = group, placement
        await self._tell()

    async def placement(self, slot: int) -> Any:
        """The placement group of the slot's last worker group, None before the first."""
        return self.placements.get(slot)

    async def wanted(self, slot: int) -> bool:
        """True as soon as there is a job that no other group waits for, and `slot` has none; False
        when the sweep is over."""
        self.free.discard(slot)
        async with self.news:
            await self.news.wait_for(lambda: self.closed or self._lacks(slot))
        if not self.closed:
            self.free.add(slot)
        return not self.closed

    async def lease(self, slot: int, group: str) -> tuple[int, dict[str, Any]] | None:
        """The next job for worker group `group` of `slot`; None when the sweep is over, when none
        came for IDLE_S, or when the slot has another group by now."""
        self.free.add(slot)
        try:
            async with self.news, asyncio.timeout(IDLE_S):
                await self.news.wait_for(lambda: self._over(slot, group) or self._open(slot))
        except TimeoutError:
            return None
        if self._over(slot, group):
            return None
        self.free.discard(slot)
        ticket = self._open(slot)[0]
        ticket.slot = slot
        return self.tickets.index(ticket), ticket.job

    async def push(self, number: int, message: dict[str, Any]) -> None:
        self.tickets[number].messages.append(message)
        await self._tell()

    async def end(self, number: int, error: str) -> None:
        """Ends a ticket once; `error` is empty for success."""
        ticket = self.tickets[number]
        if not ticket.ended:
            ticket.ended = True
            await self.push(number, {"end": error})

    async def fault(self, slot: int, error: str) -> None:
        """The group of `slot` failed: so did what it trained."""
        for number, ticket in enumerate(self.tickets):
            if ticket.slot == slot:
                await self.end(number, error)

    async def poll(self, number: int, heard: int) -> list[dict[str, Any]]:
        """Messages after the first `heard`, as soon as there are any."""
        messages = self.tickets[number].messages
        async with self.news:
            await self.news.wait_for(lambda: len(messages) > heard)
        return messages[heard:]

    async def close(self, error: str = "") -> None:
        """No more leases; with an error, whatever waits or comes later fails with it."""
        self.closed, self.broken = True, error
        if error:
            for number in range(len(self.tickets)):
                await self.end(number, error)
        await self._tell()

    def _over(self, slot: int, group: str) -> bool:
        return self.closed or self.groups[slot] != group

    def _lacks(self, slot: int) -> bool:
        waiting = self._open(slot)
        own = any(t.slot == slot for t in waiting)
        return own or len(waiting) > len(self.free)

    def _open(self, slot: int) -> list[Ticket]:
        """What the slot may train, its own unfinished first."""
        waiting = [t for t in self.tickets if not t.ended and t.slot in (None, slot)]
        return sorted(waiting, key=lambda t: t.slot is None)

    async def _tell(self) -> None:
        async with self.news:
            self.news.notify_all()


class _Faults(ray.train.UserCallback):
    """Tells the bus of a failed group. Train says nothing when it resizes a group, and a node
    that was reclaimed is nobody's failure."""

    def __init__(self, bus: Any, slot: int):
        self.bus, self.slot = bus, slot

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        deaths = [getattr(e, "health_check_failure", e) for e in worker_exceptions.values()]
        if any(isinstance(e, RayActorError) and e.preempted for e in deaths):
            return
        error = "\n".join(f"rank {r}: {e}" for r, e in sorted(worker_exceptions.items()))
        ray.get(self.bus.fault.remote(self.slot, error))


class _Pause(ControllerCallback):
    """Makes the controller of an elastic group that waits for nodes do so without a core: Ray 2.60
    asks again at once while the state stays the same one (findings/ray_train_elastic_wait.sh)."""

    def after_controller_state_update(self, previous_state: Any, current_state: Any) -> None:
        if current_state is previous_state:
            time.sleep(PAUSE_S)


class Pool:
    """The worker groups of a sweep, one a slot."""

    def __init__(self, resources: ResourcesSpec, slots: int, storage: str, failures: int):
        self.name = f"recscale-bus-{uuid.uuid4().hex[:8]}"
        self.bus: Any = (
            ray.remote(num_cpus=0, resources=ON_HEAD)(Bus).options(name=self.name).remote()
        )
        self.threads = [
            threading.Thread(
                target=self._serve, args=(resources, slot, storage, failures), daemon=True
            )
            for slot in range(slots)
        ]
        for thread in self.threads:
            thread.start()

    def _serve(self, resources: ResourcesSpec, slot: int, storage: str, failures: int) -> None:
        died = begun = 0
        try:
            while ray.get(self.bus.wanted.remote(slot)):
                begun += 1
                try:
                    self._trainer(resources, slot, f"{storage}-{begun}", failures).fit()
                except RayActorError:
                    # Train's controller died, and its workers with it. An elastic successor waits
                    # up to 180 s, until Ray lets go of what the dead one had reserved
                    died += 1
                    if died > failures:
                        raise
                    self._free(slot)
        except Exception as error:  # whatever ended the group must reach the trials that wait
            ray.get(self.bus.close.remote(f"the worker group of slot {slot} is gone: {error}"))

    def _free(self, slot: int) -> None:
        """Gives back what a dead controller held: Ray keeps it for as long as the driver lives."""
        placement: Any = ray.get(self.bus.placement.remote(slot))
        if placement is not None:
            ray.util.remove_placement_group(placement)

    def _trainer(
        self, resources: ResourcesSpec, slot: int, storage: str, failures: int
    ) -> TorchTrainer:
        per_worker: dict[str, float] = {"CPU": resources.cpus_per_worker}
        if resources.gpus_per_worker:
            per_worker["GPU"] = resources.gpus_per_worker
        # typed as users' own callbacks; Train takes its internal kind as well
        callbacks: list[Any] = [_Faults(self.bus, slot), _Pause()]
        return TorchTrainer(
            serve_leases,
            train_loop_config={"bus": self.name, "slot": slot},
            scaling_config=ray.train.ScalingConfig(
                num_workers=resources.elastic or resources.workers,
                use_gpu=resources.gpus_per_worker > 0,
                resources_per_worker=per_worker,
                elastic_resize_monitor_interval_s=min(RESIZE_S, resources.checkpoint_s),
            ),
            torch_config=TorchConfig(backend="nccl" if resources.gpus_per_worker else "gloo"),
            run_config=ray.train.RunConfig(
                name=f"slot-{slot}",
                storage_path=storage,
                failure_config=ray.train.FailureConfig(max_failures=failures),
                callbacks=callbacks,
            ),
        )

    def close(self) -> None:
        """Lets the groups end once their present run has ended."""
        ray.get(self.bus.close.remote())
        for thread in self.threads:
            thread.join()
