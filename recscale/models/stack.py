"""What all sequence models share: item vectors and learned positions through a stack of blocks,
and the output layer over the catalogue."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torchrec.modules.embedding_configs import EmbeddingConfig
from torchrec.modules.embedding_modules import EmbeddingCollection

from recscale.families.base import ModelConfig
from recscale.families.sequence import ITEM, SequenceConfig
from recscale.manifest import Manifest
from recscale.models.dropout import Dropout, number
from recscale.models.names import module_name
from recscale.models.sequences import CATALOGUE, Sequences

INIT_SD = 0.02  # of weights and positions (GPT-2)


class SequenceModel(nn.Module):
    """Item vectors + positions -> blocks -> what the scored positions are."""

    def __init__(
        self,
        config: SequenceConfig,
        data: Manifest,
        device: torch.device,
        block: Callable[[float], nn.Module],
        norm_first: bool = False,
    ):
        """block: makes one from its dropout, lowest first. The final norm stands after the
        blocks, or with `norm_first` before them."""
        super().__init__()
        d = config.sequence_width
        self.norm_first, self.drop = norm_first, Dropout(config.dropout)
        self.items = item_table(config, data)
        with device:
            self.position = nn.Parameter(torch.empty(config.sequence_length, d))
            self.norm = nn.LayerNorm(d)
            self.head = None
            if not config.tied:
                self.head = nn.Parameter(torch.empty(config.catalogue(data), d))
                # a normalised vector's product with any row is about 1 at most: the first loss is
                # that of a guess, as the tied table's (`recscale.train.sharding`)
                nn.init.normal_(self.head, std=min(INIT_SD, 1 / d))
        nn.init.normal_(self.position, std=INIT_SD)
        self.blocks = nn.ModuleList(block(rate) for rate in dropouts(config))
        number(self)

    def forward(self, s: Sequences) -> tuple[torch.Tensor, torch.Tensor]:
        """What the scored positions [n, d] and the candidates [K, d] are; their dot products are
        the logits."""
        found = self.items(s.ids)
        x = found[ITEM].values() + self.position[s.place]
        if self.norm_first:
            x = self.norm(x)
        x = self.drop(x, s.key)
        for block in self.blocks:
            x = block(x, s)
        x = x[s.scored]
        if not self.norm_first:
            x = self.norm(x)
        candidates = found[CATALOGUE].values()
        if self.head is not None:
            candidates = self.head[s.ids[CATALOGUE].values()]
        return x, candidates


def item_table(config: ModelConfig, data: Manifest) -> EmbeddingCollection:
    """The table of the items, on the meta device; the output layer reads it too."""
    table = config.tables(data)[ITEM]
    return EmbeddingCollection(
        tables=[
            EmbeddingConfig(
                name=module_name(ITEM),
                embedding_dim=table.dim,
                num_embeddings=table.rows,
                feature_names=[ITEM, CATALOGUE],
            )
        ],
        device=torch.device("meta"),
    )


def dropouts(config: SequenceConfig) -> list[float]:
    """One rate a block, in a line from the lowest to the highest (2311.11351's layer-wise
    adaptive dropout; its rates are not published)."""
    return np.linspace(config.dropout, config.dropout_top, config.sequence_depth).tolist()
