"""One run: its identity, what it costs, and the facts recorded of it.

A `RunConfig` is made of literals only: never a path, a host or a device. Two runs with equal
configs are the same run wherever they train, and share one id.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from recscale.families import AnyModelConfig, Flop
from recscale.values import Frozen, Precision, Schedule

START = 2
"""Of how models start and draw their first weights: an equal config with another start is another
training, so this is part of a run's identity. 2: outputs start at the log-odds of the training
window or a guess among all items, tables are seeded by names of any characters, and a DLRM without
dense columns has a learned vector in their place."""


MASKS = 1
"""Of how dropout's masks are drawn, likewise; of runs with dropout. 1: by sample and step."""


MET = 1
"""Of the items that a next-item model tells apart in training, likewise; of runs that do not see
all training rows from their first step on. 1: those of the rows that it can have seen."""


ANYTIME = 1
"""Of schedule `anytime`, likewise: which mean of the weights is evaluated, and in which order rows
are learnt. 1: `recscale.train.average` and `recscale.data.sequences`."""


BLOCKS = 1
"""Of which rows' item shares correct in-batch items (logQ) under schedule `anytime`, likewise. 1:
of those out of which the batch was drawn."""


class TrainConfig(Frozen):
    data_fraction: float
    batch_size: int
    epochs: int
    dense_rate: float
    sparse_rate: float
    rate_factor: float
    """On both rates: the value of `learning_rate.tune` that this run tries."""
    warmup: float
    """Share of the steps; 0 under schedule `anytime`, which has `warmup_samples`."""
    eval_points: int
    diverge_above: float
    sgd_after: float | None = None
    """Share of the steps after which SGD takes over from Adam; None: never."""
    sgd_rate: float | None = None
    precision: Precision = "float32"
    schedule: Schedule = "decayed"
    warmup_samples: int | None = None
    """Under `anytime`; None under `decayed`."""
    probes: tuple[str, ...] = ()
    seed: int


SERVED = 128
"""Requests whose answer is timed: users with their history, each against the whole catalogue; of a
click model, rows."""
LATENCY = "probe_latency_s"
"""Column of the seconds that it takes, of a run whose sweep asks for it (`probes`)."""


class Place(NamedTuple):
    """Where a run lies: under schedule `anytime` all data fractions and epochs of one architecture,
    rates and seed are points of one training. All have the first pass in common; what passes over
    a fraction again branches off at its end. A decayed run is a training of its own."""

    trajectory: str
    """Name of the part on which it ends: the trunk, or its branch."""
    trunk: str
    """Name of the training."""
    epochs: int
    """Passes at its end."""


