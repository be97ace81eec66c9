"""A logit for each of several labels, from one network's last hidden values."""

from __future__ import annotations

import torch
from torch import nn

from recscale.families.towers import Towers
from recscale.models.contract import mlp


class LabelTowers(nn.Module):
    """A tower a label: over all hidden values, or over the label's own mix of experts.

    Multi-gate mixture of experts (Ma et al. 2018): expert i is one layer with ReLU, f_i(x); label
    k reads the sum of g_k(x)_i f_i(x) over the experts, where g_k(x) is the softmax of a linear
    layer without bias. The paper leaves towers open; here they have `tower_depth` hidden layers
    with ReLU and one output unit, which starts at its label's log-odds."""

    def __init__(self, sizes: Towers, outputs: list[nn.Linear], device: torch.device):
        """outputs: the output unit of each label."""
        super().__init__()
        self.experts = self.gates = None
        self.n = sizes.experts
        hidden = sizes.tower[:-1]
        with device:
            if sizes.experts:
                each = sizes.experts * sizes.expert_width
                self.experts = nn.Linear(sizes.width, each)
                self.gates = nn.Linear(sizes.width, sizes.labels * sizes.experts, bias=False)
            self.towers = nn.ModuleList(
                nn.Sequential(mlp(hidden, last_activation=True), output) for output in outputs
            )

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[B, width] -> logits [B, labels]."""
        read = [hidden] * len(self.towers) if self.experts is None else self.mixed(hidden)
        logits = [tower(x) for tower, x in zip(self.towers, read, strict=True)]
        return torch.cat(logits, dim=1)

    def mixed(self, hidden: torch.Tensor) -> list[torch.Tensor]:
        """Each label's mix of the experts, [B, expert_width]."""
        assert self.experts is not None and self.gates is not None
        experts = torch.relu(self.experts(hidden)).unflatten(1, (self.n, -1))
        gates = self.gates(hidden).unflatten(1, (-1, self.n)).softmax(-1)
        return list((gates @ experts).unbind(1))
