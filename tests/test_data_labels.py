"""What a positive is, and logs of which no loss can be normalised or no law can be straight."""

from __future__ import annotations

import decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import criteo_lines, events_spec, prepared, write_lines
from pydantic import ValidationError

from recscale.data.prepare import DataError
from recscale.spec import Comparison, CriteoData, EventsData, PublishedData

N = 400
ROWS = np.arange(N)


def log(tmp_path, **columns):
    base = {"user": ROWS % 9, "item": ROWS % 7, "time": 1_600_000_000 + ROWS}
    pq.write_table(pa.table({**base, **columns}), tmp_path / "log.parquet")
    return tmp_path / "log.parquet"


ZERO_ONE = (ROWS % 3 == 0).astype(int)
TEXT = np.where(ZERO_ONE == 1, "1", "0")
TYPES = {
    "int": pa.array(ZERO_ONE),
    "uint8": pa.array(ZERO_ONE.astype(np.uint8)),
    "float": pa.array(ZERO_ONE.astype(float)),
    "half": pa.array(ZERO_ONE.astype(np.float16)),
    "bool": pa.array(ZERO_ONE == 1),
    "decimal": pa.array([decimal.Decimal(int(x)) for x in ZERO_ONE], pa.decimal128(5, 2)),
    "text": pa.array(TEXT),
    "point": pa.array(np.char.add(TEXT, ".0")),
    "words": pa.array(np.where(ZERO_ONE == 1, " True", "FALSE ")),
    "view": pa.array(TEXT).cast(pa.string_view()),
    "bytes": pa.array(TEXT).cast(pa.binary()),
    "dictionary": pa.array(TEXT).dictionary_encode(),
}


@pytest.mark.parametrize("kind", TYPES)
def test_a_label_is_0_or_1_in_any_type(tmp_path, kind):
    path = log(tmp_path, label=TYPES[kind])
    store = prepared(tmp_path, events_spec(path, columns={"label": "label"}))
    assert store.arrays["label"].tolist() == ZERO_ONE.tolist()
    assert "column 'label': 134 of 400 rows" in store.manifest.notes["positives"]


def test_ratings_under_label_are_refused_with_what_helps(tmp_path):
    path = log(tmp_path, stars=ROWS % 5 + 1)
    with pytest.raises(
        DataError, match='such as 2.*data.positive, such as "stars >= 4" or'
    ) as caught:
        prepared(tmp_path, events_spec(path, columns={"label": "stars"}))
    assert "raise data.refuse_above" not in str(caught.value)


@pytest.mark.parametrize(
    ("positive", "truth"),
    [
        ("`my stars` >= 4", lambda s: s >= 4),
        ("'my stars' < 2.5", lambda s: s < 2.5),
        ('"my stars" = 3', lambda s: s == 3),
        ("`my stars`!=1e0", lambda s: s != 1),
    ],
)
def test_a_comparison_says_which_rows_are_positives(tmp_path, positive, truth):
    stars = pa.array([None if i == 5 else str(i % 5 + 1) for i in range(N)])
    path = log(tmp_path, **{"my stars": stars})
    store = prepared(tmp_path, events_spec(path, positive=positive))
    kept = np.delete(ROWS, 5)
    assert store.arrays["label"].tolist() == truth(kept % 5 + 1).astype(int).tolist()
    assert store.manifest.dropped == {"no number to compare": 1}
    assert "none were added" in store.manifest.notes["positives"]
    assert "negatives" not in store.manifest.notes
    history = store.arrays["history_end"] - store.arrays["history_begin"]
    past = [truth(kept % 5 + 1)[:i][kept[:i] % 9 == kept[i] % 9].sum() for i in range(N - 1)]
    assert history.tolist() == past


