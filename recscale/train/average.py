"""The mean of the weights on the way, which is what schedule `anytime` evaluates.

At a constant rate the weights wander about where they tend to; their mean over the last part of the
way is near it, as after a decay (2405.18392), at every step and for any end. After step t the
weights of step s stand in the mean with s^POWER (polynomial-decay averaging, Shamir & Zhang 2013,
1212.1824): their mean age is t / (POWER + 2), that of a trailing window of 2 / (POWER + 2) of the
way, and no more than one copy is needed. The mean is moved at steps that lie closer than 1 / MOVES
of the way; a move gives the weights of its step the share of all steps since the last move.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributed._shard.sharded_tensor import Shard, ShardedTensor

POWER = 8.0
MOVES = 32
"""Moves between two powers of two, at least; then twice as many until the next."""
BLOCK = 1 << 20  # weights exchanged at once


def stride(step: int) -> int:
    """Steps between two moves at `step`: a power of two, so that none depends on another."""
    return 1 << max(0, (step // MOVES).bit_length() - 1)


def share(step: int) -> float | None:
    """What the weights after `step` steps enter the mean with; None where it is not moved."""
    if step < 1 or step % stride(step):
        return None
    since = stride(step - 1)  # divides `stride(step)`, so that a move lies so far back
    return 1.0 - ((step - since) / step) ** (POWER + 1)


class Average:
    """The mean of all weights of a sharded model, in float32, each where its weights lie: dense
    parameters on every rank, rows of tables on the rank that has them."""

    def __init__(self, model: Any):
        self.state: dict[str, Any] = {}
        """By the names of the model's own state, sharded likewise: part of a checkpoint."""
        self._pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
        for name, value in model.state_dict().items():
            if isinstance(value, ShardedTensor):
                shards = [Shard(self._mean(s.tensor), s.metadata) for s in value.local_shards()]
                self.state[name] = ShardedTensor._init_from_local_shards_and_global_metadata(
                    shards, value.metadata(), process_group=value._process_group
                )
            else:
                self.state[name] = self._mean(value)

    def _mean(self, weights: torch.Tensor) -> torch.Tensor:
        mean = weights.detach().to(torch.float32, copy=True)
        self._pairs.append((weights.detach(), mean))
        return mean

    @torch.no_grad()
    def after(self, step: int) -> None:
        """Moves the mean, if it is time, to the weights after `step` steps."""
        if (weight := share(step)) is not None and self._pairs:
            weights, means = zip(*self._pairs, strict=True)
            torch._foreach_lerp_(list(means), list(weights), weight)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model with the mean for its weights; then with every bit of its own again."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for weights, mean in self._pairs:
            one, other = weights.view(-1), mean.view(-1)
            for begin in range(0, len(one), BLOCK):
                a, b = one[begin : begin + BLOCK], other[begin : begin + BLOCK]
                kept = a.clone()
                a.copy_(b)
                b.copy_(kept)
