"""Two towers: sizes, what is read, the loss against a double loop and closed forms, contrastive
entropy, and what a sweep may ask. The contract of all families: test_contract.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from data_files import events_spec, prepared, sequence_log
from pydantic import ValidationError
from torch import nn

from recscale.cost import estimate
from recscale.data.layout import HISTORY_ITEMS
from recscale.data.sequences import TrainStream, Windows, eval_windows, positions, widened
from recscale.families.two_tower import TwoTowerConfig
from recscale.models.contract import build
from recscale.models.counting import Subject, count
from recscale.models.sequences import sequences
from recscale.models.two_tower import means
from recscale.planner import PlanError, planned_runs
from recscale.run import RunConfig, TrainConfig
from recscale.spec import ResourcesSpec, SweepSpec
from recscale.train.host import PlainHost
from recscale.train.loop import train
from recscale.train.next_item import Met
from recscale.train.retrieval import RetrievalTask, contrasted
from recscale.train.task import task_of

CPU = torch.device("cpu")
SIZES: dict[str, Any] = dict(
    family="two_tower", embedding_dim=8, tower_width=12, tower_depth=1, output_dim=6,
    sequence_length=5, in_batch=20, negatives=0, correction=True, contrastive=16, filter_seen=False,
)  # fmt: skip
TRAIN: dict[str, Any] = dict(
    data_fraction=1.0, batch_size=64, epochs=1, dense_rate=3e-3, sparse_rate=0.3, rate_factor=1.0,
    warmup=0.05, eval_points=3, diverge_above=10.0, seed=0,
)  # fmt: skip


def run(store, **changes) -> RunConfig:
    model = {k: changes.pop(k) for k in list(changes) if k in TwoTowerConfig.model_fields}
    return RunConfig(
        data=store.manifest.fingerprint,
        model=TwoTowerConfig(**{**SIZES, **model}),
        train=TrainConfig(**{**TRAIN, **changes}),
    )


def task(store, **changes) -> RetrievalTask:
    found = task_of(run(store, **changes), store, 0, 1, CPU)
    assert isinstance(found, RetrievalTask)
    return found


def test_sizes_counted_by_hand(sequence_store):
    """Two towers 8 -> 12 -> 6; a sample passes both, and meets 1 + 20 vectors of 6."""
    data, config = sequence_store.manifest, TwoTowerConfig(**SIZES)
    tower = 8 * 12 + 12 + 12 * 6 + 6
    assert config.dense_params(data) == 2 * tower == 372
    assert config.table_params(data) == (data.items.rows + 1) * 8
    assert config.forward_flop(data).total == 2 * 2 * (8 * 12 + 12 * 6) + 2 * 6 * 21
    found = count(Subject.of(config), data)
    assert found.flop == config.forward_flop(data).total
    assert found.dense_params == config.dense_params(data)
    more = TwoTowerConfig(**{**SIZES, "negatives": 64})  # once a batch: one a sample of 64
    cost = estimate(more, run(sequence_store, batch_size=64).train, data, ResourcesSpec())
    assert cost.forward.body == 3 * 2 * (8 * 12 + 12 * 6)
    assert cost.train_flop == 3 * cost.forward.total * cost.samples
    linear = TwoTowerConfig(**{**SIZES, "tower_depth": 0, "tower_width": 0})
    assert linear.dense_params(data) == 2 * (8 * 6 + 6)


@pytest.mark.parametrize("evaluates", [False, True])
def test_every_target_is_read_with_the_users_last_items(sequence_store, evaluates):
    store, length = sequence_store, 5
    one = (
        eval_windows(store, 1) if evaluates else TrainStream(store.train(), 1, 0).windows(0, 0, 300)
    )
    batch = positions(store, widened(one, length))
    ends = np.cumsum(batch.lengths)
    assert batch.scored.tolist() == (ends - 1).tolist()
    assert sorted(batch.event[batch.scored]) == sorted(one.begin)
    items, start = store.arrays[HISTORY_ITEMS], store.history_rows
    for begin, end in zip([0, *ends], ends, strict=False):
        first, event = batch.user[begin], batch.event[end - 1]
        past = [start, *items[first:event].tolist()][-length:]
        assert batch.item[begin:end].tolist() == past
        assert batch.target[end - 1] == items[event]


def test_a_window_is_widened_up_to_the_users_first_event():
    windows = Windows(*(np.array(x) for x in ([7, 3, 0], [1, 1, 4], [2, 2, 0], [1, 1, 4])))
    found = widened(windows, 4)
    assert found.begin.tolist() == [4, 2, 0] and found.length.tolist() == [4, 2, 4]
    assert found.scored.tolist() == [1, 1, 4]


def test_a_user_is_the_mean_of_the_items_so_far(sequence_store):
    """In windows of any length, at every position."""
    batch = positions(sequence_store, TrainStream(sequence_store.train(), 7, 0).windows(0, 0, 200))
    s = sequences(batch, np.arange(3), CPU)
    x = torch.randn(len(batch.item), 4)
    found, at = means(x, s), 0
    for length in batch.lengths:
        for place in range(length):
            torch.testing.assert_close(found[at + place], x[at : at + place + 1].mean(0))
        at += length


@pytest.mark.parametrize("correction", [True, False])
@pytest.mark.parametrize(("n", "m"), [(20, 0), (20, 9), (63, 0)])
def test_the_loss_is_that_of_a_double_loop(sequence_store, n, m, correction):
    t = task(sequence_store, in_batch=n, negatives=m, correction=correction)
    rng = np.random.default_rng(0)
    met = t._met(sequence_store.manifest.n_train)
    items = rng.choice(met.items, 64 + m, p=None)
    hidden, vectors = torch.randn(40, 6).double(), torch.randn(64 + m, 6).double()
    own = rng.permutation(64)[:40]
    total = 0.0
    for row in range(40):
        mine = int(own[row])
        others = [j for j in range(64) if j != mine][:n] + list(range(64, 64 + m))
        terms = [float(hidden[row] @ vectors[mine])]
        for j in others:
            if items[j] == items[mine]:
                continue
            share = float(met.share[met.items.tolist().index(items[j])])
            expected = n * share + m / len(met.items)
            terms.append(
                float(hidden[row] @ vectors[j]) - (math.log(expected) if correction else 0)
            )
        total -= terms[0] - math.log(sum(map(math.exp, terms)))
    assert float(t.entropy(hidden, vectors, items, own, met)) == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(4000, 0), (2000, 2000), (40, 4000)])
def test_many_negatives_come_to_the_softmax_over_all_items(sequence_store, n, m):
    """Whatever the items' popularity and wherever the negatives come from."""
    t = task(sequence_store, in_batch=n, negatives=m)
    rng, size = np.random.default_rng(1), 30
    share = 1 / np.arange(1, size + 1) ** 1.5
    met = Met(np.arange(size), share / share.sum())
    items = np.r_[rng.choice(size, 5000, p=met.share), rng.integers(0, size, m)]
    table, hidden = torch.randn(size, 6).double(), torch.randn(50, 6).double()
    own = np.arange(50)
    found = t.entropy(hidden, table[torch.from_numpy(items)], items, own, met)
    truth = torch.from_numpy(items[:50])
    whole = nn.functional.cross_entropy(hidden @ table.T, truth, reduction="sum")
    assert float(found) == pytest.approx(float(whole), rel=0.02)


