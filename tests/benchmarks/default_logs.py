"""The logs that default training is chosen and judged on: `tests/benchmarks/defaults.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

USER_FEATURES = [f"user_feature_{i}" for i in range(4)]
JUDGED = 40_000
"""Rows of a planted log to evaluate on, so many that chance does not hide what a default costs."""
RARE = {
    "rare-41-weak": (9000, 0.004, 0.3),
    "rare-36": (9000, 0.004, 0.5),
    "rare-41": (9000, 0.004, 0.8),
    "rare-60": (10_000, 0.007, 0.5),
    "rare-99": (10_000, 0.01, 0.8),
    "rare-100-weak": (10_000, 0.01, 0.3),
    "rare-136-weak": (14_000, 0.01, 0.3),
    "rare-132": (14_000, 0.01, 0.8),
    "rare-475": (50_000, 0.01, 0.4),
}
"""Planted logs, by the clicks that they have to learn from: training rows, click rate, spread of
the log-odds of items."""
WHOLE = ("world-1", "world-2", "world-10k-1", "retail-click-whole", "bandit-bts", "bandit-random",
         "walks-1", "walks-2", "walks-10k-1", "retail-whole", "retail-first-2", "retail-first-10",
         "retail-first-50")  # fmt: skip
"""Logs that no default was chosen on, whole: other seeds of the worlds, and of the real logs all
rows where choices saw 3 % (clicks) and 15 % (next items), or all campaigns together."""
BANDIT = ("random_men", "random_women", "bts_men", "bts_women")


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


def rare(path: Path, n_train: int, rate: float, spread: float) -> None:
    """Clicks of logistic effects of item, slot, segment, their pairs and a number. `p` is the true
    probability of every row; spread: standard deviation of an item's log-odds."""
    rng = np.random.default_rng([0, n_train, int(1e5 * rate), int(10 * spread)])
    n, users, items = n_train + JUDGED, max(50, n_train // 40), max(30, min(2000, n_train // 150))
    user = np.minimum(rng.zipf(1.3, n) - 1, users - 1)
    item = np.minimum((items * rng.random(n) ** 1.7).astype(int), items - 1)
    segment, slot = rng.integers(0, 8, users)[user], rng.integers(0, 4, n)
    number = rng.standard_normal(n)
    effect = rng.standard_normal(items)[item] + 0.4 * rng.standard_normal(4)[slot]
    effect += 0.4 * rng.standard_normal(8)[segment] + 0.3 * number
    effect = spread * (effect + 0.4 * rng.standard_normal((8, items))[segment, item])
    low, high = -20.0, 20.0
    for _ in range(60):  # the intercept at which clicks are as rare as asked
        middle = (low + high) / 2
        common = (1 / (1 + np.exp(-(effect + middle)))).mean() > rate
        low, high = (low, middle) if common else (middle, high)
    p = 1 / (1 + np.exp(-(effect + low)))
    log = {"user": user, "item": item, "time": 1_600_000_000 + np.arange(n), "seg": segment}
    log |= {"pos": slot, "x": number, "click": (rng.random(n) < p).astype(int), "p": p}
    pd.DataFrame(log).to_parquet(path)


def logs(retail: str, shop: Path, work: Path, names: list[str]) -> dict[str, tuple[dict, float]]:
    """Name -> (`data` of a sweep file, data fraction), of all logs or of those named; files that
    they need are written to `work`."""
    shown = {"user": "user", "item": "item_id", "time": "timestamp", "label": "click"}
    shown |= {"sparse": [*USER_FEATURES, "position"]}
    bought = {"user": "customer_id", "item": "item", "time": "timestamp"}
    clicks = {**bought, "sparse": ["country"], "dense": ["unit_price"]}
    events = {"source": "events", "order": "hash"}
    world = {"source": "synthetic"}
    walks = {**world, "task": "next_item"}
    two = {"last": 0.02}
    found: dict[str, tuple[dict, float]] = {
        "world": ({**world, "rows": 100_000, "users": 2000, "items": 1000}, 1.0),
        "world-10k": ({**world, "rows": 10_000, "users": 500, "items": 300}, 1.0),
        "world-3k": ({**world, "rows": 3000, "users": 150, "items": 100}, 1.0),
        "retail-click": ({**events, "path": retail, "columns": clicks, "holdout": two}, 0.03),
        "retail-rare": ({**events, "path": retail, "columns": clicks, "holdout": two,
                         "negatives": {"per_positive": 30}}, 0.01),
        "bandit": ({**events, "path": str(work / "all.parquet"), "columns": shown}, 1.0),
        "walks": ({**walks, "rows": 100_000, "users": 2000, "items": 1000}, 1.0),
        "walks-10k": ({**walks, "rows": 10_000, "users": 300, "items": 200}, 1.0),
        "chain": ({**events, "task": "next_item", "path": str(work / "chain.parquet"),
                   "columns": {"user": "user", "item": "item", "time": "time"}}, 1.0),
        "retail": ({**events, "task": "next_item", "path": retail, "columns": bought,
                    "holdout": two}, 0.15),
    }  # fmt: skip
    for name, seed in (("world-1", 1), ("world-2", 2), ("world-10k-1", 1)):
        found[name] = {**found[name.rpartition("-")[0]][0], "seed": seed}, 1.0
    for name, seed in (("walks-1", 1), ("walks-2", 2), ("walks-10k-1", 1)):
        found[name] = {**found[name.rpartition("-")[0]][0], "seed": seed}, 1.0
    for name in ("retail-click", "retail"):
        found[f"{name}-whole"] = found[name][0], 1.0
    for percent in (2, 10, 50):
        past = {**found["retail"][0], "order": "time", "holdout": {"last": 0.02}}
        found[f"retail-first-{percent}"] = past, percent / 100
    for name in ("bandit-bts", "bandit-random"):
        found[name] = {**found["bandit"][0], "path": str(work / f"{name}.parquet")}, 1.0
    for name in BANDIT:
        data = {**events, "path": str(work / f"{name}.parquet"), "columns": shown}
        found[name] = {**data, "holdout": {"last": 0.4}}, 1.0
    planted = {"user": "user", "item": "item", "time": "time", "label": "click"}
    planted |= {"sparse": ["seg", "pos"], "dense": ["x"]}
    for name, (rows, _, _) in RARE.items():
        last = JUDGED / (JUDGED + rows)
        path = str(work / f"{name}.parquet")
        found[name] = {**events, "path": path, "columns": planted, "holdout": {"last": last}}, 1.0
    found = {name: found[name] for name in names or found}
    for name in found:
        _write(name, shop, work)
    return found


def _write(name: str, shop: Path, work: Path) -> None:
    if name == "chain":
        chain(work / "chain.parquet")
    elif name == "bandit":
        bandit(shop, work / "all.parquet", "*_*men.csv")
    elif name in ("bandit-bts", "bandit-random"):
        bandit(shop, work / f"{name}.parquet", f"{name.removeprefix('bandit-')}_*men.csv")
    elif name in BANDIT:
        bandit(shop, work / f"{name}.parquet", f"{name}.csv")
    elif name in RARE:
        rare(work / f"{name}.parquet", *RARE[name])
