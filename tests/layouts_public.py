"""Public logs whose columns are called otherwise than most, for `recscale new`: as in `layouts`."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from layouts import Case, N, World, write


def trivago(w: World) -> str:
    """RecSys Challenge 2019: lists within a value have more separators than a line."""
    lists = ["|".join(map(str, w.rng.integers(1, 999, 25))) for _ in range(N)]
    sessions = [f"{u}-{i // 50}" for i, u in enumerate(w.user)]
    columns = {"user_id": w.texts(w.user, "00RL{:04d}"), "session_id": sessions}
    columns |= {"timestamp": w.time, "step": w.category, "action_type": w.choice("clickout item")}
    columns |= {"reference": w.item * 100, "city": ['"Sydney, Australia"'] * N}
    return write("train.csv", columns | {"impressions": lists, "prices": lists})


def outbrain(w: World) -> str:
    columns = {"uuid": w.texts(w.user, "{:014x}"), "document_id": w.item}
    columns |= {"timestamp": (w.time - w.time[0]) * 1000 + 54, "platform": w.category % 3 + 1}
    return write("page_views_sample.csv", columns)


def twitter(w: World) -> str:
    """RecSys Challenge 2020: no names, and tabs within what stands between Hive's separators."""
    tokens = ["\t".join(map(str, w.rng.integers(100, 9999, 3 + i % 9))) for i in range(N)]
    at = ["" if not c else str(t) for t, c in zip(w.time, w.click, strict=True)]
    columns = {"tokens": tokens, "tweet": w.texts(w.item, "{:032X}"), "kind": ["TopLevel"] * N}
    columns |= {"at": w.time, "reader": w.texts(w.user, "{:032X}"), "like_at": at}
    return write("training.tsv", columns, "\x01", header=False)


def globo(w: World) -> str:
    """Every column is of a click, which says nothing of their parts."""
    columns = {"user_id": w.user, "session_id": w.time * 1000 + w.user}
    columns |= {"session_size": w.category, "click_article_id": w.item}
    columns |= {"click_timestamp": w.time * 1000 + 9, "click_environment": w.category % 4}
    columns |= {"click_os": w.category % 9, "click_region": w.category}
    return write("clicks_hour_000.csv", columns)


def rees46(w: World) -> str:
    columns = {"event_time": w.moments("%Y-%m-%d %H:%M:%S UTC")}
    columns |= {"event_type": w.choice("view", "view", "cart", "purchase"), "product_id": w.item}
    columns |= {"category_id": w.category + 2_053_013_555_631_882_655, "user_id": w.user}
    return write("2019-Oct.csv.gz", columns | {"price": (w.rng.random(N) * 9).round(2)})


def otto(w: World) -> str:
    kinds = w.choice("clicks", "clicks", "carts", "orders")
    columns = {"session": w.user, "aid": w.item, "ts": w.time * 1000 + 5, "type": kinds}
    pq.write_table(pa.table(columns), "train.parquet")
    return "train.parquet"


def zhihu(w: World) -> str:
    """No names: who, what, when shown, when clicked or 0."""
    clicked = np.where(w.click, w.time + 20, 0)
    columns = {"u": w.user, "a": w.item, "shown": w.time, "clicked": clicked}
    return write("inter_impression.csv", columns, header=False)


def booking(w: World) -> str:
    """A trip has one user, so it is no item, and a city has many."""
    day = w.moments("%Y-%m-%d")
    columns = {"user_id": w.user, "checkin": day, "checkout": day, "city_id": w.item}
    columns |= {"affiliate_id": w.category, "utrip_id": w.texts(w.user, "{}_1")}
    return write("train_set.csv", columns)


def goodreads(w: World) -> str:
    with gzip.open("goodreads_interactions_dedup.json.gz", "wt") as file:
        for i, t in enumerate(w.time.tolist()):
            at = datetime.fromtimestamp(t, UTC).strftime("%a %b %d %H:%M:%S -0700 %Y")
            row = {"user_id": f"{w.user[i]:032x}", "book_id": str(w.item[i]), "rating": 0}
            row |= {"rating": int(w.stars[i]), "date_added": at, "read_at": ""}
            file.write(json.dumps(row) + "\n")
    return "goodreads_interactions_dedup.json.gz"


def kuaisar(w: World) -> str:
    columns = {"user_id": w.user, "item_id": w.item, "time": w.moments("%Y-%m-%d %H:%M:%S")}
    columns |= {"click": w.click, "like": w.click * (w.category < 5), "timestamp": w.time * 1000}
    return write("rec_inter.csv", columns)


def eb_nerd(w: World) -> str:
    """The file of histories, a user a row."""
    rows = [np.flatnonzero(w.user == u) for u in np.unique(w.user)]
    times = pa.array([(w.time[r] * 10**6).tolist() for r in rows], pa.list_(pa.timestamp("us")))
    columns = {"user_id": np.unique(w.user), "impression_time_fixed": times}
    columns |= {"article_id_fixed": [w.item[r].tolist() for r in rows]}
    columns |= {"read_time_fixed": [w.rng.random(len(r)).tolist() for r in rows]}
    pq.write_table(pa.table(columns), "history.parquet")
    return "history.parquet"


