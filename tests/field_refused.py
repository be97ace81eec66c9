"""Public files that hold no log of user, item and time as they stand: what a user would try, and
words that the refusal must hold: the file and what is missing, or what it is instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from field_logs import NS, Layouts, events, text_file, utc


class Refused(NamedTuple):
    data: str
    words: tuple[str, ...]


REFUSED = Layouts()


def tried(path: Path, columns: str, rest: str = "") -> str:
    return f"{{source: events, path: {path}, {rest}columns: {{{columns}}}}}"


@REFUSED
def criteo_uplift(folder: Path) -> Refused:
    # https://ailab.criteo.com/criteo-uplift-prediction-dataset/: no user, item or time
    names = [*(f"f{i}" for i in range(12)), "treatment", "conversion", "visit", "exposure"]
    lines = [",".join(["12.616", *["3.77"] * 11, "1", "0", str(n % 2), "0"]) for n in range(40)]
    path = text_file(folder / "criteo-uplift-v2.1.csv.gz", [",".join(names), *lines])
    columns = "user: user_id, item: item_id, time: timestamp, label: visit"
    return Refused(tried(path, columns), (path.name, "columns.time", "timestamp"))


@REFUSED
def ali_ccp(folder: Path) -> Refused:
    # https://tianchi.aliyun.com/dataset/408: no header, no time, features in one field
    feature = "\x01".join(f"{field}\x02{4 + field}\x031.0" for field in (205, 206, 301))
    lines = [f"{n},{n % 3 // 2},0,bacff91692951881,3,{feature}" for n in range(40)]
    path = text_file(folder / "sample_skeleton_train.csv", lines)
    form = "format: {header: [sample, click, buy, common, n, features]}, "
    columns = "user: common, item: features, time: timestamp, label: click"
    return Refused(tried(path, columns, form), (path.name, "columns.time", "timestamp"))


@REFUSED
def tenrec(folder: Path) -> Refused:
    # https://github.com/yuangh-x/2022-NIPS-Tenrec: in order of time, but no time
    names = "user_id,item_id,click,follow,like,share,video_category,watching_times,gender,age"
    lines = [f"{e.user},{e.item},{e.label},0,0,0,1,0,1,4" for e in events()]
    path = text_file(folder / "QK-video.csv", [names, *lines])
    columns = "user: user_id, item: item_id, time: timestamp, label: click"
    return Refused(tried(path, columns), (path.name, "columns.time", "timestamp"))


@REFUSED
def tenrec_without_time(folder: Path) -> Refused:
    path = folder / "QK-video.csv"
    columns = "user: user_id, item: item_id, label: click"
    return Refused(tried(path, columns), ("data.columns.time",))


@REFUSED
def mind(folder: Path) -> Refused:
    # https://learn.microsoft.com/azure/open-datasets/dataset-microsoft-news: several impressions
    # in a field; as an item each of them is new
    lines = [
        f"{n}\tU{e.user}\t{utc(e, '%m/%d/%Y %I:%M:%S %p')}\tN5 N6\tN{n}-1 N{n + 7}-0"
        for n, e in enumerate(events())
    ]
    path = text_file(folder / "behaviors.tsv", lines)
    form = 'format: {separator: "\\t", quote: null, header: [id, user, at, past, shown]}, '
    form += "task: next_item, time_format: month_first, "
    return Refused(tried(path, "user: user, item: shown, time: at", form), (path.name, "item"))


@REFUSED
def mind_by_name(folder: Path) -> Refused:
    mind(folder)
    form = 'format: {separator: "\\t", quote: null, header: [id, user, at, past, shown]}, '
    data = tried(folder / "behaviors.tsv", "user: user, item: news_id, time: at", form)
    return Refused(data, ("behaviors.tsv", "columns.item", "news_id", "shown"))


@REFUSED
def steam(folder: Path) -> Refused:
    # https://cseweb.ucsd.edu/~jmcauley/datasets.html#steam_data: Python's notation, not JSON
    lines = [
        f"{{u'username': u'u{e.user}', u'product_id': u'{e.item}', u'date': u'"
        f"{utc(e, '%Y-%m-%d')}', u'early_access': False, u'text': u\"It's\"}}"
        for e in events()
    ]
    path = text_file(folder / "steam_reviews.json.gz", lines)
    columns = "user: username, item: product_id, time: date"
    form = "format: jsonl, task: next_item, "
    return Refused(tried(path, columns, form), (path.name, "JSON"))


@REFUSED
def gsasrec_split(folder: Path) -> Refused:
    # https://github.com/asash/gSASRec-pytorch, datasets/ml1m/train/input.txt: items alone, a user
    # a line; the first of them is taken for a user, who then comes back on other lines
    lines = [" ".join(str((n * k) % 5 + 1) for k in range(1, 6)) for n in range(20)]
    path = text_file(folder / "input.txt", lines)
    data = f"{{source: sequences, path: {path}, holdout: {{leave_one_out: true}}}}"
    return Refused(data, (path.name, "line"))


@REFUSED
def otto(folder: Path) -> Refused:
    # https://github.com/otto-de/recsys-dataset: a session a line, its events as objects
    lines = [
        json.dumps(
            {"session": n, "events": [{"aid": n % 7, "ts": 1659304800025 + n, "type": "clicks"}]}
        )
        for n in range(40)
    ]
    path = text_file(folder / "otto-recsys-train.jsonl", lines)
    columns = "user: session, item: events, time: ts"
    return Refused(tried(path, columns, "task: next_item, "), (path.name, "columns.time", "'ts'"))


@REFUSED
def netflix(folder: Path) -> Refused:
    # https://www.kaggle.com/datasets/netflix-inc/netflix-prize-data: `item:` above its lines
    lines = ["1:"] + [f"{e.user},{e.item % 5 + 1},{utc(e, '%Y-%m-%d')}" for e in events()]
    path = text_file(folder / "combined_data_1.txt", lines)
    form = "format: {header: [customer, rating, date]}, task: next_item, "
    return Refused(
        tried(path, "user: customer, item: movie, time: date", form), (path.name, "movie")
    )


@REFUSED
def lastfm_hetrec_counts(folder: Path) -> Refused:
    # https://grouplens.org/datasets/hetrec-2011/: user_artists.dat counts plays, without a time
    lines = ["userID\tartistID\tweight", *(f"{e.user}\t{e.item}\t{e.label}" for e in events())]
    path = text_file(folder / "user_artists.dat", lines)
    data = tried(path, "user: userID, item: artistID, time: timestamp", "format: tsv, ")
    return Refused(data, (path.name, "columns.time", "timestamp"))


@REFUSED
def movielens_tags(folder: Path) -> Refused:
    # tags.csv beside ratings.csv: the same columns, another log
    rows = [f"{e.user},{e.item},3.5,{e.time // NS}" for e in events()]
    text_file(folder / "ratings.csv", ["userId,movieId,rating,timestamp", *rows])
    tags = [f"{e.user},{e.item},NA,{e.time // NS}" for e in events()]
    text_file(folder / "tags.csv", ["userId,movieId,tag,timestamp", *tags])
    return Refused(f"{{source: movielens, path: {folder}/*.csv}}", ("tags.csv",))


@REFUSED
def jodie(folder: Path) -> Refused:
    # http://snap.stanford.edu/jodie: one name in the header for all of a row's features
    lines = ["user_id,item_id,timestamp,state_label,comma_separated_list_of_features"]
    lines += [f"{e.user},{e.item},{n}.0,{e.label},0.1,-0.2,0.3" for n, e in enumerate(events())]
    path = text_file(folder / "wikipedia.csv", lines)
    columns = "user: user_id, item: item_id, time: timestamp, label: state_label"
    return Refused(tried(path, columns), (path.name, "another number of fields: 60", "header"))


@REFUSED
def spotify_million_playlists(folder: Path) -> Refused:
    # https://www.aicrowd.com/challenges/spotify-million-playlist-dataset-challenge
    lists = [{"pid": n, "modified_at": 1493424000, "tracks": [{"pos": 0}]} for n in range(9)]
    text = json.dumps({"info": {"version": "v1"}, "playlists": lists}, indent=4)
    path = text_file(folder / "mpd.slice.0-999.json", text.splitlines())
    columns = "user: pid, item: track_uri, time: modified_at"
    return Refused(tried(path, columns), (path.name, "no JSON object", "one object a line"))


@REFUSED
def amazon_m2(folder: Path) -> Refused:
    # https://www.aicrowd.com/challenges/amazon-kdd-cup-23: NumPy's lists as text, and no time
    lines = ["prev_items,next_item,locale"]
    lines += [f"\"['B0{e.item}' 'B0{e.user}']\",B0{e.item},DE" for e in events()]
    path = text_file(folder / "sessions_train.csv", lines)
    columns = "user: prev_items, item: next_item, time: timestamp"
    return Refused(tried(path, columns), (path.name, "columns.time", "timestamp"))
