"""What all click families share: sharded tables, the user's history, and the output units."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import nn
from torchrec.modules.embedding_configs import EmbeddingBagConfig, EmbeddingConfig
from torchrec.modules.embedding_modules import EmbeddingBagCollection, EmbeddingCollection
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor, KeyedTensor

from recscale.families.click import ClickConfig
from recscale.manifest import Manifest, TableFacts
from recscale.models.contract import HISTORY, Features
from recscale.models.history import Histories, HistoryEncoder
from recscale.models.names import module_name
from recscale.models.towers import LabelTowers

Vectors = torch.Tensor
"""Embedded vectors of one set [B, n, d]: the features in the manifest's order, the bags among them
last, then the history."""

OUTPUT_SD = 0.01
"""Of the untrained logits, for last hidden values of size 1: the first loss lies within 0.1 % of
the base rate's entropy, and gradients still reach every parameter from the first step on."""


class ClickModel(nn.Module):
    """Vectors of every set of tables; a family turns them into its last hidden values, whose
    logit starts at the training window's log-odds. The history has a table of its own, with the
    item table's rows, so that `sequence_depth` changes dense parameters only.

    A bag's vector is the sum of its values' vectors, each times its weight in the pool: 1 / length,
    which is the mean; or the log's own weights over the sum of their magnitudes. Of an empty bag it
    is zero. torchrec pools (`is_weighted`), fused with the look-up."""

    def __init__(self, config: ClickConfig, data: Manifest, device: torch.device):
        super().__init__()
        self.output = _output(config, data, device)
        found = config.tables(data)
        meta = torch.device("meta")

        def sizes(table: str, feature: str) -> dict:
            rows, dim = found[table]
            return dict(
                name=module_name(table),
                num_embeddings=rows,
                embedding_dim=dim,
                feature_names=[feature],
            )

        def pooled(facts: tuple[TableFacts, ...], weighted: bool) -> EmbeddingBagCollection:
            tables = [
                EmbeddingBagConfig(**sizes(table, module_name(f.name)))
                for f in facts
                for table in config.set_names(f.name)
            ]
            return EmbeddingBagCollection(tables=tables, device=meta, is_weighted=weighted)

        self.tables = pooled(data.plain, weighted=False)
        self.places = _places(config, [t.name for t in data.plain])
        self.bags = pooled(data.bags, weighted=True) if data.bags else None
        self.bag_places = _places(config, [t.name for t in data.bags])
        self.history_table = None
        if config.reads_history(data):
            names = config.set_names(config.history_name(data))
            self.history_table = EmbeddingCollection(
                tables=[EmbeddingConfig(**sizes(table, HISTORY)) for table in names],
                device=meta,
            )
            encoders = [HistoryEncoder(config, device) for _ in range(config.multi_embedding)]
            self.history_encoder = encoders[0] if len(encoders) == 1 else nn.ModuleList(encoders)
            self.history_places = _keys(HISTORY, names)
            self.target = module_name(data.items.name) if config.sequence_target else None

    @property
    def encoders(self) -> list[HistoryEncoder]:
        """The history encoder of each set."""
        one = self.history_encoder
        return [one] if isinstance(one, HistoryEncoder) else list(one)  # type: ignore[arg-type]

    def embedded(self, features: Features) -> list[Vectors]:
        """The vectors of each set."""
        parts: list[list[torch.Tensor]] = []
        if self.places[0]:
            parts.append(_sets(self.tables(features.sparse), self.places))
        if self.bags is not None:
            parts.append(_sets(self.bags(features.bags), self.bag_places))
        if self.history_table is not None:
            history = features.history
            assert history is not None
            if self.target is not None:
                history = with_target(history, features.sparse[self.target].values())
            found, of, each = self.history_table(history), _stand(history), []
            for place, encoder in zip(self.history_places, self.encoders, strict=True):
                each.append(encoder(found[place].values(), of)[:, None])
            parts.append(each)
        return [torch.cat(vectors, dim=1) for vectors in zip(*parts, strict=True)]

    def forward(self, features: Features) -> torch.Tensor:
        """Logits [B], or [B, k] of k labels."""
        return self.interact(features.dense, self.embedded(features))

    def interact(self, dense: torch.Tensor, sets: list[Vectors]) -> torch.Tensor:
        """Logits from dense features [B, n_dense] and the vectors of each set."""
        return self.output(self.hidden(dense, sets)).squeeze(1)

    def hidden(self, dense: torch.Tensor, sets: list[Vectors]) -> torch.Tensor:
        """The family's own part: the last hidden values [B, width] of the same."""
        raise NotImplementedError


