"""Warm Ray Train worker groups for runs on several workers.

Starting a group costs tens of seconds, so a sweep leases one run after another to it. A group that
gets none for `bus.IDLE_S` gives its nodes back, and another is started when a run needs it.
"""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

import ray
import ray.train
import ray.util
from ray.exceptions import RayActorError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.execution.callback import ControllerCallback

from recscale.engine.bus import Bus
from recscale.engine.job import ON_HEAD
from recscale.engine.worker import serve_leases
from recscale.spec import ResourcesSpec

RESIZE_S = 60.0
"""Seconds between Train's looks for nodes that came, which is Ray's own default."""
PAUSE_S = 0.25
"""Seconds between the looks of a group that waits for its first nodes, or for new ones."""


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
