"""Further public logs: news, marketplaces, challenges of RecSys and KDD."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from field_clicks import is_one
from field_logs import (
    NS,
    Event,
    Layouts,
    Log,
    by_user,
    coarse,
    events,
    iso,
    log,
    number,
    of_events,
    pattern,
    seconds,
    table,
    text_file,
    utc,
)

PUBLIC = Layouts()


def parquet(path: Path, columns: dict[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


@PUBLIC
def kuaisar(folder: Path) -> Log:
    # https://kuaisar.github.io: recommendation, times as text and milliseconds
    lines = ["user_id,item_id,time,click,forward,like,follow,search,timestamp"]
    lines += [
        f"{e.user},{e.item},{utc(e, '%Y-%m-%d %H:%M:%S')},{e.label},0,0,0,0,{e.time // 10**6 + 7}"
        for e in by_user(events())
    ]
    path = text_file(folder / "rec_inter.csv", lines)
    data = f"""
      source: events
      path: {path}
      columns: {{user: user_id, item: item_id, time: timestamp, label: click, sparse: [search]}}"""
    rows = table(path)
    return log(data, rows, ("user_id", "item_id", "timestamp"), number("ms"), is_one("click"))


@PUBLIC
def xing_2017(folder: Path) -> Log:
    # http://www.recsyschallenge.com/2017: tabs, names with the table before them
    p = "recsyschallenge_v2017_interactions_final_anonym_training_export."
    lines = ["\t".join(p + n for n in ("user_id", "item_id", "interaction_type", "created_at"))]
    lines += [f"{e.user}\t{e.item}\t{n % 6}\t{seconds(e)}" for n, e in enumerate(by_user(events()))]
    path = text_file(folder / "interactions.csv", lines)
    columns = f'user: "{p}user_id", item: "{p}item_id", time: "{p}created_at"'
    rows = table(path, "\t", quoted=False)
    data = of_events(path, columns, "format: tsv, ")
    return log(data, rows, (f"{p}user_id", f"{p}item_id", f"{p}created_at"), number())


@PUBLIC
def trivago_2019(folder: Path) -> Log:
    # http://www.recsyschallenge.com/2019: lists of | within values, references that are no hotels
    names = "user_id,session_id,timestamp,step,action_type,reference,city,impressions,prices"
    lines = [names]
    for n, e in enumerate(by_user(events())):
        shown = "|".join(str(1000 + i) for i in range(25))
        city = '"Sydney, Australia"'
        lines.append(
            f"00RL8Z82B2Z{e.user},aff3928535f{e.user}{n},{seconds(e)},1,clickout item,{e.item}00,"
            f"{city},{shown},{shown}"
        )
    path = text_file(folder / "train.csv", lines)
    data = of_events(path, "user: user_id, item: reference, time: timestamp")
    return log(data, table(path), ("user_id", "reference", "timestamp"), number())


@PUBLIC
def twitter_2020(folder: Path) -> Log:
    # http://www.recsyschallenge.com/2020: \x01 between values, tabs within them, no header; a like
    # is a time or nothing
    names = ["tokens", "tweet", "kind", "shown", "reader", "like"]
    lines = [
        "\x01".join([
            "101\t" * (n % 5) + "102", f"{e.item:032X}", "TopLevel", str(seconds(e)),
            f"{e.user:032X}", "",
        ])
        for n, e in enumerate(events())
    ]  # fmt: skip
    path = text_file(folder / "training.tsv", lines)
    form = f'format: {{separator: "\\x01", quote: null, header: {names}}}, '
    data = of_events(path, "user: reader, item: tweet, time: shown", form)
    rows = table(path, "\x01", names, quoted=False)
    return log(data, rows, ("reader", "tweet", "shown"), number())


@PUBLIC
def otto_parquet(folder: Path) -> Log:
    # https://www.kaggle.com/datasets/radek1/otto-full-optimized-memory-footprint
    made = by_user(events())
    at = [e.time // 10**6 + 25 for e in made]
    kinds = pa.array([e.label for e in made], pa.uint8())
    columns: dict[str, object] = {"session": pa.array([e.user for e in made], pa.int32())}
    columns |= {"aid": pa.array([e.item for e in made], pa.int32()), "ts": at, "type": kinds}
    path = parquet(folder / "train.parquet", columns)
    data = of_events(path, "user: session, item: aid, time: ts")
    return Log(data, [Event(e.user, e.item, e.time + 25 * 10**6) for e in made], len(made))


@PUBLIC
def eb_nerd_history(folder: Path) -> Log:
    # https://recsys.eb.dk: a user a row, lists of equal length, microseconds
    made = by_user(sorted(events(), key=lambda e: e.time))
    rows = [list(group) for _, group in groupby(made, key=lambda e: e.user)]
    times = pa.array([[e.time // 1000 for e in r] for r in rows], pa.list_(pa.timestamp("us")))
    columns: dict[str, object] = {"user_id": pa.array([r[0].user for r in rows], pa.uint32())}
    columns |= {"impression_time_fixed": times}
    columns |= {"scroll_percentage_fixed": [[None] * len(r) for r in rows]}
    columns |= {"article_id_fixed": pa.array([[e.item for e in r] for r in rows])}
    path = parquet(folder / "history.parquet", columns)
    parts = "user: user_id, item: article_id_fixed, time: impression_time_fixed"
    return Log(of_events(path, parts), [e._replace(label=1) for e in made], len(made))


@PUBLIC
def goodreads(folder: Path) -> Log:
    # https://cseweb.ucsd.edu/~jmcauley/datasets/goodreads.html: JSON, local times with their zone
    form = "%a %b %d %H:%M:%S %z %Y"
    made = by_user(events())
    lines = [
        json.dumps({
            "user_id": f"{e.user:032x}", "book_id": str(e.item), "rating": 5 if e.label else 2,
            "date_added": utc(e._replace(time=e.time - 7 * 3600 * NS), form.replace("%z", "-0700")),
            "read_at": "",
        })
        for e in made
    ]  # fmt: skip
    path = text_file(folder / "goodreads_interactions_dedup.json.gz", lines)
    data = f"""
      source: events
      path: {path}
      format: jsonl
      task: click
      time_format: "{form}"
      positive: "rating >= 4"
      columns: {{user: user_id, item: book_id, time: date_added}}"""
    return Log(data, made, len(made))


@PUBLIC
def rees46(folder: Path) -> Log:
    # https://www.kaggle.com/datasets/mkechinov/ecommerce-behavior-data-from-multi-category-store
    lines = ["event_time,event_type,product_id,category_id,brand,price,user_id,user_session"]
    lines += [
        f"{utc(e, '%Y-%m-%d %H:%M:%S UTC')},view,{e.item},2053013555631882655,,35.79,{e.user},72d7"
        for e in events()
    ]
    path = text_file(folder / "2019-Oct.csv.gz", lines)
    data = of_events(path, "user: user_id, item: product_id, time: event_time")
    parts = ("user_id", "product_id", "event_time")
    return log(data, table(path), parts, pattern("%Y-%m-%d %H:%M:%S UTC"))


@PUBLIC
def jdata(folder: Path) -> Log:
    # https://jdata.jd.com, 2016: users as doubles in text
    lines = ["user_id,sku_id,time,model_id,type,cate,brand"]
    lines += [
        f"{200000 + e.user}.0,{e.item},{utc(e, '%Y-%m-%d %H:%M:%S')},,6,8,306" for e in events()
    ]
    path = text_file(folder / "JData_Action_201602.csv", lines)
    data = of_events(path, "user: user_id, item: sku_id, time: time")
    return log(data, table(path), ("user_id", "sku_id", "time"), iso)


@PUBLIC
def ta_feng(folder: Path) -> Log:
    # Ta-Feng grocery: month first without zeros, everything in quotes, ids with leading zeros
    lines = ['"TRANSACTION_DT","CUSTOMER_ID","PRODUCT_ID","AMOUNT"']
    for e in coarse(events(step=50000)):
        at = f"{int(utc(e, '%m'))}/{int(utc(e, '%d'))}/{utc(e, '%Y')}"
        lines.append(f'"{at}","{e.user:08d}","471008154{e.item:04d}","1"')
    path = text_file(folder / "ta_feng_all_months_merged.csv", lines)
    columns = "user: CUSTOMER_ID, item: PRODUCT_ID, time: TRANSACTION_DT"
    data = of_events(path, columns, "time_format: month_first, ")
    parts = ("CUSTOMER_ID", "PRODUCT_ID", "TRANSACTION_DT")
    return log(data, table(path), parts, pattern("%m/%d/%Y"), copies=True)


@PUBLIC
def beer_advocate(folder: Path) -> Log:
    # https://cseweb.ucsd.edu/~jmcauley/datasets.html: names with a slash, numbers as text
    made = by_user(events())
    lines = [
        json.dumps({
            "beer/beerId": str(e.item), "review/overall": "4.5" if e.label else "2.0",
            "review/time": str(seconds(e)), "review/profileName": f"stcules{e.user}",
        })
        for e in made
    ]  # fmt: skip
    path = text_file(folder / "beeradvocate.jsonl", lines)
    data = f"""
      source: events
      path: {path}
      positive: "`review/overall` >= 4"
      columns: {{user: review/profileName, item: beer/beerId, time: review/time}}"""
    return Log(data, made, len(made))


@PUBLIC
def movielens_of_tensorflow(folder: Path) -> Log:
    # https://www.tensorflow.org/datasets/catalog/movielens as Parquet: ids as bytes
    made = by_user(events())
    columns: dict[str, object] = {"user_id": [str(e.user).encode() for e in made]}
    columns |= {"movie_id": [str(e.item).encode() for e in made]}
    columns |= {"user_rating": pa.array([5.0 if e.label else 1.0 for e in made], pa.float32())}
    columns |= {"timestamp": [seconds(e) for e in made], "movie_genres": [[3, 7]] * len(made)}
    path = parquet(folder / "0000.parquet", columns)
    data = f"""
      source: events
      path: {path}
      positive: "user_rating >= 4"
      columns: {{user: user_id, item: movie_id, time: timestamp, sparse: [movie_genres]}}"""
    return Log(data, made, len(made))


@PUBLIC
def globo(folder: Path) -> Log:
    # https://www.kaggle.com/datasets/gspmoreira/news-portal-user-interactions-by-globocom: a file
    # an hour, milliseconds
    names = "user_id,session_id,session_start,click_article_id,click_timestamp,click_os"
    made = events()
    for hour, part in enumerate((made[:20], made[20:45], made[45:])):
        rows = [
            f"{e.user},{e.time // 10**6},{e.time // 10**6},{e.item},{e.time // 10**6 + 9},17"
            for e in part
        ]
        text_file(folder / "clicks" / f"clicks_hour_{hour:03d}.csv", [names, *rows])
    data = of_events(
        folder / "clicks", "user: user_id, item: click_article_id, time: click_timestamp"
    )
    rows = [row for path in sorted((folder / "clicks").iterdir()) for row in table(path)]
    return log(data, rows, ("user_id", "click_article_id", "click_timestamp"), number("ms"))
