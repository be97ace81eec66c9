"""Conventions of the metrics where libraries differ, against brute force: ties, nothing to rank,
one class."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from recscale.train.metrics import click_metrics
from recscale.train.ranking import CUTOFFS, gain, hit, places, ranking_metrics


def orders(scores: list[float], target: int, hidden: set[int]) -> list[int]:
    """The place of the target in every order of the items that its scores allow."""
    items = [i for i in range(len(scores)) if i == target or i not in hidden]
    return [
        1 + order.index(target)
        for order in itertools.permutations(items)
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]


@pytest.mark.parametrize("seed", range(30))
def test_ties_count_as_the_mean_of_all_their_orders(seed: int):
    rng = np.random.default_rng(seed)
    scores, target = rng.integers(0, rng.integers(1, 5), 6).tolist(), int(rng.integers(6))
    seen = (rng.random(6) < 0.3 * (seed % 2)).tolist()
    placed = orders(scores, target, {i for i in range(6) if seen[i]})
    at = places(torch.tensor([scores]).float(), torch.tensor([target]), torch.tensor([seen]))
    for k in range(1, 9):
        assert hit(at, k).item() == pytest.approx(np.mean([p <= k for p in placed]))
        worth = [(p <= k) / math.log2(1 + p) for p in placed]
        assert gain(at, k).item() == pytest.approx(np.mean(worth), abs=1e-12)
    found = ranking_metrics(at)
    assert found["eval_mrr"] == pytest.approx(np.mean([1 / p for p in placed]))


@pytest.mark.parametrize("items", [3, 7, 60, 500])
def test_a_constant_scorer_gets_what_chance_does_at_every_cut_off(items: int):
    """As does one that scores at random, whose places are uniform."""
    n = 4
    target = torch.arange(n) % items
    found = ranking_metrics(places(torch.zeros(n, items), target, None))
    every = np.arange(1, items + 1)
    for k in CUTOFFS:
        assert found[f"eval_hr{k}"] == pytest.approx(min(1, k / items))
        worth = np.where(every <= k, 1 / np.log2(1 + every), 0)
        assert found[f"eval_ndcg{k}"] == pytest.approx(worth.mean())
    assert found["eval_mrr"] == pytest.approx((1 / every).mean())


def test_without_ties_a_place_counts_exactly():
    scores = torch.randn(50, 300, generator=torch.Generator().manual_seed(0))
    target = torch.arange(50)
    at = places(scores, target, None)
    rank = (scores > scores.gather(1, target[:, None])).sum(1) + 1
    assert torch.equal(at.first, rank) and (at.tied == 1).all()
    for k in CUTOFFS:
        assert torch.equal(hit(at, k), (rank <= k).double())
        assert torch.equal(gain(at, k), (rank <= k) / torch.log2(rank.double() + 1))


def test_what_a_user_has_seen_never_hides_the_target():
    scores = torch.tensor([[3.0, 2.0, 2.0, 2.0, 1.0]])
    seen = torch.tensor([[True, True, True, False, False]])
    at = places(scores, torch.tensor([2]), seen)
    assert (at.first.item(), at.tied.item()) == (1, 2)
    alone = places(scores, torch.tensor([2]), torch.ones(1, 5, dtype=torch.bool))
    assert (alone.first.item(), alone.tied.item()) == (1, 1)


def test_nothing_to_rank_has_no_metrics():
    none = torch.empty(0, dtype=torch.long)
    found = ranking_metrics(places(torch.empty(0, 5), none, None))
    assert set(found.values()) == {None} and len(found) == 2 * len(CUTOFFS) + 1


@pytest.mark.parametrize("seed", range(5))
def test_auc_counts_ties_as_half(seed: int):
    rng = np.random.default_rng(seed)
    logits, labels = rng.integers(-2, 3, 60).astype(float), rng.integers(0, 2, 60)
    pairs = [(a > b) + (a == b) / 2 for a in logits[labels == 1] for b in logits[labels == 0]]
    found = click_metrics(torch.from_numpy(logits), torch.from_numpy(labels))
    assert found.auc == pytest.approx(np.mean(pairs), abs=1e-6)
    constant = click_metrics(torch.full((60,), 0.3), torch.from_numpy(labels))
    assert constant.auc == pytest.approx(0.5)


def test_certain_and_wrong_is_finite():
    """Probabilities are clamped to 1e-12, as torchrec's are."""
    found = click_metrics(torch.tensor([1e4, -1e4]), torch.tensor([0.0, 1.0]))
    assert found.log_loss == pytest.approx(-math.log(1e-12), rel=1e-3) and found.auc == 0
