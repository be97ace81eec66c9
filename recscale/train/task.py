"""What a training loop asks of the kind of learning: clicks, or the next item of a sequence."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
import torch.distributed as dist

from recscale.data.store import Store
from recscale.families.own import OwnConfig
from recscale.families.two_tower import TwoTowerConfig
from recscale.run import RunConfig


class Part(NamedTuple):
    """One rank's part of a global batch. Its losses are weighted so that averaged over the ranks
    they are means over the global batch, and so is the gradient."""

    loss: torch.Tensor
    """Nats a sample."""
    untrained: float
    """What the run's model lost on these very samples before it was trained: that of the base rate
    for clicks, of a guess among all items for the next one. Nats a sample."""
    samples: float
    """That it stands for, the same on every rank."""


class Evaluated(NamedTuple):
    """The evaluation set under the model as it is."""

    loss: float
    """Nats a sample."""
    metrics: dict[str, float | None]
    """By column name; see `recscale.run.CurvePoint`."""


class Task(Protocol):
    """One rank's view of the training and evaluation data of a run."""

    def loss(self, model: Any, step: int) -> Part:
        """The loss of this rank's part of the global batch of `step`."""
        ...

    def evaluate(self, model: Any) -> Evaluated:
        """Every rank calls this and gets the same answer."""
        ...

    def progressive(self, loss: float, untrained: float) -> dict[str, float]:
        """Columns of the training loss before learning, and of what the untrained model lost on
        the same samples (nats a sample); none where the training loss is not the one evaluated."""
        ...

    def probe(self, model: Any) -> dict[str, float | None]:
        """What the run's probes find, likewise; by column name."""
        ...


def task_of(config: RunConfig, store: Store, rank: int, world: int, device: torch.device) -> Task:
    """The task of the config's family."""
    from recscale.train.click import ClickTask
    from recscale.train.next_item import NextItemTask
    from recscale.train.own import CustomTask, Seeded
    from recscale.train.retrieval import RetrievalTask

    if isinstance(config.model, TwoTowerConfig):
        return RetrievalTask(config, store, rank, world, device)
    tasks = {"click": ClickTask, "next_item": NextItemTask, "custom": CustomTask}
    task = tasks[config.model.task](config, store, rank, world, device)
    if isinstance(config.model, OwnConfig):
        return Seeded(task, config.train.seed, rank)
    return task


def gathered(mine: torch.Tensor, world: int) -> torch.Tensor:
    """Columns [*, n] of all ranks, in rank order, on every rank."""
    if world == 1:
        return mine
    parts: list[Any] = [None] * world
    dist.all_gather_object(parts, mine)
    return torch.cat(parts, dim=1)
