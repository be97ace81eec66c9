"""List columns: histories that the log gives, rows that list events, and lists that do not fit."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bag_logs import N, bag_log, read_bags, store_of, write
from data_files import column, events_spec, history, prepared

from recscale.data.binary import ParquetTable
from recscale.data.prepare import DataError
from recscale.spec import Columns, EventsData, Negatives


def test_a_history_column_shares_the_items_ids(tmp_path):
    log = bag_log()
    rng = np.random.default_rng(3)
    log["before"] = [
        None if r < 0.1 else rng.integers(0, 40, rng.integers(0, 5)).tolist()  # some never shown
        for r in rng.random(N)
    ]
    store = store_of(tmp_path, log, columns={"history": "before"})
    n = store.manifest.n_train
    seen = {*log["item"][:n], *(i for row in log["before"][:n] for i in row or [])}
    facts = store.manifest.table("item")
    assert store.manifest.history == "item" and facts.distinct == len(seen)
    ids = column(store, "item")
    names = dict(zip(ids.tolist(), log["item"], strict=True))
    for row in range(N):
        found, given = history(store, row), log["before"][row] or []
        assert len(found) == len(given)
        for i, item in zip(found, given, strict=True):
            assert names.get(i, item) == item or item not in seen
    counts = Counter(log["item"][:n]) + Counter(i for row in log["before"][:n] for i in row or [])
    by_id = {
        i: item
        for row in range(N)
        for i, item in zip(history(store, row), log["before"][row] or [], strict=True)
        if item in seen
    }
    ordered = [counts[by_id[i]] for i in sorted(by_id)]
    assert all(a >= b for a, b in pairwise(ordered))
    lengths = [len(row or []) for row in log["before"][:n]]
    assert store.manifest.history_mean_length == pytest.approx(np.mean(lengths))


@pytest.mark.parametrize(("written", "warned"), [("i{}", False), ("{}", True), ("i{}0", True)])
def test_a_history_of_other_ids_than_the_items_is_warned_of(tmp_path, written, warned):
    log = bag_log()
    log["item"] = [f"i{1 + i % 9}" for i in range(N)]
    log["before"] = [[written.format(1 + (i + k) % 9) for k in range(i % 3)] for i in range(N)]
    told = store_of(tmp_path, log, columns={"history": "before"}).manifest.warnings
    assert any("none of its" in w and "'before'" in w for w in told) == warned


@pytest.mark.parametrize("task", ["next_item", "click"])
def test_rows_that_list_a_users_events_are_those_events(tmp_path, task):
    """Yambda's sequential layout: the same store as of one event a row."""
    rng = np.random.default_rng(4)
    time = 1_600_000_000 + rng.permutation(N)
    user, item = rng.integers(0, 15, N), rng.integers(0, 40, N)
    flat = {"user": user, "item": item, "time": time, "clicked": rng.integers(0, 2, N),
            "seconds": rng.integers(0, 300, N), "country": user % 3}  # fmt: skip
    order = np.argsort(user, kind="stable")
    flat = {name: values[order] for name, values in flat.items()}
    starts = [*np.flatnonzero(np.diff(flat["user"], prepend=-1)), N]
    listed = {
        name: [values[a] if name in ("user", "country") else values[a:b].tolist()
               for a, b in pairwise(starts)]
        for name, values in flat.items()
    }  # fmt: skip
    columns = {"sparse": ("country",), "dense": ("seconds",), "label": "clicked"}
    manifests = []
    for name, log in (("flat", flat), ("listed", listed)):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table(log), tmp_path / name / "log.parquet")
        spec = events_spec(tmp_path / name / "log.parquet", task=task, columns=columns)
        manifests.append(prepared(tmp_path / name, spec).manifest)
    assert manifests[0] == manifests[1] and manifests[0].raw_rows == N


def named_log(names: list[str]) -> dict[str, list]:
    rng = np.random.default_rng(5)
    return {n: [f"{n}-{v}" for v in rng.integers(0, 4, 200)] for n in names}


