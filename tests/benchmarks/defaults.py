"""Which learning rates, warm-up and batch does each family train well with, on logs of many kinds?

  python tests/benchmarks/defaults.py RETAIL_PARQUET BANDIT_FOLDER [--logs a,b] [--families a,b]
      [--dense 1e-3,3e-3] [--sparse .05,.1] [--batch 64,256] [--warmup .05] [--width 64]
      [--share 1] [--seeds 1]

Trains every combination and prints a line each: log, family, batch, steps, both rates, warm-up,
evaluation loss, and its distance from the best of the trivial baselines (negative: better) in nats.
The values of each list that are left out are the family's own defaults, and the batch's.

Last run of the defaults, 2026-11-29, one seed; nats below the best of constant and per-item rate:
world 0.059 (dlrm), 0.073 (dcnv2), 0.058 (wukong); world-10k 0.025, 0.043, 0.035; retail-click
0.021, 0.021, 0.016; bandit 0.0002, 0, 0. On men alone, 38 clicks to learn from and 8 to judge by,
none is better: 0.0035, 0.0001, 0.0002 above. Below popularity: chain 3.24 (decoder; 0.04 above its
entropy), 3.23 (hstu); walks 0.85, 0.92; walks-10k 0.39, 0.25; retail 1.10, 1.08.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from recscale.data.prepare import prepare
from recscale.data.store import Store
from recscale.families import AnyModelSpec
from recscale.planner.fixed import learning_rates
from recscale.run import RunConfig
from recscale.spec import DataSpec, LearningRate, TrainSpec
from recscale.train.host import PlainHost
from recscale.train.loop import train

CLICK, NEXT = ("dlrm", "dcnv2", "wukong"), ("decoder", "hstu")
USER_FEATURES = [f"user_feature_{i}" for i in range(4)]


def chain(path: Path, users: int = 2000, items: int = 100, n: int = 100_000) -> None:
    """Users on a Markov chain, each item followed by 3 others: .7, .2, .1 (0.80 nats)."""
    rng = np.random.default_rng(0)
    follows = np.array([rng.choice(items, 3, replace=False) for _ in range(items)])
    at, rows = rng.integers(0, items, users), []
    for step in range(n // users):
        at = follows[at, rng.choice(3, users, p=[0.7, 0.2, 0.1])]
        rows.append(pd.DataFrame({"user": np.arange(users), "item": at, "time": step * users}))
    log = pd.concat(rows)
    log["time"] = 1_600_000_000 + log["time"] + log["user"]
    log.to_parquet(path)


def bandit(folder: Path, out: Path, pattern: str) -> None:
    """The logs of one shop front, its user told by the four features."""
    log = pd.concat(pd.read_csv(p, index_col=0) for p in sorted(folder.glob(pattern)))
    log["user"] = log[USER_FEATURES].agg("-".join, axis=1)
    log["timestamp"] = pd.to_datetime(log["timestamp"], format="ISO8601")
    log.to_parquet(out)


def logs(retail: str, shop: Path, work: Path) -> dict[str, tuple[dict, float]]:
    """Name -> (`data` of a sweep file, data fraction)."""
    chain(work / "chain.parquet")
    bandit(shop, work / "men.parquet", "random_men.csv")
    bandit(shop, work / "all.parquet", "*_*men.csv")
    shown = {"user": "user", "item": "item_id", "time": "timestamp", "label": "click"}
    shown |= {"sparse": [*USER_FEATURES, "position"]}
    bought = {"user": "customer_id", "item": "item", "time": "timestamp"}
    clicks = {**bought, "sparse": ["country"], "dense": ["unit_price"]}
    events = {"source": "events", "order": "hash"}
    world = {"source": "synthetic"}
    walks = {**world, "task": "next_item"}
    two = {"last": 0.02}
    return {
        "world": ({**world, "rows": 100_000, "users": 2000, "items": 1000}, 1.0),
        "world-10k": ({**world, "rows": 10_000, "users": 500, "items": 300}, 1.0),
        "retail-click": ({**events, "path": retail, "columns": clicks, "holdout": two}, 0.03),
        "men": ({**events, "path": str(work / "men.parquet"), "columns": shown}, 1.0),
        "bandit": ({**events, "path": str(work / "all.parquet"), "columns": shown}, 1.0),
        "walks": ({**walks, "rows": 100_000, "users": 2000, "items": 1000}, 1.0),
        "walks-10k": ({**walks, "rows": 10_000, "users": 300, "items": 200}, 1.0),
        "chain": ({**events, "task": "next_item", "path": str(work / "chain.parquet"),
                   "columns": {"user": "user", "item": "item", "time": "time"}}, 1.0),
        "retail": ({**events, "task": "next_item", "path": retail, "columns": bought,
                    "holdout": two}, 0.15),
    }  # fmt: skip


def main() -> None:
    parse = argparse.ArgumentParser()
    parse.add_argument("retail")
    parse.add_argument("bandit", type=Path)
    for name in ("logs", "families", "dense", "sparse", "batch", "warmup", "width"):
        parse.add_argument(f"--{name}")
    parse.add_argument("--share", type=float, default=1.0, help="of each log's fraction")
    parse.add_argument("--seeds", type=int, default=1)
    parse.add_argument("--work", type=Path, default=None)
    asked = parse.parse_args()
    work = asked.work or Path(tempfile.mkdtemp())
    work.mkdir(exist_ok=True)

    def values(name: str, default: float) -> list[float]:
        return [float(x) for x in (getattr(asked, name) or str(default)).split(",")]

    made = logs(asked.retail, asked.bandit, work)
    for log in asked.logs.split(",") if asked.logs else made:
        data, fraction = made[log]
        spec = TypeAdapter(DataSpec).validate_python(data)
        store = Store.open(prepare(spec, work / "stores"))
        fraction *= asked.share
        task = data.get("task", "click")
        baseline = min(store.manifest.baselines.values())
        floor = store.manifest.floor
        print(f"# {log}: baseline {baseline:.4f}", f"floor {floor.log_loss:.4f}" if floor else "")
        own = NEXT if task == "next_item" else CLICK
        for family in asked.families.split(",") if asked.families else own:
            if family not in own:
                continue
            model_spec = TypeAdapter(AnyModelSpec).validate_python({"family": family})
            for width in values("width", 0):
                axes = {k: v[0] for k, v in model_spec.axes().items()}
                if width:
                    axes["sequence_width" if task == "next_item" else "mlp_width"] = int(width)
                model = model_spec.resolve(axes, store.manifest)
                usual = learning_rates(LearningRate(), model)
                least = TrainSpec(data_fraction=(fraction,)).usual_batch(store.manifest.n_train, 1)
                for batch, warmup, dense, sparse, seed in itertools.product(
                    values("batch", least), values("warmup", 0.05), values("dense", usual.dense),
                    values("sparse", usual.sparse), range(asked.seeds),
                ):  # fmt: skip
                    config = RunConfig.model_validate(dict(
                        data=store.manifest.fingerprint, model=model,
                        train=dict(data_fraction=fraction, batch_size=int(batch), epochs=1,
                                   dense_rate=dense, sparse_rate=sparse, rate_factor=1.0,
                                   warmup=warmup, eval_points=1, diverge_above=10.0, seed=seed),
                    ))  # fmt: skip
                    begun = time.monotonic()
                    outcome = train(config, store, PlainHost())
                    took = time.monotonic() - begun
                    loss = outcome.curve[-1].eval_loss if outcome.curve else float("nan")
                    steps = outcome.samples // int(batch)
                    told = [
                        f"{log:13} {family:8} w{width:<4.0f} b{batch:<5.0f} {steps:6d} steps",
                        f"d{dense:<7g} s{sparse:<6g} u{warmup:<5g} {outcome.status:8}",
                        f"{loss:8.4f} {loss - baseline:+8.4f} {took:6.1f} s",
                    ]
                    print(" ".join(told), flush=True)


if __name__ == "__main__":
    main()
