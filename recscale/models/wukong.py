"""Wukong (Zhang et al. 2024, 2403.02545): stacked factorisation machines."""

from __future__ import annotations

import torch
from torch import nn

from recscale.families.wukong import WukongConfig
from recscale.manifest import Manifest
from recscale.models.click import ClickModel, Vectors
from recscale.models.contract import mlp


class WukongLayer(nn.Module):
    """n vectors to n_F + n_L: MLP(LN(flat(X X^T Y))) beside W_L X, residual, layer norm
    (section 3). Y is n x k and learnt; X (X^T Y) is taken in the order that costs n k d."""

    def __init__(self, config: WukongConfig, entering: int, device: torch.device):
        super().__init__()
        self.dim, leaving = config.set_dim, config.n_F + config.n_L
        with device:
            self.compress = nn.Linear(entering, config.k, bias=False)
            self.block_norm = nn.LayerNorm(entering * config.k)
            self.block = mlp(config.block_widths(entering), last_activation=False)
            self.linear = nn.Linear(entering, config.n_L, bias=False)
            self.residual = (
                nn.Linear(entering, leaving, bias=False) if leaving != entering else nn.Identity()
            )
            self.norm = nn.LayerNorm(self.dim)

    def machine(self, x: torch.Tensor) -> torch.Tensor:
        """X X^T Y: [B, n, d] -> [B, n, k]"""
        return torch.bmm(x, self.compress(x.transpose(1, 2)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, n, d] -> [B, n_F + n_L, d]"""
        across = x.transpose(1, 2)  # linear layers over the vectors, not over their places
        interacted = self.block(self.block_norm(self.machine(x).flatten(1)))
        interacted = interacted.unflatten(1, (-1, self.dim))
        compressed = self.linear(across).transpose(1, 2)
        passed = self.residual(across).transpose(1, 2)
        return self.norm(torch.cat([interacted, compressed], dim=1) + passed)


class Wukong(ClickModel):
    """A stack of layers over each set's vectors, the dense features' MLP giving one of them, and
    an over-arch over all that leaves the last."""

    def __init__(self, config: WukongConfig, data: Manifest, device: torch.device):
        bottom, (*over, _) = config.end_widths(data)
        super().__init__(config, data, device)
        self.dim = config.set_dim
        with device:
            self.bottom = mlp(bottom, last_activation=True) if bottom else None
        self.stacks = nn.ModuleList(
            nn.Sequential(*(WukongLayer(config, n, device) for n in config.entering(data)))
            for _ in range(config.multi_embedding)
        )
        with device:
            self.over_arch = mlp(over, last_activation=True)

    def hidden(self, dense: torch.Tensor, sets: list[Vectors]) -> torch.Tensor:
        if self.bottom is not None:
            parts = self.bottom(dense).split(self.dim, dim=1)
            each = zip(sets, parts, strict=True)
            sets = [torch.cat([vectors, part[:, None]], dim=1) for vectors, part in each]
        left = [stack(vectors).flatten(1) for stack, vectors in zip(self.stacks, sets, strict=True)]
        return self.over_arch(torch.cat(left, dim=1))
