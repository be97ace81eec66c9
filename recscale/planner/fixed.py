"""What to run next: a pure function of the sweep and the records, and one sentence why.

Nothing here launches anything. `decide` is called again after every result.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from recscale.cost import estimate, portion
from recscale.families import ModelConfig, Rates
from recscale.manifest import Manifest
from recscale.planner.checks import PlanError, check, check_memory, idle_values, wild_rates
from recscale.planner.lawful import determined, no_law, rows_of
from recscale.planner.race import beaten, race_of
from recscale.run import Cost, Place, RunConfig, RunRecord, TrainConfig
from recscale.schemes import BASE, scheme_points
from recscale.spec import BudgetSpec, LearningRate, SweepSpec, middle
from recscale.spend import LEAST_S, Flight, Resting, Spend, Start, spent, to_train


@dataclass(frozen=True)
class Planned:
    """One run before it runs."""

    config: RunConfig
    cost: Cost
    reason: str

    @cached_property  # a search asks for that of every run at each decision
    def run_id(self) -> str:
        return self.config.run_id

    @cached_property
    def place(self) -> Place:
        return self.config.place

    @cached_property
    def race(self) -> str:
        """Of the learning-rate factors of its architecture; see `race_of`."""
        return race_of(self.config)


@dataclass(frozen=True)
class Launch:
    runs: tuple[Planned, ...]
    reason: str
    facts: dict[str, Any] = field(default_factory=dict)
    """What a search believed when it decided; a fixed plan has none."""


@dataclass(frozen=True)
class Wait:
    reason: str


@dataclass(frozen=True)
class Stop:
    reason: str
    exhausted: bool = False
    """True when the budget ended the search and planned runs are left."""
    facts: dict[str, Any] = field(default_factory=dict)


Decision = Launch | Wait | Stop


def planned_runs(spec: SweepSpec, data: Manifest) -> list[Planned]:
    """Every run of a grid or one-axis sweep, of every family, each once, the cheapest first.
    Raises PlanError with every reason why the sweep cannot run on this data or machine."""
    spec = spec.on(data.n_train)
    check(spec, data)
    runs: dict[str, Planned] = {}
    for model, values, reason in _architectures(spec, data):
        for factor, seed in itertools.product(
            spec.train.learning_rate.tune, range(spec.train.seeds)
        ):
            train = training(
                spec, data, model, values["data_fraction"], factor, seed, values["epochs"]
            )
            config = RunConfig(data=data.fingerprint, model=model, train=train)
            if config.run_id not in runs:
                cost = estimate(model, train, data, spec.resources)
                runs[config.run_id] = Planned(config, cost, reason)
    ordered = sorted(runs.values(), key=lambda p: (p.cost.train_flop, p.run_id))
    check_memory(ordered, spec)
    return ordered


def remarks(spec: SweepSpec, data: Manifest, planned: Sequence[Planned]) -> list[str]:
    """What the planned runs will not do that the file seems to ask for, each `key: what and why`.
    Raises PlanError where they cannot determine the law that it states."""
    out, law = wild_rates(spec, [p.config.train for p in planned]), spec.law
    stated = law.variables is not None or law.form not in ("additive", "auto")
    for part in spec.parts():
        family = part.model.family
        points = (
            (values, (model, values["epochs"], values["data_fraction"]))
            for model, values, _ in _architectures(part, data)
        )
        out += idle_values(points)
        runs = [p for p in planned if p.config.model.family == family]
        law_of = determined(part, rows_of(runs))
        why = law_of.never or law_of.not_yet
        if why and (stated or law.hold_out_largest is not None):
            raise PlanError(why)
        out += law_of.said
        out += [no_law(part, why)] if why else []
    return out


def decide(
    planned: Sequence[Planned],
    attempts: Iterable[RunRecord],
    in_flight: Mapping[str, Flight],
    given_up: Collection[str],
    budget: BudgetSpec,
    starts: Sequence[Start] = (),
) -> Decision:
    """The next run of a fixed plan: of those that are neither done, running nor given up, and are
    points of no training under way, the one with the least still to train, as long as the budget
    holds it with all that was spent and all that is under way."""
    attempts = list(attempts)
    settled = {r.run_id for r in attempts if r.settled} | {*given_up, *beaten(planned, attempts)}
    open_runs = [p for p in planned if p.run_id not in settled and p.run_id not in in_flight]
    if not open_runs:
        return Wait("the last runs are under way") if in_flight else Stop("every run has ended")
    slower = max(1.0, pace(attempts))
    committed = spent(attempts, starts)
    for p in planned:
        if p.run_id in in_flight:
            committed += in_flight[p.run_id].owed(expected(p.cost, slower))
    busy = {p.place.trunk for p in planned if p.run_id in in_flight}
    free = [p for p in open_runs if p.place.trunk not in busy]
    if not free:
        return Wait("the runs that are left go on with trainings that are under way")
    resting = Resting(starts)
    each = [(p, rest(p, resting)) for p in free]
    following, share = min(each, key=lambda n: n[1] * n[0].cost.train_flop)
    if (committed + needed(following.cost, slower, share)).within(budget):
        return Launch((following,), following.reason)
    if in_flight:
        return Wait("the budget holds no further run until those under way have ended")
    begun = {s.run_id for s in starts}
    fresh = sum(p.run_id not in begun for p in open_runs)
    cut = len(open_runs) - fresh
    what = f"{fresh} of {len(planned)} planned runs are not started"
    what += f", {cut} not trained to their end" if cut else ""
    return Stop(f"the budget holds no further run; {what}", exhausted=True)


def held(
    planned: Sequence[Planned],
    attempts: Iterable[RunRecord],
    starts: Sequence[Start],
    budget: BudgetSpec,
) -> list[str]:
    """Ids of the open runs that the budget holds if each takes what is estimated, in the order in
    which `decide` launches them."""
    attempts = list(attempts)
    settled = {r.run_id for r in attempts if r.settled} | {*beaten(planned, attempts)}
    open_runs = [p for p in planned if p.run_id not in settled]
    committed, found = spent(attempts, starts), []
    slower = max(1.0, pace(attempts))
    for run, share in ahead(open_runs, starts):
        if not (committed + needed(run.cost, slower, share)).within(budget):
            break
        committed += expected(run.cost, slower).times(share)
        found.append(run.run_id)
    return found


def ahead(runs: Iterable[Planned], starts: Sequence[Start] = ()) -> Iterator[tuple[Planned, float]]:
    """Runs in the order in which `decide` launches them one by one, each with the share of it that
    is still to train by then: from its checkpoint, or from the state that the last run of its
    training leaves."""
    resting, of = Resting(starts), defaultdict[str, list[Planned]](list)
    places: dict[str, int] = {}
    for p in runs:
        of[p.place.trunk].append(p)
        places[p.run_id] = len(places)

    def cheapest(trunk: str) -> tuple[float, int, Planned, float]:
        each = [(p, rest(p, resting)) for p in of[trunk]]
        p, share = min(each, key=lambda n: n[1] * n[0].cost.train_flop)
        return share * p.cost.train_flop, places[p.run_id], p, share

    heads = [cheapest(trunk) for trunk in of]
    heapq.heapify(heads)
    while heads:
        _, _, p, share = heapq.heappop(heads)
        yield p, share
        trunk = p.place.trunk
        of[trunk].remove(p)
        resting.leave(p.place.trajectory, p.cost.samples, p.cost.samples)
        if of[trunk]:
            heapq.heappush(heads, cheapest(trunk))


def rest(run: Planned, resting: Resting) -> float:
    """The share that is still to train of a run, which goes on from the newest state on its way;
    what it costs is that share of `run.cost`."""
    return to_train(run.cost.samples, resting.of(run.place, run.cost.samples))


def increments(planned: Iterable[Planned], starts: Sequence[Start] = ()) -> list[Planned]:
    """Runs in the order of `decide`, each with what it adds to the cost of those before it, or to
    what its training has come to; its samples stay those at its end. A decayed run that nobody
    has begun adds all that it costs."""
    return [
        replace(p, cost=portion(p.cost, share).model_copy(update={"samples": p.cost.samples}))
        for p, share in ahead(planned, starts)
    ]


def pace(attempts: Iterable[RunRecord]) -> float:
    """Measured over estimated time of the finished runs; 1 before the first."""
    done = [r for r in attempts if r.status == "done"]
    pairs = [(r.measured.time_s, r.estimated.time_s) for r in done if r.measured]
    estimated = sum(e for _, e in pairs)
    return sum(m for m, _ in pairs) / estimated if estimated else 1.0


def expected(cost: Cost, slower: float) -> Spend:
    """A run's spend to be expected, at the pace measured so far."""
    return Spend(cost.train_flop, cost.gpu_hours * slower, cost.usd * slower)


