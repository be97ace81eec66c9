"""Click metrics on a whole evaluation set, by torchrec's and torchmetrics' own definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torchmetrics.functional.classification import binary_auroc
from torchrec.metrics.calibration import compute_calibration
from torchrec.metrics.ne import compute_cross_entropy, compute_ne

EPSILON = 1e-12  # probabilities are clamped to [EPSILON, 1 - EPSILON], as torchrec's NE does


class ClickMetrics(NamedTuple):
    log_loss: float
    """Mean cross-entropy, nats."""
    ne: float | None
    """Normalised entropy: log-loss over the entropy of this set's own base rate
    (He et al. 2014; torchrec.metrics.ne). None, like `auc`, when only one class is present."""
    auc: float | None
    calibration: float | None
    """Sum of predicted over sum of observed clicks; None without a click."""

    def columns(self) -> dict[str, float | None]:
        """All but the loss, by column name."""
        return {"eval_ne": self.ne, "eval_auc": self.auc, "eval_calibration": self.calibration}


def click_metrics(logits: torch.Tensor, labels: torch.Tensor) -> ClickMetrics:
    """Metrics of logits [n] against 0/1 labels [n], in float64."""
    probability = torch.sigmoid(logits.double())
    labels = labels.double()
    weights = torch.ones_like(labels)
    bits = compute_cross_entropy(labels, probability.clone(), weights, EPSILON).sum()
    positives = labels.sum()
    n = torch.tensor(float(labels.numel()), dtype=torch.float64)
    both = bool(0 < positives < n)
    ne = compute_ne(bits, n, positives, n - positives, EPSILON)
    calibration = compute_calibration(probability.sum(), positives)
    return ClickMetrics(
        log_loss=float(bits) * math.log(2) / labels.numel(),
        ne=float(ne) if both else None,
        auc=float(binary_auroc(probability, labels.long())) if both else None,
        calibration=float(calibration) if positives > 0 else None,
    )


def weighted(
    each: Sequence[ClickMetrics], shares: Sequence[float], rates: Sequence[float]
) -> tuple[float, float | None]:
    """Log-loss and NE of several labels together: the mean of their losses by shares that add up
    to 1, and that over the same mean of their base rates' entropies. None, as of one label, where
    one of them has a single class."""
    loss = sum(s * m.log_loss for s, m in zip(shares, each, strict=True))
    if any(m.ne is None for m in each):
        return loss, None
    return loss, loss / sum(s * entropy(p) for s, p in zip(shares, rates, strict=True))


def entropy(p: float) -> float:
    """Entropy of a coin, nats: the loss of knowing only the base rate."""
    return 0.0 if p in (0.0, 1.0) else -p * math.log(p) - (1 - p) * math.log(1 - p)
