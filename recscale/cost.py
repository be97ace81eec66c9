"""FLOPs, bytes, time and money of one run in closed form, before anything is built.

What one sample costs is the family's to say, by the rules in `recscale.families.base`. A training
step is 3 x forward. Left out: the optimiser's own arithmetic, communication between workers.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from pydantic import TypeAdapter

from recscale.families import Flop, ModelConfig
from recscale.manifest import Manifest
from recscale.run import Cost, TrainConfig
from recscale.shipped import shipped
from recscale.spec import ResourcesSpec
from recscale.values import Frozen, Schedule

FLOAT = 4  # bytes; weights, activations and optimiser state are float32
TRAIN_OVER_FORWARD = 3  # backward computes two products of the forward's size
PRICES = shipped("cluster") / "prices.yaml"


class Machine(Frozen):
    """What one worker of a kind costs and sustains. Figures are dated and sourced in the file."""

    usd_per_worker_hour: float
    flop_per_s: float
    """Sustained in training, not the peak of the data sheet."""
    bytes_per_s: float
    """Sustained by random embedding rows."""
    step_s: float
    """Fixed cost of a training step, whatever its size."""
    start_s: float
    """From launch to the first step."""
    memory_bytes: float
    source: str


@cache
def machines(path: Path = PRICES) -> dict[str, Machine]:
    """The user-editable price list. Raises FileNotFoundError, pydantic.ValidationError."""
    return TypeAdapter(dict[str, Machine]).validate_python(yaml.safe_load(path.read_text()))


def steps(train: TrainConfig, data: Manifest) -> int:
    """Optimiser steps of a run: whole global batches only, the remainder is not trained on."""
    rows = int(train.data_fraction * data.n_train)
    return train.epochs * (rows // train.batch_size)


def eval_schedule(total: int, points: int, schedule: Schedule = "decayed") -> list[int]:
    """Steps at which a run evaluates: the last, and before it halvings of it or, under `anytime`,
    powers of two, which the points of a trajectory share; each once."""
    if not total:
        return []
    if schedule == "anytime":
        top = (total - 1).bit_length()  # 2**top is the first power of two that is no smaller
        return [1 << k for k in range(max(0, top - points + 1), top)] + [total]
    return sorted({max(1, total >> k) for k in range(points)})


def sample_flop(model: ModelConfig, train: TrainConfig, data: Manifest) -> Flop:
    """Forward FLOPs of a training sample, its share of what a step does once among them."""
    found, once = model.forward_flop(data), model.step_flop(data)
    return found.model_copy(update={"body": found.body + once / train.batch_size})


def estimate(
    model: ModelConfig, train: TrainConfig, data: Manifest, resources: ResourcesSpec
) -> Cost:
    """The cost of a run on the machine that the sweep names. Raises KeyError for a machine that
    is not in the price list."""
    machine = machines()[resources.machine]
    if stated := model.whole(train):
        return _as_stated(*stated, machine, resources)
    tables = model.tables(data)
    table, dense, head = (
        model.table_params(data),
        model.dense_params(data),
        model.head_params(data),
    )
    forward = sample_flop(model, train, data)
    n_steps = steps(train, data)
    samples = n_steps * train.batch_size
    train_flop = TRAIN_OVER_FORWARD * forward.total * samples
    evaluations = len(eval_schedule(n_steps, train.eval_points, train.schedule))
    eval_flop = forward.total * data.n_eval * evaluations

    # read forward; read and write weight and Adagrad state in the update
    rows_read = {name: samples * n for name, n in model.lookups(data).items()}
    for name, n in model.step_lookups(data).items():
        rows_read[name] = rows_read.get(name, 0.0) + n_steps * n
    lookup_bytes = sum(
        n * (3 * tables[name].dim * FLOAT + 2 * FLOAT) for name, n in rows_read.items()
    )
    rows = sum(t.rows for t in tables.values())
    # row-wise Adagrad keeps one number a row (fbgemm EXACT_ROWWISE_ADAGRAD), Adam two a weight
    optimizer_bytes = FLOAT * (rows + 2 * (dense + head))
    peak_bytes = FLOAT * (table + 2 * (dense + head)) + optimizer_bytes
    if train.schedule == "anytime":
        peak_bytes += FLOAT * (table + dense + head)  # their mean
    peak_bytes += FLOAT * train.batch_size * model.activations(data)
    read = ((tables[name].dim, n) for name, n in model.step_lookups(data).items())
    peak_bytes += FLOAT * 2 * sum(dim * n for dim, n in read)  # and their gradients
    # a checkpoint copies a table at a time where there is no memory to copy all of the state
    peak_bytes += FLOAT * max((t.rows * t.dim for t in tables.values()), default=0)

    workers = resources.most_workers
    eval_steps = evaluations * data.n_eval / train.batch_size
    time_s = machine.start_s + machine.step_s * (n_steps + eval_steps / TRAIN_OVER_FORWARD)
    time_s += (train_flop + eval_flop) / (machine.flop_per_s * workers)
    time_s += lookup_bytes / (machine.bytes_per_s * workers)
    gpu_hours, usd = priced(time_s * workers, resources)
    return Cost(
        table_params=table,
        dense_params=dense,
        head_params=head,
        non_embedding_params=model.non_embedding_params(data),
        table_rows=rows,
        forward=forward,
        samples=samples,
        train_flop=train_flop,
        eval_flop=eval_flop,
        lookup_bytes=lookup_bytes,
        optimizer_bytes=optimizer_bytes,
        peak_bytes=peak_bytes,
        time_s=time_s,
        gpu_hours=gpu_hours,
        usd=usd,
    )


def _as_stated(samples: int, flop: float, machine: Machine, resources: ResourcesSpec) -> Cost:
    """The cost of a run of a trainer of the user's own; its time is a guess until runs have ended,
    where its unit is not FLOPs."""
    workers = resources.most_workers
    time_s = machine.start_s + flop / (machine.flop_per_s * workers)
    gpu_hours, usd = priced(time_s * workers, resources)
    return stated_cost(samples, flop, time_s, gpu_hours, usd)


def stated_cost(samples: int, flop: float, time_s: float, gpu_hours: float, usd: float) -> Cost:
    """A cost of which no more is known."""
    each = flop / (TRAIN_OVER_FORWARD * samples)
    nothing = dict.fromkeys(
        ("table_params", "dense_params", "head_params", "non_embedding_params", "table_rows",
         "eval_flop", "lookup_bytes", "optimizer_bytes", "peak_bytes"), 0
    )  # fmt: skip
    return Cost(
        **nothing, forward=Flop(body=each, attention=0, interaction=0, head=0), samples=samples,
        train_flop=flop, time_s=time_s, gpu_hours=gpu_hours, usd=usd,
    )  # fmt: skip


def portion(cost: Cost, share: float) -> Cost:
    """The cost of a share of a run."""
    scaled = ("train_flop", "eval_flop", "lookup_bytes", "time_s", "gpu_hours", "usd")
    amounts = {k: share * getattr(cost, k) for k in scaled}
    return cost.model_copy(update={"samples": round(share * cost.samples), **amounts})


def priced(worker_s: float, resources: ResourcesSpec) -> tuple[float, float]:
    """(GPU-hours, $) of `worker_s` seconds of one worker."""
    hours = worker_s / 3600
    return (
        hours * resources.gpus_per_worker,
        hours * machines()[resources.machine].usd_per_worker_hour,
    )
