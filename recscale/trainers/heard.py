"""What a trainer has reported: its learning curve, and what no report may hold. No clock, no file:
who listens says when."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any

from recscale.values import LARGEST, Frozen
from recscale.words import shown

MOST = 512
"""Points of a curve; of more, every second is left out, and not the last."""
SAMPLES = "samples"
TRAIN_LOSS = "train_loss"


class TrainerError(ValueError):
    """A trainer that does not keep to its part: running it again would change nothing."""


class TrainerFailed(RuntimeError):
    """A trainer that broke off, in its own last words."""


class RanAway(Exception):
    """A training whose loss is no longer finite: an outcome, not an error."""


def verdict(error: str) -> tuple[str, bool]:
    """What a run failed with, of the text of its error, and whether to try it again: of a trainer
    its own words alone."""
    if found := re.findall(rf"\b({TrainerError.__name__}|{TrainerFailed.__name__}): (.+)", error):
        kind, words = found[-1]
        return f"the trainer {words}", kind == TrainerFailed.__name__
    return error, True


class Point(Frozen):
    """One report."""

    samples: int
    time_s: float
    """Of the training, all attempts that led here."""
    loss: float
    train_loss: float | None = None
    metrics: dict[str, float | None] = {}


class Heard:
    """The reports of one run. `before` are those of earlier attempts, up to their checkpoint."""

    def __init__(self, loss: str, taken: Collection[str] = (), before: tuple[Point, ...] = ()):
        """taken: names of columns that are no metrics, such as the run's axes."""
        self.loss, self.taken = loss, {*taken, SAMPLES, loss}
        self.points = list(before)
        self.last: int | None = None
        """Samples of this attempt's last report."""
        self.gap = max((b.samples - a.samples for a, b in pairwise(self.points)), default=0)
        """Most samples between two of its reports."""
        self.wrong: Exception | None = None
        """What was raised: a trainer that catches it has ended all the same."""

    def hear(self, numbers: Mapping[str, Any], time_s: float) -> Point:
        """One more report, `time_s` seconds into the training. Raises TrainerError for one that
        can be of no training, and RanAway."""
        if self.wrong:
            raise self.wrong
        try:
            return self._hear(numbers, time_s)
        except (TrainerError, RanAway) as error:
            self.wrong = error
            raise

    def _hear(self, numbers: Mapping[str, Any], time_s: float) -> Point:
        samples = self._samples(numbers.get(SAMPLES))
        if self.loss not in numbers:
            given = ", ".join(k for k in numbers if k != SAMPLES) or "nothing else"
            raise TrainerError(
                f"reported no {self.loss} at {samples:,} samples, but {given}; the key loss of the "
                "sweep file says what it is called"
            )
        loss = number(numbers[self.loss])
        if loss is None:
            raise TrainerError(f"reported {self.loss} {shown(numbers[self.loss])}, no number")
        if not math.isfinite(loss):
            said = f"reported {self.loss} {loss:g} at {samples:,} samples"
            self.last = samples
            raise RanAway(said) if self.points else TrainerError(f"{said}, its first report")
        kept = [p for p in self.points if p.samples < samples]
        same = [p.metrics for p in self.points if p.samples == samples and self.last == samples]
        found = {k: number(v) for k, v in numbers.items() if k not in self.taken}
        metrics = {k: v for k, v in found.items() if v is not None and k != TRAIN_LOSS}
        train = number(numbers.get(TRAIN_LOSS)) if TRAIN_LOSS not in self.taken else None
        point = Point(
            samples=samples,
            time_s=time_s,
            loss=loss,
            train_loss=_finite(train),
            metrics={**(same[0] if same else {}), **{k: _finite(v) for k, v in metrics.items()}},
        )
        before = self.last if self.last is not None else kept[-1].samples if kept else 0
        self.gap = max(self.gap, samples - before)
        self.last = samples
        self.points = thinned([*kept, point])
        return point

    def _samples(self, value: Any) -> int:
        found = number(value)
        if found is None or not 0 <= found <= LARGEST**2:
            raise TrainerError(f"reported samples {shown(value)}; should be a number from 0 on")
        samples = int(found)
        if self.last is not None and samples < self.last:
            raise TrainerError(
                f"reported {samples:,} samples after {self.last:,}: they count what the run has "
                "been trained on from its start, and only grow"
            )
        return samples

    def ended(self) -> Point:
        """The last report, after the trainer has returned; of an earlier attempt, where this one
        found nothing left to do. Raises TrainerError where there is none, and what was raised
        before."""
        if self.wrong:
            raise self.wrong
        if not self.points:
            raise TrainerError(f"ended without a report of samples and {self.loss}")
        return self.points[-1]


def thinned(points: list[Point], most: int = MOST) -> list[Point]:
    """A curve of so many points at most, the last among them."""
    while len(points) > most:
        points = points[::-1][::2][::-1]
    return points


def number(value: Any) -> float | None:
    """A number, also of numpy or torch with one element; None for what is none."""
    if value is None or isinstance(value, bool | str | bytes):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def line_of(text: str, loss: str) -> dict[str, Any] | None:
    """The report in a line of output; None for any other line, such as one of a log."""
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    told = found.get(SAMPLES) is not None and found.get(loss) is not None
    return found if told else None
