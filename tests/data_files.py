"""Small logs for the tests, and a naive account of what a store of them must hold."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recscale.data.intake import read_events
from recscale.data.prepare import prepare
from recscale.data.repeats import copies, in_order
from recscale.data.store import Store
from recscale.spec import Columns, EventsData


def event_log(path: Path, n: int = 3000, seed: int = 0) -> dict[str, list]:
    """Writes a Parquet log in shuffled order and returns its columns.

    `country` follows the user, `price` and `maker` the item (the price now and then changes),
    `amount` neither. Every user takes several items at some moments.
    """
    rng = np.random.default_rng(seed)
    baskets = rng.integers(1, 5, n)
    moment = np.sort(rng.integers(0, n, n))
    user = np.repeat(rng.integers(0, 40, n), baskets)[:n]
    time = 1_600_000_000 + 60 * np.repeat(moment, baskets)[:n]
    item = np.minimum(rng.zipf(1.3, n), 120)
    price = item + (time // 60_000) % 3  # constant for a thousand minutes
    order = rng.permutation(n)
    log = {
        "user": [f"u{u}" for u in user[order]],
        "item": [f"i{i}" for i in item[order]],
        "time": time[order].tolist(),
        "country": [f"c{u % 5}" for u in user[order]],
        "price": price[order].astype(float).tolist(),
        "maker": [f"m{i % 7}" for i in item[order]],
        "amount": rng.integers(1, 9, n)[order].astype(float).tolist(),
    }
    pq.write_table(pa.table(log), path)
    return log


def stored_order(data: EventsData) -> list[int]:
    """Numbers of a log's rows in time order without copies; ties, whose order is arbitrary, as the
    store has them."""
    with tempfile.TemporaryDirectory() as folder:
        events = read_events(data, Path(folder), lambda done, total: None)
        order, alike = in_order(events)
        kept = order[~copies(data, events, order, alike)]
        return events.columns["row"][kept].tolist()


def distinct_in_time(log: dict[str, list], data: EventsData) -> list[dict]:
    """Rows of a log in time order without those that repeat another in all columns."""
    rows = [dict(zip(log, values, strict=True)) for values in zip(*log.values(), strict=True)]
    kept = [rows[i] for i in stored_order(data)]
    distinct = {tuple(row.values()) for row in rows}
    assert [row["time"] for row in kept] == sorted(row["time"] for row in kept)
    assert len(kept) == len(distinct) and {tuple(row.values()) for row in kept} == distinct
    return kept


def history(store: Store, row: int) -> list[int]:
    """Item ids of a row's history, oldest first."""
    a = store.arrays
    return a["history_items"][a["history_begin"][row] : a["history_end"][row]].tolist()


def column(store: Store, name: str) -> np.ndarray:
    """Ids [n] of a table."""
    return store.arrays["ids"][:, [t.name for t in store.manifest.tables].index(name)]


def criteo_lines(n: int, seed: int = 0) -> list[str]:
    """Lines in Criteo's layout: some fields empty, some integers negative."""
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(n):
        integers = [str(x) for x in rng.integers(-3, 1000, 13)]
        ids = [f"{(int(x) * 2654435761) % 2**32:08x}" for x in rng.zipf(1.5, 26)]
        fields = [x if rng.random() > 0.1 else "" for x in [*integers, *ids]]
        lines.append("\t".join([str(int(rng.random() < 0.3)), *fields]))
    return lines


def write_lines(path: Path, lines: list[str]) -> Path:
    """Plain, or gzipped where the name ends in .gz."""
    path.parent.mkdir(exist_ok=True)
    text = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def events_spec(path, **kwargs) -> EventsData:
    columns = {"user": "user", "item": "item", "time": "time", **kwargs.pop("columns", {})}
    return EventsData(source="events", path=str(path), columns=Columns(**columns), **kwargs)


def prepared(tmp_path, data) -> Store:
    return Store.open(prepare(data, tmp_path / "stores"))


def sequence_log(
    path: Path, users: int = 60, items: int = 40, n: int = 1500, seed: int = 0, per_second: int = 2
):
    """Writes a Parquet log, and returns its events in time order as (user, item, time). Users walk
    round a ring of items, mostly one step at a time, so that the past predicts the next item; a
    few users come late, a few events of one user share their second."""
    rng = np.random.default_rng(seed)
    user = np.minimum(rng.geometric(0.05, n) - 1, users - 1)
    user[-20:] = rng.integers(users, users + 3, 20)
    time = 1_600_000_000 + np.arange(n) // per_second * 7
    at = rng.integers(0, items, users + 3)
    item = np.empty(n, int)
    for i, u in enumerate(user):
        step = 1 if rng.random() < 0.8 else rng.integers(1, items)
        at[u] = item[i] = (at[u] + step) % items
    pq.write_table(pa.table({"user": user, "item": item, "time": time}), path)
    rows = list(zip(user.tolist(), item.tolist(), time.tolist(), strict=True))
    return [rows[i] for i in stored_order(events_spec(path, task="next_item"))]
