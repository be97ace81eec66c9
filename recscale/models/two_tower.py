"""Two-tower retrieval (Yi et al. 2019, "Sampling-bias-corrected neural modeling for large corpus
item recommendations"): a tower over the user's past, a tower over an item, their dot product.

The paper's towers read many features; here the user is the mean of the vectors of the last items,
the item its own vector, both from one table. It normalises both towers' outputs and divides by a
temperature; here they are neither, so that scores can be as large as an item's popularity asks for.
"""

from __future__ import annotations

import torch
from torch import nn

from recscale.families.sequence import ITEM
from recscale.families.two_tower import TwoTowerConfig
from recscale.manifest import Manifest
from recscale.models.contract import mlp
from recscale.models.sequences import CATALOGUE, Sequences, packed, padded
from recscale.models.stack import item_table


class TwoTower(nn.Module):
    """The towers; in what is scored they agree with the other next-item models."""

    def __init__(self, config: TwoTowerConfig, data: Manifest, device: torch.device):
        super().__init__()
        self.items = item_table(config, data)
        with device:
            self.user = mlp(config.widths, last_activation=False)
            self.item = mlp(config.widths, last_activation=False)

    def forward(self, s: Sequences) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors of the users at the scored positions [n, d], and of the candidates [K, d]."""
        found = self.items(s.ids)
        past = means(found[ITEM].values(), s)[s.scored]
        return self.user(past), self.item(found[CATALOGUE].values())


def means(x: torch.Tensor, s: Sequences) -> torch.Tensor:
    """[T, d]: at each position the mean of x [T, d] over it and those before it in its window."""
    sums = [packed(padded(x, bucket).cumsum(1), bucket) for bucket in s.buckets]
    return torch.cat(sums) / (s.place[:, None] + 1)
