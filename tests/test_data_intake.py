"""Reading event logs: forms of time, file formats, and bad input in sentences."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from data_files import event_log, events_spec, prepared

from recscale.data.prepare import DataError

SPARSE, DENSE = ("country", "maker"), ("price", "amount")


def test_times_may_be_timestamps_text_seconds_or_milliseconds(tmp_path):
    n = 200
    seconds = 1_700_000_000 + 61 * np.arange(n)
    texts = [datetime.fromtimestamp(t, UTC) for t in seconds.tolist()]
    forms = {
        "seconds": pa.array(seconds),
        "milliseconds": pa.array(seconds * 1000 + 7),
        "fractions": pa.array(seconds + 0.25),
        "timestamp": pa.array(seconds * 1_000_000, pa.timestamp("us")),
        "zoned": pa.array(seconds * 1_000, pa.timestamp("ms", "Europe/Berlin")),
        "iso": pa.array([t.strftime("%Y-%m-%d %H:%M:%S") for t in texts]),
        "offset": pa.array([t.isoformat().replace("+00:00", ".125+00:00") for t in texts]),
        "digits": pa.array([str(t) for t in seconds]),
        "mixed": pa.array([t.isoformat() if i % 2 else str(t.timestamp())
                           for i, t in enumerate(texts)]),
    }  # fmt: skip
    for name, times in forms.items():
        pq.write_table(
            pa.table({"user": np.arange(n) % 5, "item": np.arange(n) % 7, "time": times}),
            tmp_path / f"{name}.parquet",
        )
        store = prepared(tmp_path, events_spec(tmp_path / f"{name}.parquet", task="next_item"))
        assert store.seconds(store.arrays["time"]).tolist() == seconds.tolist(), name
        finer = {"milliseconds": 7, "fractions": 250, "offset": 125}
        assert store.manifest.time_unit == ("ms" if name in finer else "s")
        if name in finer:
            assert (store.arrays["time"] == seconds * 1000 + finer[name]).all()


def test_csv_and_parquet_give_the_same_store(tmp_path):
    log = event_log(tmp_path / "log.parquet", n=500)
    pacsv.write_csv(pa.table(log), tmp_path / "log.csv")
    columns = {"sparse": SPARSE, "dense": DENSE}
    one, other = (
        prepared(tmp_path, events_spec(tmp_path / f, columns=columns, refuse_above=0.3)).manifest
        for f in ("log.parquet", "log.csv")
    )
    assert one == other


def write_csv(path, rows: list[str]):
    path.write_text("user,item,time,label,price\n" + "\n".join(rows) + "\n")
    return path


def test_bad_rows_are_counted_by_reason(tmp_path):
    good = [f"u{i % 9},i{i % 11},{1_700_000_000 + i},{i % 2},2.5" for i in range(200)]
    bad = [
        ",i1,1700000300,1,1",
        "  ,i1,1700000300,1,1",
        "u1,,1700000300,1,1",
        "u1,i1,yesterday,1,1",
        "u1,i1,,1,1",
        "u1,i1,1700000300,2,1",
        good[0],
    ]
    path = write_csv(tmp_path / "log.csv", good + bad)
    data = events_spec(path, columns={"label": "label", "dense": ("price",)})
    store = prepared(tmp_path, data)
    assert store.manifest.raw_rows == 207 and len(store.arrays["label"]) == 200
    assert store.manifest.dropped == {
        "user missing": 2,
        "item missing": 1,
        "time unreadable": 2,
        "label not 0 or 1": 1,
        "copy of another row": 1,
    }
    strict = data.model_copy(update={"refuse_above": 0.01})
    with pytest.raises(DataError, match="3.4% of the 207 rows .*user missing: 2.*refuse_above"):
        prepared(tmp_path, strict)


def test_missing_columns_are_named_together_with_what_the_file_has(tmp_path):
    event_log(tmp_path / "log.parquet", n=50)
    data = events_spec(
        tmp_path / "log.parquet", columns={"user": "users", "sparse": ("maker", "color")}
    )
    with pytest.raises(DataError) as caught:
        prepared(tmp_path, data)
    sentence = str(caught.value)
    assert "data.columns.user: no column 'users' (did you mean 'user'?)" in sentence
    assert "data.columns.sparse[1]: no column 'color'" in sentence
    assert "country, price, maker" in sentence


def test_of_many_missing_columns_some_are_named_and_the_others_counted(tmp_path):
    names = [f"c{i}" for i in range(90)]
    log = {"user": [1], "item": [2], "time": [1_600_000_000], **dict.fromkeys(names, [1.0])}
    pq.write_table(pa.table(log), tmp_path / "log.parquet")
    wanted = tuple(f"dense_{i}" for i in range(90))
    with pytest.raises(DataError) as caught:
        prepared(tmp_path, events_spec(tmp_path / "log.parquet", columns={"dense": wanted}))
    sentence = str(caught.value)
    assert "'dense_3'" in sentence and "and 86 more" in sentence and "and 73 more" in sentence
    assert len(sentence) < 700


@pytest.mark.parametrize(
    ("rows", "columns", "sentence"),
    [
        (["u,i,1,1,cheap"] * 3, {"dense": ("price",)}, "'price' holds something else than numbers"),
        (['u,i,1,1,"0,62"'] * 3, {"dense": ("price",)}, "write numbers with a decimal point"),
        (["u,i,1,1,NA"] * 3, {"dense": ("price",)}, "say data.format: {nulls: "),
        (["u,i,never,1,1"] * 3, {}, "none of the 3 rows is usable .*time unreadable: 3"),
        (["u,i1,5,1,1", "v,i2,5,1,1"], {}, "columns.time 'time': none of .* nothing to train"),
    ],
)
def test_unusable_logs_are_refused_in_a_sentence(tmp_path, rows, columns, sentence):
    with pytest.raises(DataError, match=sentence):
        prepared(tmp_path, events_spec(write_csv(tmp_path / "log.csv", rows), columns=columns))


def test_a_file_that_is_no_log_says_what_a_log_is(tmp_path):
    (tmp_path / "log.parquet").write_bytes(b"hello, this is not Parquet")
    with pytest.raises(DataError, match="Parquet, .* CSV with a header line"):
        prepared(tmp_path, events_spec(tmp_path / "log.parquet"))
