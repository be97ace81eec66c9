"""The mean of the weights on the way, which is what schedule `anytime` evaluates.

At a constant rate the weights wander about where they tend to; their mean over the last part of the
way is near it, as after a decay (2405.18392), at every step and for any end. After step t the
weights of step s stand in the mean with s^POWER (polynomial-decay averaging, Shamir & Zhang 2013,
1212.1824): their mean age is t / (POWER + 2), that of a trailing window of 2 / (POWER + 2) of the
way, and no more than one copy is needed. The mean is moved at steps that lie closer than 1 / MOVES
of the way; a move gives the weights of its step the share of all steps since the last move.

Chosen by this study of 2026-11-30: one constant run against one decayed to each end, the loss
(nats) beside the decayed run's, below 0 better; warm-up of 100 steps; click worlds of 180,000
(dlrm: 360,000) rows at batch 128, next item of 180,000 events of 1,000 items at batch 256; `win`
the plain mean of 16 snapshots over so much of the way:

    family, steps     decayed     raw  POWER 3       5       8      12  win .1  win .2  win .3
    dlrm       351      .5326  -.0101   -.0072  -.0086  -.0092  -.0095  -.0095  -.0086  -.0082
    dlrm      2812      .4825  +.0007   -.0017  -.0025  -.0029  -.0029  -.0015  -.0020  -.0006
    dcnv2      351      .4915  +.0052   -.0010  -.0019  -.0027  -.0026  -.0019  -.0015  -.0006
    dcnv2     1406      .4643  -.0027   -.0042  -.0055  -.0053  -.0049  -.0055  -.0050  -.0045
    wukong     351      .5013  +.0048   +.0000  -.0004  -.0008  -.0006  +.0007  -.0004  -.0001
    wukong    1406      .4777  +.0015   -.0012  -.0024  -.0003  +.0012  -.0024  -.0015  -.0015
    decoder     87     6.3826  -.0267   -.0838  -.0838  -.0763  -.0688  -.0531  -.0685  -.0753
    decoder    703     5.9498  -.0081   -.0338  -.0359  -.0351  -.0330  -.0294  -.0328  -.0313
    hstu        87     6.2470  -.0050   -.0373  -.0454  -.0425  -.0373  -.0231  -.0348  -.0336
    hstu       703     5.5982  -.0802   -.0936  -.1012  -.1027  -.1007  -.0945  -.0994  -.0929

Moves at 1/66, 1/33 and 1/17 of the way (POWER 8) come to -.1067, -.1027, -.0982 for hstu and to
-.0366, -.0351, -.0322 for the decoder at 703 steps, to -.0054, -.0053, -.0044 for dcnv2 at 1,406.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributed._shard.sharded_tensor import Shard, ShardedTensor

POWER = 8.0
MOVES = 24
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
