"""Ad-Rec (Adnan et al. 2023, 2308.14902): masked transformer blocks over the features."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from recscale.families.adrec import AdRecConfig
from recscale.manifest import Manifest
from recscale.models.click import ClickModel, Vectors
from recscale.models.contract import mlp


class FeatureBlock(nn.Module):
    """Self-attention over a sample's features and a ReLU feed-forward layer of 4 x width, a
    LayerNorm behind each sum, as in 1706.03762."""

    def __init__(self, config: AdRecConfig, device: torch.device):
        super().__init__()
        d = config.set_dim
        self.heads, self.masked = config.heads, config.mask == "triangular"
        with device:
            self.qkv = nn.Linear(d, 3 * d)
            self.out = nn.Linear(d, d)
            self.attention_norm = nn.LayerNorm(d)
            self.up = nn.Linear(d, 4 * d)
            self.down = nn.Linear(4 * d, d)
            self.ffn_norm = nn.LayerNorm(d)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, n, d] -> [B, n, d]"""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.masked)
        x = self.attention_norm(x + self.out(mixed.transpose(1, 2).flatten(2)))
        return self.ffn_norm(x + self.down(F.relu(self.up(x))))


class AdRec(ClickModel):
    """Blocks over each set's vectors, the dense features' MLP giving the first, and an over-arch
    over all that leaves the last."""

    def __init__(self, config: AdRecConfig, data: Manifest, device: torch.device):
        bottom, (*over, _) = config.end_widths(data)
        super().__init__(config, data, device)
        self.dim = config.set_dim
        with device:
            self.bottom = mlp(bottom, last_activation=True) if bottom else None
            self.over_arch = mlp(over, last_activation=True)
        self.stacks = nn.ModuleList(
            nn.Sequential(*(FeatureBlock(config, device) for _ in range(config.layers)))
            for _ in range(config.multi_embedding)
        )

    def hidden(self, dense: torch.Tensor, sets: list[Vectors]) -> torch.Tensor:
        if self.bottom is not None:
            parts = self.bottom(dense).split(self.dim, dim=1)
            each = zip(sets, parts, strict=True)
            sets = [torch.cat([part[:, None], vectors], dim=1) for vectors, part in each]
        left = [stack(vectors).flatten(1) for stack, vectors in zip(self.stacks, sets, strict=True)]
        return self.over_arch(torch.cat(left, dim=1))
