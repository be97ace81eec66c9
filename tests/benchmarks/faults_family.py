"""A family that counts what it is trained on; see faults_witness.py."""

from __future__ import annotations

from typing import Any

import torch
from faults_witness import count
from torch import nn

from recscale import Embeddings, Family


class Counting(Family):
    """One hidden layer over the tables' vectors."""

    dim: int = 8

    def build(self, data: Any) -> nn.Module:
        return Network(self, data)


class Network(nn.Module):
    def __init__(self, at: Counting, data: Any):
        super().__init__()
        self.vectors = Embeddings(data, at.dim)
        n = len(data.tables) * at.dim + len(data.dense)
        self.over = nn.Sequential(nn.Linear(n, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, features: Any) -> torch.Tensor:
        x = torch.cat([self.vectors(features).flatten(1), features.dense], dim=1)
        if self.training and x.device.type != "meta":
            count(len(x))
        return self.over(x).squeeze(1)
