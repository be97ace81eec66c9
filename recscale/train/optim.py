"""Two optimisers, two rates, one schedule."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer
from torchrec.distributed.model_parallel import DistributedModelParallel, get_unwrapped_module
from torchrec.distributed.types import ShardedModule
from torchrec.optim.keyed import CombinedOptimizer, KeyedOptimizerWrapper

from recscale.run import TrainConfig


def schedule(train: TrainConfig, total: int) -> Callable[[int], float]:
    """step -> multiple of the base rates, of a run of `total` steps."""
    if train.schedule == "anytime":
        rise = -(-(train.warmup_samples or 0) // train.batch_size)
        return lambda step: min(1.0, (step + 1) / max(1, rise))
    return lambda step: rate(step, total, train.warmup)


def rate(step: int, total: int, warmup: float) -> float:
    """Multiple of the base rate at `step` of `total`: a linear rise over the `warmup` share, then
    a linear fall that reaches zero at the planned end, so that every run of a sweep is decayed."""
    rise = max(1, round(warmup * total))
    if step < rise:
        return (step + 1) / rise
    return (total - step) / max(1, total - rise)


def table_places(module: nn.Module, place: str = "") -> tuple[str, ...]:
    """What the names of the parameters of sharded tables begin with, whatever a network's own
    modules are called."""
    module = get_unwrapped_module(module)
    if isinstance(module, ShardedModule):
        return (place,)
    each = (table_places(child, f"{place}{name}.") for name, child in module.named_children())
    return tuple(itertools.chain.from_iterable(each))


class Optimizers:
    """Row-wise Adagrad inside the fused tables; Adam for everything else, SGD after it where the
    run asks for that."""

    def __init__(self, model: DistributedModelParallel, train: TrainConfig):
        self.fused = model.fused_optimizer
        # by place: a rank also has empty stand-ins for tables that lie wholly on other ranks
        tables = table_places(model)
        dense = {n: p for n, p in model.named_parameters() if not n.startswith(tables)}
        self.dense = KeyedOptimizerWrapper(
            dense, lambda params: torch.optim.Adam(params, lr=train.dense_rate, fused=True)
        )
        self.switch = train.sgd_after
        self.sgd = torch.optim.SGD(dense.values(), lr=0.0) if train.sgd_after else None
        self.both = CombinedOptimizer([("fused", self.fused), ("dense", self.dense)])
        self._rates: list[tuple[Optimizer, float]] = [
            (self.fused, train.sparse_rate * train.rate_factor),
            (self.dense, train.dense_rate * train.rate_factor),
        ]
        if self.sgd:
            self._rates.append((self.sgd, (train.sgd_rate or 0.0) * train.rate_factor))

    def begin_step(self, factor: float) -> None:
        """Sets the rates and clears gradients. The fused tables take their rate here, before the
        backward pass that updates them."""
        for optimizer, base in self._rates:
            for group in optimizer.param_groups:
                group["lr"] = base * factor
        self.both.zero_grad()

    def end_step(self, done: float) -> None:
        """Updates the dense parameters after the share `done` of the steps; the tables were updated
        by the backward pass."""
        if self.sgd and self.switch is not None and done >= self.switch:
            self.fused.step()
            self.sgd.step()
        else:
            self.both.step()

    def materialise(self) -> None:
        """Gives Adam its lazy state, so that a checkpoint has somewhere to load it."""
        self.dense.init_state()
