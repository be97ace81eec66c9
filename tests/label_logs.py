"""A planted world of three labels, for the tests of several labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from data_files import events_spec, prepared

from recscale.planner import planned_runs
from recscale.spec import EventsData, SweepSpec
from recscale.testing import Subject

LABELS = ("click", "buy", "like")
RATES = (0.4, 0.08, 0.6)
"""About how often each label is 1."""


def columns(n: int = 12_000, seed: int = 0, users: int = 50, items: int = 40) -> dict:
    """Rows in time order: clicks and buys follow one taste, likes the opposite one; so two labels
    have much in common, and the third is told by the same features."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, users, n), rng.integers(0, items, n)
    taste = 1.5 * (rng.normal(size=users)[user] + rng.normal(size=items)[item])
    chance = [1 / (1 + np.exp(-(taste * sign + at))) for sign, at in ((1, -0.7), (1, -4), (-1, 1))]
    return {
        "user": user,
        "item": item,
        "time": 1_600_000_000 + np.arange(n),
        **{name: (rng.random(n) < p).astype(int) for name, p in zip(LABELS, chance, strict=True)},
    }


def label_log(folder: Path, log: dict | None = None, **changes) -> Path:
    """Writes the world, with other columns in place of its own."""
    path = folder / "log.parquet"
    pq.write_table(pa.table({**(log or columns()), **changes}), path)
    return path


def labels_spec(path: Path, labels=LABELS, **more) -> EventsData:
    named = {"labels": labels, **more.pop("columns", {})}
    return events_spec(path, columns=named, **more)


WEIGHTS = {"buy": 4.0}
MMOE = {"experts": 3, "expert_width": 10, "tower_depth": 1, "tower_width": 12}


def sweep(**more) -> SweepSpec:
    """A small model on the world."""
    given = {
        "name": "labels",
        "data": labels_spec(Path("x"), label_weights=WEIGHTS).model_dump(exclude_defaults=True),
        "train": {"batch_size": 255, "eval_points": 5},
        "budget": {"flop": 1e30},
        **more,
        "model": {"family": "dlrm", "embedding_dim": 8, "mlp_width": 16, **more.get("model", {})},
    }
    return SweepSpec.model_validate(given)


def labelled_subject(folder: Path, **model) -> Subject:
    """What the contract is checked on: the first run of it."""
    store = prepared(folder, labels_spec(label_log(folder), label_weights=WEIGHTS))
    spec = sweep(model=model)
    return Subject(spec, store, planned_runs(spec, store.manifest)[0].config)
