"""FuXi-alpha (Ye et al. 2025, 2502.03036): attention in channels of their own for what events are,
when and where they stand."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from recscale.families.fuxi import FuXiConfig
from recscale.families.sequence import TIME_BUCKETS
from recscale.manifest import Manifest
from recscale.models.dropout import Dropout
from recscale.models.relative import time_bucket
from recscale.models.sequences import Bucket, Sequences, packed, padded
from recscale.models.stack import INIT_SD, SequenceModel

EPSILON = 1e-6  # of the norms, as in the authors' code


class FuXiBlock(nn.Module):
    """Adaptive multi-channel self-attention (the time's and the position's weights are shared by
    the heads and follow no softmax), gated; and the multi-stage feed-forward network. Norms are
    root-mean-square ones without weights, before each part and behind the channels."""

    def __init__(self, config: FuXiConfig, dropout: float, device: torch.device):
        super().__init__()
        d, c, k = config.sequence_width, config.n_channels, config.expansion
        self.heads, self.length, self.width, self.channels = (
            config.heads,
            config.sequence_length,
            d,
            c,
        )
        self.drop = nn.ModuleList([Dropout(dropout), Dropout(dropout)])
        self.uvqk = nn.Linear(d, (c + 3) * d, bias=False, device=device)
        self.out = nn.Linear(c * d, d, device=device)
        self.gate = nn.Linear(d, k * d, bias=False, device=device)
        self.up = nn.Linear(d, k * d, bias=False, device=device)
        self.down = nn.Linear(k * d, d, bias=False, device=device)
        residual_sd = INIT_SD / (2 * config.sequence_depth) ** 0.5
        for layer in (self.uvqk, self.out, self.gate, self.up, self.down):
            into_residual = layer is self.out or layer is self.down
            nn.init.normal_(layer.weight, std=residual_sd if into_residual else INIT_SD)
        nn.init.zeros_(self.out.bias)
        self.position = self.elapsed = None
        if c > 1:
            self.position = nn.Parameter(torch.empty(self.length, device=device))
            nn.init.normal_(self.position, std=INIT_SD)
        if c > 2:
            self.elapsed = nn.Parameter(torch.empty(TIME_BUCKETS, device=device))
            nn.init.normal_(self.elapsed, std=INIT_SD)

    def forward(self, x: torch.Tensor, s: Sequences) -> torch.Tensor:
        """[T, d] -> [T, d]"""
        d, c = self.width, self.channels
        uvqk = F.silu(self.uvqk(F.rms_norm(x, (d,), eps=EPSILON)))
        u, vqk = uvqk.split([c * d, 3 * d], dim=1)
        vqk = vqk.unflatten(1, (3, self.heads, -1))
        mixed = torch.cat([self._mix(vqk, s.time, bucket) for bucket in s.buckets])
        gated = u * F.rms_norm(mixed, (c * d,), eps=EPSILON)
        x = x + self.drop[0](self.out(gated), s.key)
        y = F.rms_norm(x, (d,), eps=EPSILON)
        return x + self.drop[1](self.down(F.silu(self.gate(y)) * self.up(y)), s.key)

    def _mix(self, vqk: torch.Tensor, time: torch.Tensor, bucket: Bucket) -> torch.Tensor:
        """[t, channels d]: V of one bucket's windows, mixed in every channel."""
        v, q, k = padded(vqk, bucket).permute(2, 0, 3, 1, 4)
        n = bucket.length
        place = torch.arange(n, device=time.device)
        past = (place[:, None] >= place).to(v.dtype)
        scores = F.silu(q @ k.transpose(2, 3)) / self.length * past
        found = [(scores @ v).transpose(1, 2).flatten(2)]
        whole = v.transpose(1, 2).flatten(2)  # all heads: [windows, n, d]
        if self.position is not None:
            weights = self.position[(place[:, None] - place).clamp(min=0)] * past
            found.append(weights.to(v.dtype) @ whole)
        if self.elapsed is not None:
            when = padded(time, bucket)
            weights = self.elapsed[time_bucket(when[:, :, None] - when[:, None, :])] * past
            found.append(weights.to(v.dtype) @ whole)
        return packed(torch.cat(found, dim=2), bucket)


def fuxi(config: FuXiConfig, data: Manifest, device: torch.device) -> SequenceModel:
    def block(dropout: float) -> nn.Module:
        return FuXiBlock(config, dropout, device)

    return SequenceModel(config, data, device, block)