class RunConfig(Frozen):
    data: str
    """Fingerprint of the prepared data."""
    model: AnyModelConfig
    train: TrainConfig

    @property
    def fingerprint(self) -> str:
        return self._fingerprints()[0]

    @property
    def run_id(self) -> str:
        """Readable name and eight digits of the fingerprint, such as
        `dlrm-d16-rall-w64-s2-f0.1-x1-seed0-1f0c9a3e`."""
        return f"{self._name(self._point)}-{self.fingerprint[:8]}"

    @property
    def place(self) -> Place:
        t = self.train
        if t.schedule == "decayed":
            return Place(self.run_id, self.run_id, t.epochs)
        at = {"data_fraction": 1.0, "epochs": 1}
        whole = self.model_copy(update={"train": t.model_copy(update=at)})
        trunk = f"{whole._name('')}-{whole.fingerprint[:8]}"
        own = trunk if t.epochs == 1 else f"{trunk}-f{t.data_fraction:g}"
        return Place(own, trunk, t.epochs)

    @property
    def _point(self) -> str:
        t = self.train
        passes = f"-e{t.epochs}" if t.epochs > 1 else ""
        return f"{passes}-f{t.data_fraction:g}"

    def _name(self, point: str) -> str:
        return f"{self.model.name}{point}-x{self.train.rate_factor:g}-seed{self.train.seed}"

    def is_run(self, run_id: str) -> bool:
        """Whether the id is this config's, by this version or an earlier one."""
        name, _, digits = run_id.rpartition("-")
        return name == self._name(self._point) and digits in {f[:8] for f in self._fingerprints()}

    def _fingerprints(self) -> list[str]:
        """Today's, and those that earlier versions gave to the same literals."""
        # a field with a default is younger than the first runs: at its default it says nothing
        # new, and their ids stay as they were
        literals = self.model_dump(mode="json", exclude_defaults=True)
        drops = any(literals["model"].get(rate) for rate in ("dropout", "dropout_top"))
        before: list[object] = [[start, literals] for start in range(START, 1, -1)]
        before.append(literals)
        anytime = self.train.schedule == "anytime"
        part = self.model.task == "next_item" and (anytime or self.train.data_fraction < 1)
        beside = anytime and self.model.option("in_batch", None) is not None
        versions = [MASKS] * drops + [ANYTIME] * anytime + [MET] * part + [BLOCKS] * beside
        known = (versions[:n] for n in range(len(versions), 0, -1))  # as they came to be
        said = [*([START, *some, literals] for some in known), *before]
        digests = (hashlib.sha256(json.dumps(s, sort_keys=True).encode()) for s in said)
        return [digest.hexdigest() for digest in digests]

    @property
    def tuning_group(self) -> str:
        """Equal for runs that differ in learning-rate factor and seed only."""
        return self.model_dump_json(exclude={"train": {"rate_factor", "seed"}})


class Cost(Frozen):
    """What a run costs: estimated before it, measured after it, in one shape."""

    table_params: int
    dense_params: int
    head_params: int
    non_embedding_params: int
    """N of a law of model size; see `recscale.families.base`."""
    table_rows: int
    forward: Flop
    samples: int
    """Samples seen, repeats counted."""
    train_flop: float
    """Forward and backward of the whole run: 3 x forward x samples."""
    eval_flop: float
    """Forward FLOPs of all evaluations; outside `train_flop` and outside the budget."""
    lookup_bytes: float
    """Bytes of embedding rows and their optimiser state moved by the whole run."""
    optimizer_bytes: int
    peak_bytes: int
    time_s: float
    gpu_hours: float
    usd: float


class CurvePoint(Frozen):
    """The evaluation set after `samples` training samples."""

    samples: int
    train_flop: float
    time_s: float
    train_loss: float | None
    """Mean training loss since the previous point (nats)."""
    eval_loss: float
    """Nats a sample."""
    metrics: dict[str, float | None]
    """Further metrics of the evaluation set by column name: `eval_ne`, `eval_auc` and so on; None
    where the set does not define one, such as the AUC of a single class."""

    def columns(self) -> dict[str, float | None]:
        """The point as columns of a frame."""
        # not model_dump: thousands of curves are told at once (tests/benchmarks/page.py)
        own = {name: value for name, value in self.__dict__.items() if name != "metrics"}
        return {**own, **self.metrics}


class Way(NamedTuple):
    """How far a training has come, and what it has taken: of all attempts, up to the checkpoint
    for those that were interrupted."""

    samples: int = 0
    time_s: float = 0.0
    worker_s: float = 0.0
    """Seconds, times the workers that each attempt had."""
    evaluations: int = 0


class Spectrum(Frozen):
    """Singular values of a table at the end of its training, the largest first, over the rows that
    training has moved. A table whose values fall off fast uses few of its dimensions: it has
    collapsed (2310.04400)."""

    rows: int
    """Rows that training has moved."""
    singular_values: tuple[float, ...]
    """As many as the table has dimensions."""

    @property
    def dim(self) -> int:
        return len(self.singular_values)

    @property
    def information_abundance(self) -> float:
        """Sum of the singular values over the largest, from 1 to the dimension (2310.04400)."""
        top = self.singular_values[0]
        return sum(self.singular_values) / top if top else 0.0

    @property
    def effective_rank(self) -> float:
        """exp of the entropy of the singular values as shares (Roy and Vetterli 2007)."""
        total = sum(self.singular_values)
        shares = [s / total for s in self.singular_values if s > 0]
        return math.exp(-sum(p * math.log(p) for p in shares)) if shares else 0.0


