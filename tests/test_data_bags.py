"""List columns under sparse: bags, their values, weights and owners."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bag_logs import N, bag_log, read_bags, store_of
from data_files import column, events_spec, prepared

from recscale.data.lists import flattened
from recscale.data.store import Bag
from recscale.spec import Negatives


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
