"""What a sweep has spent: the one sum that decisions, the guard, the screen and the report read.

Every start of a run is an attempt whose worker says in the ledger, by its own clock and its own
count, what it will have spent at most until it speaks again (`recscale.engine.heart`). A start that
died therefore costs what it last said, whoever died with it; no two machines' clocks are compared.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from recscale.values import LARGEST, Frozen

if TYPE_CHECKING:
    from recscale.run import Place, RunRecord
    from recscale.spec import BudgetSpec

ROUNDING = 1e-9  # of a limit: sums of shares of runs are off by less
LEAST_S = 4.0
"""Seconds that a start takes however small its run: until it speaks, until the guard looks, and
until what is stopped has ended."""
BEAT = "beat"
SIGNS = ("start", BEAT)
"""Ledger entries by which a start speaks; the first is a `start`."""

Amount = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class Spend:
    """FLOPs of training, GPU-hours and $, failures counted."""

    flop: float = 0.0
    gpu_hours: float = 0.0
    usd: float = 0.0

    def __add__(self, other: Spend) -> Spend:
        return Spend(self.flop + other.flop, self.gpu_hours + other.gpu_hours, self.usd + other.usd)

    def times(self, factor: float) -> Spend:
        return Spend(factor * self.flop, factor * self.gpu_hours, factor * self.usd)

    def beyond(self, other: Spend) -> Spend:
        """What of this `other` does not cover, kind by kind."""
        return Spend(
            max(0.0, self.flop - other.flop),
            max(0.0, self.gpu_hours - other.gpu_hours),
            max(0.0, self.usd - other.usd),
        )

    def within(self, budget: BudgetSpec) -> bool:
        return all(
            limit is None or used <= limit * (1 + ROUNDING)
            for used, limit in (
                (self.flop, budget.flop),
                (self.gpu_hours, budget.gpu_hours),
                (self.usd, budget.usd),
            )
        )


class Start(Frozen):
    """One attempt at a run, as its worker last told of it."""

    id: str
    run_id: str
    launch: str
    """Of the driver's decision. A group that Ray resizes starts again under the same one."""
    workers: int
    next_s: Amount
    """Seconds after its last sign of life in which the next one was due."""
    trajectory: str = ""
    """Of the run, where it is a point of one; see `recscale.run.Place`."""
    end: int = 0
    """Samples at which it ends, likewise."""
    trunk: str = ""
    """From which its trajectory branches off, if it does."""
    fork: int = 0
    """Samples at which it does."""
    origin: int | None
    """Samples of the checkpoint that it went on from; None while it loads."""
    kept: int | None
    """Samples of the run's newest whole checkpoint; None while it loads."""
    samples: int
    """Trained on since `origin`, at most until the next sign of life, as is what follows."""
    flop: Amount
    worker_s: Amount
    gpu_hours: Amount
    usd: Amount
    over: bool
    """Whether it has ended, and the amounts are final."""
    order: float
    """Of its first sign of life among the ledger's entries."""
    signs: int
    """How often it has spoken."""

    @property
    def spend(self) -> Spend:
        return Spend(self.flop, self.gpu_hours, self.usd)


def heard(before: Start | None, entry: Mapping[str, Any]) -> Start:
    """A start after one more of its signs of life. Raises pydantic.ValidationError."""
    facts = {k: entry[k] for k in Start.model_fields if k in entry} | {"id": entry["start"]}
    if before is None:
        return Start.model_validate({**facts, "signs": 1})
    return Start.model_validate({**facts, "order": before.order, "signs": before.signs + 1})


def both(one: Start, other: Start) -> Start:
    """A start of which two tell, its worker and a driver that stopped it: the larger amounts."""
    most = ("samples", "flop", "worker_s", "gpu_hours", "usd")
    larger = {k: max(getattr(one, k), getattr(other, k)) for k in most}
    first = min(one, other, key=lambda s: s.order)
    over, signs = one.over or other.over, one.signs + other.signs
    return first.model_copy(update={**larger, "over": over, "signs": signs})


