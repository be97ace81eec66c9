"""Embedding tables of a training on one CPU: rows read and updated where they lie.

torchrec shards the tables, names them and writes them to checkpoints; fbgemm holds them, all of a
collection in one storage. Among several workers, or on a GPU, they also look up. One CPU worker has
nobody to exchange vectors with, and fbgemm's CPU kernel of row-wise Adagrad takes 0.22 us a look-up
where sorting the ids and summing each row's gradients takes 0.06 (batches of 2,048 x 26 skewed ids,
d = 16, one thread, 2026-11-30). There a collection's `forward` is the one below, on the very same
storage, so that a run goes on among several workers, or on a GPU, from the state in which it is.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from fbgemm_gpu.split_embedding_configs import SparseType
from torch.nn import functional as F
from torchrec.distributed.embeddingbag import ShardedEmbeddingBagCollection
from torchrec.modules.embedding_configs import PoolingType
from torchrec.sparse.jagged_tensor import JaggedTensor, KeyedJaggedTensor, KeyedTensor

INT32 = 1 << 31


class Reader(NamedTuple):
    """One table under one of the features that read it."""

    key: str
    """Of its vectors in what the collection returns: the feature's name, or feature@table where
    several tables serve one feature."""
    feature: str
    top: int
    """Row of the storage at which the table begins."""
    rows: int


class Read(NamedTuple):
    """What was read of the storage, for the update that follows."""

    at: torch.Tensor
    """int32 or int64 [N], rows of the storage"""
    bag: torch.Tensor | None = None
    """int64 [N], whose vector each is part of; None where each is a vector"""
    weight: torch.Tensor | None = None
    """float32 [N], of each in its bag; None for 1"""


def in_place(collection: Any, configs: Sequence[Any]) -> None:
    """Gives a sharded collection, all of whose rows lie in this CPU's process, the look-ups of
    `Rows`. configs: of its tables, as torchrec was given them. What a collection may ask beyond
    sums in float32 of tables of one dimension stays with torchrec."""
    found: list[Any] = list(collection._lookups)
    kernels = [k.emb_module for lookup in found for k in lookup._emb_modules]
    pools = isinstance(collection, ShardedEmbeddingBagCollection)
    if (
        len(kernels) != 1
        or len({c.embedding_dim for c in configs}) != 1
        or kernels[0].weights_precision != SparseType.FP32
        or (pools and any(c.pooling != PoolingType.SUM for c in configs))
        or (not pools and collection._need_indices)
    ):
        return
    held = [t for g in found[0].grouped_configs for t in g.embedding_tables]
    tops = itertools.accumulate((t.num_embeddings for t in held), initial=0)
    top = dict(zip((t.name for t in held), tops, strict=False))
    of = [(f, c) for c in configs for f in c.feature_names]
    often = Counter(f for f, _ in of)
    readers = [
        Reader(f if often[f] == 1 else f"{f}@{c.name}", f, top[c.name], c.num_embeddings)
        for f, c in of
    ]
    rows = Rows(kernels[0], readers, configs[0].embedding_dim, collection)
    collection.forward = rows.pooled if pools else rows.jagged


class Rows:
    """The rows of one collection's tables, one table below the other."""

    def __init__(self, kernel: Any, readers: list[Reader], dim: int, collection: Any):
        """kernel: fbgemm's, whose storage and learning rate these are."""
        self.kernel, self.readers, self.dim = kernel, readers, dim
        self.weight = kernel.weights_host.detach().view(-1, dim)
        self.momentum = kernel.momentum1_host.detach()
        self.weighted = getattr(collection, "_is_weighted", False)
        self.torchrec = collection.forward
        self.keys = [r.key for r in readers]
        self.features = list(dict.fromkeys(r.feature for r in readers))
        self.feature = torch.tensor([self.features.index(r.feature) for r in readers])
        self.tops = torch.tensor([r.top for r in readers])[:, None]
        self.sizes = torch.tensor([r.rows for r in readers])[:, None]
        self.hook = torch.zeros((), requires_grad=True)  # has the backward pass come by

    def pooled(self, ids: KeyedJaggedTensor) -> Any:
        """As EmbeddingBagCollection: a KeyedTensor of values [B, tables * dim]."""
        weights = ids.weights_or_none() if self.weighted else None
        if ids.variable_stride_per_key() or (weights is not None and weights.requires_grad):
            return self.torchrec(ids)
        n, batch, ids = len(self.readers), ids.stride(), self._ordered(ids)
        if weights is None and bool((ids.lengths() == 1).all()):
            each = ids.values().view(len(self.features), batch)
            if n > len(self.features):
                each = each.index_select(0, self.feature)
            self._check(each, self.sizes)
            vectors = self._read(Read((each + self.tops).t().reshape(-1)), batch * n)
        else:
            found = ids.to_dict()
            each = [found[r.feature] for r in self.readers]
            place = torch.arange(batch) * n
            vectors = self._read(
                Read(
                    self._places([one.values() for one in each]),
                    torch.cat(
                        [(place + i).repeat_interleave(x.lengths()) for i, x in enumerate(each)]
                    ),
                    None if weights is None else torch.cat([one.weights() for one in each]),
                ),
                batch * n,
            )
        return KeyedTensor(self.keys, [self.dim] * n, vectors.view(batch, n * self.dim))

    def jagged(self, ids: KeyedJaggedTensor) -> Any:
        """As EmbeddingCollection: a JaggedTensor of a vector an id, by key."""
        if ids.variable_stride_per_key():
            return self.torchrec(ids)
        found = self._ordered(ids).to_dict()
        each = [found[r.feature] for r in self.readers]
        at = self._places([one.values() for one in each])
        vectors = self._read(Read(at), len(at)).split([len(one.values()) for one in each])
        return {
            key: JaggedTensor(values=v, lengths=one.lengths())
            for key, one, v in zip(self.keys, each, vectors, strict=True)
        }

    def update(self, read: Read, grad: torch.Tensor) -> None:
        """Row-wise Adagrad, as fbgemm's EXACT_ROWWISE_ADAGRAD: a row's momentum grows by the mean
        square of its summed gradient g, and the row falls by rate * g / (sqrt(momentum) + eps).
        grad: [vectors, dim]. A row's gradients are summed in the order in which they were read."""
        if not len(read.at):
            return
        at, order = read.at.sort(stable=True)
        rows, counts = torch.unique_consecutive(at, return_counts=True)
        begin, rows = counts.cumsum(0) - counts, rows.long()
        of = order if read.bag is None else read.bag.index_select(0, order)
        share = None if read.weight is None else read.weight.index_select(0, order)
        total = F.embedding_bag(of, grad.contiguous(), begin, mode="sum", per_sample_weights=share)
        momentum = self.momentum.index_select(0, rows).add_(total.square().mean(1))
        self.momentum.index_copy_(0, rows, momentum)
        fall = momentum.sqrt_().add_(self.kernel.optimizer_args.eps)
        fall = fall.reciprocal_().mul_(-self.kernel.get_learning_rate())
        self.weight.index_add_(0, rows, total.mul_(fall[:, None]))

    def _ordered(self, ids: KeyedJaggedTensor) -> KeyedJaggedTensor:
        """Those features that the tables have, in their order."""
        keys = ids.keys()
        return ids if keys == self.features else ids.permute([*map(keys.index, self.features)])

    def _places(self, each: list[torch.Tensor]) -> torch.Tensor:
        """Rows of the storage of every reader's ids, one reader after another."""
        for ids, reader in zip(each, self.readers, strict=True):
            self._check(ids, reader.rows)
        return torch.cat([ids + r.top for ids, r in zip(each, self.readers, strict=True)])

    def _check(self, ids: torch.Tensor, rows: torch.Tensor | int) -> None:
        """An id outside its table would train a row of another one in silence."""
        if bool(((ids < 0) | (ids >= rows)).any()):
            wrong = ids[(ids < 0) | (ids >= rows)][0]
            raise RuntimeError(
                f"id {int(wrong)} of a batch is out of the bounds of its table, one of those of "
                + ", ".join(self.keys)
            )

    def _read(self, read: Read, vectors: int) -> torch.Tensor:
        """[vectors, dim]"""
        if len(self.weight) < INT32:  # half as much to sort
            read = read._replace(at=read.at.int())
        found = _Vectors.apply(self.hook, self, read, vectors)
        assert isinstance(found, torch.Tensor)
        return found


class _Vectors(torch.autograd.Function):
    """Rows, or the sums of bags of them, whose backward pass updates them."""

    @staticmethod
    def forward(ctx: Any, hook: torch.Tensor, rows: Rows, read: Read, vectors: int):
        ctx.rows, ctx.read = rows, read
        each = rows.weight.index_select(0, read.at)
        if read.bag is None:
            return each
        if read.weight is not None:
            each.mul_(read.weight[:, None])
        return each.new_zeros(vectors, rows.dim).index_add_(0, read.bag, each)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor):  # type: ignore[override]
        with torch.no_grad():
            ctx.rows.update(ctx.read, grads[0])
        return None, None, None, None