def needed(cost: Cost, slower: float, share: float) -> Spend:
    """What has to be left for a start that trains so large a share of a run: no less than it takes
    to stop it, however little time is expected."""
    times = max(share * slower, LEAST_S / cost.time_s if cost.time_s else 0.0)
    return Spend(share * cost.train_flop, times * cost.gpu_hours, times * cost.usd)


def _architectures(spec: SweepSpec, data: Manifest) -> Iterable[tuple[Any, dict[str, Any], str]]:
    """(architecture, values of the axes, why) of every point of every family."""
    for part in spec.parts():
        for values, reason in _points(part, data):
            yield part.model.resolve(values, data), values, reason


def _points(spec: SweepSpec, data: Manifest) -> Iterable[tuple[dict[str, Any], str]]:
    axes = spec.axes()
    if spec.search.strategy == "schemes":
        for scheme, factor, values in scheme_points(spec, data):
            yield values, "base of every scheme" if scheme == BASE else f"{scheme} x {factor:g}"
        return
    if spec.search.strategy == "grid":
        for values in itertools.product(*axes.values()):
            yield dict(zip(axes, values, strict=True)), "grid"
        return
    base = {k: base_value(k, v, spec) for k, v in axes.items()}
    yield base, "base of every axis"
    for axis, values in axes.items():
        for value in values:
            if value != base[axis]:
                yield {**base, axis: value}, f"axis {axis} round the base"


