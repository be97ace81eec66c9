"""The synthetic world of sequences: what its teacher says is what its users do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from data_files import prepared

from recscale.data.sequences import eval_windows, positions
from recscale.data.walks import LAGS, Teacher
from recscale.spec import SyntheticData

SPEC = SyntheticData(
    source="synthetic", task="next_item", rows=20_000, users=400, items=300, seed=3
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("walks"), SPEC)


def test_chances_add_up_to_one():
    teacher = Teacher(40, 0)
    rng = np.random.default_rng(0)
    for length in (0, 1, 3, 8):
        past = np.tile(rng.integers(0, 40, length), (40, 1))
        assert teacher.probability(past, np.arange(40)).sum() == pytest.approx(1)


def test_draws_follow_the_chances():
    teacher, n = Teacher(30, 1), 60_000
    past = np.tile(np.random.default_rng(2).integers(0, 30, 8), (n, 1))
    drawn = teacher.draw(past, np.random.default_rng(3))
    share = np.bincount(drawn, minlength=30) / n
    chance = teacher.probability(past[:30], np.arange(30))
    assert np.abs(share - chance).max() < 5 * math.sqrt(0.25 / n)
    assert sum(LAGS.values()) < 1


def test_users_walk_in_time_and_the_store_is_like_a_logs(world):
    a, m = world.arrays, world.manifest
    assert (m.task, m.n_train + m.n_eval) == ("next_item", 20_000)
    n = m.n_train
    assert a["time"][:n].max() < a["time"][n:].min()
    begins = np.unique(a["history_begin"])
    for first, last in zip(begins, [*begins[1:], 20_000], strict=True):
        assert (np.diff(a["history_times"][first:last]) >= 0).all()
    place = a["history_end"]
    item = a["ids"][:, [t.name for t in m.tables].index("item")]
    assert np.array_equal(a["history_items"][place], item)
    assert np.array_equal(a["history_times"][place], a["time"])
    p = positions(world, eval_windows(world, 16))
    assert len(p.scored) == m.n_eval


def test_the_floor_lies_between_nothing_and_popularity(world):
    counts = np.bincount(world.arrays["ids"][: world.manifest.n_train, 1])
    share = counts[counts > 0] / counts.sum()
    popularity = -(share * np.log(share)).sum()
    floor = world.manifest.floor
    assert 0 < floor.log_loss < popularity
    assert floor.ne == pytest.approx(floor.log_loss / popularity)


def test_the_same_seed_is_the_same_world(world, tmp_path):
    again = prepared(tmp_path, SPEC).manifest.fingerprint
    other = prepared(tmp_path, SPEC.model_copy(update={"seed": 4})).manifest.fingerprint
    assert again == world.manifest.fingerprint != other