Status = Literal["done", "diverged", "failed", "stopped"]


def unbeaten(baselines: Mapping[str, float], loss: float) -> dict[str, float]:
    """Those of the baselines (nats) that a loss is no better than; all for one that is NaN."""
    return {name: nats for name, nats in baselines.items() if not loss < nats}


class RunRecord(Frozen):
    """One attempt that ended; `stopped` ones ended with the budget. `final` is the last point of
    the curve and `best` the one with the lowest eval_loss; they are never mixed.

    Two records of one run_id are of one arithmetic but for the order of sums, which goes by
    `workers`, `threads` and `hardware`. A resume on as many as before changes no bit. Between one
    worker and two, or one thread and four, final losses of the tests' models differ by 7e-11 to
    2e-7 nats in float32, with dropout too, and by up to 4e-4 in bfloat16; seeds differ by 1e-3 to
    7e-2. Where rates are so high that a training amplifies rounding, it is 2e-4 at 20 times the
    usual sparse rate. Processor against GPU was not measured."""

    run_id: str
    config: RunConfig
    status: Status
    reason: str
    """Why the run was launched, in the planner's words."""
    curve: tuple[CurvePoint, ...]
    estimated: Cost
    """Of a run that went on with another's training: of the rest alone, as `measured`."""
    measured: Cost | None
    """Of a run that did not come to its end: what all its starts used. None where an older
    version of recscale did not measure it."""
    trajectory: str = ""
    """Of which training it is a point, under schedule `anytime`; see `Place`."""
    whole: Cost | None = None
    """Measured of that training from its start to this point."""
    workers: int
    threads: int | None = None
    """Of each worker's processor; None of an earlier version."""
    started_at: float
    finished_at: float
    """Unix seconds."""
    probes: dict[str, float | None] = {}
    """What the sweep's probes found at the end of the run, by column name."""
    spectra: dict[str, Spectrum] = {}
    """By table; empty for a run that did not come to its end."""
    worse_than: dict[str, float] = {}
    """Of a run that is done: the data's baselines that its final loss is no better than, with
    theirs (nats a sample); see `recscale.data.baselines`."""
    judged_by: Annotated[str, Field(exclude=True)] = "eval_loss"
    """The column of losses of which `worse_than` speaks: as recorded `eval_loss`, and that of one
    label in a study of that label's law; see `recscale.frame.judged`."""
    resumed: int = 0
    """Times the run went on from a checkpoint."""
    lost: float = 0.0
    """Worker time of all starts beyond that which counts, as a share of the latter: what killed
    ones did after their last checkpoint, to within a heartbeat each. It is in the budget's spend
    and not in `measured`."""
    start: str = ""
    """The last start of the run; see `recscale.spend.Start`. Empty where none was heard of."""
    versions: dict[str, str] = {}
    hardware: str = ""
    error: str | None = None

    @property
    def settled(self) -> bool:
        """Need not be trained again: not what failed, nor what was stopped with the budget."""
        return self.status in ("done", "diverged")

    @property
    def final(self) -> CurvePoint | None:
        return self.curve[-1] if self.curve else None

    @property
    def best(self) -> CurvePoint | None:
        return min(self.curve, key=lambda p: p.eval_loss) if self.curve else None

    @property
    def spent(self) -> Cost:
        """What it used of the budget: measured, and where nothing was measured, as estimated."""
        return self.measured or self.estimated

    @property
    def trained(self) -> Cost:
        """What its weights have cost from their start, in this run and those before it: what laws
        are of."""
        return self.whole or self.spent
