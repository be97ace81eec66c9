"""Logs as the field writes them, for `recscale new`: their columns, and what is to be guessed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

N = 600
BEGIN = 1_509_494_400  # 2017-11-01


class World:
    """Columns that logs are made of; times rise, users and items come back."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.rng = rng
        self.user = rng.integers(1, 60, N)
        self.item = rng.integers(1, 90, N)
        self.time = BEGIN + np.sort(rng.integers(0, 30 * 86400, N))
        self.click = (rng.random(N) < 0.2).astype(int)
        self.stars = rng.integers(1, 6, N)
        self.category = rng.integers(1, 20, N)

    def texts(self, values: np.ndarray, form: str) -> list[str]:
        return [form.format(v) for v in values]

    def moments(self, pattern: str) -> list[str]:
        return [datetime.fromtimestamp(t, UTC).strftime(pattern) for t in self.time]

    def choice(self, *values: str) -> list[str]:
        return self.rng.choice(values, N).tolist()


def write(
    path: str, columns: Mapping[str, object], separator: str = ",", header: bool = True
) -> str:
    """A text file of the columns."""
    rows = zip(*columns.values(), strict=True)  # type: ignore
    lines = [separator.join(columns)] if header else []
    text = "\n".join([*lines, *(separator.join(map(str, r)) for r in rows)]) + "\n"
    content = text.encode()
    Path(path).write_bytes(gzip.compress(content) if path.endswith(".gz") else content)
    return path


def movielens(w: World) -> str:
    columns = {"userId": w.user, "movieId": w.item, "rating": w.stars / 1.0, "timestamp": w.time}
    return write("ratings.csv", columns)


def criteo_attribution(w: World) -> str:
    columns = {
        "timestamp": np.sort(w.rng.integers(0, 2_600_000, N)),
        "uid": w.user + 10_000_000,
        "campaign": w.item + 1_000_000,
        "conversion": (w.rng.random(N) < 0.1).astype(int),
        "conversion_timestamp": np.where(w.click, 2_000_000 + np.arange(N), -1),
        "click": w.click,
        "cost": w.rng.random(N).round(6),
        "cpo": w.rng.random(N).round(6),
        "time_since_last_click": w.rng.integers(-1, 900_000, N),
        "cat1": w.category + 5_000_000,
        "cat2": w.rng.integers(1, 9, N) + 6_000_000,
    }
    return write("criteo_attribution_dataset.tsv.gz", columns, "\t")


def taobao(w: World) -> str:
    kinds = w.choice("pv", "buy", "cart", "fav")
    columns = {"u": w.user, "i": w.item * 7, "c": w.category, "kind": kinds, "t": w.time}
    return write("UserBehavior.csv", columns, header=False)


def avazu(w: World) -> str:
    columns = {
        "id": w.rng.integers(10**17, 10**18, N),
        "click": w.click,
        "hour": [int(m) for m in w.moments("%y%m%d%H")],
        "C1": w.choice("1005", "1002"),
        "banner_pos": w.choice("0", "1", "2"),
        "site_id": w.texts(w.category, "{:08x}"),
        "site_category": w.choice("28905ebd", "0569f928"),
        "app_id": w.texts(w.item, "{:08x}"),
        "device_id": w.texts(w.user, "{:08x}"),
        "device_ip": w.texts(w.rng.integers(0, 300, N), "{:08x}"),
        "C14": w.rng.integers(15_000, 15_040, N),
    }
    return write("train.csv", columns)


def kuairec(w: World) -> str:
    columns = {
        "user_id": w.user,
        "video_id": w.item,
        "play_duration": w.rng.integers(100, 90_000, N),
        "video_duration": w.rng.integers(5_000, 60_000, N),
        "time": w.moments("%Y-%m-%d %H:%M:%S.123"),
        "date": [int(m) for m in w.moments("%Y%m%d")],
        "timestamp": w.time + 0.123,
        "watch_ratio": w.rng.exponential(0.8, N).round(4),
    }
    return write("small_matrix.csv", columns)


def kuairec_json(w: World) -> str:
    with open("clicks.jsonl", "w") as file:
        for i in range(N):
            row = {"user_id": int(w.user[i]), "video_id": int(w.item[i]), "time_ms": None}
            row |= {"time_ms": int(w.time[i]) * 1000, "is_click": int(w.click[i])}
            row |= {
                "is_like": int(w.click[i] and i % 3 == 0),
                "tab": int(i % 4),
                "tags": [i % 5, 7],
            }
            file.write(json.dumps(row) + "\n")
    return "clicks.jsonl"


def recbole(w: World) -> str:
    columns = {
        "user_id:token": w.user, "item_id:token": w.item, "rating:float": w.stars,
        "timestamp:float": w.time,
    }  # fmt: skip
    return write("ml-100k.inter", columns, "\t")


def retailrocket(w: World) -> str:
    kinds = w.choice("view", "view", "view", "addtocart", "transaction")
    sold = [str(i) if k == "transaction" else "" for i, k in enumerate(kinds)]
    columns = {"timestamp": w.time * 1000, "visitorid": w.user, "event": kinds}
    return write("events.csv", columns | {"itemid": w.item, "transactionid": sold})