def spent(records: Iterable[RunRecord], starts: Iterable[Start] = ()) -> Spend:
    """What every start has used. A record counts itself only where no start tells of it: a ledger
    of an older version holds records alone, and there an attempt that was stopped is part of what
    the run measured once it has gone on to its end."""
    starts = list(starts)
    told = {s.id for s in starts}
    alone = [r for r in records if r.start not in told]
    ended = {r.run_id for r in alone if r.settled}
    total = Spend()
    for s in starts:
        total += s.spend
    for r in alone:
        if r.status == "stopped" and r.run_id in ended:
            continue
        cost = r.spent
        total += Spend(cost.train_flop, cost.gpu_hours, cost.usd).times(1 + r.lost)
    return total


class Resting:
    """The states from which trainings can go on, by what their starts told: of a run its newest
    checkpoint, of a trajectory what its last run left, and what lies beyond that one's end."""

    def __init__(self, starts: Iterable[Start]):
        self.states: dict[str, tuple[int, ...]] = {}
        """Name of a run or trajectory -> samples of each state."""
        told = [s for s in starts if s.kept is not None]
        for s in sorted(told, key=lambda s: s.order):  # it may find less than an earlier one left
            name, origin, kept = s.trajectory or s.run_id, s.origin or 0, s.kept or 0
            if s.trunk:
                there = self.states.get(s.trunk, ())
                self.states[s.trunk] = tuple(x for x in there if x <= origin or x > s.fork)
                kept = kept if kept > s.fork or kept > origin else 0  # else it lies on the trunk
            self.leave(name, kept, s.end if s.trajectory else None)

    def leave(self, name: str, samples: int, end: int | None) -> None:
        """A run that ends at `end` has left a state; what was there up to its end is gone."""
        beyond = () if end is None else (x for x in self.states.get(name, ()) if x > end)
        self.states[name] = (*([samples] if samples else ()), *beyond)

    def of(self, place: Place, samples: int) -> int:
        """Samples that a run need not train again, of those at whose end it lies: the state that
        it goes on from is the newest on its way."""
        on_trunk = self.newest(place.trunk, samples // place.epochs)
        return max(self.newest(place.trajectory, samples), on_trunk)

    def newest(self, name: str, most: int) -> int:
        return max((x for x in self.states.get(name, ()) if x <= most), default=0)


def found(trajectory: str, samples: int) -> dict[str, Any]:
    """Facts of a BEAT of nobody's, which costs nothing: of a trajectory's states that the ledger
    tells of, only the one of so many `samples` is there; 0 for none."""
    nothing = dict.fromkeys(("next_s", "samples", "flop", "worker_s", "gpu_hours", "usd"), 0)
    names = {"start": uuid.uuid4().hex[:12], "run_id": trajectory, "launch": ""}
    at = {"trajectory": trajectory, "end": LARGEST, "origin": samples, "kept": samples}
    return {**names, **at, **nothing, "workers": 1, "over": True}


@dataclass(frozen=True)
class Flight:
    """A run under way: the share of it that its present start has to train, and what that start
    has spent so far."""

    share: float = 1.0
    spend: Spend = Spend()

    def owed(self, whole: Spend) -> Spend:
        """What it will still spend, of a run that costs `whole`."""
        return whole.times(self.share).beyond(self.spend)


def flight(samples: int, from_samples: int, launch: str, starts: Collection[Start]) -> Flight:
    """The state of a launch that was decided with `from_samples` of the run's `samples` kept."""
    own = [s for s in starts if s.launch == launch]
    if not own:
        return Flight(to_train(samples, from_samples))
    last = max(own, key=lambda s: s.order)
    origin = last.origin
    if origin is None:  # it loads a checkpoint, at worst the one that was decided on
        name = last.trajectory or last.run_id
        left = Resting(s for s in starts if name == (s.trajectory or s.run_id))
        origin = left.newest(name, samples) if name in left.states else from_samples
    return Flight(to_train(samples, origin), last.spend)


def to_train(samples: int, from_samples: int) -> float:
    """Share of a run of `samples` that is left after `from_samples`."""
    return min(1.0, max(0.0, 1 - from_samples / samples)) if samples else 1.0