@pytest.mark.parametrize("correction", [True, False])
def test_scores_learn_popularity_by_the_correction_alone(sequence_store, correction):
    """Targets are drawn from a skewed popularity whoever asks: the best softmax over all items is
    that popularity. Negatives come from the same distribution, so that without a correction no item
    is likelier to be the target than to be beside it, and nothing is learnt of how common it is."""
    t = task(sequence_store, in_batch=31, correction=correction)
    rng, size = np.random.default_rng(2), 60
    share = 1 / np.arange(1, size + 1) ** 1.2
    met = Met(np.arange(size), share / share.sum())
    scores = nn.Parameter(torch.zeros(size, 1))
    adam = torch.optim.Adam([scores], lr=0.05)
    steps = 600
    for step in range(steps):
        items = rng.choice(size, 128, p=met.share)
        loss = t.entropy(torch.ones(128, 1), scores[items], items, np.arange(128), met)
        adam.zero_grad()
        (loss / 128).backward()
        adam.param_groups[0]["lr"] = 0.05 * (1 - step / steps)
        adam.step()
    learnt = torch.softmax(scores.detach().squeeze(1), 0).numpy()
    away = 0.5 * np.abs(learnt - met.share).sum()
    flat = 0.5 * np.abs(1 / size - met.share).sum()
    assert flat > 0.5
    if correction:
        assert away < 0.06
    else:
        assert away > 0.6 * flat