def yoochoose(w: World) -> str:
    moments = w.moments("%Y-%m-%dT%H:%M:%S.031Z")
    columns = {
        "Session ID": w.user,
        "Timestamp": moments,
        "Item ID": w.item,
        "Category": w.category,
    }
    return write("yoochoose-clicks.csv", columns)


def yoochoose_bare(w: World) -> str:
    moments = w.moments("%Y-%m-%dT%H:%M:%S.031Z")
    columns = {"s": w.user, "t": moments, "i": w.item * 100, "c": w.category}
    return write("yoochoose-clicks.dat", columns, header=False)


def steam(w: World) -> str:
    columns = {
        "app_id": w.item * 10,
        "helpful": w.rng.integers(0, 30, N),
        "date": w.moments("%Y-%m-%d"),
        "is_recommended": w.choice("true", "false"),
        "hours": (w.rng.random(N) * 90).round(1),
        "user_id": w.user,
        "review_id": np.arange(N),
    }
    return write("recommendations.csv", columns)


def amazon(w: World) -> str:
    items, users = w.texts(w.item, "B00{:07d}"), w.texts(w.user, "A{:012d}")
    columns = {"i": items, "u": users, "r": w.stars / 1.0, "t": w.time}
    return write("ratings_Books.csv", columns, header=False)


def us_dates(w: World) -> str:
    columns = {"customer": w.user, "sku": w.item, "when": w.moments("%m/%d/%Y %H:%M")}
    return write("sales.csv", columns | {"price": (w.rng.random(N) * 9).round(2)}, ";")


def bags(w: World) -> str:
    seen: dict[int, list[int]] = {}
    past = []
    for u, i in zip(w.user.tolist(), w.item.tolist(), strict=True):
        past.append(seen.setdefault(u, [])[-5:])
        seen[u].append(i)
    tags = [[int(t) for t in w.rng.integers(0, 9, i % 4)] for i in range(N)]
    table = pa.table({
        "user": w.user, "item": w.item, "ts": pa.array(w.time * 10**6, pa.timestamp("us")),
        "clicked": pa.array(w.click.astype(bool)), "hist_items": past,
        "tags": tags, "tag_weights": [[0.5] * len(t) for t in tags],
        "vector": [[0.1, 0.2]] * N, "row": np.arange(N), "always": ["x"] * N,
        "uuid": w.texts(w.rng.integers(10**17, 10**18, N), "{:032x}"),
        "nothing": pa.nulls(N), "meta": [{"a": 1}] * N,
    })  # fmt: skip
    pq.write_table(table, "log.parquet")
    return "log.parquet"


def lastfm(w: World) -> str:
    columns = {
        "user_000001": w.texts(w.user, "user_{:06d}"),
        "t": w.moments("%Y-%m-%dT%H:%M:%SZ"),
        "artist": w.texts(w.category, "artist {}"),
        "track": w.texts(w.item, "track {}"),
    }
    return write("userid-timestamp-artid.tsv", columns, "\t", header=False)


def gowalla(w: World) -> str:
    columns = {
        "u": w.user, "t": w.moments("%Y-%m-%dT%H:%M:%SZ"),
        "lat": (30 + w.item / 1000).round(6), "lon": (-97 - w.item / 1000).round(6),
        "spot": w.item * 311,
    }  # fmt: skip
    return write("loc-gowalla_totalCheckins.txt.gz", columns, "\t", header=False)


def odd_names(w: World) -> str:
    """Names that YAML would read as something else, and words for missing numbers."""
    columns = {
        "user id": w.user, "yes": w.category, "item #": w.item, "null": w.category,
        "1e5": w.category, "time: at": w.time, "{x}": w.category, "label": w.click,
        "price, net": ["NA" if i % 7 == 0 else str(i % 90) for i in range(N)],
    }  # fmt: skip
    return write("odd names.csv", columns, ";")


def many_nulls(w: World) -> str:
    missing = w.rng.random(N) < 0.3
    users = [None if m else int(u) for u, m in zip(w.user, missing, strict=True)]
    pq.write_table(pa.table({"uid": users, "sku": w.item, "at": w.time}), "log.parquet")
    return "log.parquet"


