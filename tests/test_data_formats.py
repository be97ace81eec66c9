"""Published layouts: the same events whatever the file looks like."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from data_files import prepared
from pydantic import ValidationError

from recscale.data.formats import READERS
from recscale.data.layout import DataError
from recscale.spec import Holdout, PublishedData


def published(source: str, **rest) -> PublishedData:
    return PublishedData.model_validate({"source": source, **rest})


EVENTS = [  # user, item, seconds
    ("7", "31", 1_000_000_100),
    ("8", "31", 1_000_000_200),
    ("7", "1029", 1_000_000_300),
    ("8", "5", 1_000_000_400),
    ("7", "5", 1_000_000_500),
]


def reviews(user: str, item: str, time: str, unit: int) -> str:
    rows = ({user: u, item: i, time: t * unit, "rating": 4.0} for u, i, t in EVENTS)
    return "".join(json.dumps(r) + "\n" for r in rows)


FILES = {
    "ml-100k": ("movielens", "u.data", "".join(f"{u}\t{i}\t3\t{t}\n" for u, i, t in EVENTS)),
    "ml-1m": ("movielens", "ratings.dat", "".join(f"{u}::{i}::5::{t}\n" for u, i, t in EVENTS)),
    "ml-20m": (
        "movielens",
        "ratings.csv",
        "userId,movieId,rating,timestamp\n" + "".join(f"{u},{i},3.5,{t}\n" for u, i, t in EVENTS),
    ),
    "amazon-2018-5core": (
        "amazon", "reviews_Beauty_5.json.gz", reviews("reviewerID", "asin", "unixReviewTime", 1),
    ),
    "amazon-2018-ratings": (
        "amazon", "Beauty.csv", "".join(f"{i},{u},5.0,{t}\n" for u, i, t in EVENTS)
    ),
    "amazon-2023": (
        "amazon", "Beauty.jsonl.gz", reviews("user_id", "parent_asin", "timestamp", 1000)
    ),
    "amazon-2023-ratings": (
        "amazon",
        "Beauty.csv.gz",
        "user_id,parent_asin,rating,timestamp\n"
        + "".join(f"{u},{i},5.0,{1000 * t}\n" for u, i, t in EVENTS),
    ),
}  # fmt: skip


def write(folder, name: str, text: str):
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("layout", FILES)
def test_every_layout_gives_the_same_store(layout, tmp_path):
    source, name, text = FILES[layout]
    path = write(tmp_path, name, text)
    if source == "amazon":
        assert set(next(READERS[source](path))["domain"].to_pylist()) == {"Beauty"}
    store = prepared(tmp_path, published(source, path=str(path), holdout={"last": 0.2}))
    assert store.manifest.task == "next_item"
    assert (store.manifest.n_train, store.manifest.n_eval) == (4, 1)
    assert store.arrays["time"].tolist() == [t for _, _, t in EVENTS]
    items = store.arrays["history_items"].tolist()
    # user 7's items, then user 8's; the id is the rank by count in training
    assert items == [0, 1, 2, 0, 2]


def test_domains_of_a_folder_are_its_files(tmp_path):
    folder = tmp_path / "amazon"
    folder.mkdir()
    for name in ("Books.jsonl", "Toys.jsonl"):
        write(folder, name, reviews("user_id", "parent_asin", "timestamp", 1000).replace(
            '"31"', f'"{name[0]}31"'))  # fmt: skip
    store = prepared(tmp_path, PublishedData(source="amazon", path=str(folder), refuse_above=0.9))
    domains = store.arrays["history_domains"]
    assert set(domains.tolist()) == {0, 1} and len(domains) == len(store.arrays["history_items"])


def test_a_line_is_a_user_in_order_and_is_left_one_out(tmp_path):
    path = write(tmp_path, "beauty.txt", "u1 a b c\nu2 b c\nu3 a\n")
    spec = PublishedData(source="sequences", path=str(path), holdout=Holdout(leave_one_out=True))
    store = prepared(tmp_path, spec)
    assert (store.manifest.n_train, store.manifest.n_eval) == (4, 2)
    n, begin = 4, store.arrays["history_begin"]
    lengths = np.unique(begin[:n], return_counts=True)[1]
    assert lengths.tolist() == [2, 1, 1]
    assert "leave-one-out" in store.manifest.notes["split"]
    with pytest.raises(ValidationError, match="no split in time"):
        PublishedData(source="sequences", path=str(path))


def test_another_file_is_refused_by_name_and_by_content(tmp_path):
    for source, name, text in (
        ("movielens", "ratings.json", "{}"),
        ("movielens", "ratings.dat", "1,2,3,4\n"),
        ("movielens", "ratings.csv", "a,b\n1,2\n"),
        ("amazon", "x.jsonl", '{"a": 1}\n'),
        ("amazon", "x.parquet", ""),
    ):
        path = write(tmp_path, name, text)
        with pytest.raises(DataError, match=str(path)):
            prepared(tmp_path, published(source, path=str(path)))


def test_unreadable_reviews_are_counted(tmp_path):
    text = reviews("user_id", "parent_asin", "timestamp", 1000) + "torn {\n"
    path = write(tmp_path, "x.jsonl", text)
    data = PublishedData(
        source="amazon", path=str(path), refuse_above=0.5, holdout=Holdout(last=0.2)
    )
    assert prepared(tmp_path, data).manifest.dropped == {"user missing": 1}
