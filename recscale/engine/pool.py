"""Warm Ray Train worker groups for runs on several workers.

Starting a group costs tens of seconds, so a sweep starts each once and leases runs to it.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from typing import Any

import ray
import ray.train
from ray.train.torch import TorchConfig, TorchTrainer

from recscale.engine.worker import serve_leases
from recscale.spec import ResourcesSpec


class Bus:
    """An actor between trials and worker groups: jobs one way, results the other. A lease whose
    group is gone ends as an error of its trial, which Tune then hands in again."""

    def __init__(self) -> None:
        self.jobs: asyncio.Queue[tuple[int, dict[str, Any]]] = asyncio.Queue()
        self.results: dict[int, asyncio.Queue[dict[str, Any]]] = {}
        self.leased: dict[int, tuple[int, str]] = {}
        self.closed = False
        self.broken = ""

    async def submit(self, job: dict[str, Any]) -> int:
        ticket = len(self.results)
        self.results[ticket] = asyncio.Queue()
        if self.broken:
            await self.end(ticket, self.broken)
        else:
            await self.jobs.put((ticket, job))
        return ticket

    async def lease(self, slot: int, group: str) -> tuple[int, dict[str, Any]] | None:
        """The next job for worker group `group` of `slot`; None when the sweep is over."""
        for ticket, (of_slot, of_group) in list(self.leased.items()):
            if of_slot == slot and of_group != group:
                await self.end(ticket, "a worker of the group died")
        while not self.closed:
            try:
                ticket, job = await asyncio.wait_for(self.jobs.get(), 0.5)
            except TimeoutError:
                continue
            self.leased[ticket] = slot, group
            return ticket, job
        return None

    async def push(self, ticket: int, message: dict[str, Any]) -> None:
        await self.results[ticket].put(message)

    async def end(self, ticket: int, error: str) -> None:
        """Ends a ticket once; `error` is empty for success."""
        self.leased.pop(ticket, None)
        await self.results[ticket].put({"end": error})

    async def poll(self, ticket: int) -> list[dict[str, Any]]:
        queue = self.results[ticket]
        messages = [await queue.get()]
        while not queue.empty():
            messages.append(queue.get_nowait())
        return messages

    async def close(self, error: str = "") -> None:
        """No more leases; with an error, whatever waits or comes later fails with it."""
        self.closed, self.broken = True, error
        if error:
            for ticket, queue in self.results.items():
                if queue.empty():
                    await self.end(ticket, error)


class Pool:
    """The worker groups of a sweep, one a slot."""

    def __init__(self, resources: ResourcesSpec, slots: int, storage: str, failures: int):
        self.name = f"recscale-bus-{uuid.uuid4().hex[:8]}"
        self.bus: Any = ray.remote(num_cpus=0)(Bus).options(name=self.name).remote()  # type: ignore
        self.threads = [
            threading.Thread(
                target=self._serve, args=(resources, slot, storage, failures), daemon=True
            )
            for slot in range(slots)
        ]
        for thread in self.threads:
            thread.start()

    def _serve(self, resources: ResourcesSpec, slot: int, storage: str, failures: int) -> None:
        per_worker: dict[str, float] = {"CPU": resources.cpus_per_worker}
        if resources.gpus_per_worker:
            per_worker["GPU"] = resources.gpus_per_worker
        trainer = TorchTrainer(
            serve_leases,
            train_loop_config={"bus": self.name, "slot": slot},
            scaling_config=ray.train.ScalingConfig(
                num_workers=resources.workers,
                use_gpu=resources.gpus_per_worker > 0,
                resources_per_worker=per_worker,
            ),
            torch_config=TorchConfig(backend="nccl" if resources.gpus_per_worker else "gloo"),
            run_config=ray.train.RunConfig(
                name=f"slot-{slot}",
                storage_path=storage,
                failure_config=ray.train.FailureConfig(max_failures=failures),
            ),
        )
        try:
            trainer.fit()
        except Exception as error:  # whatever ended the group must reach the trials that wait
            ray.get(self.bus.close.remote(f"the worker group of slot {slot} is gone: {error}"))

    def close(self) -> None:
        """Lets the groups end once their present run has ended."""
        ray.get(self.bus.close.remote())
        for thread in self.threads:
            thread.join()
