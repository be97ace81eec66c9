"""Climber (Xu et al. 2025, 2502.09888): sub-sequences through adaptive transformer layers of their
own, and a gate for every number of what they tell.

What the paper leaves open, or takes from logs that have more than events: sub-sequence k holds the
events at places k, k + N, k + 2 N, ... of a window; temperature and bias, which the paper learns
for each kind of events and each scenario, are those of a sub-sequence, the temperature of each
head, from the usual sqrt(e) on; norms stand before each part. At each event, what the sub-sequences
tell is what each told at its latest event; the gated parts are added up, and what is not there yet
is 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from recscale.families.climber import ClimberConfig
from recscale.manifest import Manifest
from recscale.models.dropout import Dropout
from recscale.models.sequences import Bucket, Sequences, packed, padded
from recscale.models.stack import INIT_SD, SequenceModel


class Part(NamedTuple):
    """Windows of one bucket in one sub-sequence, among the places of all."""

    begin: int
    end: int
    windows: int
    places: int


class AdaptiveLayer(nn.Module):
    """A causal transformer layer of one sub-sequence with a learned temperature a head and a bias
    by distance; GELU in a feed-forward layer of 4 x width."""

    def __init__(self, config: ClimberConfig, dropout: float, device: torch.device):
        super().__init__()
        d = config.sequence_width
        self.heads = config.heads
        self.drop = nn.ModuleList([Dropout(dropout), Dropout(dropout)])
        self.attention_norm = nn.LayerNorm(d, device=device)
        self.qkv = nn.Linear(d, 3 * d, device=device)
        self.out = nn.Linear(d, d, device=device)
        self.ffn_norm = nn.LayerNorm(d, device=device)
        self.up = nn.Linear(d, 4 * d, device=device)
        self.down = nn.Linear(4 * d, d, device=device)
        residual_sd = INIT_SD / (2 * config.sequence_depth) ** 0.5
        for layer in (self.qkv, self.out, self.up, self.down):
            into_residual = layer is self.out or layer is self.down
            nn.init.normal_(layer.weight, std=residual_sd if into_residual else INIT_SD)
            nn.init.zeros_(layer.bias)
        # over sqrt(e), in logs, so that it stays positive
        self.log_temperature = nn.Parameter(torch.zeros(self.heads, device=device))
        self.position_bias = nn.Parameter(torch.zeros(config.places, device=device))

    def forward(self, x: torch.Tensor, parts: list[Part], key: torch.Tensor | None) -> torch.Tensor:
        """[P, d] -> [P, d], P places of the windows of `parts`"""
        x = x + self.drop[0](self._attention(self.attention_norm(x), parts), key)
        y = self.down(F.gelu(self.up(self.ffn_norm(x))))
        return x + self.drop[1](y, key)

    def _attention(self, x: torch.Tensor, parts: list[Part]) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(1, (3, self.heads, -1)).unbind(1)  # each [P, heads, e]
        q = q * (-self.log_temperature).exp()[:, None]
        mixed = []
        for part in parts:
            place = torch.arange(part.places, device=x.device)
            away = place[:, None] - place
            bias = self.position_bias[away.clamp(min=0)].masked_fill(away < 0, -torch.inf)
            shape = part.windows, part.places
            of = [
                t[part.begin : part.end].unflatten(0, shape).transpose(1, 2) for t in (q, k, v)
            ]  # [windows, heads, places, e]
            out = F.scaled_dot_product_attention(*of, attn_mask=bias.to(q.dtype))
            mixed.append(out.transpose(1, 2).flatten(0, 1))
        return self.out(torch.cat(mixed).flatten(1))


class ClimberBlock(nn.Module):
    """One adaptive layer a sub-sequence, beside each other."""

    def __init__(self, config: ClimberConfig, dropout: float, device: torch.device):
        super().__init__()
        self.layers = nn.ModuleList(
            AdaptiveLayer(config, dropout, device) for _ in range(config.subsequences)
        )

    def forward(self, x: torch.Tensor, s: Sequences) -> torch.Tensor:
        """[T, d] -> [T, d]"""
        n = len(self.layers)
        found = [split(bucket, n, x.device) for bucket in s.buckets]
        rooms = [padded(x, bucket).unflatten(0, (n, -1)).flatten(1, 2) for bucket in found]
        key = None
        if s.key is not None:
            key = torch.cat([padded(s.key, b).view(n, -1) for b in found], dim=1)
        parts, begin = [], 0
        for bucket, room in zip(found, rooms, strict=True):
            end = begin + room.shape[1]
            parts.append(Part(begin, end, bucket.windows // n, bucket.length))
            begin = end
        room = torch.cat(rooms, dim=1)  # [n, P, d]
        out = torch.stack([
            layer(room[k], parts, None if key is None else key[k])
            for k, layer in enumerate(self.layers)
        ])  # fmt: skip
        back = [
            packed(out[:, part.begin : part.end].unflatten(1, (part.windows, -1)).flatten(0, 1), b)
            for part, b in zip(parts, found, strict=True)
        ]
        return torch.cat(back)


def split(bucket: Bucket, n: int, device: torch.device) -> Bucket:
    """The same positions as those of n sub-sequences of each window, all of the first ones before
    all of the second ones: place p of window w is place p // n of window (p % n) W + w."""
    place = bucket.place
    if place is None:
        place = torch.arange(bucket.windows * bucket.length, device=device)
    length = -(-bucket.length // n)
    window, at = place // bucket.length, place % bucket.length
    where = (at % n * bucket.windows + window) * length + at // n
    return Bucket(bucket.begin, bucket.end, n * bucket.windows, length, where)


class BitwiseGate(nn.Module):
    """Of what the sub-sequences tell, [T, N d] together, each number by a gate that sees all of
    them; the sum over sub-sequences."""

    def __init__(self, config: ClimberConfig, device: torch.device):
        super().__init__()
        self.n = config.subsequences
        wide = self.n * config.sequence_width
        self.gate = nn.Linear(wide, wide, device=device)
        nn.init.normal_(self.gate.weight, std=INIT_SD)
        nn.init.zeros_(self.gate.bias)

    def forward(self, x: torch.Tensor, s: Sequences) -> torch.Tensor:
        """[T, d] -> [T, d]"""
        told = torch.cat([self._latest(x, bucket) for bucket in s.buckets])
        gated = torch.sigmoid(self.gate(told)) * told
        return gated.unflatten(1, (self.n, -1)).sum(1)

    def _latest(self, x: torch.Tensor, bucket: Bucket) -> torch.Tensor:
        """[t, N d]: at each position, the latest of every sub-sequence, its own first."""
        room = padded(x, bucket)
        past = [F.pad(room, (0, 0, k, 0))[:, : bucket.length] for k in range(self.n)]
        return packed(torch.cat(past, dim=2), bucket)


def climber(config: ClimberConfig, data: Manifest, device: torch.device) -> SequenceModel:
    def block(dropout: float) -> nn.Module:
        return ClimberBlock(config, dropout, device)

    model = SequenceModel(config, data, device, block)
    model.blocks.append(BitwiseGate(config, device))
    return model
