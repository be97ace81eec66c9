"""The history encoder of the click models: a small causal transformer over a user's last items."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

HEAD_WIDTH = 16  # width of one attention head; narrower models have a single head


class Block(nn.Module):
    """Pre-norm causal self-attention and a feed-forward layer of 4 x width."""

    def __init__(self, width: int, device: torch.device):
        super().__init__()
        self.heads = width // HEAD_WIDTH if width % HEAD_WIDTH == 0 else 1
        self.attention_norm = nn.LayerNorm(width, device=device)
        self.qkv = nn.Linear(width, 3 * width, device=device)
        self.out = nn.Linear(width, width, device=device)
        self.ffn_norm = nn.LayerNorm(width, device=device)
        self.up = nn.Linear(width, 4 * width, device=device)
        self.down = nn.Linear(4 * width, width, device=device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, S, width] -> [B, S, width]"""
        b, s, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(b, s, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, s, width))
        return x + self.down(F.gelu(self.up(self.ffn_norm(x))))


class HistoryEncoder(nn.Module):
    """Pools embedded items into one vector: their mean at depth 0, else the mean output of
    `depth` causal blocks with learned positions.

    Positions count back from the newest item, and padding stands behind the items, where a causal
    mask hides it from all of them: no padding mask is needed.
    """

    def __init__(self, dim: int, width: int, depth: int, length: int, device: torch.device):
        super().__init__()
        self.length = length
        self.depth = depth
        if depth:
            self.enter = nn.Linear(dim, width, device=device)
            self.position = nn.Parameter(torch.empty(length, width, device=device))
            self.blocks = nn.ModuleList(Block(width, device) for _ in range(depth))
            self.norm = nn.LayerNorm(width, device=device)
            self.leave = nn.Linear(width, dim, device=device)
            nn.init.normal_(self.position, std=0.02)

    def forward(self, items: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """items [B, length, dim], zero beyond `lengths` [B], oldest first -> [B, dim].
        A user without history gets the zero vector."""
        place = torch.arange(self.length, device=items.device)
        present = (place < lengths[:, None]).unsqueeze(-1)
        share = 1.0 / lengths.clamp(min=1).to(items.dtype).unsqueeze(-1)
        if not self.depth:
            return items.sum(1) * share
        age = (lengths[:, None] - 1 - place).clamp(min=0)
        x = self.enter(items) + self.position[age]
        for block in self.blocks:
            x = block(x)
        pooled = self.leave((self.norm(x) * present).sum(1) * share)
        return pooled * (lengths > 0).unsqueeze(-1)