def test_a_comparison_of_published_ratings(tmp_path):
    lines = [f"{i % 9}::{i % 7}::{i % 5 + 1}::{978_300_000 + i}" for i in range(N)]
    path = write_lines(tmp_path / "ratings.dat", lines)
    data = PublishedData(source="movielens", path=str(path), task="click", positive="rating >= 4")
    store = prepared(tmp_path, data)
    assert store.arrays["label"].tolist() == (ROWS % 5 + 1 >= 4).astype(int).tolist()
    plain = data.model_copy(update={"positive": None})
    notes = prepared(tmp_path, plain).manifest.notes
    assert "every row, whatever its rating: 400; 1," in notes["positives"]
    assert "negatives were added" in notes["positives"]


def spec(**kwargs):
    columns = {"user": "u", "item": "i", "time": "t", **kwargs.pop("columns", {})}
    return EventsData.model_validate(
        {"source": "events", "path": "x", "columns": columns, **kwargs}
    )


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"positive": "rating"}, "'rating' is no comparison of a column with a number; write"),
        ({"positive": "rating >= four"}, "no comparison"),
        ({"positive": "a > 1 and b > 2"}, "no comparison"),
        ({"positive": "r > 1", "columns": {"label": "l"}}, "both say what is a positive"),
        ({"positive": "r > 1", "columns": {"dense": ["r"]}}, "would tell the label"),
        ({"positive": "r > 1", "task": "next_item"}, "positive belongs to task click"),
        ({"time_format": "secs"}, "'secs' is none of seconds, .*strptime pattern such as"),
        ({"time_format": "%Q"}, "is none of"),
    ],
)
def test_keys_that_say_nothing_are_refused_when_the_sweep_is_read(kwargs, sentence):
    with pytest.raises(ValidationError, match=sentence):
        spec(**kwargs)


def test_published_logs_compare_only_ratings():
    for source, positive in (("movielens", "stars > 3"), ("sequences", "rating > 3")):
        with pytest.raises(ValidationError, match="positive: "):
            PublishedData.model_validate(
                {"source": source, "path": "x", "task": "click", "positive": positive}
            )
    assert str(Comparison.of("`watch time`>30")) == "watch time > 30"


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        (0 * ROWS, "positives are 0 of 360 training rows, 0 of 40 evaluation rows, so there is no"),
        (ROWS < 300, "300 of 360 .*, 0 of 40 evaluation rows; of evaluation rows of one class no"),
        (ROWS >= 380, "0 of 360 training rows, 20 of 40 .*; of training rows of one class"),
    ],
)
def test_one_class_is_refused_with_the_counts(tmp_path, label, sentence):
    path = log(tmp_path, label=label)
    with pytest.raises(DataError, match=f"{path}: .*{sentence}"):
        prepared(tmp_path, events_spec(path, columns={"label": "label"}))
    assert not list((tmp_path / "stores").glob("events*"))


def test_a_comparison_that_parts_nothing_is_refused_by_its_key(tmp_path):
    path = log(tmp_path, stars=ROWS % 5)
    with pytest.raises(DataError, match="compare 'stars' in data.positive with a number") as told:
        prepared(tmp_path, events_spec(path, positive="stars >= 9"))
    assert "label" not in str(told.value)


def test_a_log_of_one_item_is_refused(tmp_path):
    path = log(tmp_path, item=0 * ROWS)
    for task, sentence in (
        ("click", "no negative could be drawn"),
        ("next_item", "one item alone"),
    ):
        with pytest.raises(DataError, match=f"{path}: .*{sentence}.*check data.columns.item"):
            prepared(tmp_path, events_spec(path, task=task))


def test_one_class_of_criteo_is_refused_too(tmp_path):
    lines = [line[1:] for line in criteo_lines(100)]
    path = write_lines(tmp_path / "train.txt", ["0" + line for line in lines])
    with pytest.raises(DataError, match="0 of 90 training rows, 0 of 10 evaluation rows"):
        prepared(tmp_path, CriteoData(source="criteo", path=str(path)))


