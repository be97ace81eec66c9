"""Dropout whose masks belong to the samples: equal on one worker, on several, and after a resume.

A mask drawn from a stream of random numbers depends on which samples a process sees, and in which
order. Here each position has a key, made of seed, step and event, and each bit of a mask is a hash
of key, layer and feature: a position that two workers compute gets the same mask on both.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from recscale.data.build import scramble

LANES = 4  # a hash of 64 bits decides on so many features, by 16 bits each
LEVELS = 1 << 16


class Dropout(nn.Module):
    """Zeroes a share `rate` of the values, rounded to 1/65536, and scales the others up; nothing
    outside training. `site` tells the layers of a model apart."""

    def __init__(self, rate: float):
        super().__init__()
        self.below, self.site = round(rate * LEVELS), 0

    def forward(self, x: torch.Tensor, key: torch.Tensor | None) -> torch.Tensor:
        """[T, d] -> [T, d]. key: int64 [T], see `keys`; needed in training only."""
        if not self.training or not self.below:
            return x
        if self.below == LEVELS:
            return x * 0
        assert key is not None, "a training batch lacks the keys of its dropout"
        kept = self._draws(key, x.shape[1]) >= self.below - LEVELS // 2
        return x * kept.to(x.dtype) * (LEVELS / (LEVELS - self.below))

    def _draws(self, key: torch.Tensor, d: int) -> torch.Tensor:
        """int16 [T, d], uniform."""
        words = -(-d // LANES)
        at = np.arange(self.site * words, (self.site + 1) * words, dtype=np.uint64)
        place = torch.from_numpy(scramble(at).view(np.int64)).to(key.device)
        x = key[:, None] ^ place
        x = (x ^ _shift(x, 32)) * _MIX
        x = (x ^ _shift(x, 29)) * _MIX
        return (x ^ _shift(x, 32)).view(torch.int16)[:, :d]


_MIX = -0x2917014799A6026D  # 0xd6e8feb86659fd93 (rrmxmx), as an int64


def _shift(x: torch.Tensor, bits: int) -> torch.Tensor:
    """x >> bits of int64 as if it had no sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def number(model: nn.Module) -> None:
    """Gives every dropout layer of a model a site of its own."""
    layers = (m for m in model.modules() if isinstance(m, Dropout))
    for site, layer in enumerate(layers):
        layer.site = site


def keys(seed: int, step: int, event: np.ndarray) -> np.ndarray:
    """int64 [T]: one key a position, from the places int64 [T] of their targets in the store."""
    of_step = scramble(np.array([step], np.uint64) ^ scramble(np.array([seed], np.uint64)))
    return scramble(event.astype(np.uint64) ^ of_step).view(np.int64)
