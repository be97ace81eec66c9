"""Public click logs and ratings with a label, a few dozen rows of each one's exact shape."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from field_logs import (
    Event,
    Layouts,
    Log,
    events,
    iso,
    log,
    number,
    opened,
    pattern,
    table,
    text_file,
    utc,
    with_copy,
)

CLICKS = Layouts()


def is_one(column: str) -> Callable[[Mapping[Any, Any]], int]:
    return lambda row: int(row[column] == "1")


def from_criteo(paths: list[Path], data: str) -> Log:
    """Label, 13 integers, 26 ids; the time is day * 10^9 + line. A missing id is a value."""
    rows = []
    for day, path in enumerate(paths):
        for place, line in enumerate(opened(path)):
            fields = line.rstrip("\n").split("\t")
            rows.append(Event(fields[14], fields[15], day * 10**9 + place, int(fields[0])))
    return Log(data, rows, len(rows), ("C1", "C2"), unit=1, copies=True)


def criteo_lines(seed: int) -> list[str]:
    def line(e: Event) -> str:
        integers = ["" if i % 5 == e.user % 5 else str(e.item * i - 3) for i in range(13)]
        ids = [f"{2654435761 * (e.user + 7 * i) % 2**32:08x}" for i in range(26)]
        ids[1] = "" if e.item == 2 else f"{e.item * 40503:08x}"
        return "\t".join([str(e.label), *integers, *ids])

    return [line(e) for e in events(seed=seed)]


@CLICKS
def criteo_kaggle(folder: Path) -> Log:
    # https://www.kaggle.com/c/criteo-display-ad-challenge/data: train.txt, no header
    path = text_file(folder / "train.txt", criteo_lines(1))
    return from_criteo([path], f"{{source: criteo, path: {path}}}")


@CLICKS
def criteo_1tb(folder: Path) -> Log:
    # https://ailab.criteo.com/criteo-1tb-click-logs-dataset/: day_0.gz ... day_23.gz
    days = [text_file(folder / f"day_{d}.gz", criteo_lines(d)) for d in (0, 1, 2)]
    return from_criteo(days, f"{{source: criteo, path: {folder}}}")


@CLICKS
def criteo_attribution(folder: Path) -> Log:
    # https://ailab.criteo.com/criteo-attribution-modeling-bidding-dataset/: TSV with a header,
    # seconds since the first impression, -1 for none
    names = (
        "timestamp,uid,campaign,conversion,conversion_timestamp,conversion_id,attribution,click,"
        "click_pos,click_nb,cost,cpo,time_since_last_click,cat1,cat2,cat3,cat4,cat5,cat6,cat7,cat8,"
        "cat9"
    )
    lines = [names.replace(",", "\t")]
    for e in events(start=0):
        rest = [0, -1, -1, 0, e.label, -1, -1, "1.0e-05", 0.33, -1, *(5824233,) * 9]
        lines.append("\t".join(map(str, [e.time // 10**9, 20073966 + e.user, e.item, *rest])))
    path = text_file(folder / "criteo_attribution_dataset.tsv.gz", lines)
    data = f"""
      source: events
      path: {path}
      time_format: seconds
      columns: {{user: uid, item: campaign, time: timestamp, label: click, sparse: [cat1],
                dense: [cost]}}"""
    rows = table(path, "\t", quoted=False)
    return log(data, rows, ("uid", "campaign", "timestamp"), number(), is_one("click"))


@CLICKS
def avazu(folder: Path) -> Log:
    # https://www.kaggle.com/c/avazu-ctr-prediction/data: train.gz, CSV inside, hour is YYMMDDHH,
    # ids of more than 63 bits
    names = (
        "id,click,hour,C1,banner_pos,site_id,site_domain,site_category,app_id,app_domain,"
        "app_category,device_id,device_ip,device_model,device_type,device_conn_type,C14,C15,C16,"
        "C17,C18,C19,C20,C21"
    )
    lines, made = [names], events(step=1801)
    for n, e in enumerate([*made, next(e for e in made if e.label)]):  # two clicks in an hour
        hexes = [f"{(e.item * 2654435761 + i) % 2**32:08x}" for i in range(7)]
        user = [f"{e.user:08x}", "44956a24"]
        rest = ["1", "2", "15706", "320", "50", "1722", "0", "35", "-1", "79"]
        first = [str(10000371904215119486 + n), str(e.label), utc(e, "%y%m%d%H"), "1005", "0"]
        lines.append(",".join([*first, *hexes[:6], "a99f214a", *user, *rest]))
    path = text_file(folder / "train.gz", lines)
    data = f"""
      source: events
      path: {path}
      format: csv
      time_format: "%y%m%d%H"
      columns: {{user: device_ip, item: site_id, time: hour, label: click,
                sparse: [banner_pos, app_id]}}"""
    rows = table(path)
    parts, at = ("device_ip", "site_id", "hour"), pattern("%y%m%d%H")
    return log(data, rows, parts, at, is_one("click"), copies=True)


@CLICKS
def taobao_ads(folder: Path) -> Log:
    # https://tianchi.aliyun.com/dataset/56: raw_sample.csv, no order in time, nonclk = 1 - clk
    lines = ["user,time_stamp,adgroup_id,pid,nonclk,clk"]
    made = sorted(with_copy(events()), key=lambda e: (e.item, e.user))
    lines += [
        f"{e.user + 581730},{e.time // 10**9},{e.item},430548_1007,{1 - e.label},{e.label}"
        for e in made
    ]
    path = text_file(folder / "raw_sample.csv", lines)
    data = f"""
      source: events
      path: {path}
      columns: {{user: user, item: adgroup_id, time: time_stamp, label: clk, sparse: [pid]}}"""
    rows = table(path)
    return log(data, rows, ("user", "adgroup_id", "time_stamp"), number(), is_one("clk"))


@CLICKS
def kuairec(folder: Path) -> Log:
    # https://kuairec.com: big_matrix.csv, seconds with a fraction, a local time beside it
    lines = ["user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio"]
    for e in sorted(events(), key=lambda e: e.user):
        at = e._replace(time=e.time + (e.item * 111 + 27) * 10**6)
        ratio = 2.0 + e.item / 7 if e.label else 1.9 - e.item / 7
        local = utc(at._replace(time=at.time + 8 * 3600 * 10**9), "%Y-%m-%d %H:%M:%S.%f")
        date, seconds = local[:10].replace("-", ""), f"{at.time / 10**9:.3f}"
        row = [e.user, e.item + 3640, 13838, 10867, local, date, seconds, ratio]
        lines.append(",".join(map(str, row)))
    path = text_file(folder / "big_matrix.csv", lines)
    data = f"""
      source: events
      path: {path}
      positive: watch_ratio >= 2
      columns: {{user: user_id, item: video_id, time: timestamp, dense: [video_duration]}}"""
    parts = ("user_id", "video_id", "timestamp")
    return log(data, table(path), parts, number(), lambda r: int(float(r["watch_ratio"]) >= 2))


@CLICKS
def kuairand(folder: Path) -> Log:
    # https://kuairand.com: two logs by date, milliseconds, many labels; other tables beside them
    names = (
        "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,"
        "is_hate,long_view,play_time_ms,duration_ms,profile_stay_time,comment_stay_time,"
        "is_profile_enter,is_rand,tab"
    )
    made = [e._replace(time=e.time + e.item * 97 * 10**6) for e in with_copy(events())]
    for name, part in (("4_08_to_4_21", made[:40]), ("4_22_to_5_08", made[40:])):
        rows = [
            f"{e.user},{e.item},{utc(e, '%Y%m%d,%H00')},{e.time // 10**6},{e.label},"
            "0,0,0,0,0,0,1385,209900,0,0,0,0,1"
            for e in part
        ]
        text_file(folder / f"log_standard_{name}_pure.csv", [names, *rows])
    text_file(folder / "user_features_pure.csv", ["user_id,user_active_degree", "1,full_active"])
    data = f"""
      source: events
      path: {folder}/log_standard_*.csv
      columns: {{user: user_id, item: video_id, time: time_ms, label: is_click, sparse: [tab]}}"""
    rows = [row for path in sorted(folder.glob("log_*")) for row in table(path)]
    return log(data, rows, ("user_id", "video_id", "time_ms"), number("ms"), is_one("is_click"))


@CLICKS
def open_bandit(folder: Path) -> Log:
    # https://github.com/st-tech/zr-obp: an unnamed index, microseconds with a zone, no user id
    names = ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1"
    lines = [names]
    for n, e in enumerate(events()):
        at = utc(e, "%Y-%m-%d %H:%M:%S.") + f"{(n * 979311) % 10**6:06d}+00:00"
        lines.append(f"{n},{at},{e.item},{1 + n % 3},{e.label},0.0294,{e.user * 40503:032x},03a564")
    path = text_file(folder / "random" / "men" / "men.csv", lines)
    data = f"""
      source: events
      path: {path}
      columns: {{user: user_feature_0, item: item_id, time: timestamp, label: click,
                sparse: [user_feature_1, position]}}"""
    rows = table(path)
    return log(data, rows, ("user_feature_0", "item_id", "timestamp"), iso, is_one("click"))


@CLICKS
def yelp(folder: Path) -> Log:
    # https://www.yelp.com/dataset/documentation/main: a JSON object a line, breaks inside the text
    lines = [
        json.dumps(
            {
                "review_id": f"r{n:021d}",
                "user_id": f"-{e.user}_mh2EQ",
                "business_id": f"b{e.item}--{e.item}Q",
                "stars": 5.0 if e.label else float(1 + n % 3),
                "useful": 0,
                "text": 'It said "open",\nbut\tNA.',
                "date": utc(e, "%Y-%m-%d %H:%M:%S"),
            }
        )
        for n, e in enumerate(events())
    ]
    path = text_file(folder / "yelp_academic_dataset_review.json", lines)
    data = f"""
      source: events
      path: {path}
      format: jsonl
      positive: stars >= 4
      columns: {{user: user_id, item: business_id, time: date}}"""
    rows = [json.loads(line) for line in opened(path)]
    parts = ("user_id", "business_id", "date")
    return log(data, rows, parts, iso, lambda row: int(row["stars"] >= 4))


@CLICKS
def movielens_20m_click(folder: Path) -> Log:
    # https://files.grouplens.org/datasets/movielens/ml-20m-README.html: half stars from 0.5 to 5
    lines = ["userId,movieId,rating,timestamp"]
    lines += [
        f"{e.user},{e.item},{4.5 if e.label else 3.5},{e.time // 10**9}"
        for e in sorted(events(), key=lambda e: (e.user, e.item))
    ]
    path = text_file(folder / "ratings.csv", lines)
    data = f"{{source: movielens, path: {path}, task: click, positive: rating >= 4}}"
    parts = ("userId", "movieId", "timestamp")
    return log(data, table(path), parts, number(), lambda r: int(float(r["rating"]) >= 4))
