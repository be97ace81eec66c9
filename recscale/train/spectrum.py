"""Singular values of the trained tables, wherever their rows lie."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from recscale.models.names import plain_name
from recscale.run import Spectrum
from recscale.train.sharding import blocks


@torch.no_grad()
def spectra(sharded: nn.Module, seed: int, world: int) -> dict[str, Spectrum]:
    """Table -> the singular values of its rows that training has moved, the same on every rank.
    Every rank calls this.

    A row that was never read stands where it was drawn, and many of them would hide a collapse
    behind their noise. The values are the roots of the eigenvalues of the d x d Gram matrix in
    float64, so that a table of any height costs d^2 of memory.
    """
    mine: dict[str, tuple[int, torch.Tensor]] = {}
    for name, here, drawn in blocks(sharded, seed):
        moved = here[(here != drawn.to(here.device)).any(dim=1)].double()
        count, gram = mine.get(name, (0, torch.zeros(()).double()))
        mine[name] = count + len(moved), gram + (moved.T @ moved).cpu()
    parts: list[Any] = [mine]
    if world > 1:
        parts = [None] * world
        dist.all_gather_object(parts, mine)
    out = {}
    for name in sorted({n for part in parts for n in part}):
        rows = sum(part[name][0] for part in parts if name in part)
        gram = sum(part[name][1] for part in parts if name in part)
        if rows:
            values = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().flip(0)
            table = plain_name(name.split(".")[-2])  # torchrec: ...embedding_bags.TABLE.weight
            kept = tuple(float(f"{v:.6g}") for v in values.tolist())
            out[table] = Spectrum(rows=rows, singular_values=kept)
    return out
