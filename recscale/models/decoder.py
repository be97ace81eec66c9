"""Decoder-only transformer over item ids (LSRM, 2311.11351; SASRec, 1808.09781)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from recscale.families.decoder import DecoderConfig
from recscale.manifest import Manifest
from recscale.models.dropout import Dropout
from recscale.models.relative import bias_weights, relative_bias
from recscale.models.sequences import Sequences, packed, padded
from recscale.models.stack import INIT_SD, SequenceModel


class DecoderBlock(nn.Module):
    """Causal self-attention and a GeLU feed-forward layer of 4 x width, norms before or after."""

    def __init__(self, config: DecoderConfig, dropout: float, device: torch.device):
        super().__init__()
        d = config.sequence_width
        self.heads, self.pre = config.heads, config.norm == "pre"
        self.residual = config.residual
        bias = bias_weights(config.relative_bias, config.sequence_length, device)
        self.position_bias, self.time_bias = bias
        self.drop = nn.ModuleList([Dropout(dropout), Dropout(dropout)])
        self.attention_norm = nn.LayerNorm(d, device=device)
        self.qkv = nn.Linear(d, 3 * d, device=device)
        self.out = nn.Linear(d, d, device=device)
        self.ffn_norm = nn.LayerNorm(d, device=device)
        self.up = nn.Linear(d, 4 * d, device=device)
        self.down = nn.Linear(4 * d, d, device=device)
        # projections into the residual start smaller, by depth (GPT-2)
        residual_sd = INIT_SD / (2 * config.sequence_depth) ** 0.5
        for layer in (self.qkv, self.out, self.up, self.down):
            into_residual = layer is self.out or layer is self.down
            nn.init.normal_(layer.weight, std=residual_sd if into_residual else INIT_SD)
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor, s: Sequences) -> torch.Tensor:
        """[T, d] -> [T, d]"""
        attend = partial(self.attention, s=s)
        x = self._sub_layer(attend, x, self.attention_norm, self.drop[0], s.key)
        return self._sub_layer(self.feed_forward, x, self.ffn_norm, self.drop[1], s.key)

    def _sub_layer(
        self,
        layer: Callable[[torch.Tensor], torch.Tensor],
        x: torch.Tensor,
        norm: nn.Module,
        drop: nn.Module,
        key: torch.Tensor | None,
    ) -> torch.Tensor:
        """A layer with its norm, its dropout and the residual."""
        y = drop(layer(norm(x) if self.pre else x), key)
        y = x + y if self.residual else y
        return y if self.pre else norm(y)

    def attention(self, x: torch.Tensor, s: Sequences) -> torch.Tensor:
        width = x.shape[1]
        qkv = self.qkv(x).view(-1, 3, self.heads, width // self.heads)
        mixed = []
        for bucket in s.buckets:
            q, k, v = padded(qkv, bucket).permute(2, 0, 3, 1, 4)
            # padding stands behind a window's positions: the causal mask hides it from all
            bias = relative_bias((self.position_bias, self.time_bias), s.time, bucket)
            if bias is None:
                out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            else:
                future = torch.ones_like(bias, dtype=torch.bool).triu(1)
                mask = bias.masked_fill(future, -torch.inf).to(q.dtype)
                out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            mixed.append(packed(out.transpose(1, 2), bucket))
        return self.out(torch.cat(mixed).reshape(-1, width))

    def feed_forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.gelu(self.up(x)))


def decoder(config: DecoderConfig, data: Manifest, device: torch.device) -> SequenceModel:
    def block(dropout: float) -> nn.Module:
        return DecoderBlock(config, dropout, device)

    return SequenceModel(config, data, device, block, norm_first=config.norm == "post")
