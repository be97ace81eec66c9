"""Which configurations could be trained next, and how much data a budget buys each of them.

The axes of the sweep and their doublings beyond the largest value tried; what the sweep fixed
stays fixed, and an axis that no longer pays is not grown. Floor 1: closed forms and a law, nothing
is trained here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from recscale.cost import TRAIN_OVER_FORWARD, estimate, machines
from recscale.families import ModelConfig
from recscale.laws import LawError, ScalingLaw
from recscale.laws.points import askable
from recscale.planner import base_epochs, base_value, training
from recscale.planner.candidates import values
from recscale.run import Cost, TrainConfig
from recscale.spec import TRAINING_AXES, SweepSpec
from recscale.study import Study

BEYOND = 2
"""Doublings beyond the largest value tried that advice takes unasked. Followed on fresh sweeps,
advice that reached further lost to the best run there was (tests/benchmarks/advice_followed.py)."""
MOST = 20_000  # architectures weighed; with many axes the reach shrinks to keep to it
OF_DATA = ("samples", "unique_samples", "train_flop", "data_fraction")
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
    """Everything that is weighed: a row for each architecture and number of passes.

    Attributes:
        models: (m,) the architecture of each row.
        table: (m, ...) its fields, `table_params`, `dense_params`, `head_params`, `table_rows`,
            `forward_flop` (per sample), `epochs` and `grown`: by how many doublings, over all
            axes, it lies beyond the values tried.
        doublings: how far beyond the largest value tried an axis may reach.
        tried_rows: the most training rows that the sweep's runs take.
        most_rows: the most that a run may take: no more doublings of the data either.
        hand_rows: the most of those that are there.
        growing: axes that may reach beyond the values tried.
    """

    models: tuple[ModelConfig, ...]
    table: pd.DataFrame
    doublings: int
    tried_rows: int
    most_rows: int
    hand_rows: int
    growing: frozenset[str]


def space(
    study: Study,
    times: float = math.inf,
    beyond: int = BEYOND,
    saturated: Collection[str] = (),
    most: Mapping[str, float] | None = None,
    rows: float = 0.0,
) -> Space:
    """The legal configurations: every combination of the axes' values and of their doublings that
    fits into the memory of the sweep's machine.

    Args:
        times: the compute asked for over that of the largest run: no axis reaches further beyond
            its largest value than compute does, but for one doubling.
        beyond: the most doublings.
        saturated: axes that are not grown.
        most: axis -> the largest of its values that is weighed.
        rows: as many of those that are there may be taken, however far beyond the ones tried.
    """
    spec, data = study.spec, study.data
    tried = {
        k: tuple(v for v in vs if not (v and most and v > most.get(k, math.inf))) or vs
        for k, vs in spec.tried().items()
    }
    axes = {k: v for k, v in tried.items() if k != "data_fraction"}
    reach = beyond if math.isinf(times) else min(beyond, max(1, math.ceil(math.log2(times))))

    def grown(reach: int) -> dict[str, list[tuple[Any, int]]]:
        each = {k: _reach(v, 0 if k in saturated else reach) for k, v in axes.items()}
        own = spec.model.axes()
        return {
            k: [(v, n) for v, n in vs if not n or k not in own or spec.model.may_grow(k, v)]
            for k, vs in each.items()
        }

    while reach and math.prod(map(len, grown(reach).values())) > spec.model.weighed(MOST):
        reach -= 1
    memory = machines()[spec.resources.machine].memory_bytes * spec.resources.least_workers
    found: dict[tuple[ModelConfig, int], dict[str, Any]] = {}
    for point in itertools.product(*grown(reach).values()):
        at = {k: value for k, (value, _) in zip(axes, point, strict=True)}
        if not spec.model.allows(at):
            continue
        model, epochs = spec.model.resolve(at, data), at["epochs"]
        if (model, epochs) in found:
            continue
        cost = estimate(model, training(spec, data, model), data, spec.resources)
        if cost.peak_bytes <= memory:
            found[model, epochs] = {
                **model.model_dump(),
                **{k: getattr(cost, k) for k in FIXED},
                "forward_flop": cost.forward.total,
                "epochs": epochs,
                "grown": sum(steps for _, steps in point),
            }
    fractions = tried["data_fraction"]
    fixed = len(fractions) == 1 or "data_fraction" in saturated
    tried_rows, most_rows = (
        math.floor(max(fractions) * data.n_train * k + 1e-6) for k in (1, 1 if fixed else 2**reach)
    )
    hand_rows = most_rows if fixed else max(most_rows, min(study.rows, math.floor(rows)))
    models = tuple(model for model, _ in found)
    table = pd.DataFrame(list(found.values()))
    growing = frozenset(swept(spec)) - frozenset(saturated) - frozenset(most or {})
    return Space(models, table, reach, tried_rows, most_rows, hand_rows, growing)


def _reach(values: tuple[Any, ...], doublings: int) -> list[tuple[Any, int]]:
    """Values with how many doublings beyond the tried ones each lies."""
    numbers = [v for v in values if v]
    own = [(v, 0) for v in values]
    if len(values) == 1 or not numbers:
        return own
    return own + [(max(numbers) * 2**k, k) for k in range(1, doublings + 1)]


def affordable(
    study: Study, options: Space, law: ScalingLaw, budget: float, rows: int | None = None
) -> pd.DataFrame:
    """The rows of `options.table` that a training budget (FLOPs) buys a batch of, by its index,
    with all that a law may know of them: `samples` (whole batches; at most `rows` different ones,
    None: as many as the space allows), `train_flop`, `data_fraction`, `unique_samples`. A law of
    none of these four knows nothing of runs on less or more data than the sweep's: then all rows
    take as much as those.

    Raises:
        LawError: the law leans on a column that is not known before a run.
    """
    spec, table = study.spec, options.table
    batch = spec.train.batch_size
    assert batch  # settled before the first plan was written down
    forward, epochs = (table[c].to_numpy(float) for c in ("forward_flop", "epochs"))
    knows = knows_data(law)
    at_most = options.tried_rows
    if knows and rows is None:
        at_most = max(options.most_rows, min(study.rows, options.hand_rows))
    elif knows:
        at_most = options.hand_rows
    most = at_most if rows is None else min(rows, at_most)
    steps = np.floor(budget / (TRAIN_OVER_FORWARD * forward * batch))
    # a pass is over whole batches, as a run's is
    steps = np.minimum(steps, epochs * (most // batch))
    steps -= np.where(steps >= epochs, steps % epochs, 0)
    enough = np.maximum(1, epochs) if knows else epochs * (most // batch)
    seen = table.assign(
        samples=steps * batch,
        train_flop=TRAIN_OVER_FORWARD * forward * steps * batch,
        data_fraction=steps * batch / epochs / study.data.n_train,
        batch_size=batch,
        unique_samples=steps * batch / epochs,
    )
    unknown = [v for v in law.variables if v not in seen]
    if unknown:
        raise LawError(
            f"the law's variable {unknown[0]} is only known after a run; for advice use "
            f"variables such as {', '.join(FIXED[:2])}, samples"
        )
    known = askable(law.points, seen[list(law.variables)].to_numpy(float))
    return cast(pd.DataFrame, seen[(steps >= enough) & known])


def knows_data(law: ScalingLaw) -> bool:
    """Whether the law says what more or less data does."""
    return any(v in law.variables for v in OF_DATA)


def weigh(
    study: Study,
    options: Space,
    law: ScalingLaw,
    budgets: Sequence[float],
    rows: int | None = None,
) -> list[Option | None]:
    """The best option at each training budget (FLOPs) by the law's formula alone, a curve to draw;
    None where the budget buys no batch. `rows` as of `affordable`."""
    found: list[Option | None] = []
    for budget in budgets:
        seen = affordable(study, options, law, budget, rows)
        if not len(seen):
            found.append(None)
            continue
        row = seen.iloc[int(np.argmin(law.value(seen)))]
        found.append(chosen(study, options, row))
    return found


def chosen(study: Study, options: Space, row: Any) -> Option:
    """The option of one row of `affordable`."""
    return option(study, options.models[row.name], int(row["samples"]), int(row["epochs"]))


def known_to(law: ScalingLaw, values: Mapping[str, float]) -> bool:
    """Whether the law has an answer at the columns of a run."""
    at = [[values.get(v, np.nan) for v in law.variables]]
    return bool(askable(law.points, np.array(at, float))[0])


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
    values = spec.grown(m, axis)
    if not (spec.may_grow(axis, values[axis]) and spec.allows(values)):
        return None
    model = spec.resolve(values, study.data)
    if model == m:
        return None
    return option(study, model, at.cost.samples, at.train.epochs)


def swept(spec: SweepSpec) -> list[str]:
    """The axes with more than one value."""
    return [k for k, v in spec.tried().items() if len(v) > 1]


def sizes(spec: SweepSpec) -> list[str]:
    """The swept axes that are part of an architecture."""
    return [a for a in swept(spec) if a not in TRAINING_AXES]
