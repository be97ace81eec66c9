"""DeepFM (Guo et al. 2017, 1703.04247): a factorisation machine beside a deep network, which share
their embeddings."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn

from recscale import Embeddings, Family


class DeepFM(Family):
    """A factorisation machine and an MLP over the same embeddings (1703.04247)."""

    embedding_dim: int = Field(8, multiple_of=4)
    """Of every table; fbgemm's kernels take multiples of 4."""
    embedding_rows: int | None = None
    """Most rows of a table; null: the whole vocabulary."""
    mlp_width: int = 64
    mlp_depth: int = Field(2, le=8)

    def build(self, data) -> nn.Module:
        return Network(self, data)


class Network(nn.Module):
    def __init__(self, at: DeepFM, data):
        super().__init__()
        self.vectors = Embeddings(data, at.embedding_dim, at.embedding_rows)
        self.weights = Embeddings(data, 4, at.embedding_rows, prefix="first ")
        n, d = len(data.tables), len(data.dense)
        widths = [n * at.embedding_dim + d, *[at.mlp_width] * at.mlp_depth]
        layers: list[nn.Module] = []
        for i in range(at.mlp_depth):
            layers += [nn.Linear(widths[i], widths[i + 1]), nn.ReLU()]
        self.deep = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
        self.linear = nn.Linear(4 * n + d, 1)
        self.scale = nn.Parameter(torch.full((), 0.1))

    def forward(self, features) -> torch.Tensor:
        """Logits [B]."""
        v = self.vectors(features)
        first = torch.cat([self.weights(features).flatten(1), features.dense], dim=1)
        pairs = (v.sum(1) ** 2 - (v**2).sum(1)).sum(1) / 2
        deep = self.deep(torch.cat([v.flatten(1), features.dense], dim=1))
        return (self.linear(first) + deep).squeeze(1) + self.scale * pairs
