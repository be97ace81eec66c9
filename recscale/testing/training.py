"""Trainings that the contract compares: whole, killed and resumed, and on two workers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from recscale.data.store import Store
from recscale.run import CurvePoint, RunConfig
from recscale.testing.workers import spawn
from recscale.train.loop import Outcome, train

Curve = list[tuple[float, ...]]
"""(samples, evaluation loss, training loss) of each point."""


class Killed(Exception):
    pass


@dataclass
class Mortal:
    """A host whose process dies at its n-th evaluation, with a checkpoint at every look."""

    checkpoints: Path | None = None
    dies_at: int | None = None
    rank: int = 0
    world: int = 1
    checkpoint_s: float = 0.0
    heard: list[CurvePoint] = field(default_factory=list)

    def began(self, samples: int) -> None:
        pass

    def looked(self, samples: int, train_loss: float, kept: int) -> None:
        pass

    def report(self, point: CurvePoint) -> None:
        self.heard.append(point)
        if len(self.heard) == self.dies_at:
            raise Killed

    def damaged(self, found: list[str]) -> None:
        pass

    def drain_s(self) -> float | None:
        return None


def curve(outcome: Outcome) -> Curve:
    return [(p.samples, p.eval_loss, p.train_loss or 0.0) for p in outcome.curve]


def resumed(run: RunConfig, store: Store, dies_at: int = 4) -> Outcome:
    """The run, killed at its n-th evaluation and gone on with from its checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        with suppress(Killed):
            train(run, store, Mortal(Path(folder), dies_at))
        return train(run, store, Mortal(Path(folder)))


def on_two_workers(
    runs: Sequence[RunConfig], stores: Sequence[Store], drop: bool = True
) -> list[Curve]:
    """Curves of runs that two processes train together. drop: False switches nn.Dropout off."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "curves.pt"
        spawn(_work, 2, list(runs), [s.path for s in stores], drop, out)
        return torch.load(out, weights_only=True)


def _work(
    rank: int, world: int, runs: list[RunConfig], stores: list[Path], drop: bool, out: Path
) -> None:
    if not drop:
        without_dropout()
    found = [
        curve(train(run, Store.open(path), Mortal(rank=rank, world=world)))
        for run, path in zip(runs, stores, strict=True)
    ]
    if rank == 0:
        torch.save(found, out)


def without_dropout() -> None:
    """From now on nn.Dropout lets all through, in this process."""
    for layer in (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout):
        layer.forward = lambda self, input: input  # type: ignore[method-assign]
