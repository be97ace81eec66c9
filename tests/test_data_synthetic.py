"""The synthetic world knows its own Bayes loss."""

from __future__ import annotations

import numpy as np
import pytest

from recscale.data.prepare import prepare
from recscale.data.store import Store
from recscale.data.teacher import RECENT, Teacher
from recscale.spec import SyntheticData


def world(tmp_path, **kwargs) -> Store:
    data = SyntheticData(source="synthetic", **{"rows": 40_000, **kwargs})
    return Store.open(prepare(data, tmp_path))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return world(tmp_path_factory.mktemp("world"))


def teacher_of(store: Store, seed: int = 0) -> Teacher:
    return Teacher.planted(seed, {t.name: t.rows for t in store.manifest.tables})


def features(split) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """dense, ids, the last clicked items (newest first, -1 for none), label of all rows."""
    batch = split.read(0, len(split), history_length=RECENT)
    recent = np.full((len(split), RECENT), -1)
    ends = np.cumsum(batch.history_lengths)
    for back in range(RECENT):
        there = batch.history_lengths > back
        recent[there, back] = batch.history[ends[there] - 1 - back]
    return batch.dense, batch.ids, recent, batch.label


def log_loss(p: np.ndarray, label: np.ndarray) -> float:
    return float(-np.mean(np.where(label == 1, np.log(p), np.log1p(-p))))


def test_the_floor_is_the_loss_of_the_teacher_recomputed_from_what_the_store_holds(store):
    dense, ids, recent, label = features(store.eval())
    p = teacher_of(store).probability(dense, ids, recent)
    floor = store.manifest.floor
    assert floor.log_loss == pytest.approx(log_loss(p, label), abs=1e-6)
    entropy = -np.mean(p * np.log(p) + (1 - p) * np.log1p(-p))
    assert floor.expected_log_loss == pytest.approx(entropy, abs=1e-6)
    rate = label.mean()
    base = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
    assert floor.ne == pytest.approx(floor.log_loss / base, abs=1e-6)


def test_labels_are_drawn_from_the_teacher(store):
    dense, ids, recent, label = features(store.train())
    p = teacher_of(store).probability(dense, ids, recent)
    for low in np.arange(0, 1, 0.1):
        rows = (p >= low) & (p < low + 0.1)
        spread = np.sqrt((p[rows] * (1 - p[rows])).sum())
        assert abs(label[rows].sum() - p[rows].sum()) < 4.5 * spread


def test_no_part_of_the_teacher_can_be_spared(store):
    dense, ids, recent, label = features(store.eval())
    teacher = teacher_of(store)
    p = teacher.probability(dense, ids, recent)
    logit = np.log(p) - np.log1p(-p)
    rng = np.random.default_rng(0)
    for part in teacher.parts(dense, ids, recent).values():
        assert log_loss(1 / (1 + np.exp(part - logit)), label) > store.manifest.floor.log_loss
    for scale in (0.7, 1.4):
        assert log_loss(1 / (1 + np.exp(-scale * logit)), label) > store.manifest.floor.log_loss
    noisy = logit + 0.3 * rng.standard_normal(len(logit))
    assert log_loss(1 / (1 + np.exp(-noisy)), label) > store.manifest.floor.log_loss


def test_the_order_of_the_history_matters_to_the_teacher(store):
    dense, ids, recent, label = features(store.eval())
    rows = (recent >= 0).all(1)
    turned = recent[:, ::-1]
    p = teacher_of(store).probability(dense[rows], ids[rows], turned[rows])
    true = teacher_of(store).probability(dense[rows], ids[rows], recent[rows])
    assert log_loss(p, label[rows]) > log_loss(true, label[rows]) + 0.01


def test_values_unseen_in_training_have_no_effect(store):
    teacher = teacher_of(store)
    last = [t.rows - 1 for t in store.manifest.tables]
    dense = np.zeros((1, store.arrays["dense"].shape[1]), np.float32)
    ids, none = np.array([last]), np.full((1, RECENT), -1)
    assert teacher.parts(dense, ids, none)["bias"] == 0
    unseen_item = np.full((1, RECENT), last[0])
    assert teacher.probability(dense, ids, unseen_item) == teacher.probability(dense, ids, none)


def test_the_same_seed_is_the_same_world(tmp_path):
    same = [world(tmp_path / r, rows=3000).manifest for r in ("a", "b")]
    other = world(tmp_path / "c", rows=3000, seed=1).manifest
    assert same[0] == same[1]
    assert other.fingerprint != same[0].fingerprint


def test_chunks_do_not_change_the_world(tmp_path, monkeypatch):
    whole = world(tmp_path / "whole", rows=3000).manifest
    for module in ("synthetic", "ranks", "build"):
        monkeypatch.setattr(f"recscale.data.{module}.CHUNK_ROWS", 129)
    assert world(tmp_path / "pieces", rows=3000).manifest == whole


@pytest.mark.parametrize("rows", [1000, 20_000])
def test_small_worlds_work_and_have_histories(tmp_path, rows):
    manifest = world(tmp_path, rows=rows, users=50, items=30).manifest
    assert manifest.n_train + manifest.n_eval == rows == manifest.raw_rows
    assert manifest.history == "item" and manifest.history_mean_length > 1
    assert manifest.label_rate_train and 0.1 < manifest.label_rate_train < 0.45
    assert 0 < manifest.floor.ne < 1


def test_popularity_is_skewed(store):
    items = np.bincount(store.arrays["ids"][:, 0])
    assert items[:100].sum() > 0.4 * items.sum()