def base_value(axis: str, values: tuple[Any, ...], spec: SweepSpec) -> Any:
    if axis in spec.search.base:
        return spec.search.base[axis]
    return max(values) if axis == "data_fraction" else middle(values)


def base_epochs(spec: SweepSpec) -> int:
    """Passes over the data where no point of the axes says how many."""
    return base_value("epochs", spec.train.epochs, spec)


def training(
    spec: SweepSpec,
    data: Manifest,
    model: ModelConfig,
    fraction: float = 1.0,
    factor: float = 1.0,
    seed: int = 0,
    epochs: int | None = None,
) -> TrainConfig:
    """The training of one point of the axes, of a sweep whose batch is settled (`SweepSpec.on`)."""
    t = spec.train
    assert t.batch_size
    anytime = t.schedule == "anytime"
    # no rate may depend on where a run ends, nor on which other ends the sweep has
    usual = model.usual_rates(data, 1.0 if anytime else fraction)
    rates = learning_rates(t.learning_rate, model, usual)
    return TrainConfig(
        data_fraction=fraction,
        batch_size=t.batch_size,
        epochs=epochs or base_epochs(spec),
        dense_rate=rates.dense,
        sparse_rate=rates.sparse,
        rate_factor=factor,
        schedule=t.schedule,
        warmup=0.0 if anytime else t.warmup_share,
        warmup_samples=t.usual_warmup_samples if anytime else None,
        eval_points=t.eval_points,
        diverge_above=t.diverge_above,
        sgd_after=t.sgd_after,
        precision=t.precision,
        probes=spec.probes,
        sgd_rate=t.sgd_rate if t.sgd_after else None,
        seed=seed,
    )


def learning_rates(asked: LearningRate, model: ModelConfig, usual: Rates) -> Rates:
    """Those of the sweep, else the usual ones, at the model's width where they follow it."""

    def at_width(rate: float, meant_for: int | None) -> float:
        width = getattr(model, "sequence_width", None)
        return rate * meant_for / width if meant_for and width else rate

    own = asked.width or usual.width
    return Rates(
        dense=at_width(asked.dense, asked.width) if asked.dense else at_width(usual.dense, own),
        sparse=at_width(asked.sparse, asked.width) if asked.sparse else at_width(usual.sparse, own),
    )
