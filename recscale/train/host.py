"""What the training loop needs from whoever runs it, and nothing of Ray."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from recscale.run import CurvePoint


class Host(Protocol):
    """A plain process, a Ray Tune trial or a Ray Train worker."""

    rank: int
    world: int
    checkpoint_s: float
    """The most seconds between two checkpoints."""

    @property
    def checkpoints(self) -> str | Path | None:
        """Where this run keeps its checkpoint, shared by all ranks; None keeps none."""
        ...

    def began(self, samples: int) -> None:
        """Called on every rank before the first step: the training goes on from `samples`."""
        ...

    def looked(self, samples: int, train_loss: float, kept: int) -> None:
        """Called on every rank at each look at the loss, after `samples` of all samples, of which
        the newest whole checkpoint holds `kept`; `train_loss` is the mean log-loss (nats) since
        the look before."""
        ...

    def report(self, point: CurvePoint) -> None:
        """Called on every rank after each evaluation."""
        ...

    def damaged(self, found: list[str]) -> None:
        """Called on every rank before the first step, where checkpoints were found damaged and
        set aside; a sentence each."""
        ...

    def drain_s(self) -> float | None:
        """Seconds until this rank's node is taken away; None without notice of it."""
        ...


@dataclass
class PlainHost:
    """This process alone."""

    rank: int = 0
    world: int = 1
    checkpoints: str | Path | None = None
    checkpoint_s: float = 60.0

    def began(self, samples: int) -> None:
        pass

    def looked(self, samples: int, train_loss: float, kept: int) -> None:
        pass

    def report(self, point: CurvePoint) -> None:
        pass

    def damaged(self, found: list[str]) -> None:
        pass

    def drain_s(self) -> float | None:
        return None
