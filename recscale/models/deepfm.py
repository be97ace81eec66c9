"""DeepFM (Guo et al. 2017, 1703.04247): a factorisation machine beside a deep network."""

from __future__ import annotations

import torch

from recscale.families.deepfm import DeepFMConfig
from recscale.manifest import Manifest
from recscale.models.click import ClickModel, Fields, Vectors
from recscale.models.contract import mlp


class DeepFM(ClickModel):
    """A factorisation machine over each set's vectors and a deep network over all of them.

    The paper adds the machine's pairs to the logit as they are; here the output unit gives them a
    weight, so that the untrained model answers the base rate."""

    def __init__(self, config: DeepFMConfig, data: Manifest, device: torch.device):
        deep, (last, _) = config.layer_widths(data)
        super().__init__(config, data, device)
        self.fields = Fields(config, data, device)
        with device:
            self.deep = mlp(deep, last_activation=True)

    def hidden(self, dense: torch.Tensor, sets: list[Vectors]) -> torch.Tensor:
        sets = self.fields(dense, sets)
        flat = torch.cat([vectors.flatten(1) for vectors in sets], dim=1)
        pairs = torch.stack([self.pairs(vectors) for vectors in sets], dim=1)
        return torch.cat([flat, pairs, self.deep(flat)], dim=1)

    def pairs(self, x: torch.Tensor) -> torch.Tensor:
        """Sum of the dot products of all pairs of n vectors: [B, n, d] -> [B], as half of the
        sum's square less the squares (Rendle 2010, lemma 3.1)."""
        return (x.sum(1).square() - x.square().sum(1)).sum(1) / 2
