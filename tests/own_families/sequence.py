"""A next-item family: an embedding, positions, one gated mix of a window's past."""

from __future__ import annotations

import torch
from torch import nn

from recscale import Family, ItemEmbeddings


class Mixer(Family):
    """Items and places through one hidden layer."""

    task = "next_item"
    sequence_width: int = 16
    sequence_length: int = 10
    negatives: int | None = None

    def build(self, data) -> nn.Module:
        return Network(self, data)


class Network(nn.Module):
    def __init__(self, at: Mixer, data):
        super().__init__()
        self.items = ItemEmbeddings(data, at.sequence_width)
        self.position = nn.Parameter(torch.zeros(at.sequence_length, at.sequence_width))
        width = at.sequence_width
        self.mix = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width))

    def forward(self, s):
        x, candidates = self.items(s)
        x = x + self.mix(x + self.position[s.place])
        return x[s.scored], candidates
