"""Small changes of a sweep file: one more value of an axis at either end, one seed more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from recscale.manifest import Manifest
from recscale.planner.checks import PlanError
from recscale.planner.fixed import Planned, base_value, increments, planned_runs
from recscale.spec import SweepSpec


@dataclass(frozen=True)
class Change:
    """One key of the sweep file with another value, and what that adds.

    Attributes:
        key: such as `train.data_fraction`.
        value: as the file would have it.
        spec: the sweep with it.
        runs: all of that sweep, those of the sweep before it first.
        new: how many are added.
        flop: what they take.
    """

    key: str
    value: str
    spec: SweepSpec
    runs: tuple[Planned, ...]
    new: int
    flop: float


def changes(
    spec: SweepSpec, data: Manifest, planned: Sequence[Planned], swept: bool
) -> list[Change]:
    """Those that keep every run of a sweep of one family, the least expensive first. swept: of
    axes with several values alone."""
    before, out = _flop(planned), []
    for key, value, other in _edits(spec, swept):
        try:
            fresh = {p.run_id: p for p in planned_runs(other, data)}
        except PlanError:
            continue
        kept = [p for p in planned if fresh.pop(p.run_id, None)]
        if fresh and len(kept) == len(planned):
            runs = (*kept, *fresh.values())
            out.append(Change(key, value, other, runs, len(fresh), _flop(runs) - before))
    return sorted(out, key=lambda c: c.flop)


def _flop(runs: Sequence[Planned]) -> float:
    return sum(p.cost.train_flop for p in increments(runs))


def _edits(spec: SweepSpec, swept: bool) -> Iterator[tuple[str, str, SweepSpec]]:
    """Key, new value, and the sweep with it."""
    model, train = spec.model, spec.train
    if spec.search.strategy == "axes":  # else another value could move the base of all others
        base = {k: base_value(k, v, spec) for k, v in spec.axes().items()}
        search = spec.search.model_copy(update={"base": base})
        spec = spec.model_copy(update={"search": search})
    for axis, had in model.axes().items():
        for more in _ends(had) if not swept or len(set(had)) > 1 else ():
            grown = tuple(sorted({*had, more}))
            try:
                larger = type(model).model_validate(model.model_dump() | {axis: grown})
            except ValidationError:
                continue
            yield f"model.{axis}", _written(grown), spec.model_copy(update={"models": (larger,)})
    had = train.data_fraction
    if not model.amounts and (not swept or len(had) > 1):
        ratio = sorted(had)[1] / min(had) if len(had) > 1 else 2.0
        grown = (float(f"{min(had) / ratio:.2g}"), *sorted(had))
        yield "train.data_fraction", _written(grown), _trained(spec, data_fraction=grown)
    yield "train.seeds", str(train.seeds + 1), _trained(spec, seeds=train.seeds + 1)


def _trained(spec: SweepSpec, **update: Any) -> SweepSpec:
    return spec.model_copy(update={"train": spec.train.model_copy(update=update)})


def _ends(had: tuple[Any, ...]) -> list[int]:
    """The next whole number of an axis at either end, in its own ratio; none of other axes."""
    if not all(type(v) is int and v >= 0 for v in had) or max(had) == 0:
        return []
    up = sorted(set(had))
    last = up[-1] / up[-2] if len(up) > 1 and up[-2] else 2.0
    first = up[1] / up[0] if len(up) > 1 and up[0] else 2.0
    found = [round(up[-1] * last), round(up[0] / first)]
    return [v for v in dict.fromkeys(found) if v > 0 and v not in had]


def _written(grown: Sequence[Any]) -> str:
    return f"[{', '.join(f'{v:g}' if isinstance(v, float) else str(v) for v in grown)}]"