def test_columns_may_be_called_like_the_tables_that_we_make(tmp_path):
    taken = ("user", "item", "history")
    log = {"who": np.arange(200) % 9, "what": np.arange(200) % 11, "at": 10**9 + np.arange(200)}
    pq.write_table(pa.table(log | named_log(list(taken))), tmp_path / "log.parquet")
    columns = Columns(user="who", item="what", time="at", sparse=taken)
    for task in ("click", "next_item"):
        spec = EventsData(
            source="events", path=str(tmp_path / "log.parquet"), task=task, columns=columns
        )
        manifest = prepared(tmp_path, spec).manifest
        assert [t.name for t in manifest.tables] == ["user_", "item_", *taken]
        assert [t.distinct for t in manifest.tables] == [9, 11, 4, 4, 4]
        assert manifest.history == "item_"


@pytest.mark.parametrize(
    ("change", "columns", "sentence"),
    [
        ({"amounts": [[1.0]] * N}, {"weights": {"tags": "amounts"}},
         r"log.parquet: row \d+: 'tags' holds \d values and 'amounts' 1"),
        ({"amounts": [1.0] * N}, {"weights": {"tags": "amounts"}},
         "'amounts' holds single values of"),
        ({"amounts": [["x"]] * N, "tags": [["a"]] * N}, {"weights": {"tags": "amounts"}},
         "weights 'amounts' holds something else than numbers, such as 'x'"),
        ({"tags": ["a"] * N}, {"weights": {"tags": "amounts"}}, "'tags' holds single values of"),
        ({"tags": [[["a"]]] * N}, {}, "'tags' holds lists of list<"),
        ({"tags": [[{"a": 1}]] * N}, {}, "'tags' holds lists of struct<"),
        ({}, {"history": "user"}, "two parts"),
        ({"before": [1] * N}, {"history": "before"}, "history 'before' holds single values of"),
        ({"user": [[1, 2]] * N, "item": [[1, 2]] * N}, {}, "columns.user: 'user' holds lists"),
        ({"item": [[1, 2]] * N, "time": [[1, 2]] * N, "tags": [["a", "b"]] * N}, {},
         "columns.label: 'clicked' is one value a row where 'item' holds lists"),
        ({"item": [[1, 2]] * N, "time": [[1, 2, 3]] * N, "clicked": [[0, 1]] * N}, {},
         "row 1: 'item' holds 2 values and 'time' 3; the two lists of a row must be of one"),
    ],
)  # fmt: skip
def test_lists_that_do_not_fit_are_refused_in_a_sentence(tmp_path, change, columns, sentence):
    with pytest.raises(ValueError, match=sentence):
        store_of(tmp_path, bag_log() | change, columns=columns)


def test_lists_in_one_file_and_single_values_in_another_are_refused(tmp_path):
    for name, tags in (("a", [["x"]] * 50), ("b", ["x"] * 50)):
        log = bag_log(n=50) | {"tags": tags}
        pq.write_table(pa.table(log), tmp_path / f"{name}.parquet")
    columns = {"label": "clicked", "sparse": ("tags",)}
    spec = events_spec(tmp_path / "*.parquet", columns=columns)
    with pytest.raises(DataError, match=r"b.parquet.*'tags' holds single values here and lists in"):
        prepared(tmp_path, spec)


def test_neither_shards_nor_their_order_change_the_store(tmp_path):
    """Rows of one second, cut anywhere and shuffled, with bags, weights and a given history."""
    log = bag_log()
    log["time"] = [t - t % 7 for t in log["time"]]
    log["before"] = [[i, (i * 7) % 31, 99 + i % 3][: i % 4] for i in log["item"]]
    columns = {"label": "clicked", "sparse": ("tags",), "history": "before"}
    columns |= {"weights": {"tags": "amounts"}}
    table, manifests = pa.table(log), []
    shuffled = table.take(pa.array(np.random.default_rng(6).permutation(N)))
    for name, rows, cuts in (("whole", table, [0, N]), ("parts", shuffled, [0, 100, 101, 450, N])):
        (tmp_path / name).mkdir()
        for a, b in pairwise(cuts):
            pq.write_table(rows.slice(a, b - a), tmp_path / name / f"{a:03}.parquet")
        spec = events_spec(tmp_path / name / "*.parquet", columns=columns)
        manifests.append(prepared(tmp_path / name, spec).manifest)
    assert manifests[0] == manifests[1]


