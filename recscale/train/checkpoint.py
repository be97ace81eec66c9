"""Everything a run needs to go on as if nothing had happened: model, both optimisers' state, data
position, the curve so far, random states.

torch.distributed.checkpoint writes one file a rank, so that a run may go on with another number of
workers. A checkpoint is complete once its directory has its final name; only the newest is kept.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp

from recscale.train.optim import Optimizers

PREFIX = "step-"


def save(root: Path, step: int, model: Any, optimizers: Optimizers, facts: dict[str, Any]) -> None:
    """Writes a checkpoint of `step`; every rank calls this. `facts` is JSON."""
    final = root / f"{PREFIX}{step:012d}"
    building = root / f"building-{step:012d}"
    rank = dist.get_rank()
    if rank == 0:
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
    dist.barrier()
    dcp.save(_state(model, optimizers), checkpoint_id=building)
    torch.save(torch.get_rng_state(), building / f"random-{rank}.pt")
    dist.barrier()
    if rank == 0:
        # beside the tensors: a nested dict without tensors breaks loading on another world size
        (building / "facts.json").write_text(json.dumps({**facts, "step": step}))
        building.rename(final)
        for old in root.iterdir():
            if old != final:
                shutil.rmtree(old, ignore_errors=True)
    dist.barrier()


def load(root: Path | None, model: Any, optimizers: Optimizers) -> dict[str, Any] | None:
    """Restores the newest complete checkpoint and returns its facts, or None without one."""
    newest = latest(root)
    if newest is None:
        return None
    optimizers.materialise()
    state = _state(model, optimizers)
    dcp.load(state, checkpoint_id=newest)
    model.load_state_dict(state["model"])
    optimizers.both.load_state_dict(state["optimizers"])
    random = newest / f"random-{dist.get_rank()}.pt"
    if random.exists():  # absent for a rank that the earlier world did not have
        torch.set_rng_state(torch.load(random, weights_only=True))
    return json.loads((newest / "facts.json").read_text())


def latest(root: Path | None) -> Path | None:
    """The newest complete checkpoint under `root`."""
    if root is None or not root.is_dir():
        return None
    return max((p for p in root.iterdir() if p.name.startswith(PREFIX)), default=None)


def _state(model: Any, optimizers: Optimizers) -> dict[str, Any]:
    return {"model": model.state_dict(), "optimizers": optimizers.both.state_dict()}
