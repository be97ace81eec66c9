"""Why a well-written sweep cannot be run on its data and machine, and what of it has no effect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from recscale.cost import machines
from recscale.manifest import Manifest
from recscale.run import TrainConfig
from recscale.spec import RATES, TRAINING_AXES, SweepSpec
from recscale.words import shown

if TYPE_CHECKING:
    from recscale.planner.fixed import Planned


class PlanError(ValueError):
    """A sweep that is well written but cannot be run on this data or machine: one line a reason,
    each `key: what; what to do`."""


def check(spec: SweepSpec, data: Manifest) -> None:
    """Raises PlanError with every reason why no run of the sweep can be right."""
    errors = []
    if spec.resources.machine not in machines():
        errors.append(
            f"resources.machine: {shown(spec.resources.machine)} is not in cluster/prices.yaml; "
            f"allowed: {', '.join(machines())}; add a row for another machine"
        )
    for part in spec.parts():
        tried = {k: v for k, v in part.tried().items() if k in part.model.axes()}
        errors += part.model.model_copy(update=tried).complaints(data)
        batch = spec.train.batch_size or 1
        errors += [
            f"model.in_batch: {n:,} others of a batch of {batch:,}; take fewer than there are "
            "samples, and one at least, or a larger train.batch_size"
            for n in tried.get("in_batch", ())
            if not 0 < n < batch
        ]
    errors += _fractions(spec, data)
    if errors:
        raise PlanError("\n".join(errors))


def _fractions(spec: SweepSpec, data: Manifest) -> list[str]:
    """Data fractions that hold no batch, or end in the warm-up, or hold as many batches as another
    one."""
    out, batch = [], spec.train.batch_size or 1
    rise = spec.train.usual_warmup_samples if spec.train.schedule == "anytime" else 0
    same: dict[int, list[float]] = defaultdict(list)
    for fraction in spec.train.data_fraction:
        rows = int(fraction * data.n_train)
        if rows < batch:
            out.append(
                f"train.data_fraction: {fraction:g} of {data.n_train:,} training rows is less than "
                f"one batch of {batch:,}; take a larger fraction or a smaller batch_size"
            )
        elif rows < rise:
            out.append(
                f"train.data_fraction: {fraction:g} of {data.n_train:,} training rows ends within "
                f"the warm-up of {rise:,} samples (train.warmup_samples); take a larger fraction "
                "or a shorter warm-up"
            )
        else:
            same[rows // batch].append(fraction)
    for batches, fractions in same.items():
        if len(fractions) > 1:
            out.append(
                f"train.data_fraction: {' and '.join(f'{f:.9g}' for f in fractions[:5])} are the "
                f"same {batches * batch:,} of {data.n_train:,} training rows, in whole batches of "
                f"{batch:,}; leave one of them"
            )
    return out


def wild_rates(spec: SweepSpec, trained: Iterable[TrainConfig]) -> list[str]:
    """`key: what comes of it`, of learning rates that no run can be trained at, the factors to be
    tried and the model's width counted: such runs diverge, or stand still, and are paid for."""
    least, most = RATES
    rates = {
        (rate * factor, kind)
        for train in trained
        for factor in spec.train.learning_rate.tune
        for kind, rate in (("dense", train.dense_rate), ("sparse", train.sparse_rate))
    }
    wild = sorted(found for found in rates if not least <= found[0] <= most)
    if not wild:
        return []
    rate, kind = wild[-1]
    return [
        f"train.learning_rate.tune: {kind} rates of {rate:g} come of it, and rates from {least:g} "
        f"to {most:g} can train: the other runs are paid for and tell nothing"
    ]


def whole_tables(spec: SweepSpec, data: Manifest) -> list[str]:
    """`key: what comes of it`, of a table that several CPU workers cannot share evenly: torchrec
    shards the pooled tables of click models by rows on GPUs alone, and deals out whole ones."""
    workers = spec.resources.most_workers
    clicks = [part.model for part in spec.parts() if part.model.task == "click"]
    if workers == 1 or spec.resources.gpus_per_worker or not clicks or not data.tables:
        return []
    caps: list[Any] = [cap for model in clicks for cap in getattr(model, "embedding_rows", (None,))]
    cap = None if None in caps else max(caps)
    rows = {t.name: t.rows if cap is None else min(t.rows, cap) for t in data.tables}
    largest, total = max(rows, key=lambda name: rows[name]), sum(rows.values())
    if rows[largest] * workers <= total:
        return []
    key = "elastic" if spec.resources.elastic else "workers"
    return [
        f"resources.{key}: on CPUs each table of a click model lies whole on one worker, and table "
        f"{shown(largest)} has {rows[largest] / total:.0%} of all rows: of {workers} workers one "
        "holds and trains that share alone; take smaller tables (model.embedding_rows), or count "
        "on its memory for every worker"
    ]


def check_memory(planned: Sequence[Planned], spec: SweepSpec) -> None:
    """Raises PlanError where runs need more memory than their workers have."""
    memory = machines()[spec.resources.machine].memory_bytes * spec.resources.least_workers
    too_big = [p for p in planned if p.cost.peak_bytes > memory]
    if too_big:
        largest = max(too_big, key=lambda p: p.cost.peak_bytes)
        raise PlanError(
            f"resources.machine: {len(too_big)} of {len(planned)} runs need more memory than "
            f"{spec.resources.least_workers} worker(s) of machine {spec.resources.machine!r} have "
            f"({memory / 1e9:.1f} GB): "
            f"{largest.run_id} needs {largest.cost.peak_bytes / 1e9:.3g} GB; take smaller models, "
            "more workers, or correct memory_bytes in cluster/prices.yaml"
        )


def idle_values(points: Iterable[tuple[dict[str, Any], Hashable]]) -> list[str]:
    """`key: value makes no run of its own`, of each value of an axis all of whose points are runs
    that another value makes too. points: (values of the axes, what they resolve to)."""
    first: dict[Hashable, dict[str, Any]] = {}
    own: set[tuple[str, Any]] = set()
    repeated: dict[tuple[str, Any], Any] = {}
    for values, run in points:
        other = first.setdefault(run, values)
        if other is values:
            own |= {*values.items()}
        else:
            repeated |= {(k, v): other[k] for k, v in values.items() if v != other[k]}
    return [
        f"{'train' if axis in TRAINING_AXES else 'model'}.{axis}: {shown(value)} makes the same "
        f"runs as {shown(other)}: it has no effect here"
        for (axis, value), other in repeated.items()
        if (axis, value) not in own
    ]
