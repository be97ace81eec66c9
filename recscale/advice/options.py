"""Which architectures could be trained next, and how much data a budget buys each of them.

The axes of the sweep and their doublings beyond the largest value tried; what the sweep fixed
stays fixed. Floor 1: closed forms and a law, nothing is trained here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recscale.cost import TRAIN_OVER_FORWARD, estimate, machines
from recscale.families import ModelConfig
from recscale.laws import LawError, ScalingLaw
from recscale.planner import base_epochs, base_value, training
from recscale.planner.candidates import values
from recscale.run import Cost, TrainConfig
from recscale.spec import TRAINING_AXES, SweepSpec
from recscale.study import Study

DOUBLINGS = 6  # beyond the largest value tried: up to 64 times
MOST = 20_000  # architectures weighed; with many axes the reach shrinks to keep to it
FIXED = ("table_params", "dense_params", "head_params", "non_embedding_params", "table_rows")


@dataclass(frozen=True)
class Option:
    """One architecture with its training: as a run, but the data may be more than there is."""

    model: ModelConfig
    train: TrainConfig
    cost: Cost

    def values(self) -> dict[str, float]:
        """The columns of a run's row that are known before it runs; see `recscale.frame`."""
        return values(self.model, self.train, self.cost)


@dataclass(frozen=True)
class Space:
    """Every architecture that is weighed, one row each.

    Attributes:
        models: the architectures, each once.
        table: their fields and `table_params`, `dense_params`, `head_params`, `table_rows`,
            `forward_flop` (per sample).
        doublings: how far beyond the largest value tried each swept axis reaches.
    """

    models: tuple[ModelConfig, ...]
    table: pd.DataFrame
    doublings: int


def space(study: Study, times: float = 2.0**DOUBLINGS) -> Space:
    """The legal architectures: every combination of the axes' values and of their doublings that
    fits into the memory of the sweep's machine.

    `times` is the compute asked for over that of the largest run: no axis reaches further beyond
    its largest value than compute does (one doubling at least, 64 times at most).
    """
    spec, data = study.spec, study.data
    axes = {k: v for k, v in spec.tried().items() if k not in TRAINING_AXES}
    doublings = int(np.clip(np.ceil(np.log2(times)), 1, DOUBLINGS))
    values = {k: _reach(v, doublings) for k, v in axes.items()}
    while doublings and np.prod([len(v) for v in values.values()]) > MOST:
        doublings -= 1
        values = {k: _reach(v, doublings) for k, v in axes.items()}
    memory = machines()[spec.resources.machine].memory_bytes * spec.resources.least_workers
    rows: dict[ModelConfig, dict[str, Any]] = {}
    for point in itertools.product(*values.values()):
        model = spec.model.resolve(dict(zip(values, point, strict=True)), data)
        if model in rows:
            continue
        cost = estimate(model, training(spec, data, model), data, spec.resources)
        if cost.peak_bytes <= memory:
            rows[model] = {
                **model.model_dump(),
                **{k: getattr(cost, k) for k in FIXED},
                "forward_flop": cost.forward.total,
            }
    return Space(tuple(rows), pd.DataFrame(list(rows.values())), doublings)


def _reach(values: tuple[Any, ...], doublings: int) -> tuple[Any, ...]:
    numbers = [v for v in values if v]
    if len(values) == 1 or not numbers:
        return values
    return (*values, *(max(numbers) * 2**k for k in range(1, doublings + 1)))


def weigh(
    study: Study,
    options: Space,
    law: ScalingLaw,
    budgets: Sequence[float],
    rows: int | None = None,
) -> list[tuple[int, int] | None]:
    """The best architecture and its samples at each training budget (FLOPs), by the law's formula.

    samples = budget / (3 x forward FLOPs), in whole batches; at most `rows` training rows are
    there (None: as many as it takes). None where the budget buys no batch.

    Raises:
        LawError: the law leans on a column that is not known before a run.
    """
    spec = study.spec
    batch, epochs = spec.train.batch_size, base_epochs(spec)
    assert batch  # settled before the first plan was written down
    forward = options.table["forward_flop"].to_numpy(float)
    found: list[tuple[int, int] | None] = []
    for budget in budgets:
        steps = np.floor(budget / (TRAIN_OVER_FORWARD * forward * batch))
        if rows is not None:
            steps = np.minimum(steps, epochs * (rows // batch))
        seen = options.table.assign(
            samples=steps * batch,
            train_flop=TRAIN_OVER_FORWARD * forward * steps * batch,
            data_fraction=steps * batch / epochs / study.data.n_train,
            batch_size=batch,
            epochs=epochs,
            unique_samples=steps * batch / epochs,
        )
        unknown = [v for v in law.variables if v not in seen]
        if unknown:
            raise LawError(
                f"the law's variable {unknown[0]} is only known after a run; for advice use "
                f"variables such as {', '.join(FIXED[:2])}, samples"
            )
        positive = seen[list(law.variables)].to_numpy(float) > 0
        legal = (steps >= 1) & positive.all(axis=1)
        if not legal.any():
            found.append(None)
            continue
        at = np.flatnonzero(legal)
        best = at[int(np.argmin(law.value(seen.iloc[at])))]
        found.append((int(best), int(steps[best] * batch)))
    return found


def option(study: Study, model: ModelConfig, samples: int, epochs: int | None = None) -> Option:
    """An architecture trained on `samples` samples (whole batches), with its full cost; the data
    fraction exceeds 1 where there is not as much data. `epochs`: the sweep's base if left out."""
    spec, data = study.spec, study.data
    epochs = epochs or base_epochs(spec)
    train = training(spec, data, model, samples / epochs / data.n_train, epochs=epochs)
    # half a row more, so that rounding never loses the last batch
    fraction = (samples / epochs + 0.5) / data.n_train
    cost = estimate(
        model, train.model_copy(update={"data_fraction": fraction}), data, spec.resources
    )
    return Option(model, train, cost)


def base_option(study: Study) -> Option:
    """The sweep's base: its stated base, else the middle value of every axis with all data; of
    scaling schemes the model as written."""
    spec = study.spec
    values = {k: base_value(k, v, spec) for k, v in spec.axes().items()}
    model = spec.model.resolve(values, study.data)
    train = training(spec, study.data, model, values["data_fraction"], epochs=values["epochs"])
    return Option(model, train, estimate(model, train, study.data, spec.resources))


def doubled(study: Study, at: Option, axis: str) -> Option | None:
    """The same run with one axis doubled (0 becomes 1); None where it cannot grow."""
    if axis == "data_fraction":
        return option(study, at.model, 2 * at.cost.samples, at.train.epochs)
    if axis == "epochs":
        train = at.train.model_copy(update={"epochs": 2 * at.train.epochs})
        cost = estimate(at.model, train, study.data, study.spec.resources)
        return Option(at.model, train, cost)
    spec, m = study.spec.model, at.model
    if getattr(m, axis) is None:
        return None
    model = spec.resolve(spec.grown(m, axis), study.data)
    if model == m:
        return None
    return option(study, model, at.cost.samples, at.train.epochs)


def swept(spec: SweepSpec) -> list[str]:
    """The axes with more than one value."""
    return [k for k, v in spec.tried().items() if len(v) > 1]
