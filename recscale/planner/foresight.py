"""What a fixed sweep's runs are expected to tell before any is paid for, and the least expensive
change of its file that tells more.

A typical law gives every planned run a loss; the belief after them has an interval at a larger run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from recscale.laws import LawError
from recscale.laws.choice import build
from recscale.laws.inference import belief_of
from recscale.laws.modes import Sample
from recscale.laws.points import Points, check, undetermined
from recscale.manifest import Manifest
from recscale.planner.changes import Change, changes
from recscale.planner.fixed import Planned
from recscale.planner.lawful import LOSS, determined, firsts, rows_of, values
from recscale.planner.typical import typical
from recscale.spec import SweepSpec

DRAWS = 4
LEVEL = 0.9
LARGER = math.sqrt(10)
"""How many times the largest value of each variable the run has whose loss is to be told: sizes and
samples together make its compute ten times as large."""
NARROWER = 0.8  # of the interval: a change that does less is not worth a sentence
MOST = 500  # runs of a sweep whose changes are tried out, and of whose belief is asked: seconds


@dataclass(frozen=True)
class Foresight:
    """Attributes:
    half: half-width of the 90 % interval of the log loss at the larger run, of runs that follow a
        law exactly; None where the runs determine no law.
    departing: the same of runs that depart from a law as much as published ones.
    larger: the variables of the law that the run is larger in.
    change: the least expensive one that narrows the interval by a fifth, or makes a law of the
        runs; None where none of those tried does.
    narrower: the interval's width with it, as a share of that without.
    """

    half: float | None
    departing: float | None = None
    larger: tuple[str, ...] = ()
    change: Change | None = None
    narrower: float = 1.0

    def facts(self) -> dict[str, Any]:
        """As plain values: what `recscale plan --json` prints."""
        c = self.change
        added = {"key": c.key, "value": c.value, "runs": c.new, "flop": c.flop} if c else None
        return {
            "half": self.half, "departing": self.departing, "larger": self.larger, "change": added,
            "narrower": self.narrower,
        }  # fmt: skip


def foresee(spec: SweepSpec, data: Manifest, planned: Sequence[Planned]) -> Foresight | None:
    """Of all runs of a sweep of one family, done or not; None where it is not asked: of scaling
    schemes, which have a law each, and of more than MOST runs."""
    form = "additive" if spec.law.form == "auto" else spec.law.form
    if len(planned) > MOST or spec.search.strategy == "schemes":
        return None
    found = _points(spec, form, planned)
    if found is None:
        return Foresight(None, change=_mending(spec, data, planned))
    at, larger = _beyond(found[1])
    half, departing = expected_half(*found, at), expected_half(*found, at, departing=True)
    now = expected_half(*found, at, draws=1)
    for change in changes(spec, data, planned, swept=True):
        after = _points(change.spec, form, change.runs)
        narrower = expected_half(*after, at, draws=1) / now if after else 1.0
        if narrower <= NARROWER:
            return Foresight(half, departing, larger, change, narrower)
    return Foresight(half, departing, larger)


def _mending(spec: SweepSpec, data: Manifest, planned: Sequence[Planned]) -> Change | None:
    for change in changes(spec, data, planned, swept=False):
        law = determined(change.spec, rows_of(change.runs))
        if not (law.never or law.not_yet):
            return change
    return None


def expected_half(
    form: str, points: Points, at: np.ndarray, *, departing: bool = False, draws: int = DRAWS
) -> float:
    """Half-width of the 90 % interval of the log loss at log points (m, p), in the mean, that runs
    at these points are expected to give; losses among `points` do not count. departing: see
    `typical`."""
    codes = points.cluster if points.runs < points.n else None
    order = np.argsort(points.rank, kind="stable")
    halves = []
    for seed in range(draws):
        y = typical(points.logx, seed, departing)
        sample = Sample(points.logx, np.log(y), np.zeros(points.n), order, training=codes)
        _, low, high = belief_of(build(form, replace(points, y=y)), sample).interval(at, LEVEL)
        halves.append(np.log(np.log(high / low).mean() / 2))
    return float(np.exp(np.mean(halves)))


def _points(spec: SweepSpec, form: str, runs: Sequence[Planned]) -> tuple[str, Points] | None:
    """The law's form and points: over its variables, or else over the swept axes, each apart."""
    frame = pd.DataFrame([_row(p) for p in firsts(runs)])
    frame[LOSS] = 2 - np.arange(len(frame)) / (len(frame) + 1)  # any that differ
    axes = spec.axis_variables
    for name, variables, zeros in (form, spec.law_variables, ()), ("effects", axes, axes):
        try:
            points = check(
                frame, variables, LOSS, cost="train_flop", zeros=zeros, cluster="training"
            )
        except LawError:
            continue
        if variables and undetermined(points, build(name, points)) is None:
            return name, points
    return None


def _row(p: Planned) -> dict[str, Any]:
    return values(p.config.model, p.config.train, p.cost) | {"training": p.place.trajectory}


def _beyond(points: Points) -> tuple[np.ndarray, tuple[str, ...]]:
    """(1, p) where the law is asked: LARGER than the largest in each variable of three values and
    more; and which these are."""
    many = np.array([len(np.unique(column.round(9))) > 2 for column in points.logx.T])
    named = tuple(v for v, m in zip(points.variables, many, strict=True) if m)
    return (points.logx.max(0) + math.log(LARGER) * many)[None], named
