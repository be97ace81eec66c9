"""Ratings as MovieLens and Amazon publish them, and files of the literature made from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from field_logs import (
    Event,
    Layouts,
    Log,
    by_user,
    coarse,
    events,
    log,
    number,
    of_events,
    opened,
    seconds,
    table,
    text_file,
    utc,
)

RATINGS = Layouts()


# -- MovieLens: https://grouplens.org/datasets/movielens/ -----------------------------------------


def movielens(path: Path, rows: Sequence[Mapping[Any, Any]]) -> Log:
    data = f"{{source: movielens, path: {path}}}"
    return log(data, rows, ("userId", "movieId", "timestamp"), number())


@RATINGS
def movielens_100k(folder: Path) -> Log:
    lines = [f"{e.user}\t{e.item}\t3\t{seconds(e)}" for e in events()]
    path = text_file(folder / "u.data", lines)
    return movielens(path, table(path, "\t", ["userId", "movieId", "rating", "timestamp"]))


def dat(folder: Path, rating: str) -> Log:
    lines = [f"{e.user}::{e.item}::{rating}::{seconds(e)}" for e in by_user(events())]
    path = text_file(folder / "ratings.dat", lines)
    names = ("userId", "movieId", "rating", "timestamp")
    rows = [dict(zip(names, line.rstrip().split("::"), strict=True)) for line in opened(path)]
    return movielens(path, rows)


@RATINGS
def movielens_1m(folder: Path) -> Log:
    return dat(folder, "5")


@RATINGS
def movielens_10m(folder: Path) -> Log:
    return dat(folder, "3.5")


def ratings_csv(folder: Path, end: str = "\n") -> Path:
    lines = [f"{e.user},{e.item},3.5,{seconds(e)}" for e in by_user(events())]
    return text_file(folder / "ratings.csv", ["userId,movieId,rating,timestamp", *lines], end)


@RATINGS
def movielens_20m(folder: Path) -> Log:
    path = ratings_csv(folder, "\r\n")  # as its zip file holds it
    return movielens(path, table(path))


@RATINGS
def movielens_25m(folder: Path) -> Log:
    path = ratings_csv(folder / "ml-25m")
    return movielens(path, table(path))


@RATINGS
def movielens_32m(folder: Path) -> Log:
    # tags.csv lies beside it: user, movie and time in columns of the same names
    path = ratings_csv(folder / "ml-32m")
    text_file(path.parent / "tags.csv", ["userId,movieId,tag,timestamp", '1,2,"NA, sic",15'])
    return movielens(path, table(path))


# -- Amazon Reviews -------------------------------------------------------------------------------


def amazon(
    path: Path, rows: Sequence[Mapping[Any, Any]], parts: tuple[str, str, str], unit: str = "s"
) -> Log:
    return log(f"{{source: amazon, path: {path}}}", rows, parts, number(unit))


def reviewer(e: Event) -> str:
    """Of 2014 and 2018."""
    return f"A1YJ{e.user}Y40YUW4SE"


def account(e: Event) -> str:
    """Of 2023."""
    return f"AGKHLEW2SOWHNMFQIJGB{e.user}CAF7INQ"


def asin(e: Event) -> str:
    return f"{e.item:010d}" if e.item % 2 else f"B00{e.item:04d}KLQ"


def by_day() -> list[Event]:
    return sorted(coarse(events(step=40000)), key=lambda e: (e.item, e.user))


@RATINGS
def amazon_2014_json(folder: Path) -> Log:
    # https://jmcauley.ucsd.edu/data/amazon/: reviews_<category>_5.json.gz
    lines = [
        json.dumps(
            {
                "reviewerID": reviewer(e),
                "asin": asin(e),
                "reviewerName": 'J. "Mac"',
                "helpful": [0, 0],
                "reviewText": "Line\nbreak",
                "overall": 5.0,
                "unixReviewTime": seconds(e),
                "reviewTime": utc(e, "%m %d, %Y"),
            }
        )
        for e in by_day()
    ]
    path = text_file(folder / "reviews_Beauty_5.json.gz", lines)
    rows = [json.loads(line) for line in opened(path)]
    return amazon(path, rows, ("reviewerID", "asin", "unixReviewTime"))


def rating_only(folder: Path, name: str, *order: int) -> Path:
    fields = [(reviewer(e), asin(e), "5.0", seconds(e)) for e in by_day()]
    return text_file(folder / name, [",".join(str(f[i]) for i in order) for f in fields])


@RATINGS
def amazon_2014_csv(folder: Path) -> Log:
    # ratings_<category>.csv: user, item, rating, time
    path = rating_only(folder, "ratings_Beauty.csv", 0, 1, 2, 3)
    return amazon(path, table(path, names=["user", "item", "stars", "at"]), ("user", "item", "at"))


@RATINGS
def amazon_2018_csv(folder: Path) -> Log:
    # https://nijianmo.github.io/amazon/: <category>.csv: item, user, rating, time
    path = rating_only(folder, "All_Beauty.csv", 1, 0, 2, 3)
    return amazon(path, table(path, names=["item", "user", "stars", "at"]), ("user", "item", "at"))


@RATINGS
def amazon_2018_json(folder: Path) -> Log:
    # <category>_5.json.gz: times of whole days
    lines = [
        json.dumps(
            {
                "overall": 4.0,
                "verified": True,
                "reviewTime": utc(e, "%m %d, %Y"),
                "reviewerID": reviewer(e),
                "asin": asin(e),
                "style": {"Size:": " Small"},
                "reviewText": "ok",
                "unixReviewTime": seconds(e),
            }
        )
        for e in by_day()
    ]
    path = text_file(folder / "All_Beauty_5.json.gz", lines)
    rows = [json.loads(line) for line in opened(path)]
    return amazon(path, rows, ("reviewerID", "asin", "unixReviewTime"))


@RATINGS
def amazon_2023_json(folder: Path) -> Log:
    # https://amazon-reviews-2023.github.io: <category>.jsonl.gz, milliseconds
    lines = [
        json.dumps(
            {
                "rating": 5.0,
                "title": "So, so",
                "text": "I\u2028like <br />it",
                "images": [],
                "asin": f"B0{n:08d}",
                "parent_asin": asin(e),
                "user_id": account(e),
                "timestamp": e.time // 10**6 + e.item,
                "helpful_vote": 0,
                "verified_purchase": True,
            },
            ensure_ascii=False,
        )
        for n, e in enumerate(by_user(events()))
    ]
    path = text_file(folder / "All_Beauty.jsonl.gz", lines)
    rows = [json.loads(line) for line in opened(path)]
    return amazon(path, rows, ("user_id", "parent_asin", "timestamp"), "ms")


@RATINGS
def amazon_2023_csv(folder: Path) -> Log:
    # benchmark/0core/rating_only/<category>.csv.gz: with a header
    lines = [f"{account(e)},{asin(e)},5.0,{e.time // 10**6 + e.item}" for e in by_user(events())]
    path = text_file(folder / "All_Beauty.csv.gz", ["user_id,parent_asin,rating,timestamp", *lines])
    return amazon(path, table(path), ("user_id", "parent_asin", "timestamp"), "ms")


@RATINGS
def amazon_2023_with_history(folder: Path) -> Log:
    # benchmark/5core/timestamp_w_his/<category>.train.csv.gz: past items in one more field
    lines = ["user_id,parent_asin,rating,timestamp,history"]
    lines += [
        f"{account(e)},{asin(e)},5.0,{e.time // 10**6},{'B001 B002' if n % 2 else ''}"
        for n, e in enumerate(by_user(events()))
    ]
    path = text_file(folder / "All_Beauty.train.csv.gz", lines)
    return amazon(path, table(path), ("user_id", "parent_asin", "timestamp"), "ms")


# -- files of the literature ----------------------------------------------------------------------


@RATINGS
def recbole_inter(folder: Path) -> Log:
    # https://recbole.io/docs/user_guide/data/atomic_files.html: types in the names, times as floats
    lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    lines += [f"{e.user}\t{e.item}\t4.0\t{seconds(e)}.0" for e in events()]
    path = text_file(folder / "ml-100k" / "ml-100k.inter", lines)
    columns = '"user": "user_id:token", "item": "item_id:token", "time": "timestamp:float"'
    data = of_events(path, columns, "format: tsv, ")
    parts = ("user_id:token", "item_id:token", "timestamp:float")
    return log(data, table(path, "\t", quoted=False), parts, number())


@RATINGS
def tisasrec(folder: Path) -> Log:
    # https://github.com/JiachengLi1995/TiSASRec/tree/master/data: user, item, rating, time; tabs
    names = ["user", "item", "rating", "at"]
    lines = [f"{e.user}\t{e.item}\t5\t{seconds(e)}" for e in by_user(events())]
    path = text_file(folder / "ml-1m.txt", lines)
    form = f'format: {{separator: "\\t", quote: null, header: {names}}}, '
    data = of_events(path, "user: user, item: item, time: at", form)
    return log(data, table(path, "\t", names), ("user", "item", "at"), number())


SEQUENCES = Layouts()
"""Lines hold an order and no time: an event's time is its place among its user's."""


def in_places(path: Path) -> Log:
    data = f"{{source: sequences, path: {path}, holdout: {{leave_one_out: true}}}}"
    rows, placed = [], {}
    for line in opened(path):
        user, *items = line.split()
        for item in items:
            placed[user] = placed.get(user, -1) + 1
            rows.append(Event(user, item, placed[user]))
    return Log(data, rows, len(rows), unit=1)


def pairs(path: Path) -> Log:
    made = sorted(events(), key=lambda e: e.user)
    return in_places(text_file(path, (f"{e.user} {e.item}" for e in made)))


@SEQUENCES
def sasrec(folder: Path) -> Log:
    # https://github.com/kang205/SASRec/tree/master/data: a pair a line, a user's in order of time
    return pairs(folder / "ml-1m.txt")


@SEQUENCES
def gsasrec(folder: Path) -> Log:
    # https://github.com/asash/gSASRec-pytorch, datasets/ml1m/preprocess_ml1m.py: the same pairs
    return pairs(folder / "ml-1m_sas.txt")


@SEQUENCES
def user_a_line(folder: Path) -> Log:
    # https://github.com/RUCAIBox/CIKM2020-S3Rec/tree/master/data: Beauty.txt
    made = sorted(events(), key=lambda e: e.user)
    grouped = groupby(made, key=lambda e: e.user)
    lines = (" ".join([str(u), *(str(e.item) for e in es)]) for u, es in grouped)
    return in_places(text_file(folder / "Beauty.txt", lines))
