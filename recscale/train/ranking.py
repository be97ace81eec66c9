"""Ranking metrics over the whole catalogue, from where each target stands.

Items that score the same have no order of their own: every metric is its mean over all their
orders. A scorer that scores all alike gets what chance does at every cut-off, k / V of HR@k.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

CUTOFFS = (5, 10, 50, 200)
COVERAGE_AT = 10


class Places(NamedTuple):
    """Where n targets stand in the catalogue, by their scores."""

    first: torch.Tensor
    """int64 [n], 1 and the items that score more"""
    tied: torch.Tensor
    """int64 [n], the items that score the same, the target among them"""


def places(scores: torch.Tensor, target: torch.Tensor, seen: torch.Tensor | None) -> Places:
    """Of targets [n] by their scores [n, V]. `seen` (bool [n, V]) leaves items out, never the
    target itself."""
    own = scores.gather(1, target[:, None])
    above, level = scores > own, scores == own
    if seen is not None:
        above, level = above & ~seen, level & ~seen
    level.scatter_(1, target[:, None], True)
    return Places(1 + above.sum(1), level.sum(1))


def hit(at: Places, k: int) -> torch.Tensor:
    """float64 [n]: the chance that a target is among the first k."""
    return ((k + 1 - at.first) / at.tied.double()).clamp(0, 1)


def gain(at: Places, k: int) -> torch.Tensor:
    """float64 [n]: NDCG@k with one relevant item, 1 / log2(1 + place) within the first k."""
    return _mean_of(1 / torch.log2(torch.arange(2, k + 2).double()), at)


def _mean_of(worth: torch.Tensor, at: Places) -> torch.Tensor:
    """Mean over the tied places of what a place is worth [k], nothing behind the last."""
    before = torch.cat([worth.new_zeros(1), worth.cumsum(0)])
    first, last = (p.clamp(max=len(worth)) for p in (at.first - 1, at.first + at.tied - 1))
    alone = worth[first.clamp(max=len(worth) - 1)] * (first < len(worth))
    return torch.where(at.tied == 1, alone, (before[last] - before[first]) / at.tied)


def ranking_metrics(at: Places) -> dict[str, float | None]:
    """Means of HR@k, NDCG@k and MRR with one relevant item each; by column name. None of no
    targets at all."""
    if not len(at.first):
        return {k: None for k in _names()}
    found: dict[str, float | None] = {}
    for k in CUTOFFS:
        found[f"eval_hr{k}"] = float(hit(at, k).mean())
        found[f"eval_ndcg{k}"] = float(gain(at, k).mean())
    every = torch.arange(1, int((at.first + at.tied).max())).double()
    found["eval_mrr"] = float(_mean_of(1 / every, at).mean())
    return found


def _names() -> list[str]:
    return [f"eval_{m}{k}" for k in CUTOFFS for m in ("hr", "ndcg")] + ["eval_mrr"]
