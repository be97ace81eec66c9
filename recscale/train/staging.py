"""The copy of a training's state that a thread writes to a checkpoint, while training goes on."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch.distributed._shard.sharded_tensor import Shard, ShardedTensor

MEMINFO = Path("/proc/meminfo")
CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Limit and use of this process's container, version 2 and 1."""
SPARE = 0.5  # of the memory that is left, what a copy may take


def copied(state: Any) -> Any:
    """The state with every tensor of it copied once to the CPU's memory.

    fbgemm holds all tables of a collection in one storage, and torch's stager copies for each
    table, and for each table's optimiser state, the whole of it: 26 times what the state has."""
    if isinstance(state, dict):
        return {name: copied(value) for name, value in state.items()}
    if isinstance(state, ShardedTensor):
        if state.local_shards() and state.local_shards()[0].tensor.device.type != "cpu":
            return state.to(device="cpu")
        shards = [Shard(_copied(s.tensor), s.metadata) for s in state.local_shards()]
        return ShardedTensor._init_from_local_shards_and_global_metadata(
            shards, state.metadata(), process_group=state._process_group
        )
    return _copied(state) if isinstance(state, torch.Tensor) else copy.deepcopy(state)


def fits(state: Any) -> bool:
    """Whether a copy of the state leaves memory to others. Where it does not, the state itself is
    written, a table at a time, and training waits."""
    return sum(t.numel() * t.element_size() for t in tensors(state)) <= SPARE * available()


def tensors(state: Any) -> Iterator[torch.Tensor]:
    """Those that lie in this process."""
    if isinstance(state, dict):
        for value in state.values():
            yield from tensors(value)
    elif isinstance(state, ShardedTensor):
        yield from (s.tensor for s in state.local_shards())
    elif isinstance(state, torch.Tensor):
        yield state


def available() -> float:
    """Bytes of memory that this process may still take: of the machine, or of its container where
    that is less; infinite where neither says."""
    found = [float("inf")]
    with suppress(OSError, KeyError, ValueError):
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
        found.append(float(lines["MemAvailable"].split()[0]) * 1024)
    for limit, used in CGROUPS:
        with suppress(OSError, ValueError):  # no such file, or `max`
            found.append(float(Path(limit).read_text()) - float(Path(used).read_text()))
    return max(0.0, min(found))


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
