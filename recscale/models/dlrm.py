"""DLRM (Naumov et al. 2019, 1906.00091) with an optional encoder of the user's history."""

from __future__ import annotations

import torch

from recscale.families.dlrm import DLRMConfig
from recscale.manifest import Manifest
from recscale.models.click import ClickModel, Vectors
from recscale.models.contract import mlp


class DLRM(ClickModel):
    """Bottom MLP over dense features, one embedding per table, dot products of all pairs of
    vectors of a set, over-arch on top."""

    pairs: torch.Tensor
    """Places of the pairs i > j in a flattened matrix of dot products."""

    def __init__(self, config: DLRMConfig, data: Manifest, device: torch.device):
        bottom, (*over, _) = config.mlp_widths(data)
        super().__init__(config, data, device, width=over[-1])
        self.dim = config.set_dim
        with device:
            self.bottom = mlp(bottom, last_activation=True) if bottom else None
            self.over_arch = mlp(over, last_activation=True)
        n = config.interacting(data)
        i, j = torch.tril_indices(n, n, offset=-1)
        # not persistent: it follows from the config, and checkpoints hold what was learnt
        self.register_buffer("pairs", (i * n + j).to(device), persistent=False)

    def hidden(self, dense: torch.Tensor, sets: list[Vectors]) -> torch.Tensor:
        joined = []
        if self.bottom is not None:
            joined.append(self.bottom(dense))
            parts = joined[0].split(self.dim, dim=1)
            sets = [[*vectors, part] for vectors, part in zip(sets, parts, strict=True)]
        joined += [self.dots(torch.stack(vectors, dim=1)) for vectors in sets]
        return self.over_arch(torch.cat(joined, dim=1))

    def dots(self, x: torch.Tensor) -> torch.Tensor:
        """Dot products of the pairs of n vectors: [B, n, d] -> [B, n (n - 1) / 2]."""
        return torch.bmm(x, x.transpose(1, 2)).flatten(1).index_select(1, self.pairs)
