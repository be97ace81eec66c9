"""Published layouts: the same events whatever the file looks like."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from data_files import prepared
from pydantic import ValidationError

from recscale.data.layout import DataError
from recscale.data.tables import log_batches
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
ASINS = [(f"A1234567890{u}", f"B00000{int(i):04}", t) for u, i, t in EVENTS]


def reviews(user: str, item: str, time: str, unit: int) -> str:
    stars = "rating" if user == "user_id" else "overall"
    rows = ({user: u, item: i, time: t * unit, stars: 4.0} for u, i, t in EVENTS)
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
    "amazon-2014-ratings": (
        "amazon", "ratings_Beauty.csv", "".join(f"{u},{i},5.0,{t}\n" for u, i, t in ASINS)
    ),
    "amazon-2018-ratings": (
        "amazon", "Beauty.csv", "".join(f"{i},{u},5.0,{t}\n" for u, i, t in ASINS)
    ),
    "amazon-2018-by-another-name": (
        "amazon", "ratings_Beauty.csv", "".join(f"{i},{u},5.0,{t}\n" for u, i, t in ASINS)
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
        ((_, rows),) = log_batches(published(source, path=str(path)), ("domain", "rating"))
        assert set(rows["domain"].to_pylist()) == {"Beauty"}
        assert {float(r) for r in rows["rating"].to_pylist()} <= {4.0, 5.0}
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
        ("movielens", "tags.csv", "userId,movieId,tag,timestamp\n1,2,fun,3\n"),
        ("movielens", "tags.dat", "15::4973::excellent!::1215184630\n"),
        ("movielens", "users.dat", "1::F::1::10::48067\n"),
        ("movielens", "movies.dat", "1::Toy Story (1995)::Animation\n"),
        ("amazon", "x.csv", "7,31,5.0,1000000100\n"),
        ("amazon", "x.csv", "user_id,asin,stars\n7,31,5.0\n"),
        (
            "amazon",
            "meta_x.jsonl",
            '{"title": "Soap", "parent_asin": "B01CUPMQZE"}\n',
        ),
        ("amazon", "x.jsonl", '{"a": 1}\n'),
        ("amazon", "x.parquet", ""),
    ):
        path = write(tmp_path, name, text)
        with pytest.raises(DataError, match=str(path)):
            prepared(tmp_path, published(source, path=str(path)))


@pytest.mark.parametrize("text", [
    "u2 b\nu1 a\nu1 b\nu2 c\nu1 c\nu3 a\n",  # pairs: the order of the lines is the order
    "u2\tb\r\nu1\ta\r\nu2\tc\r\n\r\nu1\tb\r\nu1\tc\r\nu3\ta",
])  # fmt: skip
def test_pairs_of_user_and_item_are_told_from_one_user_a_line(tmp_path, text):
    path = write(tmp_path, "beauty.txt", text)
    spec = PublishedData(source="sequences", path=str(path), holdout=Holdout(leave_one_out=True))
    rows = [tuple(r.values()) for _, b in log_batches(spec) for r in b.to_pylist()]
    assert sorted(rows) == [("u1", "a", "0"), ("u1", "b", "1"), ("u1", "c", "2"),
                            ("u2", "b", "0"), ("u2", "c", "1"), ("u3", "a", "0")]  # fmt: skip
    assert "pairs" in prepared(tmp_path, spec).manifest.notes["layout"]


def test_pairs_go_on_from_file_to_file(tmp_path):
    for name, text in (("1.txt", "u1 a\nu1 b\n"), ("2.txt", "u1 c\nu2 a\nu2 b\n")):
        write(tmp_path, name, text)
    spec = PublishedData(
        source="sequences", path=str(tmp_path / "?.txt"), holdout=Holdout(leave_one_out=True)
    )
    rows = [tuple(r.values()) for _, b in log_batches(spec) for r in b.to_pylist()]
    assert rows == [("u1", "a", "0"), ("u1", "b", "1"), ("u1", "c", "2"),
                    ("u2", "a", "0"), ("u2", "b", "1")]  # fmt: skip


@pytest.mark.parametrize("files", [
    {"x.txt": "u1 a b\nu2 a\nu1 c d\n"},
    {"x.txt": "u1 a b\n", "y.txt": "u2 a\nu1 c d\n"},
    {"x.txt": "1\t10\t5\t978300760\n1\t11\t3\t978302109\n"},  # TiSASRec: a rating and a time
    {"x.txt": "u1 a\nu1 b\nu2 a b\n"},
])  # fmt: skip
def test_a_user_of_several_sequences_is_refused(tmp_path, files):
    for name, text in files.items():
        write(tmp_path, name, text)
    spec = PublishedData(
        source="sequences", path=str(tmp_path / "*.txt"), holdout=Holdout(leave_one_out=True)
    )
    with pytest.raises(DataError, match=r"line \d begins with '.*several .*source: events"):
        prepared(tmp_path, spec)


def test_the_order_of_amazons_ratings_is_told_by_the_ids_alone(tmp_path):
    asins = [f"{n:09}X" if n % 3 else f"B00{n:07}" for n in range(40)]
    books = [(f"A{n:013}", asins[n % 40], 10**9 + n) for n in range(300)]
    for first in (0, 1):
        lines = [f"{r[first]},{r[1 - first]},4.0,{r[2]}\n" for r in books] + ["#oc-R1,0,5.0,1\n"]
        path = write(tmp_path, "ratings_Books.csv", "".join(lines))
        data = published("amazon", path=str(path), holdout={"last": 0.2})
        ((_, rows),) = log_batches(data)
        assert rows["user"].to_pylist()[:300] == [u for u, _, _ in books]
        year = prepared(tmp_path, data).manifest.notes["layout"]
        assert year.startswith("Amazon 2014" if first == 0 else "Amazon 2018")


def test_every_size_of_movielens_has_its_ratings(tmp_path):
    for name in ("ml-100k", "ml-1m", "ml-20m"):
        source, file, text = FILES[name]
        path = str(write(tmp_path, file, text))
        data = published(source, path=path, task="click", positive="rating >= 4")
        assert len([b for _, b in log_batches(data)][0]["rating"]) == 5


def test_unreadable_reviews_are_counted(tmp_path):
    text = reviews("user_id", "parent_asin", "timestamp", 1000) + "torn {\n"
    path = write(tmp_path, "x.jsonl", text)
    data = PublishedData(
        source="amazon", path=str(path), refuse_above=0.5, holdout=Holdout(last=0.2)
    )
    assert prepared(tmp_path, data).manifest.dropped == {"user missing": 1}
