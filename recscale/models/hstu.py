"""HSTU (2402.17152), with the output layer over [U, A, U * A] of MLPerf's DLRM-v4."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from recscale.families.hstu import TIME_BUCKETS, HSTUConfig
from recscale.manifest import Manifest
from recscale.models.dropout import Dropout
from recscale.models.sequences import Sequences, packed, padded
from recscale.models.stack import INIT_SD, SequenceModel


class HSTUBlock(nn.Module):
    """Pointwise-SiLU attention: no softmax, so that how much of the past matters is seen; biases
    by distance in positions and in time."""

    def __init__(self, config: HSTUConfig, dropout: float, device: torch.device):
        super().__init__()
        d = config.sequence_width
        self.heads, self.length = config.heads, config.sequence_length
        self.drop = Dropout(dropout)
        self.norm = nn.LayerNorm(d, device=device)
        self.uvqk = nn.Linear(d, 4 * d, bias=False, device=device)
        self.attention_norm = nn.LayerNorm(d, device=device)
        self.out = nn.Linear(3 * d, d, device=device)
        self.position_bias = nn.Parameter(torch.zeros(config.sequence_length, device=device))
        self.time_bias = nn.Parameter(torch.zeros(TIME_BUCKETS, device=device))
        nn.init.normal_(self.uvqk.weight, std=INIT_SD)
        nn.init.normal_(self.out.weight, std=INIT_SD / config.sequence_depth**0.5)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: torch.Tensor, s: Sequences) -> torch.Tensor:
        """[T, d] -> [T, d]"""
        u, v, q, k = F.silu(self.uvqk(self.norm(x))).chunk(4, dim=1)
        vqk = torch.stack([v, q, k], dim=1).unflatten(2, (self.heads, -1))  # [T, 3, heads, e]
        mixed = torch.cat([self._mix(vqk, s.time, bucket) for bucket in s.buckets])
        a = self.attention_norm(mixed.flatten(1))
        y = self.out(torch.cat([u, a, u * a], dim=1))
        return x + self.drop(y, s.key)

    def _mix(self, vqk: torch.Tensor, time: torch.Tensor, bucket) -> torch.Tensor:
        """[t, heads, e]: A(X) V of one bucket's windows."""
        v, q, k = padded(vqk, bucket).permute(2, 0, 3, 1, 4)
        when = padded(time, bucket)
        n = bucket.length
        place = torch.arange(n, device=time.device)
        bias = self.position_bias[(place[:, None] - place).clamp(min=0)]
        bias = bias + self.time_bias[time_bucket(when[:, :, None] - when[:, None, :])][:, None]
        scores = F.silu(q @ k.transpose(2, 3) + bias) / self.length
        past = (place[:, None] >= place).to(scores.dtype)
        return packed((scores * past @ v).transpose(1, 2), bucket)


def time_bucket(seconds: torch.Tensor) -> torch.Tensor:
    """Buckets of elapsed time: 0 below a second, then one for every doubling."""
    steps = torch.log2(1 + seconds.clamp(min=0).double()).long()
    return steps.clamp(max=TIME_BUCKETS - 1)


def hstu(config: HSTUConfig, data: Manifest, device: torch.device) -> SequenceModel:
    def block(dropout: float) -> nn.Module:
        return HSTUBlock(config, dropout, device)

    return SequenceModel(config, data, device, block)