@pytest.mark.parametrize("negatives", [0, 7])
def test_under_anytime_items_are_expected_as_often_as_the_batches_of_that_time_hold_them(
    negatives, tmp_path
):
    """In a log that drifts: over all batches of a block, each other's items stand for every item of
    the block once, whatever their popularity before it."""
    n = 2048
    at, rng = np.arange(n), np.random.default_rng(5)
    item = np.where(at < n // 2, 0, 6) + rng.geometric(0.3, n) % 12
    table = pa.table({"user": at % 97, "item": item, "time": 1_600_000_000 + at})
    pq.write_table(table, tmp_path / "log.parquet")
    data = events_spec(tmp_path / "log.parquet", task="next_item", holdout={"last": 0.001})
    store = prepared(tmp_path, data)
    t = task(store, schedule="anytime", warmup=0.0, warmup_samples=64, in_batch=31, batch_size=32,
             negatives=negatives)  # fmt: skip
    half, last = len(t.stream) // 2, t.steps_per_epoch
    first = -(-half // 32)
    counts, found = np.zeros(len(t.catalogue)), Met(t.catalogue, t.share)
    for step in range(first, last):
        batch = 32 * step, 32 * step + 32
        found = t._beside(0, *batch, t._met(t.stream.reach(0, batch[1])))
        target = positions(store, t.stream.windows(0, *batch)).target
        counts += np.bincount(target, minlength=len(counts))
    expected = 32 * (last - first) * found.share
    assert counts[found.items] == pytest.approx(expected, rel=0.02, abs=6)
    ids = store.arrays["ids"][: len(t.stream), 1]
    gone = np.setdiff1d(ids[:half], ids[half:])
    assert len(gone) and (found.share[np.isin(found.items, gone)] == 0).all()
    assert t.share[gone].all()


def test_targets_are_told_the_rows_that_they_are_drawn_from(sequence_store):
    """A batch across the edge of two blocks holds some of each; a second pass is of all rows."""
    stream = TrainStream(sequence_store.train(), 1, 0, nested=True)
    column = sequence_store.arrays["ids"][:, 1]
    for begin, end in ((0, 64), (640, 704), (0, 1350), (1000, 1001)):
        parts = stream.blocks(0, begin, end)
        assert sum(n for *_, n in parts) == end - begin
        target = positions(sequence_store, stream.windows(0, begin, end)).target
        whole = [column[a:b] for a, b, n in parts if n == b - a]
        some = np.bincount(np.concatenate([column[a:b] for a, b, _ in parts]), minlength=50)
        assert (np.bincount(target, minlength=50) <= some).all()
        least = np.bincount(np.concatenate([*whole, np.array([], int)]), minlength=50)
        assert (np.bincount(target, minlength=50) >= least).all()
    assert stream.blocks(1, 3, 9) == [(0, 1350, 6)]
    assert TrainStream(sequence_store.train(0.5), 1, 0).blocks(0, 3, 9) == [(0, 675, 6)]


def test_ids_under_anytime_are_new_and_the_earlier_ones_are_known(sequence_store):
    decayed = run(sequence_store)
    assert decayed.run_id == f"{decayed._name(decayed._point)}-{decayed._fingerprints()[0][:8]}"
    assert len(decayed._fingerprints()) == 2
    moved = run(sequence_store, schedule="anytime", warmup=0.0, warmup_samples=64)
    assert len(set(moved._fingerprints())) == 5
    before = moved._fingerprints()[1][:8]
    assert moved.is_run(f"{moved._name(moved._point)}-{before}")


def test_the_first_loss_is_that_of_a_guess(sequence_store):
    t = task(sequence_store, in_batch=40, negatives=10)
    torch.manual_seed(0)
    model: Any = build(t.towers, sequence_store.manifest)

    def guess(s):
        return 0 * torch.randn(len(s.scored), 6), 0 * torch.randn(64 + 10, 6)

    assert len(model.user) == 3
    part = t.loss(guess, 0)
    assert float(part.loss) == pytest.approx(part.untrained, rel=0.05)
    assert part.untrained == pytest.approx(math.log(len(t._met(len(t.stream)).items)))
    plain = task(sequence_store, in_batch=40, negatives=10, correction=False).loss(guess, 0)
    assert plain.untrained == pytest.approx(math.log(51))
    assert float(plain.loss) == pytest.approx(plain.untrained, rel=0.05)


def test_two_ranks_have_the_loss_of_one(sequence_store):
    """Each scores its samples against the whole batch's; so do the gradients that are averaged."""
    config = run(sequence_store, negatives=9)
    table = torch.randn(sequence_store.history_rows + 1, 6)

    def model(s):
        past = means(table[s.ids["item"].values()], s)[s.scored]
        return past, table[s.ids["catalogue"].values()]

    whole = task_of(config, sequence_store, 0, 1, CPU).loss(model, 3)
    parts = [task_of(config, sequence_store, rank, 2, CPU).loss(model, 3) for rank in range(2)]
    assert np.mean([float(p.loss) for p in parts]) == pytest.approx(float(whole.loss), rel=1e-5)
    assert np.mean([p.untrained for p in parts]) == pytest.approx(whole.untrained)


def test_contrastive_entropy_is_that_of_a_loop(sequence_store):
    t = task(sequence_store)
    rng, V = np.random.default_rng(0), len(t.catalogue)
    scores, truth = torch.randn(8, V).double(), torch.from_numpy(rng.integers(0, V, 8))
    event = np.arange(100, 108)
    (found,) = t.beside_of(scores, truth, event)
    against = contrasted(event, truth.numpy(), V, 16)
    for row in range(8):
        own = math.exp(scores[row, truth[row]])
        others = sum(math.exp(scores[row, j]) for j in against[row])
        assert float(found[row]) == pytest.approx(-math.log(own / (own + others)))
    (even,) = t.beside_of(0 * scores, truth, event)
    assert even.tolist() == pytest.approx([math.log(17)] * 8)


def test_contrasted_items_are_any_but_the_target_and_equally_often():
    event, target = np.arange(400), np.arange(400) % 11
    found = contrasted(event, target, 11, 256)
    assert found.shape == (400, 256) and found.min() == 0 and found.max() == 10
    assert not (found == target[:, None]).any()
    counts = np.bincount(found.ravel(), minlength=11)
    assert counts == pytest.approx([400 * 256 / 11] * 11, rel=0.05)
    assert (contrasted(event[7:9], target[7:9], 11, 256) == found[7:9]).all()


@pytest.mark.parametrize("schedule", ["decayed", "anytime"])
def test_a_ring_is_learnt(schedule, tmp_path):
    """Four steps in five go one item on, so that the last item alone tells the next."""
    sequence_log(tmp_path / "log.parquet", per_second=1)
    store = prepared(tmp_path, events_spec(tmp_path / "log.parquet", task="next_item"))
    how = {"schedule": schedule}
    how |= {"warmup": 0.0, "warmup_samples": 640} if schedule == "anytime" else {}
    outcome = train(
        run(store, sequence_length=1, embedding_dim=16, tower_width=32, output_dim=16, epochs=12,
            in_batch=60, **how),
        store, PlainHost(),
    )  # fmt: skip
    last = outcome.curve[-1]
    assert outcome.status == "done" and last.eval_loss < math.log(40) / 2
    assert last.metrics["eval_hr5"] > 0.6
    assert last.metrics["eval_contrastive"] < 0.5 * math.log(17)
    assert "progressive_loss" not in last.metrics


def sweep(**more) -> SweepSpec:
    model = {"family": "two_tower", **more.pop("model", {})}
    given = {"name": "x", "data": {"source": "synthetic", "task": "next_item"}, "model": model}
    return SweepSpec.model_validate({**given, "budget": {"flop": 1e15}, **more})


def test_what_is_asked_in_vain_is_said(sequence_store):
    for wrong, sentence in ((0, "in_batch"), ([None, 31], "null stands for all others of the")):
        with pytest.raises(ValidationError, match=sentence):
            sweep(model={"in_batch": wrong})
    assert sweep(law={"loss": "eval_contrastive"}).law_loss == "eval_contrastive"
    with pytest.raises(ValidationError, match="'progressive_loss' is no loss of family two_tower"):
        sweep(law={"loss": "progressive_loss"}, train={"schedule": "anytime"})
    with pytest.raises(ValidationError, match="needs data.task next_item"):
        sweep(data={"source": "synthetic", "task": "click"})
    with pytest.raises(PlanError, match="model.in_batch: 64 others of a batch of 64; take fewer"):
        planned_runs(sweep(model={"in_batch": [31, 64]}, train={"batch_size": 64}),
                     sequence_store.manifest)  # fmt: skip
    runs = planned_runs(
        sweep(model={"in_batch": [31, 63], "tower_depth": [0, 1]}, train={"batch_size": 64}),
        sequence_store.manifest,
    )
    assert len({p.run_id for p in runs}) == 4
    with pytest.raises(PlanError, match="model.in_batch: 0 others of a batch of 1"):
        planned_runs(sweep(train={"batch_size": 1}), sequence_store.manifest)
    for how, batch in (({"batch_size": 64}, 64), ({}, 32)):
        (whole,) = planned_runs(sweep(train=how), sequence_store.manifest)
        assert whole.config.train.batch_size == batch
        assert whole.config.model.option("in_batch", 0) == batch - 1
    assert any(p.run_id.startswith("two_tower-d32-t0-o32-s50-b63-n0-") for p in runs)
