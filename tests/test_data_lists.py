"""List columns: bags and their weights, histories that the log gives, rows that list events."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import column, events_spec, history, prepared

from recscale.data.binary import ParquetTable
from recscale.data.lists import flattened
from recscale.data.prepare import DataError
from recscale.data.store import Bag, Store
from recscale.spec import Columns, EventsData, Negatives

N = 600


def bag_log(seed: int = 0, n: int = N) -> dict[str, list]:
    """Clicks of rows that hold a few tags, sometimes none, null, or with null among them."""
    rng = np.random.default_rng(seed)

    def some() -> list | None:
        kind = rng.random()
        if kind < 0.1:
            return None
        tags = [f"t{int(t)}" for t in np.minimum(rng.zipf(1.4, rng.integers(0, 6)), 30)]
        return [*tags, None, *tags[:1]] if kind < 0.2 else tags

    tags = [some() for _ in range(n)]
    return {
        "user": rng.integers(0, 20, n).tolist(),
        "item": rng.integers(0, 30, n).tolist(),
        "time": (1_600_000_000 + np.arange(n)).tolist(),
        "clicked": rng.integers(0, 2, n).tolist(),
        "tags": tags,
        "amounts": [t and rng.integers(0, 3, len(t)).astype(float).tolist() for t in tags],
    }


def write(folder, log: dict[str, list], tags: pa.DataType | None = None):
    table = pa.table(log)
    if tags:
        table = table.set_column(4, "tags", pa.array(log["tags"], tags))
    pq.write_table(table, folder / "log.parquet")
    return folder / "log.parquet"


def store_of(tmp_path, log, tags: pa.DataType | None = None, **kwargs) -> Store:
    columns = {"label": "clicked", "sparse": ("tags",), **kwargs.pop("columns", {})}
    return prepared(tmp_path, events_spec(write(tmp_path, log, tags), columns=columns, **kwargs))


def read_bags(store: Store, **options) -> list[Bag]:
    """The first bag of every row: training, then evaluation."""
    splits = store.train(), store.eval()
    return [split.read(0, len(split), **options).bags[0] for split in splits]


def rows_of(bags: list[Bag]) -> list[tuple[list[int], list[float]]]:
    """Ids and weights of every row."""
    rows = []
    for bag in bags:
        ends = np.cumsum(bag.lengths)
        for a, b in zip(ends - bag.lengths, ends, strict=True):
            rows.append((bag.ids[a:b].tolist(), bag.weights[a:b].tolist()))
    return rows


def ranked(values: list[list[str]], n_train: int) -> dict[str, int]:
    """Values -> ids: by falling frequency in training, ties by first appearance in the log."""
    first = {v: i for i, v in enumerate(dict.fromkeys(v for row in values for v in row))}
    counts = Counter(v for row in values[:n_train] for v in row)
    order = sorted(counts, key=lambda v: (-counts[v], first[v]))
    return {v: i for i, v in enumerate(order)}


LISTS = {
    "list": pa.list_(pa.string()),
    "large": pa.large_list(pa.large_string()),
    "encoded": pa.list_(pa.dictionary(pa.int32(), pa.string())),
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_bag_holds_the_ranked_values_of_its_row_and_pools_to_their_mean(tmp_path, kind):
    log = bag_log()
    store = store_of(tmp_path, log, LISTS[kind])
    values = [[t for t in row or [] if t is not None] for row in log["tags"]]
    n = store.manifest.n_train
    ids = ranked(values, n)
    expected = [[ids.get(t, len(ids)) for t in row] for row in values]
    found = rows_of(read_bags(store))
    assert [ids for ids, _ in found] == expected
    for row, weights in found:
        assert weights == pytest.approx([1 / max(1, len(row))] * len(row))
    facts = store.manifest.table("tags")
    assert facts.bag and not facts.weighted and facts.rows == len(ids) + 1
    assert facts.mean_length == pytest.approx(np.mean([len(row) for row in values[:n]]))
    evaluated = [t for row in values[n:] for t in row]
    assert facts.unseen_rate == pytest.approx(np.mean([t not in ids for t in evaluated]))
    assert [t.name for t in store.manifest.plain] == ["user", "item"]


@pytest.mark.parametrize(
    ("kind", "tags"),
    [
        (pa.list_(pa.int64(), 2), [[1, 2], None, [3, None]]),
        (pa.list_(pa.bool_()), [[True, False], None, [True]]),
        (pa.list_(pa.null()), [[None], None, []]),
        (pa.null(), [None, None, None]),
    ],
)
def test_lists_of_other_types_are_bags_too(tmp_path, kind, tags):
    log = bag_log(n=60) | {"tags": tags * 20}
    store = store_of(tmp_path, log, kind)
    if pa.types.is_null(kind):  # nothing says that it is a list
        assert store.manifest.table("tags").distinct == 1
        return
    lengths = [len([t for t in row or [] if t is not None]) for row in tags * 20]
    assert [len(ids) for ids, _ in rows_of(read_bags(store))] == lengths


@pytest.mark.parametrize("kind", [pa.list_view, pa.large_list_view])
def test_views_and_encodings_of_lists_are_flattened(kind):
    lists = [[1, 2], None, [], [3, None]]
    column = pa.array(lists, kind(pa.int64()))
    rows = pa.array([3, 0])
    plain = pa.array([[1, 2], [3, None]])
    encoded = pa.DictionaryArray.from_arrays(pa.array([1, 0]), plain)
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([1, 2]), plain.take(pa.array([1, 0])))
    for given in (column.take(rows), encoded, runs):
        values, lengths = flattened(given)
        assert values.to_pylist() == [3, None, 1, 2] and lengths.tolist() == [2, 2]
    values, lengths = flattened(column.slice(1))
    assert values.to_pylist() == [3, None] and lengths.tolist() == [0, 0, 2]


def test_weights_are_shares_of_their_row_and_values_without_one_are_left_out(tmp_path):
    log = bag_log()
    log["amounts"][3:6] = [[2.0, -6.0], [0.0, 0.0], [None, 3.0]]
    log["tags"][3:6] = [["a", "b"], ["a", "b"], ["a", "b"]]
    store = store_of(tmp_path, log, columns={"weights": {"tags": "amounts"}})
    assert store.manifest.table("tags").weighted
    found = [weights for _, weights in rows_of(read_bags(store))]
    assert found[3:6] == [[0.25, -0.75], [0, 0], [1]]
    for row in range(6, N):
        pairs = zip(log["tags"][row] or [], log["amounts"][row] or [], strict=True)
        amounts = [a for t, a in pairs if t is not None]
        assert found[row] == pytest.approx([a / (sum(amounts) or 1) for a in amounts])


def test_embedding_rows_wraps_the_values_of_bags(tmp_path):
    store = store_of(tmp_path, bag_log())
    whole, capped = read_bags(store)[0], read_bags(store, embedding_rows=5)[0]
    assert np.array_equal(capped.ids, whole.ids % 5)
    assert np.array_equal(capped.weights, whole.weights)


@pytest.mark.parametrize("weights", [{}, {"tags": "amounts"}])
def test_chunks_and_training_order_do_not_part_a_row_from_its_bag(tmp_path, monkeypatch, weights):
    options = {"columns": {"weights": weights}}
    by_time, hashed = (store_of(tmp_path, bag_log(), order=o, **options) for o in ("time", "hash"))
    rows = [
        dict(zip(store.arrays["time"].tolist(), rows_of(read_bags(store)), strict=True))
        for store in (by_time, hashed)
    ]
    assert rows[0] == rows[1] and len(rows[0]) == N
    for module in ("events", "binary", "ranks", "spans"):
        monkeypatch.setattr(f"recscale.data.{module}.CHUNK_ROWS", 37)
    (tmp_path / "pieces").mkdir()
    in_pieces = store_of(tmp_path / "pieces", bag_log(), **options)
    assert in_pieces.manifest == by_time.manifest
    in_pieces.verify()


def test_a_bag_belongs_to_user_or_item_like_any_column(tmp_path):
    """Of an implicit log, a negative keeps what is the user's and gets what is its item's."""
    rng = np.random.default_rng(2)
    user, item = rng.integers(0, 20, N), rng.integers(0, 30, N)
    log = {
        "user": user, "item": item, "time": 1_600_000_000 + 60 * np.arange(N),
        "likes": [[f"l{u}", f"l{u % 3}"] for u in user],
        "genres": [[f"g{i}", "all"] for i in item],
    }  # fmt: skip
    pq.write_table(pa.table(log), tmp_path / "log.parquet")
    spec = events_spec(
        tmp_path / "log.parquet",
        columns={"sparse": ("likes", "genres")},
        negatives=Negatives(per_positive=3),
    )
    store = prepared(tmp_path, spec)
    assert "belongs to the user" in store.manifest.notes["sparse likes"]
    assert "belongs to the item" in store.manifest.notes["sparse genres"]
    batch = store.train().read(0, store.manifest.n_train)
    assert batch.label.mean() == pytest.approx(0.25, abs=0.01)
    for bag, owner in zip(batch.bags, ("user", "item"), strict=True):
        assert (bag.lengths == 2).all()
        met = defaultdict(set)
        own = column(store, owner)[: len(batch.label)]
        for key, pair in zip(own.tolist(), bag.ids.reshape(-1, 2).tolist(), strict=True):
            met[key].add(tuple(pair))
        assert all(len(pairs) == 1 for pairs in met.values())
        assert len({next(iter(pairs)) for pairs in met.values()}) == len(met)


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
