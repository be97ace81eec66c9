"""What the training loop asks of a model family, and the tensors it hands over.

A family is built from its `ModelConfig` and a `Manifest`, has its costs in closed form in
`recscale.families`, keeps every embedding in torchrec collections (so that they are sharded and
fused by the same code). A click family is a `ClickModel`: it maps `Features` to the last hidden
values of a sample, of which the base class makes a logit that starts at the training window's
log-odds. A sequence family maps `Sequences` (`recscale.models.sequences`) to the vectors of its
scored positions and of the items they are scored against. `recscale.testing` is the contract that
every family passes.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from recscale.data.store import Batch
from recscale.families import ModelConfig, family_of
from recscale.manifest import Manifest
from recscale.models.names import module_name

HISTORY = "history"  # the one key of the histories


class Features(NamedTuple):
    """Inputs of B samples."""

    dense: torch.Tensor
    """float32 [B, n_dense]"""
    sparse: KeyedJaggedTensor
    """One id per sample and plain table; keys are the tables' module names, in the manifest's
    order."""
    history: KeyedJaggedTensor | None
    """Key `history`: the user's last item ids, oldest first; any length from 0. None for a model
    that sees none of them."""
    bags: KeyedJaggedTensor | None
    """Ids of each bag with their weights in its pool, likewise keyed; None without bags."""


def features(batch: Batch, data: Manifest, device: torch.device) -> Features:
    """The tensors of a batch on `device`."""
    n, n_tables = batch.ids.shape
    sparse = KeyedJaggedTensor(
        keys=[module_name(t.name) for t in data.plain],
        values=torch.from_numpy(np.ascontiguousarray(batch.ids.T).reshape(-1)),
        lengths=torch.ones(n * n_tables, dtype=torch.int32),
    )
    history = KeyedJaggedTensor(
        keys=[HISTORY],
        values=torch.from_numpy(batch.history),
        lengths=torch.from_numpy(batch.history_lengths),
    )
    bags = None
    if data.bags:
        ids, weights, lengths = (
            torch.from_numpy(np.concatenate([getattr(bag, part) for bag in batch.bags]))
            for part in ("ids", "weights", "lengths")
        )
        keys = [module_name(t.name) for t in data.bags]
        bags = KeyedJaggedTensor(keys=keys, values=ids, weights=weights, lengths=lengths)
    dense = torch.from_numpy(batch.dense)
    if device.type == "cpu":
        return Features(dense, sparse, history, bags)
    found = bags if bags is None else bags.to(device)
    return Features(dense.to(device), sparse.to(device), history.to(device), found)


def mlp(widths: Sequence[int], last_activation: bool) -> nn.Sequential:
    """Linear layers of the given widths (input first) with ReLU between them."""
    layers: list[nn.Module] = []
    for i in range(len(widths) - 1):
        layers.append(nn.Linear(widths[i], widths[i + 1]))
        if last_activation or i < len(widths) - 2:
            layers.append(nn.ReLU(inplace=True))  # a linear layer does not need its own output
    return nn.Sequential(*layers)


def build(config: ModelConfig, data: Manifest, device: str = "cpu") -> nn.Module:
    """The model: dense parameters on `device`, tables on the meta device until they are sharded.
    The caller seeds torch."""
    module, _, name = family_of(config.family).network.partition(":")
    network = getattr(importlib.import_module(module), name)
    return network(config, data, torch.device(device))
