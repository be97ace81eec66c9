"""What a frontier search can run, and the place it must predict, as arrays made once a sweep."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from recscale.cost import estimate, machines
from recscale.families import AnyModelConfig, ModelConfig, ModelSpec
from recscale.manifest import Manifest
from recscale.planner.checks import PlanError, check, idle_values, wild_rates
from recscale.planner.fixed import training
from recscale.planner.lawful import determined, no_law, values
from recscale.planner.pace import features
from recscale.planner.race import race_of
from recscale.run import Cost, Place, RunConfig, TrainConfig
from recscale.spec import SweepSpec
from recscale.spec.search import MOST_TIMES
from recscale.words import quantity

MOST = 4000  # candidates; of more, a sample of so many, the same at every call
MOST_TARGETS = 2000  # architectures weighed at the target
REACH = 6  # doublings beyond the largest value of an axis at the target, memory allowing
UNITS = {"flop": "FLOP", "gpu_hours": "GPU-hours", "usd": "$"}
FIELDS = {"flop": "train_flop", "gpu_hours": "gpu_hours", "usd": "usd"}


@dataclass(frozen=True)
class Point:
    """One architecture on one data fraction; its runs differ in rate factor and seed only."""

    model: AnyModelConfig
    fraction: float
    epochs: int
    cost: Cost

    def training(
        self, spec: SweepSpec, data: Manifest, factor: float = 1.0, seed: int = 0
    ) -> TrainConfig:
        return training(spec, data, self.model, self.fraction, factor, seed, self.epochs)

    def config(self, spec: SweepSpec, data: Manifest, factor: float, seed: int) -> RunConfig:
        train = self.training(spec, data, factor, seed)
        return RunConfig(data=data.fingerprint, model=self.model, train=train)


@dataclass(frozen=True)
class Target:
    """Where the law must be right: every architecture with the data that spends the target.

    Attributes:
        unit, amount: such as "flop", 1e18.
        logx: (J, p) the law's variables.
        costs: (J,) of each.
        models: (J,).
    """

    unit: str
    amount: float
    logx: np.ndarray
    costs: tuple[Cost, ...]
    models: tuple[ModelConfig, ...]

    @property
    def words(self) -> str:
        shown = f"{self.amount:.3g}" if self.unit != "flop" else quantity(self.amount)
        return f"${shown}" if self.unit == "usd" else f"{shown} {UNITS[self.unit]}"


@dataclass(frozen=True)
class Problem:
    """A frontier sweep before any of it has run."""

    spec: SweepSpec
    data: Manifest
    points: tuple[Point, ...]
    logx: np.ndarray
    """(m, p) the law's variables of each point."""
    target: Target
    whole: int
    """Combinations of the axes' values; of more than MOST only a sample is weighed."""
    remarks: tuple[str, ...] = ()
    """What the sweep asks for and the search will not try, each `key: what and why`."""
    _places: dict[tuple[int, float, int], Place] = field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def sampled(self) -> bool:
        return self.whole > MOST

    def place(self, at: int, factor: float, seed: int) -> Place:
        """Where a point's run lies; made once, as a search asks at each decision."""
        key = at, factor, seed
        if key not in self._places:
            self._places[key] = self.points[at].config(self.spec, self.data, factor, seed).place
        return self._places[key]

    @cached_property
    def races(self) -> list[str]:
        """(m,) in which learning-rate factors of the points race; see `recscale.planner.race`."""
        return [race_of(p.config(self.spec, self.data, 1.0, 0)) for p in self.points]

    @cached_property
    def rank(self) -> np.ndarray:
        """(m,) cost of one run in the target's unit: what the frontier is optimal in."""
        return np.array([in_unit(p.cost, self.target.unit) for p in self.points])

    @cached_property
    def features(self) -> np.ndarray:
        """(m, 4) what the throughput of each point's runs depends on."""
        return features([p.cost for p in self.points])

    @cached_property
    def spends(self) -> np.ndarray:
        """(m, 3) FLOPs, GPU-hours and $ of one run, as estimated."""
        return np.array([[p.cost.train_flop, p.cost.gpu_hours, p.cost.usd] for p in self.points])

    @cached_property
    def at(self) -> dict[str, int]:
        """tuning group -> position of its point."""
        return {
            p.config(self.spec, self.data, 1.0, 0).tuning_group: i
            for i, p in enumerate(self.points)
        }


def in_unit(cost: Cost, unit: str) -> float:
    return float(getattr(cost, FIELDS[unit]))


def problem(spec: SweepSpec, data: Manifest) -> Problem:
    """The candidates and the target of a frontier sweep. Raises PlanError with what to change."""
    spec = spec.on(data.n_train)
    check(spec, data)
    axes = spec.axes()
    whole = math.prod(len(v) for v in axes.values())
    memory = machines()[spec.resources.machine].memory_bytes * spec.resources.least_workers
    points: dict[tuple[AnyModelConfig, float, int], Point] = {}
    tried = []
    for row in _rows(list(axes.values()), whole, spec.model.weighed(MOST)):
        chosen = dict(zip(axes, row, strict=True))
        model = spec.model.resolve(chosen, data)
        key = model, chosen["data_fraction"], chosen["epochs"]
        tried.append((chosen, key))
        if key not in points:
            train = training(spec, data, model, fraction=key[1], epochs=key[2])
            points[key] = Point(*key, estimate(model, train, data, spec.resources))
    fitting = [p for p in points.values() if p.cost.peak_bytes <= memory]
    remarks = idle_values(tried)
    if over := len(points) - len(fitting):
        most = max(p.cost.peak_bytes for p in points.values())
        remarks.append(
            f"resources.machine: {over} of {len(points)} candidates need more memory than "
            f"{spec.resources.machine!r} has ({most / 1e9:.3g} of {memory / 1e9:.3g} GB) and are "
            "not tried"
        )
    if not fitting:
        raise PlanError(f"{remarks[-1]}: take smaller tables, or more workers")
    ranked = sorted(fitting, key=lambda p: (p.cost.train_flop, p.model.model_dump_json()))
    remarks += wild_rates(spec, [p.training(spec, data) for p in ranked])
    rows = [values(p.model, p.training(spec, data), p.cost) for p in ranked]
    law = determined(spec, rows)
    if law.never:
        raise PlanError(law.never)
    logx, possible = _logs(spec, rows)
    ranked = [p for p, ok in zip(ranked, possible, strict=True) if ok]
    target = _target(spec, data, ranked, memory)
    remarks += [*law.said, *([no_law(spec, law.not_yet)] if law.not_yet else [])]
    return Problem(spec, data, tuple(ranked), logx[possible], target, whole, tuple(remarks))


