"""Training to the next item: the loss, full ranking against brute force, several workers."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from architectures import architecture
from built import Built
from data_files import events_spec, prepared, sequence_log
from torch.nn import functional as F

from recscale.data.sequences import TrainStream
from recscale.data.store import Store
from recscale.families.sequence import SequenceConfig
from recscale.run import RunConfig, TrainConfig
from recscale.spec import Columns, EventsData, Holdout
from recscale.testing.workers import spawn
from recscale.train.host import PlainHost
from recscale.train.loop import _Training, train
from recscale.train.next_item import NextItemTask
from recscale.train.optim import Optimizers

CPU = torch.device("cpu")
TRAIN: dict[str, Any] = dict(
    data_fraction=1.0, batch_size=64, epochs=4, dense_rate=3e-3, sparse_rate=0.3, rate_factor=1.0,
    warmup=0.05, eval_points=3, diverge_above=2.0, seed=0,
)  # fmt: skip

SAMPLED: dict[str, Any] = dict(negatives=16, negatives_by="popularity", correction=True)


def run(store: Store, name: str = "decoder", **changes) -> RunConfig:
    model = {k: changes.pop(k) for k in list(changes) if k in SequenceConfig.model_fields}
    return RunConfig(
        data=store.manifest.fingerprint,
        model=architecture(name, **model),
        train=TrainConfig(**{**TRAIN, **changes}),
    )


@pytest.mark.parametrize("name", ["decoder", "hstu"])
def test_a_ring_is_learnt(name, tmp_path):
    """Four steps in five go one item on; popularity, all but even over 40 items, knows nothing.
    No two events share a second: nothing would tell which of them came first."""
    sequence_log(tmp_path / "log.parquet", per_second=1)
    store = prepared(tmp_path, events_spec(tmp_path / "log.parquet", task="next_item"))
    outcome = train(run(store, name), store, PlainHost())
    assert outcome.status == "done"
    assert outcome.samples == 4 * (store.manifest.n_train // 64) * 64
    last = outcome.curve[-1]
    assert last.eval_loss < math.log(40) / 2
    assert last.metrics["eval_hr5"] > 0.6


def ring_csv(path) -> list[tuple[int, int, int]]:
    """MovieLens' layout of 20M and later: ratings.csv of userId, movieId, rating, timestamp."""
    events = sequence_log(path.with_suffix(".parquet"), n=700)
    lines = [f"{u},{i},3.5,{t}" for u, i, t in events]
    path.write_text("\n".join(["userId,movieId,rating,timestamp", *lines]) + "\n")
    return events


@pytest.mark.parametrize("filtered", [False, True])
def test_leave_one_out_metrics_equal_a_brute_force_over_the_log(filtered, tmp_path):
    """Every user's last rating, ranked among all items by the model's answer to the user's whole
    past, read from the text of the log alone."""
    events = ring_csv(tmp_path / "ratings.csv")
    data = EventsData(
        source="events", path=str(tmp_path / "ratings.csv"), task="next_item",
        columns=Columns(user="userId", item="movieId", time="timestamp"),
        holdout=Holdout(leave_one_out=True), refuse_above=0.5,
    )  # fmt: skip
    store = prepared(tmp_path, data)
    past = defaultdict(list)
    for user, item, _ in events:
        past[user].append(item)
    tested = {u: items for u, items in past.items() if len(items) > 1}
    assert store.manifest.n_eval == len(tested)
    trained = [i for items in tested.values() for i in items[:-1]]
    trained += [i for items in past.values() if len(items) == 1 for i in items]
    counts = np.bincount(trained)
    assert store.manifest.n_train == len(trained)

    config = run(store, filter_seen=filtered)
    built = Built(architecture("decoder", filter_seen=filtered), store).loud()
    found = NextItemTask(config, store, 0, 1, CPU).evaluate(built.model)

    # ids are ranks by count in training, ties in the order of first appearance in the log
    first = {item: n for n, (_, item, _) in reversed(list(enumerate(events)))}
    known = sorted(np.flatnonzero(counts), key=lambda i: (-counts[i], first[int(i)]))
    number = {int(item): n for n, item in enumerate(known)}
    losses, places, offered = [], [], set()
    table, start = built.table(), len(known) + 1
    for items in tested.values():
        ids = [number[i] for i in items]
        read = [start, *ids[:-1]][-8:]
        scores = naive_scores(built, read, table[: len(known)])
        target = ids[-1]
        losses.append(math.log(sum(math.exp(s) for s in scores)) - scores[target])
        hidden = set(ids[:-1]) - {target} if filtered else set()
        better = sum(s > scores[target] for i, s in enumerate(scores) if i not in hidden)
        places.append(1 + better)
        left = [i for i in range(len(scores)) if not filtered or i not in set(ids[:-1])]
        offered |= set(sorted(left, key=lambda i: -scores[i])[:10])
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-5)
    for k in (5, 10, 50, 200):
        hr = np.mean([p <= k for p in places])
        ndcg = np.mean([1 / math.log2(p + 1) if p <= k else 0 for p in places])
        assert found.metrics[f"eval_hr{k}"] == pytest.approx(hr)
        assert found.metrics[f"eval_ndcg{k}"] == pytest.approx(ndcg)
    assert found.metrics["eval_mrr"] == pytest.approx(np.mean([1 / p for p in places]))
    assert found.metrics["eval_coverage10"] == pytest.approx(len(offered) / len(known))


