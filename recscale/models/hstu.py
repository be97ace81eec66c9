"""HSTU (2402.17152), with the output layer over [U, A, U * A] of MLPerf's DLRM-v4."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn
from torch.nn import functional as F

from recscale.families.hstu import HSTUConfig
from recscale.families.sequence import RelativeBias
from recscale.manifest import Manifest
from recscale.models.dropout import Dropout
from recscale.models.relative import bias_weights, relative_bias
from recscale.models.sequences import Bucket, Sequences, packed, padded
from recscale.models.stack import INIT_SD, SequenceModel


class Shape(Protocol):
    """What of a config shapes a block."""

    @property
    def sequence_width(self) -> int: ...
    @property
    def sequence_depth(self) -> int: ...
    @property
    def sequence_length(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def norm(self) -> str: ...
    @property
    def residual(self) -> bool: ...
    @property
    def relative_bias(self) -> RelativeBias: ...


class HSTUBlock(nn.Module):
    """Pointwise-SiLU attention: no softmax, so that how much of the past matters is seen; biases
    by distance in positions and in time."""

    def __init__(self, config: Shape, dropout: float, device: torch.device):
        super().__init__()
        d = config.sequence_width
        self.heads, self.length = config.heads, config.sequence_length
        self.pre, self.residual = config.norm == "pre", config.residual
        self.drop = Dropout(dropout)
        self.norm = nn.LayerNorm(d, device=device)
        self.uvqk = nn.Linear(d, 4 * d, bias=False, device=device)
        self.attention_norm = nn.LayerNorm(d, device=device)
        self.out = nn.Linear(3 * d, d, device=device)
        bias = bias_weights(config.relative_bias, config.sequence_length, device)
        self.position_bias, self.time_bias = bias
        nn.init.normal_(self.uvqk.weight, std=INIT_SD)
        nn.init.normal_(self.out.weight, std=INIT_SD / config.sequence_depth**0.5)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: torch.Tensor, s: Sequences) -> torch.Tensor:
        """[T, d] -> [T, d]"""
        return self.over(x, s.buckets, s.time, s.key)

    def over(
        self,
        x: torch.Tensor,
        buckets: tuple[Bucket, ...],
        time: torch.Tensor | None = None,
        key: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The same of windows at these places, at these times, with these keys of dropout."""
        normed = self.norm(x) if self.pre else x
        u, v, q, k = F.silu(self.uvqk(normed)).chunk(4, dim=1)
        vqk = torch.stack([v, q, k], dim=1).unflatten(2, (self.heads, -1))  # [T, 3, heads, e]
        mixed = [self._mix(vqk, time, bucket) for bucket in buckets]
        a = self.attention_norm((torch.cat(mixed) if mixed else vqk[:, 0]).flatten(1))
        y = self.drop(self.out(torch.cat([u, a, u * a], dim=1)), key)
        y = x + y if self.residual else y
        return y if self.pre else self.norm(y)

    def _mix(self, vqk: torch.Tensor, time: torch.Tensor | None, bucket: Bucket) -> torch.Tensor:
        """[t, heads, e]: A(X) V of one bucket's windows."""
        v, q, k = padded(vqk, bucket).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(2, 3)
        bias = relative_bias((self.position_bias, self.time_bias), time, bucket)
        scores = F.silu(scores if bias is None else scores + bias) / self.length
        past = torch.ones_like(scores[0, 0]).tril()
        return packed((scores * past @ v).transpose(1, 2), bucket)


def hstu(config: HSTUConfig, data: Manifest, device: torch.device) -> SequenceModel:
    def block(dropout: float) -> nn.Module:
        return HSTUBlock(config, dropout, device)

    return SequenceModel(config, data, device, block, norm_first=config.norm == "post")
