"""A user's own family: a class whose fields are its axes and which builds a network at one point of
them. Nothing else is required: parameters, FLOPs and memory are counted from the network."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torchrec.modules.embedding_configs import EmbeddingBagConfig, EmbeddingConfig
from torchrec.modules.embedding_modules import EmbeddingBagCollection, EmbeddingCollection

from recscale.families.declared import Declared
from recscale.families.own import Counted, OwnConfig
from recscale.families.sequence import ITEM
from recscale.manifest import Manifest, TableFacts
from recscale.models.contract import Features
from recscale.models.names import module_name
from recscale.models.sequences import CATALOGUE, Sequences

# torchrec asks for what it warns of, at its every import in a process that prints
logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)


class Family(Declared):
    """A family of your own. See `Declared` for its axes.

    `task` says what the network maps. "click": `Features` of B rows to logits [B].
    "next_item": `Sequences` to the vectors of its scored positions [n, d] and of the items to score
    [K, d], whose dot products are the logits. "custom": `Features` to any output [B] or [B, k],
    which the class's own `loss` and `metrics` judge.

    Axes or options of these names also say how data is read: `embedding_rows` (of click and custom:
    ids beyond it wrap round) and `sequence_length` (the last so many items of a user's history,
    without it `features.history` is None; of next_item the positions of a window, 50), and of
    next_item `negatives`, `negatives_by`, `correction` and `filter_seen` as
    `recscale help model.decoder` tells of them.
    """

    def build(self, data: Manifest) -> nn.Module:
        """The network at this point of the axes, on torch's current device. Embeddings in torchrec
        collections are sharded over the workers and updated by fused row-wise Adagrad; all other
        modules are replicated and trained by Adam. The caller seeds torch."""
        raise NotImplementedError

    def costs(self, data: Manifest) -> Counted | None:
        """Closed forms, where counting each architecture anew takes too long; the contract suite
        compares them with the network. None: it is counted."""
        return None

    def loss(self, output: torch.Tensor, features: Features, label: torch.Tensor) -> torch.Tensor:
        """Of task custom: the loss of each row, [B]. label: float32 [B]."""
        raise NotImplementedError

    def metrics(self, output: torch.Tensor, label: torch.Tensor) -> dict[str, float]:
        """Of task custom: metrics of the whole evaluation set, from the outputs of all its rows
        [n] or [n, k] and their labels [n], on the CPU."""
        return {}

    @classmethod
    def has_closed_forms(cls) -> bool:
        return cls.costs is not Family.costs

    def counted(self, data: Manifest) -> Counted:
        """What this point costs: its closed forms, else counted. Raises FamilyError."""
        from recscale.models.counting import Subject, count

        return self.costs(data) or count(Subject.of_own(self), data)

    def complaints(self, data: Manifest) -> Iterator[str]:
        """What goes wrong when it is built small and tried on a handful of rows."""
        from recscale.models.trial import complaints

        return complaints(self, data)

    def option(self, name: str, usual: Any) -> Any:
        """An axis, option or attribute that the reader of data knows by this name."""
        return getattr(self, name, usual)


class Embeddings(nn.Module):
    """One embedding of `dim` values a categorical feature, bags pooled, in torchrec collections.
    rows: the most of a table; give the axis `embedding_rows`, by which the reader wraps ids."""

    def __init__(self, data: Manifest, dim: int, rows: int | None = None, prefix: str = ""):
        """prefix: of the tables' names, where a network has several sets of them."""
        super().__init__()

        def pooled(facts: tuple[TableFacts, ...], weighted: bool) -> EmbeddingBagCollection:
            tables = [
                EmbeddingBagConfig(
                    name=module_name(prefix + f.name),
                    num_embeddings=min(f.rows, rows) if rows else f.rows,
                    embedding_dim=dim,
                    feature_names=[module_name(f.name)],
                )
                for f in facts
            ]
            meta = torch.device("meta")
            return EmbeddingBagCollection(tables=tables, device=meta, is_weighted=weighted)

        self.plain = pooled(data.plain, weighted=False) if data.plain else None
        self.bags = pooled(data.bags, weighted=True) if data.bags else None
        self.names = [module_name(t.name) for t in data.plain]
        self.bag_names = [module_name(t.name) for t in data.bags]

    def forward(self, features: Features) -> torch.Tensor:
        """[B, n, dim], the n features in the manifest's order: plain ones, then bags."""
        vectors = []
        # by key: the order inside a sharded KeyedTensor depends on the sharding plan
        if self.plain is not None:
            found = self.plain(features.sparse)
            vectors += [found[name] for name in self.names]
        if self.bags is not None:
            found = self.bags(features.bags)
            vectors += [found[name] for name in self.bag_names]
        return torch.stack(vectors, dim=1)


class ItemEmbeddings(nn.Module):
    """One vector of `dim` values for every item of the catalogue, for items that never occur in
    training and for the start of a sequence, in a torchrec collection."""

    def __init__(self, data: Manifest, dim: int):
        super().__init__()
        self.table = EmbeddingCollection(
            tables=[
                EmbeddingConfig(
                    name=module_name(ITEM),
                    num_embeddings=data.items.rows + 1,
                    embedding_dim=dim,
                    feature_names=[ITEM, CATALOGUE],
                )
            ],
            device=torch.device("meta"),
        )

    def forward(self, s: Sequences) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the T positions [T, dim], and of the items to score [K, dim]."""
        found = self.table(s.ids)
        return found[ITEM].values(), found[CATALOGUE].values()


def network(config: OwnConfig, data: Manifest, device: torch.device) -> nn.Module:
    """The network of a run, its tables on the meta device until they are sharded."""
    with device:
        built = config.built().build(data)
    for collection in collections(built).values():
        collection.to("meta")
        collection._device = torch.device("meta")  # else torchrec copies from it when it shards
    return built


def collections(model: nn.Module) -> dict[str, EmbeddingBagCollection | EmbeddingCollection]:
    """The torchrec collections of a network by their place in it."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, EmbeddingBagCollection | EmbeddingCollection)
    }