def copies(w: World) -> str:
    day = pa.array(w.time // 86400, pa.int32()).cast(pa.date32())
    table = pa.table({"uid": w.user, "sku": w.item, "day": day, "n": np.arange(N) % 400})
    pq.write_table(pa.concat_tables([table, table[:150]]), "log.parquet")
    return "log.parquet"


def hive(w: World) -> str:
    for day in range(3):
        folder = Path(f"parts/date=2026-08-0{day + 1}")
        folder.mkdir(parents=True)
        columns = {"user": w.user, "item": w.item, "at": w.time + day, "bought": w.click}
        pq.write_table(pa.table(columns), folder / "p.parquet")
    return "parts"


def shards(w: World) -> str:
    for i in range(4):
        write(f"part-{i}.csv.gz", {"uid": w.user, "sku": w.item, "ts": w.time * 10**6 + i})
    return "part-*.csv.gz"


def one_user_a_row(w: World) -> str:
    """As Yambda's `sequential`: lists of items with the times beside them."""
    rows = [np.flatnonzero(w.user == u) for u in np.unique(w.user)]
    table = pa.table({
        "uid": np.unique(w.user), "timestamps": [(w.time[r] * 1000).tolist() for r in rows],
        "item_ids": [w.item[r].tolist() for r in rows],
        "is_organic": [w.click[r].tolist() for r in rows],
    })  # fmt: skip
    pq.write_table(table, "sequential.parquet")
    return "sequential.parquet"


Case = tuple[Callable[[World], str], str, dict[str, str | None], str]


def comma_prices(w: World) -> str:
    columns = {"Kunde": w.user, "Artikel": w.item, "Zeit": w.moments("%d.%m.%Y %H:%M")}
    columns |= {"geklickt": w.click, "Preis": [f"{v},{v % 7}0" for v in w.item]}
    return write("log.csv", columns, ";")


def two_shops(w: World) -> str:
    """One log in two files, of which each has a column that the other lacks."""
    Path("shops").mkdir()
    columns = {"uid": w.user, "sku": w.item, "time": w.time, "click": w.click, "colour": w.category}
    for shop, more in enumerate(("sleeve", "collar")):
        columns["time"] = w.time + shop
        write(f"shops/shop_{shop}.csv", columns | {more: w.stars * 1.5})
    return "shops"


CASES: list[Case] = [
    # layout, task, parts, further words of the file
    (movielens, "click", {"user": "userId", "item": "movieId", "time": "timestamp"},
     'positive: "rating >= 4"'),
    (criteo_attribution, "click",
     {"user": "uid", "item": "campaign", "time": "timestamp", "label": "click"},
     "left out: conversion,"),
    (taobao, "next_item", {"user": "column_1", "item": "column_2", "time": "column_5"},
     "unsure: the first line"),
    (avazu, "click", {"user": "device_id", "item": "app_id", "time": "hour", "label": "click"},
     'time_format: "%y%m%d%H"'),
    (kuairec, "click", {"user": "user_id", "item": "video_id", "time": "timestamp"},
     "positive: \"watch_ratio >="),
    (kuairec_json, "click",
     {"user": "user_id", "item": "video_id", "time": "time_ms", "label": "is_click"},
     "left out: is_like,"),
    (recbole, "click",
     {"user": "user_id:token", "item": "item_id:token", "time": "timestamp:float"},
     "`rating:float` >= 4"),
    (retailrocket, "next_item", {"user": "visitorid", "item": "itemid", "time": "timestamp"},
     "left out: event, what kind of event"),
    (yoochoose, "next_item", {"user": "Session ID", "item": "Item ID", "time": "Timestamp"},
     "unsure: no column is called like a user"),
    (yoochoose_bare, "next_item", {"user": "column_1", "item": "column_3", "time": "column_2"},
     "by place and values alone"),
    (steam, "click",
     {"user": "user_id", "item": "app_id", "time": "date", "label": "is_recommended"},
     "many events share one moment"),
    (amazon, "next_item", {"user": "column_2", "item": "column_1", "time": "column_4"}, "unsure"),
    (us_dates, "next_item", {"user": "customer", "item": "sku", "time": "when"},
     "time_format: month_first"),
    (bags, "click",
     {"user": "user", "item": "item", "time": "ts", "label": "clicked", "history": "hist_items"},
     "weights: {tags: tag_weights}"),
    (bags, "click", {}, "left out: vector, vectors of numbers"),
    (odd_names, "click", {"user": "user id", "item": "item #", "time": "time: at"},
     '"nulls": ["", "NA"]'),
    (many_nulls, "next_item", {"user": "uid", "item": "sku"}, "refuse_above: 0.4"),
    (copies, "next_item", {"user": "uid", "item": "sku"}, "20 % of the rows lack a value needed"),
    (hive, "click", {"user": "user", "item": "item", "time": "at", "label": "bought"},
     "left out: date, another time"),
    (shards, "next_item", {"user": "uid", "item": "sku", "time": "ts"}, "about 2,"),
    (one_user_a_row, "next_item", {"user": "uid", "item": "item_ids", "time": "timestamps"},
     "unix milliseconds"),
    (lastfm, "next_item", {"user": "column_1", "item": "column_4", "time": "column_2"}, "unsure"),
    (comma_prices, "next_item", {"user": "Kunde", "item": "Artikel", "time": "Zeit"},
     "# left out: Preis, numbers with a decimal comma"),
    (comma_prices, "next_item", {"user": "Kunde"}, "# unsure: geklickt: 0 or 1"),
    (two_shops, "click", {"user": "uid", "item": "sku"},
     "# left out: sleeve, some of the files lack it"),
    (gowalla, "next_item", {"user": "column_1", "item": "column_5", "time": "column_2"}, "unsure"),
]  # fmt: skip
