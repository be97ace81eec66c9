"""CPU seconds for which a checkpoint's copy stops training, beside cloning each tensor once.

    python tests/benchmarks/checkpoints.py [--rounds 7]

Of the model and tables of tests/benchmarks/steps.py at W = 64: 26 tables of 1M rows in all and
their row-wise Adagrad, d = 16, and of the same at d = 64. torch's own stager, which copied before,
is beside it. One thread, ways in turn, medians; a ratio is that of a round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import steps
import torch
from torch.distributed.checkpoint.staging import BlockingAsyncStager

from recscale.train.average import Average
from recscale.train.staging import copied, tensors


def state_of(dim: int) -> dict[str, Any]:
    steps.DIM = dim
    training = steps.recscale(64, 512).__self__  # type: ignore[attr-defined]
    training._step(0)
    model, both = training.model.state_dict(), training.optimizers.both.state_dict()
    return {"model": model, "optimizers": both, "average": Average(training.model).state}


def clones(state: Any) -> list[torch.Tensor]:
    return [t.detach().clone() for t in tensors(state)]


WAYS: dict[str, Callable[[Any], Any]] = {
    "clone of each tensor": clones,
    "copied": copied,
    "torch's BlockingAsyncStager": lambda state: BlockingAsyncStager().stage(state),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    for dim in (16, 64):
        state = state_of(dim)
        size = sum(t.numel() * t.element_size() for t in tensors(state))
        print(f"d = {dim}: {size / 1e9:.2f} GB of weights, their mean, and optimisers' state")
        taken: dict[str, list[float]] = {name: [] for name in WAYS}
        for k in range(rounds):
            for name in WAYS if k % 2 else reversed(WAYS):
                begun = time.process_time()
                kept = WAYS[name](state)
                taken[name].append(time.process_time() - begun)
                del kept
        for name, each in taken.items():
            pairs = zip(each, taken["clone of each tensor"], strict=True)
            ratio = statistics.median(a / b for a, b in pairs)
            print(f"  {name:28} {statistics.median(each):7.3f} CPU s   {ratio:6.2f}x")


if __name__ == "__main__":
    main()
