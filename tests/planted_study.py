"""A study whose law is known: records as the engine would write them, from a planted formula."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from recscale.cost import estimate, eval_schedule, steps
from recscale.ledger import Ledger
from recscale.manifest import Floor, Manifest, TableFacts
from recscale.planner import Planned, planned_runs
from recscale.run import Cost, CurvePoint, RunRecord
from recscale.spec import SweepSpec
from recscale.specfile import parse_spec
from recscale.spend import Start
from recscale.study import plan_entry

E = 0.68
TERMS = {"table_params": (6.0, 0.35), "dense_params": (4.0, 0.38), "samples": (9.0, 0.36)}
NOISE = 0.0004  # sd over seeds, relative

SWEEP = """
name: planted
data: {source: synthetic}
model:
  family: dlrm
  embedding_dim: [4, 8, 16, 32]
  mlp_width: [32, 64, 128, 256]
  sequence_depth: [0, 1, 2]
train:
  data_fraction: [0.02, 0.1, 0.4, 1.0]
  batch_size: 512
  seeds: 2
  learning_rate: {tune: [1, 3]}
search: {strategy: axes}
law: {form: additive, variables: [table_params, dense_params, samples], loss: eval_ne}
budget: {flop: 1e18}
"""

DATA = Manifest(
    source="synthetic",
    task="click",
    fingerprint="planted",
    n_train=1_000_000,
    n_eval=50_000,
    tables=(
        TableFacts(name="item", rows=20_001, distinct=20_000, collision_rate=0.02),
        TableFacts(name="user", rows=10_001, distinct=10_000, unseen_rate=0.01),
    ),
    dense=("a", "b", "c"),
    history="item",
    history_mean_length=12.0,
    label_rate_train=0.25,
    label_rate_eval=0.25,
    time_range_train=("0", "179"),
    time_range_eval=("180", "199"),
    raw_rows=1_060_000,
    dropped={"no label": 10_000},
    notes={"world": "a <planted> teacher"},
    floor=Floor(log_loss=E * 0.5623, ne=E, expected_log_loss=E * 0.5623),
)


def planted_ne(cost: Cost, samples: float | None = None) -> float:
    """The loss that the planted law gives a run, without noise."""
    x = {**cost.model_dump(), **({"samples": samples} if samples else {})}
    return E + sum(a / x[v] ** alpha for v, (a, alpha) in TERMS.items())


def start(p: Planned, share: float = 1.0, kept: int = 0, **changes: Any) -> Start:
    """A start that ended after a share of the run."""
    facts: dict[str, Any] = {
        "id": "start", "run_id": p.run_id, "launch": "launch", "workers": 1, "next_s": 0.0,
        "origin": 0, "kept": kept, "samples": round(share * p.cost.samples),
        "flop": share * p.cost.train_flop, "worker_s": share * p.cost.time_s,
        "gpu_hours": share * p.cost.gpu_hours, "usd": share * p.cost.usd, "over": True,
        "order": 1.0, "signs": 2,
    }  # fmt: skip
    return Start.model_validate({**facts, **changes})


def record(p: Planned, **changes) -> RunRecord:
    """The record of a run that went as planned, with a curve along the planted law."""
    train, rng = p.config.train, np.random.default_rng(zlib.crc32(p.run_id.encode()))
    worse = 1.0 if train.rate_factor == 1 else 1.01
    noise = math.exp(NOISE * rng.standard_normal()) * worse
    curve = []
    for step in eval_schedule(steps(train, DATA), train.eval_points):
        seen = step * train.batch_size
        ne = planted_ne(p.cost, seen) * noise
        share = seen / p.cost.samples
        curve.append(
            CurvePoint(
                samples=seen,
                train_flop=p.cost.train_flop * share,
                time_s=p.cost.time_s * share,
                train_loss=0.5623 * ne,
                eval_loss=0.5623 * ne,
                metrics={"eval_ne": ne, "eval_auc": 0.7, "eval_calibration": 1.01},
            )
        )
    model: Any = p.config.model
    facts = {
        "run_id": p.run_id,
        "config": p.config,
        "status": "done",
        "reason": p.reason,
        "curve": tuple(curve),
        "estimated": p.cost,
        "measured": p.cost.model_copy(update={"time_s": 2 * p.cost.time_s}),
        "workers": 1,
        "started_at": 1.8e9,
        "finished_at": 1.8e9 + p.cost.time_s,
        "versions": {"python": "3.11", "torch": "2.13"},
        "hardware": "planted",
        "spectra": {
            "item": {
                "rows": 9,
                "singular_values": [0.5**i for i in range(getattr(model, "embedding_dim", 8))],
            }
        },
    }
    return RunRecord.model_validate({**facts, **changes})


def planted(path: Path, text: str = SWEEP, *, mishaps: bool = True) -> Ledger:
    """A ledger of the sweep's runs; with mishaps, one run failed, one diverged and one belongs to
    an earlier form of the sweep."""
    spec: SweepSpec = parse_spec(text)
    runs = planned_runs(spec, DATA)
    ledger = Ledger(path, name="planted")
    ledger.append("plan", **plan_entry(spec, DATA, runs))
    # mishaps befall runs of the worse learning rate only, so that the law's points stay as planted
    worse = [p.run_id for p in runs if p.config.train.rate_factor != 1] if mishaps else []
    for p in runs:
        if p.run_id in worse[1:2]:
            error = "Traceback\nRuntimeError: <script>alert('x')</script> & more"
            ledger.record(record(p, status="failed", error=error, curve=(), measured=None))
        elif p.run_id in worse[2:3]:
            ledger.record(record(p, status="diverged"))
        else:
            ledger.record(record(p))
    if mishaps:
        old = runs[-1].config
        model = old.model.model_copy(update={"embedding_dim": 64})
        config = old.model_copy(update={"model": model})
        cost = estimate(model, config.train, DATA, spec.resources)
        ledger.record(record(Planned(config, cost, "an earlier sweep")))
    return ledger