def movielens_of_tensorflow(w: World) -> str:
    def code(values: np.ndarray) -> list[bytes]:
        return [str(v).encode() for v in values]

    columns = {"user_id": code(w.user), "movie_id": code(w.item), "timestamp": w.time}
    columns |= {"user_rating": w.stars.astype(np.float32), "movie_genres": [[3, 7]] * N}
    pq.write_table(pa.table(columns), "0000.parquet")
    return "0000.parquet"


def blanks(w: World) -> str:
    """As Epinions and Ciao: numbers with a blank between them."""
    columns = {"u": w.user, "i": w.item, "r": w.stars, "t": w.time}
    return write("ratings_data.txt", columns, " ", header=False)


def beer_advocate(w: World) -> str:
    with open("beeradvocate.json", "w") as file:
        for i in range(N):
            row = {"beer/beerId": str(w.item[i]), "beer/brewerId": str(w.category[i])}
            row |= {"review/overall": f"{w.stars[i]}.0", "review/time": str(w.time[i])}
            file.write(json.dumps(row | {"review/profileName": f"stcules{w.user[i]}"}) + "\n")
    return "beeradvocate.json"


def my_anime_list(w: World) -> str:
    columns = {"username": w.texts(w.user, "n{}"), "anime_id": w.item}
    columns |= {"my_watched_episodes": w.category, "my_start_date": ["0000-00-00"] * N}
    return write("UserAnimeLists.csv", columns | {"my_last_updated": w.time})


def snowplow(w: World) -> str:
    columns = {"domain_userid": w.texts(w.user, "{:016x}"), "page_urlid": w.item}
    return write("atomic.csv", columns | {"collector_tstamp": w.moments("%Y-%m-%d %H:%M:%S.000")})


def mercari(w: World) -> str:
    """MerRec: what happens stands in a column that is called an id."""
    columns = {"user_id": w.user * 10**9 + 7, "sequence_id": w.user * 3, "price": w.rng.random(N)}
    columns |= {"event_id": w.choice("item_view", "item_view", "item_like", "buy_start")}
    columns |= {"product_id": w.texts(w.item, "{}_9"), "stime": pa.array(w.time, pa.timestamp("s"))}
    pq.write_table(pa.table(columns), "000.parquet")
    return "000.parquet"


def spark(w: World) -> str:
    """Spark's CSV: quotes in values behind a backslash."""
    names = [f'"the \\"{i}\\", again"' for i in w.item]
    columns = {"user": w.user, "item": names, "time": w.moments("%Y-%m-%dT%H:%M:%S.000Z")}
    return write("part-00000.csv", columns | {"clicked": w.click})


PUBLIC: list[Case] = [
    (spark, "click", {"user": "user", "item": "item", "time": "time", "label": "clicked"},
     '"escape": "\\\\"'),
    (beer_advocate, "click",
     {"user": "review/profileName", "item": "beer/beerId", "time": "review/time"},
     "`review/overall` >= 4"),
    (my_anime_list, "next_item",
     {"user": "username", "item": "anime_id", "time": "my_last_updated"}, "2017-11-01"),
    (snowplow, "next_item",
     {"user": "domain_userid", "item": "page_urlid", "time": "collector_tstamp"}, "by its name"),
    (mercari, "next_item", {"user": "user_id", "item": "product_id", "time": "stime"},
     "left out: event_id, what kind of event"),
    (trivago, "next_item", {"user": "user_id", "item": "reference", "time": "timestamp"},
     "unsure: its name does not say item"),
    (outbrain, "next_item", {"user": "uuid", "item": "document_id", "time": "timestamp"},
     "unsure: its name does not say user"),
    (twitter, "next_item", {"user": "column_2", "item": "column_5", "time": "column_4"},
     '"separator": "\\u0001"'),
    (globo, "next_item",
     {"user": "user_id", "item": "click_article_id", "time": "click_timestamp"},
     "no column says what was clicked"),
    (rees46, "next_item", {"user": "user_id", "item": "product_id", "time": "event_time"},
     "# sparse: [category_id]"),
    (otto, "next_item", {"user": "session", "item": "aid", "time": "ts"},
     "left out: type, what kind of event"),
    (zhihu, "next_item", {"user": "column_1", "item": "column_2", "time": "column_3"}, "unsure"),
    (booking, "next_item", {"user": "user_id", "item": "city_id", "time": "checkin"}, "unsure"),
    (goodreads, "click", {"user": "user_id", "item": "book_id", "time": "date_added"},
     '"%a %b %d %H:%M:%S %z %Y"'),
    (kuaisar, "click",
     {"user": "user_id", "item": "item_id", "time": "timestamp", "label": "click"},
     "like could be the label too"),
    (eb_nerd, "next_item",
     {"user": "user_id", "item": "article_id_fixed", "time": "impression_time_fixed"},
     "vectors of numbers"),
    (movielens_of_tensorflow, "click",
     {"user": "user_id", "item": "movie_id", "time": "timestamp"}, "user_rating >= 4"),
    (blanks, "next_item", {"user": "column_1", "item": "column_2", "time": "column_4"},
     '"separator": " "'),
]  # fmt: skip
