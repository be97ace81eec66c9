"""The runs that `trajectory_law.py` chooses from, trained: whole grids under both schedules.

On a synthetic world every architecture of a small grid is trained at five data fractions, once as
separate decayed runs and once as one training of schedule `anytime`; and, of each schedule, a run
some thirty times (clicks) or eleven (next items) larger than any. One Parquet file a world is
written; those that are there are kept.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from recscale.cost import TRAIN_OVER_FORWARD
from recscale.data.prepare import prepare
from recscale.data.store import Store
from recscale.planner import planned_runs
from recscale.planner.candidates import values
from recscale.spec import DataSpec, SweepSpec
from recscale.train.host import PlainHost
from recscale.train.loop import train

SCHEDULES = ("decayed", "anytime")
CLICK: dict[str, Any] = {
    "data": {
        "source": "synthetic",
        "rows": 2_880_000,
        "users": 2000,
        "items": 1000,
        "holdout": {"last": 0.02},
    },
    "model": {"family": "dlrm", "sequence_length": 6},
    "axes": {"embedding_dim": [4, 8, 16], "mlp_width": [8, 16, 32]},
    "large": {"embedding_dim": 16, "mlp_width": 64},
    "fractions": [0.005, 0.01, 0.02, 0.04, 0.08],
    "train": {"batch_size": 128, "learning_rate": {"dense": 3e-3, "sparse": 0.2}},
}
NEXT: dict[str, Any] = {
    "data": {"source": "synthetic", "rows": 1_200_000, "users": 4000, "items": 1000,
             "task": "next_item", "holdout": {"last": 0.05}},
    "model": {"family": "decoder", "sequence_length": 16, "heads": 2},
    "axes": {"sequence_width": [8, 16, 32], "sequence_depth": [1, 2]},
    "large": {"sequence_width": 48, "sequence_depth": 2},
    "fractions": [0.01, 0.02, 0.04, 0.08, 0.16],
    "train": {"batch_size": 128, "learning_rate": {"dense": 3e-3, "sparse": 0.2}},
}  # fmt: skip
TASKS = {"click": CLICK, "next": NEXT}


def spec_of(task: str, seed: int, schedule: str, large: bool) -> SweepSpec:
    made = TASKS[task]
    axes = made["large"] if large else made["axes"]
    train = made["train"] | {"schedule": schedule, "eval_points": 1}
    train |= {"data_fraction": 1.0 if large else made["fractions"]}
    if schedule == "anytime":
        train |= {"warmup_samples": 2560}
    return SweepSpec.model_validate(
        {
            "name": "world",
            "data": made["data"] | {"seed": seed},
            "model": made["model"] | axes,
            "train": train,
            "budget": {"flop": 1e18},
        }
    )


def world(task: str, seed: int, schedule: str, folder: Path) -> pd.DataFrame:
    """One row a run: the law's variables, trajectory, loss, its whole cost, and whether it is the
    large one."""
    path = folder / f"{task}-{seed}-{schedule}.parquet"
    if path.exists():
        return pd.read_parquet(path)
    folder.mkdir(parents=True, exist_ok=True)
    data = TypeAdapter(DataSpec).validate_python(TASKS[task]["data"] | {"seed": seed})
    store = Store.open(prepare(data, folder / "stores"))
    rows = [r for large in (False, True)
            for r in _trained(spec_of(task, seed, schedule, large), store, large)]  # fmt: skip
    table = pd.DataFrame(rows)
    table.to_parquet(path)
    return table


def _trained(spec: SweepSpec, store: Store, large: bool) -> list[dict[str, Any]]:
    manifest, rows = store.manifest, []
    planned = sorted(
        planned_runs(spec, manifest),
        key=lambda p: (p.config.place.trajectory, p.config.train.data_fraction),
    )
    with tempfile.TemporaryDirectory() as folder:
        for p in planned:
            anytime = spec.train.schedule == "anytime"
            kept = f"{folder}/{p.config.place.trajectory}" if anytime else None
            outcome = train(p.config, store, PlainHost(checkpoints=kept, checkpoint_s=1e9))
            per_sample = TRAIN_OVER_FORWARD * p.config.model.forward_flop(manifest).total
            rows.append(
                {
                    **values(p.config.model, p.config.train, p.cost),
                    "schedule": spec.train.schedule,
                    "trajectory": p.config.place.trajectory,
                    "loss": outcome.curve[-1].columns()[spec.law_loss],
                    "flop": per_sample * outcome.samples,
                    "large": large,
                    "seconds": outcome.time_s,
                }
            )
    return rows
