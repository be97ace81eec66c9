"""How far a training has come: what a checkpoint holds of it as plain facts, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from recscale.run import CurvePoint, Spectrum, Way
from recscale.train.divergence import Judgement


@dataclass
class Outcome:
    """What a training came to; the same on every rank."""

    status: Literal["done", "diverged"]
    curve: list[CurvePoint]
    before: Way
    """Where this run took over the training of another; nowhere, where it began it."""
    whole: Way
    """Where it has ended."""
    workers: int
    """At the end."""
    resumed: int
    peak_bytes: int
    kept: int = 0
    """Samples of the state from which the training can go on; rank 0 knows."""
    error: str | None = None
    probes: dict[str, float | None] = field(default_factory=dict)
    spectra: dict[str, Spectrum] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        return self.whole.samples

    @property
    def time_s(self) -> float:
        """Of this run alone, as the next."""
        return self.whole.time_s - self.before.time_s

    @property
    def worker_s(self) -> float:
        return self.whole.worker_s - self.before.worker_s


@dataclass
class Progress:
    """The part of a checkpoint that is plain facts."""

    step: int = 0
    time_s: float = 0.0
    worker_s: float = 0.0
    resumed: int = 0
    curve: list[CurvePoint] = field(default_factory=list)
    """Of all runs of the training so far."""
    loss_sum: float = 0.0
    loss_samples: int = 0
    untrained_sum: float = 0.0
    """What the untrained model lost on the same samples; of a run of schedule `anytime`."""
    octave: tuple[float, float, int] = (0.0, 0.0, 0)
    """The same three between the last two powers of two of the steps."""
    judgement: Judgement = Judgement()
    run_id: str = ""
    """Whose state it is; of a decayed run empty: nobody else goes on with it."""
    ended: bool = False
    """Whether that run has come to its end."""
    error: str | None = None
    """Why the training has diverged, if it has."""
    before: Way = Way()
    """Where that run took over the training of another."""
    unjudged: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Of the samples since the last regular look: nats lost, those of the untrained model, and how
    many they are."""

    def facts(self) -> dict[str, Any]:
        return {**vars(self), "curve": [p.model_dump() for p in self.curve]}

    @classmethod
    def restore(cls, facts: dict[str, Any], run_id: str, batch: int) -> Progress:
        """The progress of `run_id`, whose own state or another's the facts are of."""
        curve = [CurvePoint.model_validate(p) for p in facts["curve"]]
        restored = {
            "curve": curve,
            "judgement": Judgement(*facts["judgement"]),
            "before": Way(*facts.get("before", ())),
            "resumed": facts["resumed"] + 1,
        }
        found = cls(**{**facts, **restored})
        if found.run_id == run_id:
            return found
        if found.ended:
            done = found.step * batch
            found.before = Way(done, found.time_s, found.worker_s, len(curve))
        found.run_id, found.ended, found.resumed = run_id, False, 0
        return found
