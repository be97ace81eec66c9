"""Which runs of a search are points of one training, and what it takes to go on with one.

Under schedule `anytime` a run that is planned passes every smaller data fraction of its
architecture on its way, and goes on from where its training rests: a training that seems worth no
more is left where it is, and thawed for the price of the difference when it does (freeze-thaw,
Swersky, Snoek and Adams 2014).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from recscale.families import AnyModelConfig
from recscale.planner.candidates import Problem
from recscale.run import RunConfig
from recscale.spend import Resting, to_train


class Training(NamedTuple):
    """What points of one training have in common, whatever its learning-rate factor."""

    model: AnyModelConfig
    seed: int
    branch: float | None
    """The data fraction that it passes over again; None of the first pass."""


def training_of(config: RunConfig) -> Training | None:
    """None of a run that is a training of its own."""
    train = config.train
    if train.schedule == "decayed":
        return None
    return Training(config.model, train.seed, train.data_fraction if train.epochs > 1 else None)


class Trainings:
    """Codes of trainings, -1 of a training of one point."""

    def __init__(self, problem: Problem):
        self.problem, self._codes = problem, dict[Training, int]()
        self.any = problem.spec.train.schedule == "anytime"

    def codes(self, trainings: Iterable[Training | None]) -> np.ndarray | None:
        """(n,) of these trainings; None where every run is a training of its own."""
        if not self.any:
            return None
        known = self._codes
        return np.array(
            [-1 if t is None else known.setdefault(t, len(known)) for t in trainings], dtype=int
        )

    def of_point(self, at: int, seed: int) -> Training:
        """The training on which a candidate lies at a seed."""
        p = self.problem.points[at]
        return Training(p.model, seed, p.fraction if p.epochs > 1 else None)

    def shares(
        self, resting: Resting, seeds: np.ndarray, factors: Sequence[Sequence[float]]
    ) -> np.ndarray:
        """(m,) of each candidate what is still to train of it, mean over its `factors`, where
        trainings rest in `resting`."""
        out = np.ones(len(self.problem.points))
        if not self.any or not any(resting.states.values()):
            return out
        for i, point in enumerate(self.problem.points):
            samples = point.cost.samples
            kept = [
                resting.of(self.problem.place(i, f, int(seeds[i])), samples) for f in factors[i]
            ]
            out[i] = np.mean([to_train(samples, k) for k in kept])
        return out