def test_weights_of_no_sparse_column_and_histories_of_next_item_are_refused():
    with pytest.raises(ValueError, match="weights: tags is no column under sparse"):
        Columns(user="u", item="i", time="t", weights={"tags": "w"})
    with pytest.raises(ValueError, match="history belongs to task click"):
        events_spec("log", task="next_item", columns={"history": "h"})


def test_long_lists_are_read_a_few_rows_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("recscale.data.binary.CHUNK_ROWS", 1000)
    table = {"a.b": [[1] * 100] * 500, "n": [1] * 500, "vector": [[0.5] * 500] * 500}
    pq.write_table(pa.table(table), tmp_path / "log.parquet")
    for columns, rows in ((["a.b", "n"], 10), (["n"], 500), (None, 2)):
        batches = ParquetTable(tmp_path / "log.parquet").batches(columns)
        assert len(next(batches)) == rows


def test_json_lines_and_arrows_views_of_lists_give_the_store_that_parquet_gives(tmp_path):
    log = bag_log()
    rows = [dict(zip(log, values, strict=True)) for values in zip(*log.values(), strict=True)]
    (tmp_path / "log.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    views = pa.array(log["tags"], pa.list_view(pa.string_view()))
    table = pa.table(log).set_column(4, "tags", views)
    path = str(tmp_path / "log.arrow")
    with pa.OSFile(path, "wb") as out, pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    columns = {"label": "clicked", "sparse": ("tags",), "weights": {"tags": "amounts"}}
    expected = store_of(tmp_path, log, columns=columns).manifest
    for name in ("log.jsonl", "log.arrow"):
        assert (
            prepared(tmp_path, events_spec(tmp_path / name, columns=columns)).manifest == expected
        )


def test_a_file_without_any_value_does_not_say_that_a_column_holds_no_lists(tmp_path):
    log = bag_log() | {"tags": [None] * 100 + [["a", "b"]] * (N - 100)}
    for name, rows in (("a", slice(0, 100)), ("b", slice(100, N))):
        part = {column: values[rows] for column, values in log.items()}
        pq.write_table(pa.table(part), tmp_path / f"{name}.parquet")
    columns = {"label": "clicked", "sparse": ("tags",)}
    store = prepared(tmp_path, events_spec(tmp_path / "?.parquet", columns=columns))
    lengths = np.concatenate([bag.lengths for bag in read_bags(store)])
    assert lengths.tolist() == [0] * 100 + [2] * (N - 100)


def test_a_basket_is_events_of_one_moment(tmp_path):
    baskets = [["a", "b"], ["b"], [], ["a", "c"]] * 20
    log = {"user": [1, 2] * 40, "item": baskets, "time": list(range(80))}
    pq.write_table(pa.table(log), tmp_path / "log.parquet")
    store = prepared(tmp_path, events_spec(tmp_path / "log.parquet", task="next_item"))
    expected = [t for t, items in zip(range(80), baskets, strict=True) for _ in items]
    assert store.arrays["time"].tolist() == expected
    assert store.manifest.raw_rows == 100 and store.manifest.table("item").distinct == 3


def test_negatives_have_the_given_history_of_their_positive(tmp_path):
    log = bag_log() | {"before": [[(i * 3) % 30, i % 30][: i % 3] for i in range(N)]}
    columns = {"history": "before"}
    spec = events_spec(write(tmp_path, log), columns=columns, negatives=Negatives(per_positive=2))
    store = prepared(tmp_path, spec)
    a, met = store.arrays, defaultdict(set)
    for row in range(len(a["label"])):
        met[int(a["time"][row])].add(tuple(history(store, row)))
    assert len(a["label"]) > 2 * N and all(len(seen) == 1 for seen in met.values())
    lengths = [len(next(iter(met[t]))) for t in log["time"]]
    assert lengths == [len(row) for row in log["before"]]
