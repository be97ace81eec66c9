"""Training a two-tower model: every sample is one event of one user, told apart from other targets
of its batch and from sampled items.

A batch is a random draw of the run's events. Item k stands among n other targets n p_k times in
expectation, for its share p_k of the events, and among m items drawn uniformly from V of them m / V
times. With log(n p_k + m / V) taken off its score, an item that is there stands for all like it:
the sum over what is there is that over all items in expectation (importance sampling from a mixture
with known shares, Veach and Guibas 1995). What equals the target does not count.

Yi et al. (2019) take log p_k off the target's score too, and estimate p_k from the stream; here the
target is there for certain and its score stays as it is, and p_k is counted in the run's rows, or,
under schedule `anytime`, in those blocks of them out of which the batch is drawn.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from recscale.data.build import scramble
from recscale.data.sequences import Positions, TrainStream, eval_windows, positions, widened
from recscale.data.store import Store, shard
from recscale.families.two_tower import TwoTowerConfig
from recscale.models.sequences import sequences
from recscale.run import RunConfig, TrainConfig
from recscale.train.next_item import EVAL_POSITIONS, Met, NextItemTask, batches, item_counts
from recscale.train.task import Part

EVALUATED = 16 * EVAL_POSITIONS  # positions of one evaluation batch: each is read for one target


class RetrievalTask(NextItemTask):
    beside = 1

    def __init__(
        self, config: RunConfig, store: Store, rank: int, world: int, device: torch.device
    ):
        assert isinstance(config.model, TwoTowerConfig)
        self.towers = config.model
        self.held = 4 * config.model.contrastive  # 64-bit draws and their hashes among them
        self.ranges: dict[tuple[int, int], np.ndarray] = {}
        super().__init__(config, store, rank, world, device)

    def _stream(self, train: TrainConfig, length: int | None = None) -> TrainStream:
        return super()._stream(train, 1)

    def _evaluated(self) -> list[Positions]:
        windows = widened(eval_windows(self.store, 1), self.towers.sequence_length)
        return batches(self.store, windows, EVALUATED)

    def loss(self, model: Any, step: int) -> Part:
        epoch, nth = divmod(step, self.steps_per_epoch)
        begin, end = nth * self.batch_size, (nth + 1) * self.batch_size
        every = self.stream.windows(epoch, begin, end)  # one target each
        first, last = shard(begin, end, self.rank, self.world)
        mine = widened(every.take(slice(first - begin, last - begin)), self.towers.sequence_length)
        batch = positions(self.store, mine)
        met = self._met(self.stream.reach(epoch, end))
        place = np.argsort(every.begin)  # the order of events in the store
        event = batch.event[batch.scored]
        own = place[np.searchsorted(every.begin[place], event)]
        targets = positions(self.store, every._replace(user=every.begin)).target
        drawn = self._drawn(met, step)
        items = np.concatenate([targets, drawn])
        hidden, candidates = model(sequences(batch, items, self.device))
        beside = self._beside(epoch, begin, begin + self.towers.in_batch + 1, met)
        total = self.entropy(hidden, candidates, items, own, beside)
        share = self.batch_size / self.world
        # corrected scores stand for all items
        alike = len(met.items) if self.towers.correction else self.towers.scored
        return Part(total / share, math.log(alike) * len(own) / share, share)

    def _beside(self, epoch: int, begin: int, end: int, met: Met) -> Met:
        """The items met, and their shares of the rows of which targets [begin, end) of an epoch are
        draws: all rows of the run, or under `anytime` those of the blocks that it has come to."""
        blocks = self.stream.blocks(epoch, begin, end)
        share = sum(n / (end - begin) * self._shares(first, last) for first, last, n in blocks)
        return met._replace(share=np.asarray(share)[met.items])

    def _shares(self, first: int, last: int) -> np.ndarray:
        """Each item's share of a range of the store's rows [V]; a run meets few ranges."""
        if (first, last) not in self.ranges:
            counts = item_counts(self.store, last) - item_counts(self.store, first)
            self.ranges[first, last] = counts / (last - first)
        return self.ranges[first, last]

    def _drawn(self, met: Met, step: int) -> np.ndarray:
        """int64 [m]: the sampled items of a step, the same on every rank."""
        rng = np.random.default_rng([self.seed, 7, step])
        return met.items[rng.integers(0, len(met.items), self.towers.negatives)]

    def entropy(
        self,
        hidden: torch.Tensor,
        candidates: torch.Tensor,
        items: np.ndarray,
        own: np.ndarray,
        met: Met,
    ) -> torch.Tensor:
        """Sum of the cross-entropies of b samples, nats.

        hidden [b, d]; candidates [B + m, d] of `items`: the targets of the global batch, then those
        that were sampled. own: int64 [b], each sample's place in the batch.
        """
        n, m = self.towers.in_batch, self.towers.negatives
        size = len(items) - m
        # n others of the batch: the first n, or the first n + 1 without the sample itself
        others = np.r_[0 : n + 1, size : size + m]
        there = np.ones((len(own), len(others)), bool)
        there[:, n] = own <= n
        there[own <= n, own[own <= n]] = False
        there &= items[others] != items[own][:, None]
        target = (hidden * candidates[torch.from_numpy(own).to(self.device)]).sum(1, keepdim=True)
        logits = hidden @ candidates[torch.from_numpy(others).to(self.device)].T
        if self.towers.correction:
            share = met.share[np.searchsorted(met.items, items[others])]
            expected = n * share + m / len(met.items)
            logits = logits - torch.from_numpy(np.log(expected)).to(logits)
        logits = logits.masked_fill(torch.from_numpy(~there).to(self.device), -torch.inf)
        logits = torch.cat([target, logits], dim=1)
        truth = torch.zeros(len(own), dtype=torch.long, device=self.device)
        return F.cross_entropy(logits, truth, reduction="sum")

    def progressive(self, loss: float, untrained: float) -> dict[str, float]:
        return {}

    def beside_of(
        self, scores: torch.Tensor, truth: torch.Tensor, event: np.ndarray
    ) -> list[torch.Tensor]:
        negative = contrasted(event, truth.cpu().numpy(), scores.shape[1], self.towers.contrastive)
        own = scores.gather(1, truth[:, None])
        against = scores.gather(1, torch.from_numpy(negative).to(scores.device))
        return [torch.cat([own, against], dim=1).logsumexp(1) - own.squeeze(1)]

    def beside_metrics(self, found: torch.Tensor) -> dict[str, float | None]:
        return {"eval_contrastive": float(found[0].mean())}


def contrasted(event: np.ndarray, target: np.ndarray, items: int, n: int) -> np.ndarray:
    """int64 [b, n]: items other than the target [b], drawn uniformly with replacement by a hash of
    the event's place [b] in the store, hence the same in every run."""
    draws = event[:, None].astype(np.uint64) * np.uint64(n) + np.arange(n, dtype=np.uint64)
    found = (scramble(draws) % np.uint64(max(1, items - 1))).astype(np.int64)
    return found + (found >= target[:, None])