def _rows(axes: Sequence[tuple[Any, ...]], whole: int, most: int = MOST):
    """Every combination, or a seeded sample of `most` that holds both ends."""
    if whole <= most:
        yield from itertools.product(*axes)
        return
    shape = [len(a) for a in axes]
    picks = np.random.default_rng(0).choice(whole, most, replace=False)
    for at in sorted({0, whole - 1, *map(int, picks)}):
        yield tuple(a[int(i)] for a, i in zip(axes, np.unravel_index(at, shape), strict=True))


def _logs(spec: SweepSpec, rows: Sequence[dict[str, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Logs (m, p) of the law's variables, and which rows have all of them."""
    wanted = spec.law_variables
    x = np.array([[r[v] for v in wanted] for r in rows]).reshape(len(rows), len(wanted))
    possible = np.asarray((x > 0).all(1))
    return np.log(np.where(x > 0, x, 1.0)), possible


def _target(spec: SweepSpec, data: Manifest, points: Sequence[Point], memory: float) -> Target:
    search = spec.search
    assert search.target is not None
    unit, asked = search.target.asked()
    if unit == "gpu_hours" and not spec.resources.gpus_per_worker:
        raise PlanError(
            "search.target.gpu_hours: the runs take no GPU (resources.gpus_per_worker is 0); "
            "give the target in flop or usd"
        )
    costs = [in_unit(p.cost, unit) for p in points]
    largest = max(costs)
    amount = float(asked[:-1]) * largest if isinstance(asked, str) else asked
    if amount > MOST_TIMES * largest:
        raise PlanError(
            f"search.target.{unit}: {amount:.3g} is {amount / largest:.1e} times the largest run "
            f"of the axes; ask for {MOST_TIMES:.0e} times at most"
        )
    limit = getattr(spec.budget, unit)
    bought = max((c for c in costs if limit is None or c <= limit), default=0.0)
    if amount <= bought:
        raise PlanError(
            f"search.target.{unit}: {amount:.3g} lies inside the data: the sweep can run "
            f"{bought:.3g} in one of its runs; ask for more than that, such as 10x (times the "
            "largest run of the axes)"
        )
    models = _beyond(spec, data, memory)
    found: list[tuple[ModelConfig, Cost, dict[str, float]]] = []
    for model in models:
        train = training(spec, data, model)

        def at(fraction: float, model=model, train=train):
            longer = train.model_copy(update={"data_fraction": fraction})
            return longer, estimate(model, longer, data, spec.resources)

        (_, one), (_, two) = at(1.0), at(2.0)
        each = in_unit(two, unit) - in_unit(one, unit)
        if each:
            fraction = 1 + (amount - in_unit(one, unit)) / each
        else:  # a trainer whose data is the same for all: what an architecture costs is settled
            fraction = 1.0 if amount / 2 <= in_unit(one, unit) <= amount else 0.0
        if fraction * data.n_train < train.batch_size:
            continue
        train, cost = at(fraction)
        if cost.peak_bytes <= memory:
            found.append((model, cost, values(model, train, cost)))
    logx, possible = _logs(spec, [row for _, _, row in found])
    kept = [f for f, ok in zip(found, possible, strict=True) if ok]
    if not kept:
        raise PlanError(f"search.target.{unit}: {amount:.3g} buys no batch of any architecture")
    return Target(
        unit, float(amount), logx[possible], tuple(c for _, c, _ in kept),
        tuple(m for m, _, _ in kept),
    )  # fmt: skip


def _beyond(spec: SweepSpec, data: Manifest, memory: float) -> list[ModelConfig]:
    """Architectures of the axes' values and their doublings, fewer doublings where they are too
    many."""
    axes = {k: v for k, v in spec.axes().items() if k not in ("data_fraction", "epochs")}
    reach = REACH
    most = spec.model.weighed(MOST_TARGETS)
    while True:
        grown = {k: _doubled(spec.model, k, v, reach) for k, v in axes.items()}
        size = math.prod(len(v) for v in grown.values())
        if size <= most or not reach:
            break
        reach -= 1
    rows = itertools.product(*grown.values()) if size <= most else _rows(
        list(grown.values()), size, most
    )  # fmt: skip
    each = (dict(zip(axes, row, strict=True)) for row in rows)
    models = (spec.model.resolve(v, data) for v in each if spec.model.allows(v))
    return list(dict.fromkeys(models))


def _doubled(model: ModelSpec, axis: str, values: tuple[Any, ...], times: int) -> tuple[Any, ...]:
    numbers = [v for v in values if v]
    if len(values) == 1 or not numbers:
        return values
    beyond = (max(numbers) * 2**k for k in range(1, times + 1))
    return (*values, *(v for v in beyond if model.may_grow(axis, v)))
