"""Keys of a sweep file that have no effect, because another one switches them off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recscale.families import ModelSpec
from recscale.manifest import Manifest
from recscale.spec import EventsData, PublishedData, SweepSpec


def idle_options(spec: SweepSpec, data: Manifest) -> Iterator[str]:
    """`key: has no effect: why`, of each key that the file gives in vain."""
    train, search = spec.train, spec.search
    if train.sgd_after is None:
        yield from _idle("train", train, "sgd_rate", "train.sgd_after is not given")
    elif train.sgd_after == 1:
        yield from _idle("train", train, "sgd_after", "1 is the end of every run")
    if train.schedule == "decayed":
        why = "no training rests under schedule decayed"
        yield from _idle("resources", spec.resources, "resting_bytes", why)
    if spec.log is None:
        why = "a trainer writes its checkpoints when it likes"
        yield from _idle("resources", spec.resources, "checkpoint_s", why)
        why = "there are no baselines without a log (key data)"
        yield from _idle("law", spec.law, "below_baseline", why)
    if search.strategy != "frontier":
        yield from _idle("search", search, "goal", "it belongs to strategy frontier")
    if search.strategy != "schemes":
        for key in ("factors", "schemes"):
            yield from _idle("search", search, key, "it belongs to strategy schemes")
    if search.strategy != "axes":
        yield from _idle("search", search, "base", "it belongs to strategy axes")
    if spec.log and spec.log.holdout.leave_one_out:
        why = "leave_one_out takes the last event of each user instead"
        yield from _idle("data.holdout", spec.log.holdout, "last", why)
    if isinstance(spec.log, EventsData | PublishedData):
        yield from _sampling(spec.log)
    for model in spec.models:
        yield from _of_family(model, data)


def _sampling(data: EventsData | PublishedData) -> Iterator[str]:
    """Negatives are sampled of task click alone, where nothing says which rows are negatives."""
    if data.task != "click":
        why = "negatives are sampled for task click; model.negatives are those of a sequence model"
    elif named := data.columns.label_columns:
        key = "labels" if len(named) > 1 else "label"
        why = f"data.columns.{key} ({', '.join(named)}) says which rows are negatives"
    elif data.positive:
        why = "data.positive says which rows are negatives"
    else:
        return
    yield from _idle("data", data, "negatives", why)
    yield from _idle("data", data, "seed", "no negatives are sampled")


def _of_family(model: ModelSpec, data: Manifest) -> Iterator[str]:
    for key, why in model.idle(data).items():
        values = getattr(model, key)
        if not isinstance(values, tuple) or len(values) == 1:  # else its runs tell
            yield from _idle("model", model, key, why)


def _idle(prefix: str, mapping: Any, key: str, why: str) -> Iterator[str]:
    if key in mapping.model_fields_set:
        yield f"{prefix}.{key}: has no effect: {why}"
