"""Training of a user's own family: a loss and metrics of its own over the rows of a click log, and
draws that depend on seed and step alone, so that nn.Dropout resumes as if nothing had happened."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch

from recscale.data.store import Store, shard
from recscale.families.own import OwnConfig
from recscale.run import RunConfig
from recscale.train.click import EVAL_BATCH, ClickTask
from recscale.train.task import Evaluated, Part, Task, gathered

LARGE = 1_000_003  # a prime: seeds of runs and steps never meet


class Seeded(NamedTuple):
    """A task whose model may draw from torch's generator while it trains."""

    task: Task
    seed: int
    rank: int

    def loss(self, model: Any, step: int) -> Part:
        torch.manual_seed((self.seed * LARGE + step) * LARGE + self.rank)
        return self.task.loss(model, step)

    def evaluate(self, model: Any) -> Evaluated:
        return self.task.evaluate(model)

    def progressive(self, loss: float, untrained: float) -> dict[str, float]:
        return {}  # nobody knows whether a network answers alike while it is trained

    def probe(self, model: Any) -> dict[str, float | None]:
        return self.task.probe(model)


class CustomTask(ClickTask):
    """Task `custom`: the rows of a click log under the class's own loss and metrics."""

    def __init__(
        self, config: RunConfig, store: Store, rank: int, world: int, device: torch.device
    ):
        super().__init__(config, store, rank, world, device)
        assert isinstance(config.model, OwnConfig)
        self.family = config.model.built()

    def loss(self, model: Any, step: int) -> Part:
        size = self.config.train.batch_size
        begin = (step % self.steps_per_epoch) * size
        batch = self._read(self.rows, *shard(begin, begin + size, self.rank, self.world))
        label = torch.from_numpy(batch.label).to(self.device)
        inputs = self._inputs(batch)
        output = model(inputs)
        loss = self.family.loss(output, inputs, label).mean()
        with torch.no_grad():  # what an output of zero loses: an untrained one is near it
            other = self.family.loss(torch.zeros_like(output), inputs, label).mean()
        share = size / self.world
        weight = len(label) / share
        return Part(loss * weight, max(abs(float(other)), 1e-6) * weight, share)

    @torch.no_grad()
    def evaluate(self, model: Any) -> Evaluated:
        model.eval()
        rows, share = self.store.eval(), -(-EVAL_BATCH // self.world)
        kept: list[torch.Tensor] = []
        flat = True
        for top in range(0, len(rows), share * self.world):
            begin = top + self.rank * share
            end = min(begin + share, len(rows))
            padded = begin >= end  # nothing left for this rank: it repeats the last row, unheard
            batch = self._read(rows, *((len(rows) - 1, len(rows)) if padded else (begin, end)))
            inputs, label = self._inputs(batch), torch.from_numpy(batch.label).to(self.device)
            output = model(inputs)
            loss = self.family.loss(output, inputs, label)
            columns = [loss[:, None], label[:, None], output.reshape(len(label), -1)]
            table = torch.cat([c.double() for c in columns], dim=1).cpu().T
            kept.append(table[:, :0] if padded else table)
            flat = output.dim() == 1
        model.train()
        loss, label, *outputs = gathered(torch.cat(kept, dim=1), self.world)
        output = outputs[0] if flat else torch.stack(outputs, dim=1)
        found = self.family.metrics(output, label)
        metrics = {f"eval_{k}": _finite(v) for k, v in found.items()}
        return Evaluated(float(loss.mean()), metrics)


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
