"""DCN V2 (Wang et al. 2021, 2008.13535), its cross layers full or of low rank."""

from __future__ import annotations

import torch
from torch import nn

from recscale.families.dcnv2 import DCNv2Config
from recscale.manifest import Manifest
from recscale.models.click import ClickModel, Vectors
from recscale.models.contract import mlp


class CrossNetwork(nn.Module):
    """x_{l+1} = x_0 * (W_l x_l + b_l) + x_l, with W_l = U_l V_l^T where a rank is given."""

    def __init__(self, width: int, layers: int, rank: int | None, device: torch.device):
        super().__init__()
        with device:
            self.layers = nn.ModuleList(
                nn.Sequential(nn.Linear(width, rank, bias=False), nn.Linear(rank, width))
                if rank
                else nn.Linear(width, width)
                for _ in range(layers)
            )

    def forward(self, x0: torch.Tensor) -> torch.Tensor:
        """[B, width] -> [B, width]"""
        x = x0
        for layer in self.layers:
            x = torch.addcmul(x, x0, layer(x))
        return x


class DCNv2(ClickModel):
    """Cross layers over each set's vectors and the dense features, and a deep network behind them
    (stacked) or beside them (parallel)."""

    def __init__(self, config: DCNv2Config, data: Manifest, device: torch.device):
        hidden, (last, _) = config.layer_widths(data)
        super().__init__(config, data, device)
        width = config.cross_width(data)
        self.parallel = config.structure == "parallel"
        self.cross = nn.ModuleList(
            CrossNetwork(width, config.cross_layers, config.cross_rank, device)
            for _ in range(config.multi_embedding)
        )
        with device:
            self.deep = mlp(hidden, last_activation=True)

    def hidden(self, dense: torch.Tensor, sets: list[Vectors]) -> torch.Tensor:
        x0 = [torch.cat([vectors.flatten(1), dense], dim=1) for vectors in sets]
        crossed = torch.cat([net(x) for net, x in zip(self.cross, x0, strict=True)], dim=1)
        if self.parallel:
            return torch.cat([crossed, self.deep(torch.cat(x0, dim=1))], dim=1)
        return self.deep(crossed)
