"""AutoInt (Song et al. 2019, 1810.11921): self-attention over the features."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from recscale.families.autoint import AutoIntConfig
from recscale.manifest import Manifest
from recscale.models.click import ClickModel, Fields, Vectors
from recscale.models.contract import mlp


class InteractingLayer(nn.Module):
    """ReLU(heads of softmax(q k^T / sqrt(e)) v, beside one another, + W x), then a LayerNorm
    (section 4.4); W is the identity where the width does not change."""

    def __init__(self, wide: int, out: int, heads: int, norm: bool, device: torch.device):
        super().__init__()
        self.heads = heads
        with device:
            self.qkv = nn.Linear(wide, 3 * out, bias=False)
            self.residual = nn.Linear(wide, out, bias=False) if wide != out else nn.Identity()
            self.norm = nn.LayerNorm(out) if norm else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, n, wide] -> [B, n, out]"""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.norm(F.relu(mixed + self.residual(x)))


class AutoInt(ClickModel):
    """Interacting layers over each set's vectors, all that leaves the last weighed in the output
    unit, and beside them a deep network over the vectors as they are."""

    def __init__(self, config: AutoIntConfig, data: Manifest, device: torch.device):
        deep, (last, _) = config.layer_widths(data)
        super().__init__(config, data, device)
        self.fields = Fields(config, data, device)
        out, heads, norm = config.attention_width, config.heads, config.norm
        self.stacks = nn.ModuleList(
            nn.Sequential(
                *(InteractingLayer(wide, out, heads, norm, device) for wide in config.entering())
            )
            for _ in range(config.multi_embedding)
        )
        with device:
            self.deep = mlp(deep, last_activation=True) if config.mlp_depth else None

    def hidden(self, dense: torch.Tensor, sets: list[Vectors]) -> torch.Tensor:
        sets = self.fields(dense, sets)
        left = [stack(vectors).flatten(1) for stack, vectors in zip(self.stacks, sets, strict=True)]
        if self.deep is not None:
            left.append(self.deep(torch.cat([vectors.flatten(1) for vectors in sets], dim=1)))
        return torch.cat(left, dim=1)