@pytest.mark.parametrize("task", ["click", "next_item"])
def test_an_evaluation_window_of_new_items_alone_is_refused(tmp_path, task):
    path = log(tmp_path, item=np.where(ROWS < 360, ROWS % 7, ROWS))
    label = {"label": "label"} if task == "click" else {}
    path = log(tmp_path, item=np.where(ROWS < 360, ROWS % 7, ROWS), label=ROWS % 2)
    with pytest.raises(DataError, match="none of the 40 evaluation rows has an item that occurs"):
        prepared(tmp_path, events_spec(path, columns=label, task=task))


def test_columns_that_hardly_repeat_are_warned_of_once(tmp_path):
    path = log(
        tmp_path,
        label=ROWS % 2,
        session=pa.array([f"s{i}" for i in ROWS]),
        day=ROWS // 40,
        hour=ROWS % 24,
    )
    columns = {"label": "label", "sparse": ("session", "day", "hour")}
    warnings = prepared(tmp_path, events_spec(path, columns=columns)).manifest.warnings
    assert len(warnings) == 2
    assert "session: 360 values in 360 training rows of the log and 100% of the" in warnings[0]
    assert warnings[1].startswith("day: 100% of the evaluation rows hold one that is new")


def test_a_user_a_row_is_warned_of_beside_sampled_negatives(tmp_path):
    store = prepared(tmp_path, events_spec(log(tmp_path, user=ROWS)))
    assert store.manifest.n_train == pytest.approx(1800, abs=20)
    (warning,) = store.manifest.warnings
    assert warning.startswith("user: 360 values in 360 training rows of the log and 100%")


def test_dense_columns_are_numbers_of_any_type(tmp_path):
    price = ROWS % 50
    texts = pa.array([f" {x}" if x else "" for x in price])
    kinds = {
        "a": pa.array(price),
        "b": texts,
        "c": pa.array([decimal.Decimal(int(x)) if x else None for x in price]),
        "d": pa.array(price.astype(np.float16)).cast(pa.float16()),
        "e": texts.cast(pa.string_view()),
        "f": pa.array(price % 2 == 0),
        "g": pa.array(np.where(price % 2 == 0, "true", "False")),
        "h": pa.array(np.where(price == 0, 1e300, price)),
    }
    path = log(tmp_path, label=ROWS % 2, **kinds)
    columns = {"label": "label", "dense": tuple(kinds)}
    dense = prepared(tmp_path, events_spec(path, columns=columns)).arrays["dense"]
    some = price > 0
    assert np.isfinite(dense).all()
    for one, other in ((0, 3), (1, 2), (1, 4), (5, 6)):
        assert np.allclose(dense[some, one], dense[some, other], atol=2e-3)
    assert (dense[~some, 7] > dense[some, 7].max()).all()
    assert (dense[~some, 1] == 0).all()


def test_columns_that_never_change_are_told_in_one_line(tmp_path):
    """Missing is a value beside another one, but alone it is none."""
    path = log(
        tmp_path,
        label=pa.array(ZERO_ONE),
        shop=pa.array(["x"] * N),
        gone=pa.array([None] * N, pa.string()),
        half=pa.array([None, "x"] * (N // 2)),
        price=pa.array([3.7] * N),
        nothing=pa.array([None] * N, pa.float64()),
        late=pa.array(np.where(ROWS < 392, 1e6, 2.0)),  # it changes in the evaluation rows alone
        tiny=pa.array(5 + 1e-4 * (ROWS % 2)),
        number=pa.array(ROWS * 1e-3),
        one=pa.array([[7]] * N),
        some=pa.array([[7], []] * (N // 2)),
        none=pa.array([[]] * N, pa.list_(pa.int64())),
    )
    columns = {
        "label": "label",
        "sparse": ("shop", "gone", "half", "one", "some", "none"),
        "dense": ("price", "nothing", "late", "tiny", "number"),
    }
    spec = events_spec(path, columns=columns, holdout={"last": 0.02})
    (warning,) = prepared(tmp_path, spec).manifest.warnings
    assert warning == (
        "shop, gone, one, none, price, nothing, late: hold one value each or none in all 392 "
        "training rows, which teaches nothing; check what the log has there, or leave such columns "
        "out"
    )
