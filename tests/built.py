"""A sequence model as the training loop has it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from recscale.data.sequences import Positions, TrainStream, Windows, positions
from recscale.data.store import Store
from recscale.families.sequence import SequenceConfig
from recscale.models.contract import build
from recscale.models.sequences import sequences
from recscale.train.sharding import ensure_process_group, shard

CPU = torch.device("cpu")


@dataclass
class Built:
    """A model as the training loop has it, and its answers."""

    config: SequenceConfig
    store: Store

    def __post_init__(self):
        ensure_process_group()
        torch.manual_seed(3)
        self.model = shard(build(self.config, self.store.manifest), 0.01, 0, CPU)
        self.stream = TrainStream(self.store.train(), self.config.sequence_length, 0)

    def loud(self) -> Built:
        """With weights large enough for every layer to matter."""
        with torch.no_grad():
            for name, p in self.model.named_parameters():
                if "items" not in name:
                    p.copy_(torch.randn_like(p) * 0.3 + ("norm.weight" in name))
        self.model.eval()
        return self

    def logits(self, windows: Windows) -> tuple[Positions, torch.Tensor]:
        batch = positions(self.store, windows)
        every = np.arange(self.config.catalogue(self.store.manifest))
        hidden, candidates = self.model(sequences(batch, every, CPU))
        return batch, hidden @ candidates.T

    def table(self) -> torch.Tensor:
        state = self.model.state_dict()
        return next(v for k, v in state.items() if "embeddings" in k).local_shards()[0].tensor