def naive_scores(built: Built, read: list[int], items: torch.Tensor) -> list[float]:
    """One user's scores by the decoder's formulas, written out."""
    state = built.model.state_dict()
    d = built.config.sequence_width

    def norm(x, name):
        return F.layer_norm(x, (d,), state[f"{name}.weight"], state[f"{name}.bias"])

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    x = built.table()[read] + state["position"][: len(read)]
    for i in range(built.config.sequence_depth):
        block = f"blocks.{i}"
        q, k, v = linear(norm(x, f"{block}.attention_norm"), f"{block}.qkv").chunk(3, 1)
        mixed = torch.zeros_like(x)
        for h in range(built.config.heads):
            part = slice(h * 8, h * 8 + 8)
            for t in range(len(read)):
                weight = torch.softmax(k[: t + 1, part] @ q[t, part] / 8**0.5, 0)
                mixed[t, part] = weight @ v[: t + 1, part]
        x = x + linear(mixed, f"{block}.out")
        x = x + linear(F.gelu(linear(norm(x, f"{block}.ffn_norm"), f"{block}.up")), f"{block}.down")
    return (items @ norm(x, "norm")[-1]).tolist()


def test_a_large_catalogue_is_ranked_in_pieces(sequence_store, monkeypatch):
    built = Built(architecture("decoder"), sequence_store).loud()
    task = NextItemTask(run(sequence_store), sequence_store, 0, 1, CPU)
    whole = task.evaluate(built.model)
    monkeypatch.setattr("recscale.train.next_item.SCORES", 100)
    pieces = task.evaluate(built.model)
    assert pieces.loss == pytest.approx(whole.loss) and pieces.metrics == whole.metrics


@pytest.mark.parametrize("by", ["popularity", "uniform"])
def test_corrected_samples_tend_to_the_full_softmax(by, sequence_store):
    """With many draws the loss is near the full one; without correction it is another quantity."""
    built = Built(architecture("decoder"), sequence_store).loud()

    def loss(**changes) -> float:
        config = run(sequence_store, batch_size=256, epochs=1, **changes)
        task = NextItemTask(config, sequence_store, 0, 1, CPU)
        with torch.no_grad():
            return float(task.loss(built.model, 0).loss)

    many: dict[str, Any] = dict(negatives=4000, negatives_by=by)
    full = loss()
    assert loss(**many, correction=True) == pytest.approx(full, rel=0.03)
    assert abs(loss(**many, correction=False) - full) > 1


def test_shares_of_a_batch_add_up_to_its_gradient(sequence_store):
    """The averaged gradients of two ranks are the whole batch's, cuts inside windows included."""
    built = Built(architecture("decoder"), sequence_store).loud()
    config = run(sequence_store, batch_size=62)

    def gradient(rank: int, world: int) -> torch.Tensor:
        built.model.zero_grad()
        task = NextItemTask(config, sequence_store, rank, world, CPU)
        loss = task.loss(built.model, 3).loss
        parameters = [p for n, p in built.model.named_parameters() if "items" not in n]
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])

    whole = gradient(0, 1)
    halves = (gradient(0, 2) + gradient(1, 2)) / 2
    torch.testing.assert_close(halves, whole, rtol=1e-4, atol=1e-6)


def worker(rank, world, path, runs, out):
    host = PlainHost(rank=rank, world=world)
    found = [quality(train(run, Store.open(path), host)) for run in runs]
    if rank == 0:
        torch.save(found, out)


def quality(outcome) -> list[list[float]]:
    return [[p.train_loss, p.eval_loss, *p.metrics.values()] for p in outcome.curve]


def test_two_workers_train_what_one_does(sequence_store, tmp_path):
    """Tables sharded, batches cut inside windows, dropout, probes and all: float32 rounding
    apart."""
    changes: dict[str, Any] = dict(epochs=1, eval_points=2, probes=("cold_start",))
    runs = [
        run(sequence_store, "decoder", **changes),
        run(sequence_store, "hstu-untied", **changes),
        run(sequence_store, "decoder", **SAMPLED, **changes),
        run(sequence_store, "decoder", dropout=0.3, dropout_top=0.1, **changes),
        run(sequence_store, "hstu", dropout=0.3, **changes),
        run(sequence_store, "climber-three", dropout=0.3, **changes),
    ]
    spawn(worker, 2, sequence_store.path, runs, tmp_path / "two.pt")
    for one, two in zip(runs, torch.load(tmp_path / "two.pt", weights_only=True), strict=True):
        alone = quality(train(one, sequence_store, PlainHost()))
        for a, b in zip(alone, two, strict=True):
            assert b[:2] == pytest.approx(a[:2], rel=2e-4)
            # a near tie may fall the other way: one rank of some 150 may differ
            assert b[2:] == pytest.approx(a[2:], abs=0.03)