class Fields(nn.Module):
    """Gives every dense column a vector of its own, the column's value times a learned one
    (1810.11921, equation 4), so that it interacts as the embedded features do. Their norm is about
    1 in the beginning."""

    def __init__(self, config: ClickConfig, data: Manifest, device: torch.device):
        super().__init__()
        self.dim, self.weight = config.set_dim, None
        if data.dense:
            found = torch.empty(len(data.dense), config.embedding_dim, device=device)
            self.weight = nn.Parameter(nn.init.normal_(found, std=config.set_dim**-0.5))

    def forward(self, dense: torch.Tensor, sets: list[Vectors]) -> list[Vectors]:
        """The vectors of each set, the dense columns' [B, n_dense, d] behind the embedded ones."""
        if self.weight is None:
            return sets
        own = (dense[:, :, None] * self.weight).split(self.dim, dim=2)
        return [torch.cat(both, dim=1) for both in zip(sets, own, strict=True)]


def _output(config: ClickConfig, data: Manifest, device: torch.device) -> nn.Module:
    """What makes logits of the last hidden values: one unit, or a tower for each of the labels."""
    towers = config.towers(data)
    width = towers.tower[-2] if towers else config.last_width(data)
    units = []
    for start in start_logits(data):
        unit = nn.Linear(width, 1, device=device)
        nn.init.normal_(unit.weight, std=OUTPUT_SD * width**-0.5)
        nn.init.constant_(unit.bias, start)
        units.append(unit)
    return LabelTowers(towers, units, device) if towers else units[0]


def start_logits(data: Manifest) -> list[float]:
    """Log-odds of each label in the training window: what an untrained model answers. Finite for a
    window of one class, which counts as half a row short of it."""
    least = 0.5 / max(1, data.n_train)
    rates = [min(max(rate, least), 1 - least) for rate in data.label_rates]
    return [math.log(rate) - math.log1p(-rate) for rate in rates]


def with_target(history: KeyedJaggedTensor, target: torch.Tensor) -> KeyedJaggedTensor:
    """Histories with one more event each, the newest: the item of the row, int64 [B]."""
    items, lengths = history.values(), history.lengths()
    n, rows = len(items), len(lengths)
    row = torch.arange(rows, device=items.device).repeat_interleave(lengths, output_size=n)
    every = items.new_empty(n + rows)
    every = every.index_copy(0, torch.arange(n, device=items.device) + row, items)
    every = every.index_copy(0, (lengths.long() + 1).cumsum(0) - 1, target)
    return KeyedJaggedTensor(
        keys=history.keys(),
        values=every,
        lengths=lengths + 1,
        stride=rows,
        length_per_key=[n + rows],
        offset_per_key=[0, n + rows],
    )


def _stand(history: KeyedJaggedTensor) -> Histories:
    """Where the items of the histories stand."""
    lengths = history.lengths()
    if lengths.is_meta:
        return Histories.counted(len(lengths), len(history.values()))
    return Histories.of(lengths, lengths.device)


def _sets(pooled: KeyedTensor, places: list[list[str]]) -> list[Vectors]:
    """The vectors at each set's places."""
    keys = pooled.keys()
    vectors = pooled.values().unflatten(1, (len(keys), -1))
    if places == [keys]:
        return [vectors]
    # the order inside a sharded KeyedTensor depends on the sharding plan
    at = _order(tuple(keys), tuple(map(tuple, places)), vectors.device)
    return list(vectors.index_select(1, at).split([len(of) for of in places], dim=1))


@cache
def _order(keys: tuple[str, ...], places: tuple[tuple[str, ...], ...], device: torch.device):
    """int64, where each place stands among the keys"""
    return torch.tensor([keys.index(place) for of in places for place in of], device=device)


def _places(config: ClickConfig, names: list[str]) -> list[list[str]]:
    """Per set, where each feature's vector stands in what a torchrec collection returns."""
    keys = [_keys(module_name(name), config.set_names(name)) for name in names]
    return [[of[i] for of in keys] for i in range(config.multi_embedding)]


def _keys(feature: str, tables: list[str]) -> list[str]:
    """A feature's vectors of each table: under the feature's name, or feature@table where several
    tables serve one feature."""
    if len(tables) == 1:
        return [feature]
    return [f"{feature}@{module_name(table)}" for table in tables]
