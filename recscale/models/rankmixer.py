"""RankMixer (Zhu et al. 2025, 2507.15551): tokens mixed without parameters, and a feed-forward
layer for each of them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from recscale.families.rankmixer import RankMixerConfig
from recscale.manifest import Manifest
from recscale.models.click import ClickModel, Fields, Vectors


class PerToken(nn.Module):
    """A linear layer for each of T tokens, in one batched product."""

    def __init__(self, tokens: int, wide: int, out: int, device: torch.device):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(tokens, wide, out, device=device))
        self.bias = nn.Parameter(torch.empty(tokens, 1, out, device=device))
        for parameter in (self.weight, self.bias):  # as nn.Linear draws both
            nn.init.uniform_(parameter, -(wide**-0.5), wide**-0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[T, B, wide] -> [T, B, out]"""
        return torch.baddbmm(self.bias, x, self.weight)


class MixerLayer(nn.Module):
    """S = LN(mix(X) + X), then LN(FFN_t(s_t) + s_t) for each token t, with GeLU."""

    def __init__(self, config: RankMixerConfig, device: torch.device):
        super().__init__()
        d, hidden = config.token_width, config.expansion * config.token_width
        self.mix_norm = nn.LayerNorm(d, device=device)
        self.up = PerToken(config.tokens, d, hidden, device)
        self.down = PerToken(config.tokens, hidden, d, device)
        self.ffn_norm = nn.LayerNorm(d, device=device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[T, B, D] -> [T, B, D]"""
        x = self.mix_norm(mix(x) + x)
        return self.ffn_norm(self.down(F.gelu(self.up(x))) + x)


def mix(x: torch.Tensor) -> torch.Tensor:
    """Multi-head token mixing: each of T tokens is cut into T parts, and token h of the result is
    the h-th parts of all, one after another. [T, B, D] -> [T, B, D]"""
    tokens = len(x)
    return x.unflatten(2, (tokens, -1)).permute(2, 1, 0, 3).flatten(2)


class Tokens(nn.Module):
    """Tokens of a set's vectors laid end to end: T slices, each through a linear layer of its own.
    Where T does not divide the numbers, the first slices have one more, and the
    others a zero in its place."""

    def __init__(self, config: RankMixerConfig, data: Manifest, device: torch.device):
        super().__init__()
        self.tokens, self.longer = config.tokens, config.entering(data) % config.tokens
        width = config.slice_width(data)
        self.enter = PerToken(config.tokens, width, config.token_width, device)

    def slices(self, flat: torch.Tensor) -> torch.Tensor:
        """[B, n d] -> [B, T, numbers of a slice]"""
        each, longer = self.enter.weight.shape[1], self.longer
        if not longer:
            return flat.unflatten(1, (self.tokens, each))
        first = flat[:, : longer * each].unflatten(1, (longer, each))
        rest = flat[:, longer * each :].unflatten(1, (self.tokens - longer, each - 1))
        return torch.cat([first, F.pad(rest, (0, 1))], dim=1)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """[B, n, d] -> [T, B, D]"""
        return self.enter(self.slices(vectors.flatten(1)).transpose(0, 1))


class RankMixer(ClickModel):
    """Tokens of each set through the layers; the output unit weighs their mean over the tokens.
    The paper's sparse mixture of experts is left out."""

    def __init__(self, config: RankMixerConfig, data: Manifest, device: torch.device):
        super().__init__(config, data, device)
        self.fields = Fields(config, data, device)
        self.stacks = nn.ModuleList(
            nn.Sequential(
                Tokens(config, data, device),
                *(MixerLayer(config, device) for _ in range(config.layers)),
            )
            for _ in range(config.multi_embedding)
        )

    def hidden(self, dense: torch.Tensor, sets: list[Vectors]) -> torch.Tensor:
        sets = self.fields(dense, sets)
        each = zip(self.stacks, sets, strict=True)
        return torch.cat([stack(vectors).mean(0) for stack, vectors in each], dim=1)
