"""DLRM (Naumov et al. 2019, 1906.00091) with an optional encoder of the user's history."""

from __future__ import annotations

import torch
from torch import nn
from torchrec.modules.embedding_configs import EmbeddingBagConfig, EmbeddingConfig
from torchrec.modules.embedding_modules import EmbeddingBagCollection, EmbeddingCollection

from recscale.families.click import HISTORY
from recscale.families.dlrm import DLRMConfig
from recscale.manifest import Manifest
from recscale.models.contract import Features, mlp
from recscale.models.history import HistoryEncoder


class DLRM(nn.Module):
    """Bottom MLP over dense features, one embedding per table, dot products of all pairs of
    vectors, over-arch on top. The history has a table of its own, with the item table's rows, so
    that `sequence_depth` changes dense parameters only."""

    pairs: torch.Tensor
    """Places of the pairs i > j in a flattened matrix of dot products."""

    def __init__(self, config: DLRMConfig, data: Manifest, device: torch.device):
        super().__init__()
        d = config.embedding_dim
        rows = {name: t.rows for name, t in config.tables(data).items()}
        meta = torch.device("meta")
        self.table_names = [t.name for t in data.tables]
        self.tables = EmbeddingBagCollection(
            tables=[
                EmbeddingBagConfig(
                    name=name, embedding_dim=d, num_embeddings=rows[name], feature_names=[name]
                )
                for name in self.table_names
            ],
            device=meta,
        )
        self.history_table = None
        if HISTORY in rows:
            self.history_table = EmbeddingCollection(
                tables=[
                    EmbeddingConfig(
                        name=HISTORY,
                        embedding_dim=d,
                        num_embeddings=rows[HISTORY],
                        feature_names=[HISTORY],
                    )
                ],
                device=meta,
            )
            self.history_encoder = HistoryEncoder(
                d, config.sequence_width, config.sequence_depth, config.sequence_length, device
            )
        bottom, over = config.mlp_widths(data)
        with device:
            self.bottom = mlp(bottom, last_activation=True) if bottom else None
            self.over_arch = mlp(over, last_activation=False)
        n = config.interacting(data)
        i, j = torch.tril_indices(n, n, offset=-1)
        # not persistent: it follows from the config, and checkpoints hold what was learnt
        self.register_buffer("pairs", (i * n + j).to(device), persistent=False)

    def forward(self, features: Features) -> torch.Tensor:
        """Logits [B]."""
        # keyed access: the order inside a sharded KeyedTensor depends on the sharding plan
        pooled = self.tables(features.sparse)
        vectors = [pooled[name] for name in self.table_names]
        if self.history_table is not None:
            jagged = self.history_table(features.history)[HISTORY]
            items = jagged.to_padded_dense(self.history_encoder.length)
            vectors.append(self.history_encoder(items, jagged.lengths()))
        dense = None
        if self.bottom is not None:
            dense = self.bottom(features.dense)
            vectors.append(dense)
        x = torch.stack(vectors, dim=1)
        dots = torch.bmm(x, x.transpose(1, 2)).flatten(1).index_select(1, self.pairs)
        joined = dots if dense is None else torch.cat([dense, dots], dim=1)
        return self.over_arch(joined).squeeze(1)
