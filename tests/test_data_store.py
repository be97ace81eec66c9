"""What the training loop may rely on when it reads a store."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recscale.data.prepare import prepare
from recscale.data.store import Store, StoreError, shard
from recscale.spec import Holdout, SyntheticData


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("stores")


@pytest.fixture(scope="module")
def store(root):
    return Store.open(prepare(SyntheticData(source="synthetic", rows=20_000), root))


@pytest.fixture(scope="module")
def hashed(root):
    return Store.open(prepare(SyntheticData(source="synthetic", rows=20_000, order="hash"), root))


@given(begin=st.integers(0, 10**9), size=st.integers(0, 10**6), world=st.integers(1, 300))
def test_shards_cover_every_row_once_for_any_world_size(begin, size, world):
    parts = [shard(begin, begin + size, rank, world) for rank in range(world)]
    assert parts[0][0] == begin and parts[-1][1] == begin + size
    assert all(a[1] == b[0] for a, b in zip(parts, parts[1:], strict=False))
    sizes = [e - b for b, e in parts]
    assert min(sizes) >= 0 and max(sizes) - min(sizes) <= 1


@given(st.tuples(st.floats(1e-4, 1), st.floats(1e-4, 1)))
def test_a_smaller_fraction_is_a_prefix_of_a_larger_one(store, fractions):
    small, large = (store.train(f) for f in sorted(fractions))
    assert small.begin == large.begin == 0 and small.end <= large.end
    assert len(small) == int(min(fractions) * store.manifest.n_train)


def test_training_is_strictly_earlier_than_evaluation(store, hashed):
    for each in (store, hashed):
        clock, n = each.arrays["time"], each.manifest.n_train
        assert clock[:n].max() < clock[n:].min()
        assert each.manifest.n_eval >= 0.1 * len(clock)


def test_time_order_ascends_and_hash_order_mixes_the_same_rows(store, hashed):
    n = store.manifest.n_train
    clock, mixed = store.arrays["time"][:n], hashed.arrays["time"][:n]
    assert (np.diff(clock) >= 0).all()
    assert np.array_equal(np.sort(mixed), clock)
    tenth = mixed[: n // 10]
    assert abs(tenth.mean() / clock.mean() - 1) < 0.05  # a sample of the whole window
    rows = [np.c_[s.arrays["ids"][:n], s.arrays["history_end"][:n]] for s in (store, hashed)]
    assert np.array_equal(*(r[np.lexsort(r.T)] for r in rows))


def test_ids_are_ranked_by_training_frequency_with_a_last_one_for_the_unseen(store):
    n = store.manifest.n_train
    for column, facts in enumerate(store.manifest.tables):
        counts = np.bincount(store.arrays["ids"][:n, column], minlength=facts.rows)
        assert (np.diff(counts[:-1]) <= 0).all() and counts[-2] > 0
        assert counts[-1] == 0 and facts.rows == facts.distinct + 1
        unseen = store.arrays["ids"][n:, column] == facts.rows - 1
        assert facts.unseen_rate == pytest.approx(unseen.mean())


def test_embedding_rows_wraps_ids_and_histories_and_leaves_small_tables(store):
    whole = store.train().read(5000, 7000, history_length=20)
    capped = store.train().read(5000, 7000, embedding_rows=100, history_length=20)
    sizes = store.table_rows
    expected = np.where(sizes > 100, whole.ids % 100, whole.ids)
    assert np.array_equal(capped.ids, expected)
    assert np.array_equal(capped.history, whole.history % 100)
    assert np.array_equal(capped.history_lengths, whole.history_lengths)
    assert capped.ids.max(axis=0)[sizes <= 100].tolist() == (sizes[sizes <= 100] - 2).tolist()


def test_a_batch_has_the_promised_types_and_shapes(store):
    batch = store.eval().read(3, 10, history_length=5)
    arrays = {k: v for k, v in vars(batch).items() if k not in ("history", "bags")}
    shapes = {k: (v.dtype.name, v.shape) for k, v in arrays.items()}
    assert shapes == {
        "dense": ("float32", (7, 16)),
        "ids": ("int64", (7, 7)),
        "label": ("float32", (7,)),
        "history_lengths": ("int32", (7,)),
    }
    assert batch.history.dtype == np.int64
    assert len(batch.history) == batch.history_lengths.sum() and batch.history_lengths.max() <= 5
    assert len(store.train().read(0, 7).history) == 0
    with pytest.raises(IndexError):
        store.train(0.1).read(0, store.manifest.n_train)


def test_reading_in_pieces_is_reading_at_once(store):
    split = store.train(0.5)
    whole = split.read(0, len(split), history_length=7)
    pieces = [
        split.read(b, min(b + 997, len(split)), history_length=7) for b in range(0, len(split), 997)
    ]
    for name, value in vars(whole).items():
        assert np.array_equal(value, np.concatenate([getattr(p, name) for p in pieces])), name


def test_a_history_holds_the_last_clicks_of_the_user_before_the_row(store):
    a = store.arrays
    users = np.array([0, 1, 5, 100])
    for user in users:
        rows = np.flatnonzero(a["ids"][:, 1] == user)
        for row in rows[:: max(1, len(rows) // 20)]:
            past = [r for r in rows if a["time"][r] < a["time"][row] and a["label"][r] == 1]
            expected = a["ids"][past, 0]
            items = a["history_items"][a["history_begin"][row] : a["history_end"][row]]
            assert items.tolist() == expected.tolist()


def test_a_folder_that_was_never_prepared_names_the_remedy(tmp_path):
    with pytest.raises(StoreError, match="recscale prepare"):
        Store.open(tmp_path)


def test_a_store_of_another_version_is_refused(store, tmp_path):
    (tmp_path / "manifest.json").write_text(
        store.manifest.model_copy(update={"version": 99}).model_dump_json()
    )
    with pytest.raises(StoreError, match="layout 99.*recscale prepare"):
        Store.open(tmp_path)


def test_verify_notices_one_changed_value(tmp_path):
    path = prepare(SyntheticData(source="synthetic", rows=1000), tmp_path)
    Store.open(path).verify()
    label = np.load(path / "label.npy", mmap_mode="r+")
    label[17] = 1 - label[17]
    label.flush()
    with pytest.raises(StoreError, match="label.npy differs"):
        Store.open(path).verify()


def test_the_holdout_share_is_kept(tmp_path):
    data = SyntheticData(source="synthetic", rows=5000, holdout=Holdout(last=0.3))
    manifest = Store.open(prepare(data, tmp_path)).manifest
    assert 0.3 <= manifest.n_eval / 5000 < 0.32
