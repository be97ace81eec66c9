"""Ranking metrics over the whole catalogue, from each target's rank."""

from __future__ import annotations

import torch

CUTOFFS = (5, 10, 50, 200)
COVERAGE_AT = 10


def ranks(scores: torch.Tensor, target: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
    """Rank of each target [n] among the catalogue by its scores [n, V], 1 for the best; int64 [n].

    Items that score the same stand before and after the target by halves, rounded down: a model
    that scores all alike gains nothing by it. `seen` (bool [n, V]) leaves items out, never the
    target itself.
    """
    own = scores.gather(1, target[:, None])
    above, level = scores > own, scores == own
    if seen is not None:
        above, level = above & ~seen, level & ~seen
        level.scatter_(1, target[:, None], True)
    return 1 + above.sum(1) + (level.sum(1) - 1) // 2


def ranking_metrics(rank: torch.Tensor) -> dict[str, float | None]:
    """HR@k, NDCG@k and MRR of ranks [n] with one relevant item each; by column name."""
    if not len(rank):
        return {k: None for k in _names()}
    found: dict[str, float | None] = {}
    place = rank.double()
    gain = 1 / torch.log2(place + 1)
    for k in CUTOFFS:
        hit = place <= k
        found[f"eval_hr{k}"] = float(hit.double().mean())
        found[f"eval_ndcg{k}"] = float((gain * hit).mean())
    found["eval_mrr"] = float((1 / place).mean())
    return found


def _names() -> list[str]:
    return [f"eval_{m}{k}" for k in CUTOFFS for m in ("hr", "ndcg")] + ["eval_mrr"]
