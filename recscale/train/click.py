"""Task `click`: binary cross-entropy of one logit a row, or of one for each of its labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from recscale.cost import steps
from recscale.data.store import Batch, Split, Store, shard
from recscale.models.click import start_logits
from recscale.models.contract import Features, features
from recscale.run import LATENCY, SERVED, RunConfig
from recscale.train.latency import fastest
from recscale.train.metrics import click_metrics, weighted
from recscale.train.task import Evaluated, Part, gathered

EVAL_BATCH = 8192  # samples of one evaluation batch, over all workers


def softplus(x: float) -> float:
    """log(1 + exp(x)): what a logit x loses on a row without a click."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _rows(values: torch.Tensor) -> torch.Tensor:
    """[B] or [B, k] -> [1, B] or [k, B]"""
    return values[None] if values.dim() == 1 else values.T


class ClickTask:
    def __init__(
        self, config: RunConfig, store: Store, rank: int, world: int, device: torch.device
    ):
        self.config, self.store, self.rank, self.world = config, store, rank, world
        self.device = device
        self.cap = config.model.option("embedding_rows", None)
        self.history_length: int = config.model.option("sequence_length", 0)
        self.rows = store.train(config.train.data_fraction)
        self.steps_per_epoch = steps(config.train, store.manifest) // config.train.epochs
        # of a row without and with each label, and what every label is of the loss
        starts, data = start_logits(store.manifest), store.manifest
        self.untrained = np.array([[softplus(x), softplus(-x)] for x in starts]).T
        self.shares = data.label_shares
        self.weight = None
        if data.labels:
            weight = torch.tensor(
                [len(data.labels) * share for share in self.shares], dtype=torch.float32
            )
            self.weight = weight.to(device)

    def loss(self, model: Any, step: int) -> Part:
        size = self.config.train.batch_size
        begin = (step % self.steps_per_epoch) * size
        begin, end = shard(begin, begin + size, self.rank, self.world)
        batch = self._read(self.rows, begin, end)
        label = torch.from_numpy(batch.label).to(self.device)
        logits = model(self._inputs(batch))
        # DDP and torchrec average gradients over ranks, whose parts may differ by one sample
        share = size / self.world
        weight, (other, click) = len(label) / share, self.untrained
        untrained = other + (click - other) * batch.label.mean(0).astype(float)
        return Part(
            loss=F.binary_cross_entropy_with_logits(logits, label, self.weight) * weight,
            untrained=float(np.dot(self.shares, untrained)) * weight,
            samples=share,
        )

    @torch.no_grad()
    def evaluate(self, model: Any) -> Evaluated:
        model.eval()
        rows = self.store.eval()
        share = -(-EVAL_BATCH // self.world)
        kept: list[torch.Tensor] = []
        for top in range(0, len(rows), share * self.world):
            begin = top + self.rank * share
            end = min(begin + share, len(rows))
            padded = begin >= end  # nothing left for this rank: it repeats the last row, unheard
            batch = self._read(rows, *((len(rows) - 1, len(rows)) if padded else (begin, end)))
            logits = model(self._inputs(batch))
            if not padded:
                label = torch.from_numpy(batch.label)
                kept.append(torch.cat([_rows(logits.double().cpu()), _rows(label)]))
        k = len(self.shares)
        mine = torch.cat(kept, dim=1) if kept else torch.empty(2 * k, 0, dtype=torch.float64)
        model.train()
        logits, labels = gathered(mine, self.world).split(k)
        names = [label.name for label in self.store.manifest.labels]
        if not names:
            found = click_metrics(logits[0], labels[0])
            return Evaluated(found.log_loss, found.columns())
        each = [click_metrics(*both) for both in zip(logits, labels, strict=True)]
        loss, ne = weighted(each, self.shares, labels.mean(1).tolist())
        metrics: dict[str, float | None] = {"eval_ne": ne}
        for name, found in zip(names, each, strict=True):
            metrics[f"eval_loss_{name}"] = found.log_loss
            metrics |= {f"{column}_{name}": value for column, value in found.columns().items()}
        return Evaluated(loss, metrics)

    def progressive(self, loss: float, untrained: float) -> dict[str, float]:
        """`progressive_ne` is over what the training window's click rate loses on them."""
        return {"progressive_loss": loss, "progressive_ne": loss / untrained}

    @torch.no_grad()
    def probe(self, model: Any) -> dict[str, float | None]:
        if not self.config.train.probes:
            return {}
        model.eval()
        rows = self.store.eval()
        some = self._read(rows, 0, min(SERVED, len(rows)))
        took = fastest(lambda: model(self._inputs(some)).cpu())
        model.train()
        return {LATENCY: took}

    def _inputs(self, batch: Batch) -> Features:
        found = features(batch, self.store.manifest, self.device)
        return found if self.history_length else found._replace(history=None)

    def _read(self, rows: Split, begin: int, end: int) -> Batch:
        return rows.read(begin, end, embedding_rows=self.cap, history_length=self.history_length)
