"""A family of two tasks: clicks, and a dense column beside them. Its modules are called what
torchrec calls its tables, and one layer drops out."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from recscale import Embeddings, Family


class Both(Family):
    """A click and the first dense column from shared layers."""

    task = "custom"
    embedding_dim: int = 8
    width: int = 16
    share: float = 0.5

    def build(self, data) -> nn.Module:
        return Network(self, data)

    def loss(self, output, features, label):
        click = F.binary_cross_entropy_with_logits(output[:, 0], label, reduction="none")
        return click + self.share * (output[:, 1] - features.dense[:, 0]) ** 2

    def metrics(self, output, label):
        return {"click_loss": float(F.binary_cross_entropy_with_logits(output[:, 0], label))}


class Network(nn.Module):
    def __init__(self, at: Both, data):
        super().__init__()
        self.vectors = Embeddings(data, at.embedding_dim)
        n = len(data.tables) * at.embedding_dim + len(data.dense)
        self.embeddings = nn.Linear(n, at.width)  # no table, whatever it is called
        self.module = nn.Sequential(nn.ReLU(), nn.Dropout(0.1), nn.Linear(at.width, 2))

    def forward(self, features):
        x = torch.cat([self.vectors(features).flatten(1), features.dense], dim=1)
        return self.module(self.embeddings(x))
