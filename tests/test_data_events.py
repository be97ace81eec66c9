"""Event logs: histories, negatives, whose a column is, and bad input."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import column, distinct_in_time, event_log, events_spec, history, prepared

from recscale.data.prepare import prepare
from recscale.data.store import Store
from recscale.spec import Negatives

SPARSE, DENSE = ("country", "maker"), ("price", "amount")


@pytest.fixture(scope="module")
def implicit(tmp_path_factory):
    """A log with sampled negatives: the store, its rows in time order, and names by id."""
    folder = tmp_path_factory.mktemp("implicit")
    log = event_log(folder / "log.parquet")
    data = events_spec(
        folder / "log.parquet",
        columns={"sparse": SPARSE, "dense": DENSE},
        negatives=Negatives(per_positive=3),
        refuse_above=0.3,
    )
    return prepared(folder, data), distinct_in_time(log, data)


def names_of(store: Store, table: str, values: list) -> dict[int, set]:
    """The raw values met with every id of a table; `values` are the raw values of the rows."""
    met = defaultdict(set)
    for i, value in zip(column(store, table).tolist(), values, strict=True):
        met[i].add(value)
    return met


def test_positives_are_the_log_in_time_order_and_ids_stand_for_one_value_each(implicit):
    store, rows = implicit
    positive = np.flatnonzero(store.arrays["label"] == 1)
    assert store.arrays["time"][positive].tolist() == [row["time"] for row in rows]
    for table, name in (("user", "user"), ("item", "item")):
        ids = column(store, table)[positive]
        last = store.manifest.table(table).rows - 1
        pairs = {(i, row[name]) for i, row in zip(ids, rows, strict=True) if i != last}
        assert len(pairs) == len({i for i, _ in pairs}) == len({v for _, v in pairs})


def test_histories_equal_those_of_a_naive_walk_through_the_log(implicit):
    store, rows = implicit
    a = store.arrays
    positive = np.flatnonzero(a["label"] == 1)
    items = column(store, "item")[positive].tolist()
    past: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for at, (row, item) in enumerate(zip(rows, items, strict=True)):
        expected = [i for t, i in past[row["user"]] if t < row["time"]]
        end = positive[at + 1] if at + 1 < len(positive) else len(a["label"])
        for each in range(positive[at], end):  # the positive and its negatives
            assert history(store, each) == expected
        past[row["user"]].append((row["time"], item))


def test_read_keeps_the_newest_items_of_each_history(implicit):
    store, _ = implicit
    batch = store.train().read(2000, 2100, history_length=4)
    ends = np.cumsum(batch.history_lengths)
    for row in range(100):
        got = batch.history[ends[row] - batch.history_lengths[row] : ends[row]]
        assert got.tolist() == history(store, 2000 + row)[-4:]


def test_negatives_share_user_and_moment_and_are_items_seen_but_not_taken_then(implicit):
    store, rows = implicit
    a = store.arrays
    user, item, label = column(store, "user"), column(store, "item"), a["label"]
    n = store.manifest.n_train
    taken, first = defaultdict(set), {}
    for u, i, t, y in zip(user[:n], item[:n], a["time"][:n], label[:n], strict=True):
        if y:
            taken[u, t].add(i)
            first.setdefault(i, t)
    positive = np.flatnonzero(label[:n])
    owner = positive[np.searchsorted(positive, np.arange(n), side="right") - 1]
    for row in np.flatnonzero(label[:n] == 0):
        assert user[row] == user[owner[row]] and a["time"][row] == a["time"][owner[row]]
        assert item[row] not in taken[user[row], a["time"][row]]
        assert first[item[row]] <= a["time"][row]
    assert len(label) - len(rows) >= 3 * len(rows) - 30  # only the first moments lack candidates


def expected_features(rows: list[dict], times: list, items: list[str], name: str) -> list:
    """An item column by hand: the last value before the moment, at first the first one."""
    by_item = defaultdict(list)
    for row in rows:
        by_item[row["item"]].append((row["time"], row[name]))
    values = []
    for time, item in zip(times, items, strict=True):
        before = [v for t, v in by_item[item] if t < time]
        values.append(before[-1] if before else by_item[item][0][1])
    return values


def item_names(store: Store, rows: list[dict]) -> list[str]:
    """The raw item of every row of the store (unseen ones cannot be told and are blank)."""
    positive = np.flatnonzero(store.arrays["label"] == 1)
    ids = column(store, "item")
    last = store.manifest.table("item").rows - 1
    by_id = {i: row["item"] for i, row in zip(ids[positive], rows, strict=True) if i != last}
    return [by_id.get(i, "") for i in ids]


def test_item_columns_depend_on_item_and_moment_alone_so_the_label_cannot_leak(implicit):
    store, rows = implicit
    a, names = store.arrays, item_names(store, rows)
    known = [i for i, name in enumerate(names) if name]
    times, items = a["time"][known].tolist(), [names[i] for i in known]
    for at, name in enumerate(DENSE):  # `amount` is nobody's: it must not stay with the row
        raw = np.array(expected_features(rows, times, items, name))
        logs, stored = np.log1p(raw), a["dense"][known, at]
        slope, shift = np.polyfit(logs, stored, 1)
        assert slope > 0 and np.allclose(stored, slope * logs + shift, atol=1e-4)
    makers = expected_features(rows, times, items, "maker")
    ids = column(store, "maker")[known]
    assert len(set(zip(ids, makers, strict=True))) == len(set(makers))
    seen: dict[tuple, set] = defaultdict(set)
    for i in range(len(names)):
        key = column(store, "item")[i], a["time"][i]
        seen[key].add((*a["dense"][i].tolist(), column(store, "maker")[i]))
    last = store.manifest.table("item").rows - 1
    assert all(len(values) == 1 for (item, _), values in seen.items() if item != last)


def test_user_columns_stay_with_the_user(implicit):
    store, _ = implicit
    pairs = set(zip(column(store, "user").tolist(), column(store, "country").tolist(), strict=True))
    last = store.manifest.table("user").rows - 1
    pairs = {p for p in pairs if p[0] != last}
    assert len(pairs) == len({u for u, _ in pairs})
    notes = store.manifest.notes
    assert "belongs to the user" in notes["sparse country"]
    for name in ("sparse maker", "dense price", "dense amount"):
        assert "belongs to the item" in notes[name]


def test_dense_columns_are_standardised_over_training(implicit):
    store, _ = implicit
    dense = store.arrays["dense"][: store.manifest.n_train]
    assert np.allclose(dense.mean(0), 0, atol=1e-3) and np.allclose(dense.std(0), 1, atol=1e-3)


@pytest.mark.parametrize("distribution", ["uniform", "popularity"])
def test_negatives_follow_the_stated_distribution(tmp_path, distribution):
    event_log(tmp_path / "log.parquet", n=6000)
    negatives = Negatives(per_positive=5, distribution=distribution)
    store = prepared(
        tmp_path, events_spec(tmp_path / "log.parquet", negatives=negatives, refuse_above=0.3)
    )
    item, label = column(store, "item"), store.arrays["label"]
    late = np.arange(len(label)) > len(label) // 2
    share = np.bincount(item[late & (label == 0)], minlength=item.max() + 1)
    share = share / share.sum()
    popular = np.bincount(item[label == 1], minlength=len(share)) / label.sum()
    top = popular.argmax()
    if distribution == "uniform":
        assert share.max() < 3 / (popular > 0).sum()
    else:
        assert popular[top] / 2 < share[top] <= popular[top] * 1.1
        assert np.corrcoef(share, popular)[0, 1] > 0.95


def test_another_seed_draws_other_negatives_and_the_same_one_the_same(tmp_path):
    event_log(tmp_path / "log.parquet", n=500)
    stores = [
        Store.open(
            prepare(events_spec(tmp_path / "log.parquet", seed=s, refuse_above=0.3), tmp_path / r)
        )
        for s, r in ((0, "a"), (0, "b"), (1, "c"))
    ]
    prints = [s.manifest.fingerprint for s in stores]
    assert prints[0] == prints[1] != prints[2]


def test_chunks_do_not_change_the_store(tmp_path, monkeypatch):
    event_log(tmp_path / "log.parquet", n=800)
    data = events_spec(
        tmp_path / "log.parquet", columns={"sparse": SPARSE, "dense": DENSE}, refuse_above=0.3
    )
    whole = Store.open(prepare(data, tmp_path / "whole")).manifest
    for module in ("events", "binary", "ranks", "features", "intake", "clock", "repeats"):
        monkeypatch.setattr(f"recscale.data.{module}.CHUNK_ROWS", 37)
    assert Store.open(prepare(data, tmp_path / "pieces")).manifest == whole


def test_labelled_clicks_keep_their_own_features_and_only_clicks_enter_histories(tmp_path):
    n = 400
    rng = np.random.default_rng(1)
    log = {
        "user": rng.integers(0, 9, n),
        "item": rng.integers(0, 20, n),
        "time": np.arange(n),
        "clicked": rng.integers(0, 2, n),
        "shown": rng.integers(0, 4, n),
    }
    pq.write_table(pa.table(log), tmp_path / "log.parquet")
    store = prepared(
        tmp_path,
        events_spec(tmp_path / "log.parquet", columns={"label": "clicked", "sparse": ("shown",)}),
    )
    assert store.arrays["label"].tolist() == log["clicked"].tolist()
    assert len(set(zip(column(store, "shown"), log["shown"], strict=True))) == 4
    item = column(store, "item")
    for row in range(n):
        past = (log["user"] == log["user"][row]) & (np.arange(n) < row) & (log["clicked"] == 1)
        assert history(store, row) == item[past].tolist()


def test_next_item_has_one_row_per_event_and_every_label_one(tmp_path):
    log = event_log(tmp_path / "log.parquet", n=500)
    data = events_spec(tmp_path / "log.parquet", task="next_item", refuse_above=0.3)
    store = prepared(tmp_path, data)
    rows = distinct_in_time(log, data)
    assert store.manifest.task == "next_item"
    assert store.arrays["time"].tolist() == [row["time"] for row in rows]
    assert (store.arrays["label"] == 1).all() and "negatives" not in store.manifest.notes


def test_the_real_log_keeps_its_past_and_its_prices_honest(tmp_path):
    place = Path(os.environ.get("RECSCALE_DATA", Path(__file__).parents[2] / "shared/data"))
    log = place / "online_retail.parquet"
    if not log.exists():
        pytest.skip(f"no {log}; set RECSCALE_DATA to the folder of the Online Retail II log")
    part = tmp_path / "part.parquet"
    pq.write_table(pq.read_table(log).slice(0, 20_000), part)
    columns = {"user": "customer_id", "time": "timestamp"}
    columns |= {"sparse": ("country",), "dense": ("unit_price",)}
    store = prepared(tmp_path, events_spec(part, columns=columns))
    notes, a = store.manifest.notes, store.arrays
    assert "belongs to the user" in notes["sparse country"]
    assert "belongs to the item" in notes["dense unit_price"]
    assert store.manifest.label_rate_train == pytest.approx(0.2, abs=0.002)
    n = store.manifest.n_train
    assert a["time"][:n].max() < a["time"][n:].min()
    seen: dict[tuple, set] = defaultdict(set)
    last = store.manifest.table("item").rows - 1
    for key, price in zip(
        zip(column(store, "item"), a["time"], strict=True), a["dense"][:, 0], strict=True
    ):
        if key[0] != last:
            seen[key].add(price)
    assert all(len(prices) == 1 for prices in seen.values())
