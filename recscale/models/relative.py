"""What a sequence model's attention knows of how far apart events lie, in positions and in time."""

from __future__ import annotations

import torch
from torch import nn

from recscale.families.sequence import TIME_BUCKETS, RelativeBias
from recscale.models.sequences import Bucket, padded

Weights = tuple[nn.Parameter | None, nn.Parameter | None]


def bias_weights(bias: RelativeBias, length: int, device: torch.device) -> Weights:
    """A block's weights by distance in positions [length] and in time [TIME_BUCKETS], zero in the
    beginning; None for what it does not read."""
    position = nn.Parameter(torch.zeros(length, device=device)) if bias != "none" else None
    elapsed = nn.Parameter(torch.zeros(TIME_BUCKETS, device=device)) if bias == "both" else None
    return position, elapsed


def relative_bias(
    weights: Weights, time: torch.Tensor | None, bucket: Bucket
) -> torch.Tensor | None:
    """What is added to the scores of one bucket's windows: [n, n], with times [windows, 1, n, n].
    That of the future is left to a mask. time: int64 [T], seconds; for weights that read it."""
    position, elapsed = weights
    if position is None:
        return None
    place = torch.arange(bucket.length, device=position.device)
    bias = position[(place[:, None] - place).clamp(min=0)]
    if elapsed is None:
        return bias
    assert time is not None
    when = padded(time, bucket)
    return bias + elapsed[time_bucket(when[:, :, None] - when[:, None, :])][:, None]


def time_bucket(seconds: torch.Tensor) -> torch.Tensor:
    """Buckets of elapsed time: 0 below a second, then one for every doubling."""
    steps = torch.log2(1 + seconds.clamp(min=0).double()).long()
    return steps.clamp(max=TIME_BUCKETS - 1)