class Killed(Exception):
    pass


@dataclass
class Mortal(PlainHost):
    """Dies at its second evaluation, and keeps a checkpoint at every look."""

    checkpoint_s: float = 0.0
    dies: bool = True
    heard: int = 0

    def report(self, point) -> None:
        self.heard += 1
        if self.dies and self.heard == 2:
            raise Killed


def test_an_interrupted_run_ends_as_an_uninterrupted_one(sequence_store, tmp_path):
    """Also when the interruption falls behind the switch to SGD and into a later pass."""
    config = run(sequence_store, epochs=3, sgd_after=0.5, sgd_rate=0.05)
    whole = train(config, sequence_store, PlainHost())
    with pytest.raises(Killed):
        train(config, sequence_store, Mortal(checkpoints=tmp_path))
    resumed = train(config, sequence_store, Mortal(checkpoints=tmp_path, dies=False))
    assert resumed.resumed == 1 and quality(resumed) == quality(whole)


def test_sgd_takes_over_from_adam(sequence_store):
    built = Built(architecture("decoder"), sequence_store)
    optimizers = Optimizers(built.model, TrainConfig(**TRAIN, sgd_after=0.5, sgd_rate=0.1))
    place = dict(built.model.named_parameters())
    name = next(n for n in place if n.endswith("position"))

    def step(done: float) -> torch.Tensor:
        before = place[name].detach().clone()
        optimizers.begin_step(1.0)
        for n, p in place.items():
            if "items" not in n:
                p.grad = torch.full_like(p, 7.0)
        optimizers.end_step(done)
        return place[name].detach() - before

    adam, sgd = step(0.4), step(0.5)
    torch.testing.assert_close(adam, torch.full_like(adam, -3e-3), rtol=1e-3, atol=0)
    torch.testing.assert_close(sgd, torch.full_like(sgd, -0.7), rtol=1e-3, atol=0)


@pytest.fixture(scope="module")
def late_items(tmp_path_factory) -> Store:
    """A log whose first half has items 0 to 39 and whose second half 20 to 59 as well; a tenth of
    its rows, the last, evaluate."""
    folder, rng = tmp_path_factory.mktemp("late"), np.random.default_rng(0)
    n = 6000
    item = np.where(np.arange(n) < n // 2, rng.integers(0, 40, n), rng.integers(20, 60, n))
    log = {"user": rng.integers(0, 60, n), "item": item, "time": 1_600_000_000 + np.arange(n)}
    pq.write_table(pa.table(log), folder / "log.parquet")
    return prepared(folder, events_spec(folder / "log.parquet", task="next_item"))


HALF = dict(data_fraction=0.5, epochs=3, batch_size=32, dense_rate=1e-3, sparse_rate=0.1)
UNIFORM = {**SAMPLED, "negatives_by": "uniform"}


@pytest.mark.parametrize(
    "name, sampled",
    [(name, {}) for name in ("decoder", "hstu", "fuxi", "climber")]
    + [("decoder", SAMPLED), ("decoder", UNIFORM)],
)
def test_items_that_come_later_are_not_pushed_down(name, sampled, late_items):
    """They end where they began, so that a run on the past is no worse than a guess among all."""
    store = late_items
    training = _Training(run(store, name, **HALF, **sampled), store, PlainHost())
    met = np.unique(store.arrays["ids"][: store.manifest.n_train // 2, 1])
    later = np.setdiff1d(np.arange(store.manifest.items.rows - 1), met)
    before = item_vectors(training)
    outcome = training.run()
    after = item_vectors(training)
    assert len(later) > 15 and torch.equal(before[later], after[later])
    assert not torch.isclose(before[met], after[met]).all(1).any()
    assert outcome.curve[-1].eval_loss < math.log(len(met) + len(later)) + 0.02


def item_vectors(training: _Training) -> torch.Tensor:
    """The item table [rows, d]."""
    state = training.model.state_dict()
    (name,) = (n for n in state if "item" in n and "embeddings" in n)
    found = state[name]
    local = found.local_shards()[0].tensor if hasattr(found, "local_shards") else found
    return local.detach().clone()


@pytest.mark.parametrize("fraction, rows", [(0.25, 0.25), (0.3, 0.5), (1.0, 1.0)])
def test_a_nested_run_knows_the_rows_up_to_the_next_edge(fraction, rows, late_items):
    split = late_items.train(fraction)
    stream = TrainStream(split, 8, 0, nested=True)
    whole = int(rows * late_items.manifest.n_train)
    assert stream.reach(1, 32) == whole == stream.reach(0, len(split))
    assert TrainStream(split, 8, 0).reach(0, 32) == len(split)
    for end in (1, 31, 700, len(split)):
        reach, windows = stream.reach(0, end), stream.windows(0, 0, end)
        assert end <= reach < 2 * end + 2
        last = windows.begin + windows.length - 1
        newest = late_items.arrays["history_times"][last].max()
        assert newest <= late_items.arrays["time"][reach - 1]
