"""Public logs of views, purchases and listening for next_item."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
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

VIEWS = Layouts()


# -- places, music, shops -------------------------------------------------------------------------


@VIEWS
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


@VIEWS
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


@VIEWS
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


@VIEWS
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


@VIEWS
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
    parts = ("customer_id", "article_id", "t_dat")
    return log(data, table(path), parts, iso, copies=True)


@VIEWS
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


@VIEWS
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


@VIEWS
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


@VIEWS
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


@VIEWS
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


@VIEWS
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


@VIEWS
def yambda_flat(folder: Path) -> Log:
    made = sorted(events(start=39420), key=lambda e: (e.user, e.time))
    path = text_file(folder / "listens.parquet", [])
    pq.write_table(pa.table(yambda_columns(made)), path)
    columns = "user: uid, item: item_id, time: timestamp"
    return yambda(of_events(path, columns, "time_format: seconds, "), made, len(made))


@VIEWS
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
