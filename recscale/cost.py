"""Parameters, FLOPs, bytes, time and money of one run in closed form, before anything is built.

Rules of the count (after MLPerf DLRM-v4's way of stating them; 2208.08489 for look-ups):
a multiply-add is 2 FLOPs; forward and backward together are 3 x forward; causal attention counts
half of S^2, though a CPU kernel does not skip the other half; histories count at their padded
length, because that is what is computed; look-ups are 0 FLOPs and are counted in bytes.
Left out: biases, activations, norms, softmax, pooling, the optimiser's own arithmetic,
communication between workers.
"""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path

import yaml
from pydantic import TypeAdapter

from recscale.manifest import Manifest
from recscale.run import Cost, Flop, ModelConfig, TrainConfig
from recscale.spec import Frozen, ResourcesSpec

FLOAT = 4  # bytes; weights, activations and optimiser state are float32
TRAIN_OVER_FORWARD = 3  # backward computes two products of the forward's size
PRICES = Path(__file__).parents[1] / "cluster" / "prices.yaml"


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


def table_rows(model: ModelConfig, data: Manifest) -> dict[str, int]:
    """Rows of each embedding table, the history's own table included."""
    cap = model.embedding_rows
    rows = {t.name: min(t.rows, cap) if cap else t.rows for t in data.tables}
    if model.sequence_length and data.history:
        rows[HISTORY] = rows[data.history]
    return rows


HISTORY = "history"


def mlp_widths(model: ModelConfig, data: Manifest) -> tuple[list[int], list[int]]:
    """Layer widths, input to output, of the bottom MLP and of the over-arch."""
    d, depth = model.embedding_dim, model.mlp_depth
    bottom = [len(data.dense), *[model.mlp_width] * depth, d] if data.dense else []
    n = interacting(model, data)
    interaction_out = n * (n - 1) // 2 + (d if data.dense else 0)
    return bottom, [interaction_out, *[model.overarch_width] * depth, 1]


def interacting(model: ModelConfig, data: Manifest) -> int:
    """Vectors that enter the pairwise interaction."""
    return len(data.tables) + bool(data.dense) + bool(model.sequence_length and data.history)


def parameters(model: ModelConfig, data: Manifest) -> tuple[int, int, int]:
    """(table, dense, head) parameters of a DLRM. Click models have no head: their one output
    unit belongs to the over-arch."""
    table = sum(table_rows(model, data).values()) * model.embedding_dim
    dense = sum(a * b + b for w in mlp_widths(model, data) for a, b in itertools.pairwise(w))
    if model.sequence_depth:
        s, d = model.sequence_width, model.embedding_dim
        block = 12 * s * s + 13 * s  # attention 4s^2+4s, feed-forward 8s^2+5s, two norms 4s
        dense += (d * s + s) + model.sequence_length * s
        dense += model.sequence_depth * block + 2 * s + (s * d + d)
    return table, dense, 0


def forward_flop(model: ModelConfig, data: Manifest) -> Flop:
    """Forward FLOPs of one sample."""
    d, s, length = model.embedding_dim, model.sequence_width, model.sequence_length
    macs = sum(a * b for w in mlp_widths(model, data) for a, b in itertools.pairwise(w))
    attention = 0.0
    if model.sequence_depth:
        macs += length * (d * s + model.sequence_depth * 12 * s * s) + s * d
        attention = model.sequence_depth * 4 * length**2 * s / 2
    n = interacting(model, data)
    return Flop(body=2 * macs, attention=attention, interaction=2 * n * n * d, head=0)


def steps(train: TrainConfig, data: Manifest) -> int:
    """Optimiser steps of a run: whole global batches only, the remainder is not trained on."""
    rows = int(train.data_fraction * data.n_train)
    return train.epochs * (rows // train.batch_size)


def eval_schedule(total: int, points: int) -> list[int]:
    """Steps at which a run evaluates: the last, and halvings before it, each once."""
    return sorted({max(1, total >> k) for k in range(points)}) if total else []


def estimate(
    model: ModelConfig, train: TrainConfig, data: Manifest, resources: ResourcesSpec
) -> Cost:
    """The cost of a run on the machine that the sweep names. Raises KeyError for a machine that
    is not in the price list."""
    machine = machines()[resources.machine]
    table, dense, head = parameters(model, data)
    rows = sum(table_rows(model, data).values())
    forward = forward_flop(model, data)
    n_steps = steps(train, data)
    samples = n_steps * train.batch_size
    train_flop = TRAIN_OVER_FORWARD * forward.total * samples
    evaluations = len(eval_schedule(n_steps, train.eval_points))
    eval_flop = forward.total * data.n_eval * evaluations

    looked_up = len(data.tables) + min(data.history_mean_length, model.sequence_length)
    row_bytes = model.embedding_dim * FLOAT
    # read forward; read and write weight and Adagrad state in the update
    lookup_bytes = samples * looked_up * (3 * row_bytes + 2 * FLOAT)
    # row-wise Adagrad keeps one number a row (fbgemm EXACT_ROWWISE_ADAGRAD), Adam two a weight
    optimizer_bytes = FLOAT * (rows + 2 * (dense + head))
    peak_bytes = FLOAT * (table + 2 * (dense + head)) + optimizer_bytes
    peak_bytes += FLOAT * train.batch_size * _activations(model, data)

    workers = resources.workers
    eval_steps = evaluations * data.n_eval / train.batch_size
    time_s = machine.start_s + machine.step_s * (n_steps + eval_steps / TRAIN_OVER_FORWARD)
    time_s += (train_flop + eval_flop) / (machine.flop_per_s * workers)
    time_s += lookup_bytes / (machine.bytes_per_s * workers)
    gpu_hours, usd = priced(time_s, resources)
    return Cost(
        table_params=table,
        dense_params=dense,
        head_params=head,
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


def priced(time_s: float, resources: ResourcesSpec) -> tuple[float, float]:
    """(GPU-hours, $) of `time_s` seconds on all workers of a run."""
    hours = time_s / 3600 * resources.workers
    return (
        hours * resources.gpus_per_worker,
        hours * machines()[resources.machine].usd_per_worker_hour,
    )


def _activations(model: ModelConfig, data: Manifest) -> int:
    """Floats of one sample that backward needs, and their gradients: an upper estimate."""
    floats = sum(sum(w) for w in mlp_widths(model, data))
    floats += interacting(model, data) * (model.embedding_dim + interacting(model, data))
    if model.sequence_length and data.history:
        floats += model.sequence_length * model.embedding_dim
        # per block: two norms, q k v, attention out, projection, 4s hidden twice, two residuals
        floats += model.sequence_depth * model.sequence_length * 16 * model.sequence_width
    return 2 * floats
