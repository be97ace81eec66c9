"""Families whose costs a reader counts by hand."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torchrec.modules.embedding_configs import EmbeddingConfig
from torchrec.modules.embedding_modules import EmbeddingCollection

from recscale import Embeddings, Family
from recscale.families.base import Table
from recscale.families.own import Counted


class Dots(Family):
    """DLRM without a bottom MLP: dot products of all pairs, one hidden layer."""

    dim: int = 8
    width: int = 16

    def build(self, data) -> nn.Module:
        return DotsNetwork(self, data)


class DotsNetwork(nn.Module):
    def __init__(self, at: Dots, data):
        super().__init__()
        self.vectors = Embeddings(data, at.dim)
        n = len(data.tables)
        self.over = nn.Sequential(nn.Linear(n * n, at.width), nn.ReLU(), nn.Linear(at.width, 1))

    def forward(self, features):
        x = self.vectors(features)
        return self.over(torch.bmm(x, x.transpose(1, 2)).flatten(1)).squeeze(1)


class Attends(Family):
    """The user's last items through one head of causal attention, and their mean."""

    dim: int = 8
    sequence_length: int = 6

    def build(self, data) -> nn.Module:
        return AttendsNetwork(self, data)


class AttendsNetwork(nn.Module):
    def __init__(self, at: Attends, data):
        super().__init__()
        self.length = at.sequence_length
        config = EmbeddingConfig(
            name="past",
            num_embeddings=data.items.rows,
            embedding_dim=at.dim,
            feature_names=["history"],
        )
        self.past = EmbeddingCollection(tables=[config])  # on the CPU, as torchrec's default is
        self.qkv = nn.Linear(at.dim, 3 * at.dim)
        self.out = nn.Linear(at.dim, 1)

    def forward(self, features):
        jagged = self.past(features.history)["history"]
        x = jagged.to_padded_dense(self.length)
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        x = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(x.mean(1)).squeeze(1)


class Told(Dots):
    """With closed forms of its own."""

    wrong: bool = False

    def costs(self, data) -> Counted:
        n = len(data.tables)
        widths = n * n * self.width + self.width
        return Counted(
            tables={t.name: Table(t.rows, self.dim) for t in data.tables},
            dense_params=widths + self.width + 1,
            flop=2 * (n * n * self.dim + widths) * (3 if self.wrong else 1),
            lookups={t.name: 1.0 for t in data.tables},
            activations=4 * n * n,
        )


class Normed(Dots):
    """Normalised over the batch, so that no sample stands for itself."""

    def build(self, data) -> nn.Module:
        network = DotsNetwork(self, data)
        network.over.insert(0, OverBatch())
        return network


class OverBatch(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


class Idle(Dots):
    """With a layer that nothing reaches."""

    def build(self, data) -> nn.Module:
        network = DotsNetwork(self, data)
        network.idle = nn.Linear(3, 3)
        return network
