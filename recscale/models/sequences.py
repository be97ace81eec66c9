"""The tensors of a sequence model: packed positions, never padded but inside attention."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from recscale.data.sequences import Positions
from recscale.families.sequence import ITEM
from recscale.models.dropout import keys

CATALOGUE = "catalogue"  # the second key of the item table: the items that the output layer scores


class Bucket(NamedTuple):
    """Windows of like length, which attention pads to the longest of them."""

    begin: int
    end: int
    """Positions [begin, end) of the batch, t of them."""
    windows: int
    length: int
    place: torch.Tensor | None
    """int64 [t], each position's place among windows * length; None where nothing is padded"""


class Sequences(NamedTuple):
    """T positions of W windows one after another, shortest first."""

    ids: KeyedJaggedTensor
    """Keys `item`: T ids; and `catalogue`: K items to score. A stride of 1: one list each."""
    place: torch.Tensor
    """int64 [T], from 0 in every window"""
    time: torch.Tensor
    """int64 [T], seconds"""
    scored: torch.Tensor
    """int64 [n], the positions whose next item is asked for"""
    buckets: tuple[Bucket, ...]
    key: torch.Tensor | None = None
    """int64 [T], what the masks of each position's dropout are drawn from; in training only"""


def sequences(
    batch: Positions,
    candidates: np.ndarray,
    device: torch.device,
    draw: tuple[int, int] | None = None,
) -> Sequences:
    """The tensors of a batch on `device`.

    candidates: int64 [K], items to score. draw: seed and step of a batch that is trained on.
    """
    lengths = batch.lengths
    offsets = np.cumsum(lengths) - lengths
    place = np.arange(len(batch.item)) - np.repeat(offsets, lengths)
    ids = KeyedJaggedTensor(
        keys=[ITEM, CATALOGUE],
        values=torch.from_numpy(np.concatenate([batch.item, candidates])),
        lengths=torch.tensor([len(batch.item), len(candidates)], dtype=torch.int32),
    )
    return Sequences(
        ids=ids if device.type == "cpu" else ids.to(device),
        place=torch.from_numpy(place).to(device),
        time=torch.from_numpy(batch.time).to(device),
        scored=torch.from_numpy(batch.scored).to(device),
        buckets=buckets(lengths, offsets, device),
        key=torch.from_numpy(keys(*draw, batch.event)).to(device) if draw else None,
    )


def buckets(lengths: np.ndarray, offsets: np.ndarray, device: torch.device) -> tuple[Bucket, ...]:
    """Windows by powers of two of their length: padding less than doubles any of them. lengths,
    from 1 and ascending, and where each begins: int64 [W]."""
    classes = np.ceil(np.log2(lengths)).astype(int)
    edges = [*np.flatnonzero(np.diff(classes, prepend=-1)), len(lengths)]
    found = []
    for first, last in zip(edges, edges[1:], strict=False):
        sizes = lengths[first:last]
        longest, n = int(sizes[-1]), len(sizes)
        place = None
        if sizes[0] < longest:
            within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            place = torch.from_numpy(np.repeat(np.arange(n) * longest, sizes) + within).to(device)
        begin = int(offsets[first])
        found.append(Bucket(begin, begin + int(sizes.sum()), n, longest, place))
    return tuple(found)


def padded(x: torch.Tensor, bucket: Bucket) -> torch.Tensor:
    """A bucket's positions of x [T, ...] as [windows, length, ...], zero where there is none."""
    part = x[bucket.begin : bucket.end]
    if bucket.place is not None:
        room = part.new_zeros(bucket.windows * bucket.length, *part.shape[1:])
        part = room.index_copy(0, bucket.place, part)
    return part.view(bucket.windows, bucket.length, *part.shape[1:])


def packed(x: torch.Tensor, bucket: Bucket) -> torch.Tensor:
    """The inverse of `padded`: [windows, length, ...] -> [t, ...]."""
    flat = x.reshape(bucket.windows * bucket.length, *x.shape[2:])
    return flat if bucket.place is None else flat.index_select(0, bucket.place)
