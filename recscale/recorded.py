"""Runs of nobody's sweep: what a notebook or a job says of one that it has made, as the record that
recscale would have written, and the sweep that such records amount to."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from pydantic import ValidationError

from recscale.cost import stated_cost
from recscale.families import TrainerConfig
from recscale.families.door import FamilyError
from recscale.families.trainer import DATA, SAMPLES, axis, check_proportion, samples_of, wrong_axes
from recscale.run import CurvePoint, RunConfig, RunRecord, TrainConfig
from recscale.spec import SweepSpec
from recscale.spec.sweep import NAME
from recscale.trainers.heard import Heard, Point, RanAway, TrainerError, number
from recscale.words import shown

TRAINER = "recorded"
"""What the trainer is called of which nothing is known."""
STATUSES = ("done", "diverged", "failed")


class RecordError(ValueError):
    """What was said of a run is no run; the sentence says why."""


def record_of(
    *,
    axes: Mapping[str, Any],
    cost: str | float,
    loss: float | None = None,
    samples: float | None = None,
    metrics: Mapping[str, Any] | None = None,
    curve: Sequence[Mapping[str, Any]] = (),
    seed: int = 0,
    status: str = "done",
    error: str | None = None,
    time_s: float = 0.0,
    gpu_hours: float = 0.0,
    usd: float = 0.0,
    trainer: str = TRAINER,
) -> RunRecord:
    """The record of one run.

    Args:
        axes: its sizes by name; numbers are axes of a law, texts and truths options.
        cost: training FLOPs (or any one unit): a number, or an expression over the axes and
            `samples`, such as "6 * hidden * samples", by which `ask` costs other runs too.
        loss: at its end; left out where `curve` has it.
        samples: it was trained on; its cost is in proportion to them where it is an expression.
        metrics: further numbers at its end.
        curve: points of its learning curve, `{"samples": ..., "loss": ..., more numbers}` each.
        seed: of runs that are equal otherwise.
        status: done, diverged or failed; the latter two have no law, and `error` says why.
        trainer: what trained it, where one ledger is to tell several apart.

    Raises:
        RecordError: with what is wrong, and what is allowed.
    """
    if not isinstance(axes, Mapping) or not axes:
        raise RecordError("axes: should name the sizes of the run, such as hidden=64")
    if status not in STATUSES:
        raise RecordError(f"status: {shown(status)}; allowed: {', '.join(STATUSES)}")
    sizes = {str(k): _size(str(k), v) for k, v in axes.items()}
    if samples is None and SAMPLES in sizes:
        samples = sizes.pop(SAMPLES)
    elif SAMPLES in sizes and sizes.pop(SAMPLES) != samples:
        raise RecordError(f"samples: {shown(samples)} and an axis samples; give one of them")
    if "epochs" in sizes:
        raise RecordError("axes.epochs: recscale uses this name itself; call it passes")
    for wrong in wrong_axes(sizes, ""):
        raise RecordError(wrong)
    seen = None if samples is None else number(samples)
    if samples is not None and not (seen and seen >= 1 and seen.is_integer()):
        raise RecordError(f"samples: {shown(samples)}: should be a whole number from 1 on")
    try:
        config = RunConfig(
            data=DATA.fingerprint,
            model=TrainerConfig(
                family=str(trainer), cost=_as_text(cost), data_axis=SAMPLES if seen else "", **sizes
            ),
            train=TrainConfig(
                data_fraction=seen or 1.0, batch_size=1, epochs=1, dense_rate=1.0, sparse_rate=1.0,
                rate_factor=1.0, warmup=0.0, eval_points=1, diverge_above=10.0, seed=seed,
            ),
        )  # fmt: skip
        whole, flop = config.model.whole(config.train) or (1, 0.0)
        if seen and isinstance(cost, str):
            check_proportion(cost, sizes, SAMPLES)
    except (FamilyError, ValidationError) as wrong:
        raise RecordError(_words(wrong)) from None
    points = _curve(loss, seen, metrics or {}, curve, set(sizes)) if status == "done" else []
    spent = stated_cost(whole, flop, time_s, gpu_hours, usd)
    last = points[-1].samples if points else whole
    now = time.time()
    return RunRecord(
        run_id=config.run_id,
        config=config,
        status=status,
        reason="recorded",
        curve=tuple(
            CurvePoint(
                samples=p.samples, train_flop=flop * min(1.0, p.samples / last) if last else flop,
                time_s=time_s, train_loss=p.train_loss, eval_loss=p.loss, metrics=p.metrics,
            )
            for p in points
        ),
        estimated=spent,
        measured=spent,
        workers=1,
        started_at=now - time_s,
        finished_at=now,
        versions={"recscale": version("recscale")},
        error=error,
    )  # fmt: skip


def sweep_of(records: Sequence[RunRecord], name: str) -> SweepSpec | None:
    """The sweep whose runs these would be: of every axis the values that there are. None where they
    are not all recorded ones."""
    models = [r.config.model for r in records]
    own = [m for m in models if isinstance(m, TrainerConfig) and not (m.code or m.command)]
    if not own or len(own) < len(models):
        return None
    names = dict.fromkeys(k for m in own for k in m.values)
    values = {k: list(dict.fromkeys(m.values[k] for m in own if k in m.values)) for k in names}
    options = {k for k, v in values.items() if any(isinstance(x, str | bool) for x in v)}
    axes: dict[str, Any] = {k: tuple(sorted(v)) for k, v in values.items() if k not in options}
    axes |= {k: values[k][0] for k in options if len(values[k]) == 1}
    if data := any(m.data_axis for m in own):
        each = {samples_of(m, r.config.train) for m, r in zip(own, records, strict=True)}
        axes[SAMPLES] = tuple(sorted(each))
    costs = dict.fromkeys(m.cost for m in own)
    cost = own[0].cost if len(costs) == 1 and number(own[0].cost) is None else ""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:100]
    name = name if re.fullmatch(NAME, name) else f"ledger_{name}"[:100]
    total = sum(r.trained.train_flop for r in records)
    seeds = 1 + max(r.config.train.seed for r in records)
    model = {"family": own[0].family, "task": "trainer", "cost": cost,
             "data_axis": SAMPLES if data else "", **axes}  # fmt: skip
    return SweepSpec.model_validate({
        "name": name, "trainer": own[0].family, "model": model, "axes": axes, "cost": cost or None,
        "train": {"seeds": seeds, "batch_size": 1}, "budget": {"flop": total or 1.0},
    })  # fmt: skip


def _size(name: str, value: Any) -> Any:
    """One value of an axis; numbers of numpy too."""
    plain = value if isinstance(value, str | bool | int) else number(value)
    try:
        found = axis(plain)
    except ValueError as error:
        raise RecordError(f"axes.{name}: {shown(value)}: {error}") from None
    return found[0] if isinstance(found, tuple) else found


def _as_text(cost: str | float) -> str:
    if isinstance(cost, str):
        return cost
    plain = number(cost)
    if plain is None or not (math.isfinite(plain) and plain > 0):
        raise RecordError(f"cost: {shown(cost)}: should be above 0, or an expression over the axes")
    return repr(plain)


def _curve(
    loss: Any, samples: float | None, metrics: Mapping[str, Any],
    curve: Sequence[Mapping[str, Any]], taken: set[str],
) -> list[Point]:  # fmt: skip
    heard = Heard("loss", taken)
    try:
        for point in curve:
            heard.hear(point, 0.0)
        if loss is not None:
            at = samples or (heard.last or 1)
            heard.hear({**metrics, "samples": at, "loss": loss}, 0.0)
    except RanAway as error:
        raise RecordError(f"{error}; give status: diverged") from None
    except TrainerError as error:
        raise RecordError(str(error)) from None
    if not heard.points:
        raise RecordError("loss: missing; give the loss at its end, or a curve")
    return heard.points


def _words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc'][-1:]))}: {first['msg']}"
    return str(error)
