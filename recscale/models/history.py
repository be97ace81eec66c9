"""The history encoder of the click models: a small causal transformer over a user's last items, or
HSTU's blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from recscale.families.click import ClickConfig, history_heads
from recscale.families.sequence import RelativeBias
from recscale.models.hstu import HSTUBlock
from recscale.models.sequences import Bucket, buckets, packed, padded


class Block(nn.Module):
    """Pre-norm causal self-attention and a feed-forward layer of 4 x width."""

    def __init__(self, width: int, device: torch.device):
        super().__init__()
        self.heads = history_heads(width)
        self.attention_norm = nn.LayerNorm(width, device=device)
        self.qkv = nn.Linear(width, 3 * width, device=device)
        self.out = nn.Linear(width, width, device=device)
        self.ffn_norm = nn.LayerNorm(width, device=device)
        self.up = nn.Linear(width, 4 * width, device=device)
        self.down = nn.Linear(4 * width, width, device=device)

    def forward(self, x: torch.Tensor, within: tuple[Bucket, ...]) -> torch.Tensor:
        """[T, width] -> [T, width]"""
        width = x.shape[1]
        qkv = self.qkv(self.attention_norm(x)).view(-1, 3, self.heads, width // self.heads)
        mixed = []
        for bucket in within:
            q, k, v = padded(qkv, bucket).permute(2, 0, 3, 1, 4)
            # padding stands behind a history's items: the causal mask hides it from all of them
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            mixed.append(packed(out.transpose(1, 2), bucket))
        # without any item nothing is mixed, and every weight has its gradient of zero all the same
        x = x + self.out((torch.cat(mixed) if mixed else qkv[:, 2]).reshape(-1, width))
        return x + self.down(F.gelu(self.up(self.ffn_norm(x))))


class PointwiseShape(NamedTuple):
    """Of an HSTU block over histories, whose times are not known."""

    sequence_width: int
    sequence_depth: int
    sequence_length: int
    heads: int
    norm: str = "pre"
    residual: bool = True
    relative_bias: RelativeBias = "position"


class Pointwise(HSTUBlock):
    """HSTU's block over histories."""

    def forward(self, x: torch.Tensor, within: tuple[Bucket, ...]) -> torch.Tensor:  # type: ignore[override]
        """[T, width] -> [T, width]"""
        out = self.over(x, within)
        if within or self.position_bias is None:
            return out
        return out + 0 * self.position_bias.sum()  # unread, and has its gradient of zero


class Histories(NamedTuple):
    """Where the T items of B histories stand, one history after another."""

    sample: torch.Tensor
    """int64 [T], whose each is"""
    share: torch.Tensor
    """float32 [B, 1], of an item in its history's mean; 0 without items"""
    order: torch.Tensor
    """int64 [T], the items with the shortest histories first, in which `buckets` lie"""
    age: torch.Tensor
    """int64 [T], in that order: 0 for the newest item"""
    newest: torch.Tensor
    """int64 [B], the place of each history's newest item in that order; of histories that have one
    each"""
    buckets: tuple[Bucket, ...]

    @classmethod
    def of(cls, lengths: torch.Tensor, device: torch.device) -> Histories:
        """lengths: int [B], any from 0"""
        sizes = lengths.cpu().numpy().astype(np.int64)
        order = np.argsort(sizes, kind="stable")[np.count_nonzero(sizes == 0) :]
        tall = sizes[order]
        ends, begins = np.cumsum(tall), np.cumsum(sizes) - sizes
        within = np.arange(tall.sum()) - np.repeat(ends - tall, tall)
        newest = np.zeros(len(sizes), np.int64)
        newest[order] = ends - 1
        share = ((sizes > 0) / np.maximum(sizes, 1)).astype(np.float32)[:, None]
        return cls(
            sample=torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)).to(device),
            share=torch.from_numpy(share).to(device),
            order=torch.from_numpy(np.repeat(begins[order], tall) + within).to(device),
            age=torch.from_numpy(np.repeat(tall, tall) - 1 - within).to(device),
            newest=torch.from_numpy(newest).to(device),
            buckets=buckets(tall, ends - tall, device) if len(tall) else (),
        )

    @classmethod
    def counted(cls, histories: int, items: int) -> Histories:
        """Of so many histories with so many items in all, all alike: on the meta device, where
        networks are counted and lengths have no values."""
        meta, length = torch.device("meta"), items // histories
        each = torch.empty(items, dtype=torch.long, device=meta)
        share = torch.empty(histories, 1, device=meta)
        newest = torch.empty(histories, dtype=torch.long, device=meta)
        return cls(each, share, each, each, newest, (Bucket(0, items, histories, length, None),))


class HistoryEncoder(nn.Module):
    """Pools embedded items into one vector: their mean at depth 0, else the mean output of
    `depth` causal blocks with learned positions, or with `sequence_target` that of the newest item.

    Positions count back from the newest item. Only attention pads, histories of like length
    together.
    """

    def __init__(self, config: ClickConfig, device: torch.device):
        super().__init__()
        dim, width, length = config.set_dim, config.sequence_width, config.events
        self.depth, self.target = config.sequence_depth, config.sequence_target
        if self.depth:
            self.enter = nn.Linear(dim, width, device=device)
            self.position = nn.Parameter(torch.empty(length, width, device=device))
            if config.sequence_encoder == "hstu":
                shape = PointwiseShape(width, self.depth, length, history_heads(width))
                blocks = [Pointwise(shape, 0.0, device) for _ in range(self.depth)]
            else:
                blocks = [Block(width, device) for _ in range(self.depth)]
            self.blocks = nn.ModuleList(blocks)
            self.norm = nn.LayerNorm(width, device=device)
            self.leave = nn.Linear(width, dim, device=device)
            nn.init.normal_(self.position, std=0.02)

    def forward(self, items: torch.Tensor, of: Histories) -> torch.Tensor:
        """items [T, dim], oldest first -> [B, dim]. A user without history gets the zero vector."""
        if not self.depth:
            return _means(items, of.sample, of.share)
        x = self.enter(items).index_select(0, of.order) + self.position[of.age]
        for block in self.blocks:
            x = block(x, of.buckets)
        if self.target:
            return self.leave(self.norm(x.index_select(0, of.newest)))
        pooled = self.leave(_means(self.norm(x), of.sample[of.order], of.share))
        return pooled * (of.share > 0)


def _means(x: torch.Tensor, sample: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """[T, d] -> [B, d]"""
    return x.new_zeros(len(share), x.shape[1]).index_add(0, sample, x) * share
