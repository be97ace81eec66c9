"""Public logs of views, purchases and ratings for next_item, a few dozen rows of each one's exact
shape."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from field_logs import (
    NS,
    Event,
    Log,
    coarse,
    events,
    iso,
    log,
    number,
    opened,
    pattern,
    table,
    text_file,
    utc,
)

VIEWS: dict[str, Callable[[Path], Log]] = {}


def views(make: Callable[[Path], Log]) -> Callable[[Path], Log]:
    VIEWS[make.__name__] = make
    return make


def by_user(made: list[Event]) -> list[Event]:
    """As MovieLens is sorted: by user and item, so within a second by item."""
    return sorted(made, key=lambda e: (e.user, e.item))


def of_events(path: Path | str, columns: str, rest: str = "") -> str:
    return f"{{source: events, path: {path}, task: next_item, {rest}columns: {{{columns}}}}}"


def seconds(e: Event) -> int:
    return e.time // NS


# -- MovieLens: https://grouplens.org/datasets/movielens/ -----------------------------------------


def movielens(path: Path, rows: Sequence[Mapping[Any, Any]]) -> Log:
    data = f"{{source: movielens, path: {path}}}"
    return log(data, rows, ("userId", "movieId", "timestamp"), number())


@views
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


@views
def movielens_1m(folder: Path) -> Log:
    return dat(folder, "5")


@views
def movielens_10m(folder: Path) -> Log:
    return dat(folder, "3.5")


def ratings_csv(folder: Path, end: str = "\n") -> Path:
    lines = [f"{e.user},{e.item},3.5,{seconds(e)}" for e in by_user(events())]
    return text_file(folder / "ratings.csv", ["userId,movieId,rating,timestamp", *lines], end)


@views
def movielens_20m(folder: Path) -> Log:
    path = ratings_csv(folder, "\r\n")  # as its zip file holds it
    return movielens(path, table(path))


@views
def movielens_25m(folder: Path) -> Log:
    path = ratings_csv(folder / "ml-25m")
    return movielens(path, table(path))


@views
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


def amazon_id(e: Event) -> str:
    return f"A{e.user}1YJIE{'XYZ'[e.user % 3]}"


def asin(e: Event) -> str:
    return f"{e.item:010d}" if e.item % 2 else f"B00{e.item:04d}KLQ"


def by_day() -> list[Event]:
    return sorted(coarse(events(step=40000)), key=lambda e: (e.item, e.user))


@views
def amazon_2014_json(folder: Path) -> Log:
    # https://jmcauley.ucsd.edu/data/amazon/: reviews_<category>_5.json.gz
    lines = [
        json.dumps(
            {
                "reviewerID": amazon_id(e),
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
    fields = [(amazon_id(e), asin(e), "5.0", seconds(e)) for e in by_day()]
    return text_file(folder / name, [",".join(str(f[i]) for i in order) for f in fields])


@views
def amazon_2014_csv(folder: Path) -> Log:
    # ratings_<category>.csv: user, item, rating, time
    path = rating_only(folder, "ratings_Beauty.csv", 0, 1, 2, 3)
    return amazon(path, table(path, names=["user", "item", "stars", "at"]), ("user", "item", "at"))


@views
def amazon_2018_csv(folder: Path) -> Log:
    # https://nijianmo.github.io/amazon/: <category>.csv: item, user, rating, time
    path = rating_only(folder, "All_Beauty.csv", 1, 0, 2, 3)
    return amazon(path, table(path, names=["item", "user", "stars", "at"]), ("user", "item", "at"))


@views
def amazon_2018_json(folder: Path) -> Log:
    # <category>_5.json.gz: times of whole days
    lines = [
        json.dumps(
            {
                "overall": 4.0,
                "verified": True,
                "reviewTime": utc(e, "%m %d, %Y"),
                "reviewerID": amazon_id(e),
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


@views
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
                "user_id": amazon_id(e),
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


@views
def amazon_2023_csv(folder: Path) -> Log:
    # benchmark/0core/rating_only/<category>.csv.gz: with a header
    lines = [f"{amazon_id(e)},{asin(e)},5.0,{e.time // 10**6 + e.item}" for e in by_user(events())]
    path = text_file(folder / "All_Beauty.csv.gz", ["user_id,parent_asin,rating,timestamp", *lines])
    return amazon(path, table(path), ("user_id", "parent_asin", "timestamp"), "ms")


@views
def amazon_2023_with_history(folder: Path) -> Log:
    # benchmark/5core/timestamp_w_his/<category>.train.csv.gz: past items in one more field
    lines = ["user_id,parent_asin,rating,timestamp,history"]
    lines += [
        f"{amazon_id(e)},{asin(e)},5.0,{e.time // 10**6},{'B001 B002' if n % 2 else ''}"
        for n, e in enumerate(by_user(events()))
    ]
    path = text_file(folder / "All_Beauty.train.csv.gz", lines)
    return amazon(path, table(path), ("user_id", "parent_asin", "timestamp"), "ms")


# -- places, music, shops -------------------------------------------------------------------------


@views
def gowalla(folder: Path) -> Log:
    # https://snap.stanford.edu/data/loc-Gowalla.html: user, time, latitude, longitude, place
    made = sorted(events(), key=lambda e: (e.user, -e.time))
    lines = [
        f"{e.user}\t{utc(e, '%Y-%m-%dT%H:%M:%SZ')}\t30.235\t-97.795\t{e.item}22847" for e in made
    ]
    path = text_file(folder / "loc-gowalla_totalCheckins.txt", lines)
    names = "[user, check_in, latitude, longitude, location]"
    form = f'format: {{separator: "\\t", quote: null, header: {names}}}, '
    rows = table(path, "\t", names[1:-1].split(", "), quoted=False)
    data = of_events(path, "user: user, item: location, time: check_in", form)
    return log(data, rows, ("user", "location", "check_in"), iso)


@views
def foursquare(folder: Path) -> Log:
    # https://sites.google.com/site/yangdingqi/home/foursquare-dataset: TSMC2014, Latin-1 names
    lines = [
        f"{e.user}\t49bbd6c0{e.item}\t4bf58dd8\tCafé\t40.719\t-74.002\t-240\t"
        + utc(e, "%a %b %d %H:%M:%S +0000 %Y")
        for e in events()
    ]
    path = text_file(folder / "dataset_TSMC2014_NYC.txt", [])
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("latin-1"))
    names = "[user, venue, category, category_name, latitude, longitude, offset, utc]"
    form = f'format: {{separator: "\\t", quote: null, header: {names}}}, '
    form += 'time_format: "%a %b %d %H:%M:%S %z %Y", '
    text = path.read_bytes().decode("latin-1").splitlines()
    rows = [dict(zip(names[1:-1].split(", "), t.split("\t"), strict=True)) for t in text]
    data = of_events(path, "user: user, item: venue, time: utc", form)
    return log(data, rows, ("user", "venue", "utc"), pattern("%a %b %d %H:%M:%S %z %Y"))


@views
def lastfm_1k(folder: Path) -> Log:
    # http://ocelma.net/MusicRecommendationDataset/lastfm-1K.html: newest first, quotes in names
    # are no quoting, a track without an id has a name alone
    names = ["userid", "timestamp", "artid", "artname", "traid", "traname"]
    made = sorted(events(), key=lambda e: (e.user, -e.time))
    lines = [
        f'user_{e.user:06d}\t{utc(e, "%Y-%m-%dT%H:%M:%SZ")}\tf1b1cf71\t12" Mix'
        f"\t{'' if e.item == 9 else f'f7c1f8f8-{e.item}'}\t\"{e.item}'s, NA"
        for e in made
    ]
    path = text_file(folder / "userid-timestamp-artid-artname-traid-traname.tsv", lines)
    form = f'format: {{separator: "\\t", quote: null, header: {names}}}, refuse_above: 0.5, '
    data = of_events(path, "user: userid, item: traid, time: timestamp", form)
    rows = table(path, "\t", names, quoted=False)
    return log(data, rows, ("userid", "traid", "timestamp"), iso)


@views
def lastfm_hetrec(folder: Path) -> Log:
    # https://grouplens.org/datasets/hetrec-2011/: header, tabs, milliseconds of whole days
    lines = ["userID\tartistID\ttagID\ttimestamp"]
    lines += [
        f"{e.user}\t{e.item}\t{n}\t{e.time // 10**6}"
        for n, e in enumerate(by_user(coarse(events(step=90000))))
    ]
    path = text_file(folder / "user_taggedartists-timestamps.dat", lines)
    data = of_events(path, "user: userID, item: artistID, time: timestamp", "format: tsv, ")
    rows = table(path, "\t", quoted=False)
    return log(data, rows, ("userID", "artistID", "timestamp"), number("ms"))


@views
def hm(folder: Path) -> Log:
    # https://www.kaggle.com/c/h-and-m-personalized-fashion-recommendations: dates, ids of ten
    # digits with leading zeros
    lines = ["t_dat,customer_id,article_id,price,sales_channel_id"]
    lines += [
        f"{utc(e, '%Y-%m-%d')},{e.user * 40503:064x},0{e.item}63713001,0.0508305084745762,2"
        for e in events(step=50000)
    ]
    path = text_file(folder / "transactions_train.csv", lines)
    data = of_events(path, "user: customer_id, item: article_id, time: t_dat")
    return log(data, table(path), ("customer_id", "article_id", "t_dat"), iso)


@views
def retailrocket(folder: Path) -> Log:
    # https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset: milliseconds, not in order
    lines = ["timestamp,visitorid,event,itemid,transactionid"]
    lines += [
        f"{e.time // 10**6 + 117},{e.user},{'transaction' if n % 9 == 0 else 'view'},{e.item},"
        + (str(n) if n % 9 == 0 else "")
        for n, e in enumerate(sorted(events(), key=lambda e: e.item * e.user % 5))
    ]
    path = text_file(folder / "events.csv", lines)
    data = of_events(path, "user: visitorid, item: itemid, time: timestamp")
    return log(data, table(path), ("visitorid", "itemid", "timestamp"), number("ms"))


@views
def diginetica(folder: Path) -> Log:
    # https://competitions.codalab.org/competitions/11161: semicolons, NA for no user, dates
    lines = ["sessionId;userId;itemId;timeframe;eventdate"]
    lines += [
        f"{e.user};NA;{e.item}1766;{n * 526309};{utc(e, '%Y-%m-%d')}"
        for n, e in enumerate(by_user(coarse(events(step=50000))))
    ]
    path = text_file(folder / "train-item-views.csv", lines)
    form = 'format: {separator: ";", nulls: [NA]}, '
    data = of_events(path, "user: sessionId, item: itemId, time: eventdate", form)
    return log(data, table(path, ";"), ("sessionId", "itemId", "eventdate"), iso)


@views
def yoochoose(folder: Path) -> Log:
    # https://2015.recsyschallenge.com: no header, .dat, milliseconds and Z
    names = ["session", "at", "item", "category"]
    lines = [
        f"{e.user},{utc(e._replace(time=e.time + e.item * 10**6), '%Y-%m-%dT%H:%M:%S.%fZ')},"
        f"2145{e.item},{'S' if e.item == 3 else 0}"
        for e in by_user(events())
    ]
    path = text_file(folder / "yoochoose-clicks.dat", lines)
    form = f"format: {{header: {names}}}, "
    data = of_events(path, "user: session, item: item, time: at", form)
    return log(data, table(path, names=names), ("session", "item", "at"), iso)


@views
def taobao_behavior(folder: Path) -> Log:
    # https://tianchi.aliyun.com/dataset/649: UserBehavior.csv, no header
    names = ["user", "item", "category", "behavior", "at"]
    lines = [
        f"{e.user},{e.item},2520377,{'buy' if e.label else 'pv'},{seconds(e)}"
        for e in by_user(events())
    ]
    path = text_file(folder / "UserBehavior.csv", lines)
    data = of_events(path, "user: user, item: item, time: at", f"format: {{header: {names}}}, ")
    return log(data, table(path, names=names), ("user", "item", "at"), number())


@views
def online_retail(folder: Path) -> Log:
    # https://archive.ics.uci.edu/dataset/352/online+retail as CSV: month first, ids as doubles,
    # rows without a customer, descriptions in quotes
    lines = ["InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"]
    for n, e in enumerate(events(step=7261)):
        at = f"{int(utc(e, '%m'))}/{int(utc(e, '%d'))}/{utc(e, '%Y')} {int(utc(e, '%H'))}"
        user = "" if n == 7 else f"{17850 + e.user}.0"
        words = f'"HEART ""T"", {e.item}"'
        lines.append(f"{536365 + n},8512{e.item}A,{words},6,{at}{utc(e, ':%M')},2.55,{user},France")
    path = text_file(folder / "online_retail.csv", lines, "\r\n", b"\xef\xbb\xbf")  # as Excel does
    data = of_events(
        path, "user: CustomerID, item: StockCode, time: InvoiceDate", "time_format: month_first, "
    )
    parts = ("CustomerID", "StockCode", "InvoiceDate")
    return log(data, table(path), parts, pattern("%m/%d/%Y %H:%M"))


@views
def ipinyou(folder: Path) -> Log:
    # https://contest.ipinyou.com, imp.<day>.txt.bz2: no header, times of 17 digits
    names = ["bid", "at", "kind", "ipinyou", "agent", "ip", "region", "city", "creative"]
    lines = [
        f'{n:032x}\t{utc(e, "%Y%m%d%H%M%S%f")}\t1\tVh{e.user}8L\tMozilla/5.0 "X"\t1.2.3.*\t80\t85'
        f"\t{e.item:032x}"
        for n, e in enumerate(events())
    ]
    path = text_file(folder / "imp.20130606.txt.bz2", lines)
    form = f'format: {{separator: "\\t", quote: null, header: {names}}}, '
    form += 'time_format: "%Y%m%d%H%M%S%f", '
    data = of_events(path, "user: ipinyou, item: creative, time: at", form)
    rows = table(path, "\t", names, quoted=False)
    return log(data, rows, ("ipinyou", "creative", "at"), pattern("%Y%m%d%H%M%S%f"))


# -- Yambda: https://huggingface.co/datasets/yandex/yambda ----------------------------------------


def yambda_columns(made: list[Event]) -> dict[str, pa.Array]:
    """Seconds since a hidden day, in steps of five."""
    return {
        "uid": pa.array([100 * e.user for e in made], pa.uint32()),
        "timestamp": pa.array([seconds(e) // 5 * 5 for e in made], pa.uint32()),
        "item_id": pa.array([e.item for e in made], pa.uint32()),
        "is_organic": pa.array([e.label for e in made], pa.uint8()),
        "played_ratio_pct": pa.array([None if e.item == 3 else 95 for e in made], pa.uint16()),
    }


def yambda(data: str, made: list[Event], raw_rows: int) -> Log:
    rows = [Event(e.user, e.item, e.time // (5 * NS) * 5 * NS) for e in made]
    return Log(data, rows, raw_rows)


@views
def yambda_flat(folder: Path) -> Log:
    made = sorted(events(start=39420), key=lambda e: (e.user, e.time))
    path = text_file(folder / "listens.parquet", [])
    pq.write_table(pa.table(yambda_columns(made)), path)
    columns = "user: uid, item: item_id, time: timestamp"
    return yambda(of_events(path, columns, "time_format: seconds, "), made, len(made))


@views
def yambda_sequential(folder: Path) -> Log:
    # a user a row; the other columns are lists of equal length, oldest first
    made = sorted(events(start=39420), key=lambda e: (e.user, e.time))
    flat = yambda_columns(made)
    sizes = [len(list(group)) for _, group in groupby(made, key=lambda e: e.user)]
    offsets = pa.array([sum(sizes[:n]) for n in range(len(sizes) + 1)], pa.int32())
    lists = {c: pa.ListArray.from_arrays(offsets, flat[c]) for c in flat if c != "uid"}
    users = flat["uid"].take(offsets[:-1])
    path = text_file(folder / "listens.parquet", [])
    pq.write_table(pa.table({"uid": users, **lists}), path)
    columns = "user: uid, item: item_id, time: timestamp"
    return yambda(of_events(path, columns, "time_format: seconds, "), made, len(made))


# -- files of the literature ----------------------------------------------------------------------


@views
def recbole_inter(folder: Path) -> Log:
    # https://recbole.io/docs/user_guide/data/atomic_files.html: types in the names, times as floats
    lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    lines += [f"{e.user}\t{e.item}\t4.0\t{seconds(e)}.0" for e in events()]
    path = text_file(folder / "ml-100k" / "ml-100k.inter", lines)
    columns = '"user": "user_id:token", "item": "item_id:token", "time": "timestamp:float"'
    data = of_events(path, columns, "format: tsv, ")
    parts = ("user_id:token", "item_id:token", "timestamp:float")
    return log(data, table(path, "\t", quoted=False), parts, number())


@views
def tisasrec(folder: Path) -> Log:
    # https://github.com/JiachengLi1995/TiSASRec/tree/master/data: user, item, rating, time; tabs
    names = ["user", "item", "rating", "at"]
    lines = [f"{e.user}\t{e.item}\t5\t{seconds(e)}" for e in by_user(events())]
    path = text_file(folder / "ml-1m.txt", lines)
    form = f'format: {{separator: "\\t", quote: null, header: {names}}}, '
    data = of_events(path, "user: user, item: item, time: at", form)
    return log(data, table(path, "\t", names), ("user", "item", "at"), number())


SEQUENCES: dict[str, Callable[[Path], Log]] = {}
"""Lines hold an order and no time: an event's time is its place among its user's."""


def sequences(make: Callable[[Path], Log]) -> Callable[[Path], Log]:
    SEQUENCES[make.__name__] = make
    return make


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


@sequences
def sasrec(folder: Path) -> Log:
    # https://github.com/kang205/SASRec/tree/master/data: a pair a line, a user's in order of time
    return pairs(folder / "ml-1m.txt")


@sequences
def gsasrec(folder: Path) -> Log:
    # https://github.com/asash/gSASRec-pytorch, datasets/ml1m/preprocess_ml1m.py: the same pairs
    return pairs(folder / "ml-1m_sas.txt")


@sequences
def user_a_line(folder: Path) -> Log:
    # https://github.com/RUCAIBox/CIKM2020-S3Rec/tree/master/data: Beauty.txt
    made = sorted(events(), key=lambda e: e.user)
    grouped = groupby(made, key=lambda e: e.user)
    lines = (" ".join([str(u), *(str(e.item) for e in es)]) for u, es in grouped)
    return in_places(text_file(folder / "Beauty.txt", lines))
