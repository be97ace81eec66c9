"""Baselines against a brute force, and against the very losses that training records."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
import torch
from architectures import architecture
from data_files import (
    column,
    criteo_lines,
    event_log,
    events_spec,
    prepared,
    sequence_log,
    write_lines,
)
from scipy.optimize import minimize

from recscale.data import baselines as module
from recscale.data.baselines import STRENGTHS, baselines
from recscale.data.store import Store
from recscale.manifest import Manifest
from recscale.run import RunConfig, TrainConfig
from recscale.spec import CriteoData, Holdout, PublishedData, SyntheticData
from recscale.train.click import ClickTask
from recscale.train.next_item import NextItemTask

CPU = torch.device("cpu")


def clicks(tmp_path) -> Store:
    """Items click at rates of their own; some are seen in the evaluation only."""
    rng = np.random.default_rng(5)
    log = event_log(tmp_path / "log.parquet", n=1500)
    lines = ["user,item,time,label"]
    for user, item, time in zip(log["user"], log["item"], log["time"], strict=True):
        late = f"late{time % 5}" if time % 11 == 0 and time > 1_600_080_000 else item
        lines.append(f"{user},{late},{time},{int(rng.random() < 0.5 / (1 + int(item[1:]) % 7))}")
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    columns = {"label": "label"}
    return prepared(tmp_path, events_spec(tmp_path / "log.csv", columns=columns, refuse_above=0.9))


def implicit(tmp_path) -> Store:
    event_log(tmp_path / "log.parquet", n=800)
    return prepared(tmp_path, events_spec(tmp_path / "log.parquet", refuse_above=0.9))


def world(tmp_path) -> Store:
    return prepared(tmp_path, SyntheticData(source="synthetic", rows=4000, users=99, items=60))


def criteo(tmp_path) -> Store:
    path = write_lines(tmp_path / "train.txt", criteo_lines(600))
    return prepared(tmp_path, CriteoData(source="criteo", path=str(path)))


def sequences(tmp_path, **kwargs) -> Store:
    sequence_log(tmp_path / "log.parquet")
    spec = events_spec(tmp_path / "log.parquet", task="next_item", refuse_above=0.5, **kwargs)
    return prepared(tmp_path, spec)


def hashed(tmp_path) -> Store:
    return sequences(tmp_path, order="hash", holdout=Holdout(last=0.3))


def left_out(tmp_path) -> Store:
    return sequences(tmp_path, holdout=Holdout(leave_one_out=True))


def repeats(tmp_path) -> Store:
    """Users who mostly take again what they have, often at once, and a few new items late."""
    rng = np.random.default_rng(2)
    mine: dict[int, list[int]] = defaultdict(list)
    lines = ["user,item,time"]
    for i in range(900):
        user = int(rng.integers(0, 12))
        past, way = mine[user], rng.random()
        if past and way < 0.7:
            item = past[-1] if way < 0.3 else past[rng.integers(len(past))]
        else:
            item = int(rng.zipf(1.4)) % 50 + (100 if i > 700 and way > 0.95 else 0)
        past.append(item)
        lines.append(f"{user},{item},{1_600_000_000 + i}")
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    return prepared(tmp_path, events_spec(tmp_path / "log.csv", task="next_item"))


def walks(tmp_path) -> Store:
    data = SyntheticData(source="synthetic", task="next_item", rows=3000, users=99, items=60)
    return prepared(tmp_path, data)


def movielens(tmp_path) -> Store:
    events = sequence_log(tmp_path / "log.parquet", n=700)
    lines = [f"{u},{i},3.5,{t}" for u, i, t in events]
    (tmp_path / "ratings.csv").write_text(
        "\n".join(["userId,movieId,rating,timestamp", *lines]) + "\n"
    )
    return prepared(tmp_path, PublishedData(source="movielens", path=str(tmp_path / "ratings.csv")))


CLICKS = [clicks, implicit, world, criteo]
SEQUENCES = [sequences, hashed, left_out, repeats, walks, movielens]


@pytest.mark.parametrize("make", CLICKS)
def test_click_baselines_equal_a_brute_force(make, tmp_path):
    store = make(tmp_path)
    n, label = store.manifest.n_train, store.arrays["label"].astype(int).tolist()
    rate = sum(label[:n]) / n

    def nats(p: float, y: int) -> float:
        return -math.log(p if y else 1 - p)

    expected = {"constant rate": np.mean([nats(rate, y) for y in label[n:]])}
    if store.manifest.history:
        item = column(store, "item").tolist()
        k, rows = Counter(), Counter(item[:n])
        for i, y in zip(item[:n], label[:n], strict=True):
            k[i] += y

        def others(m: float) -> float:
            """Every training row under the rate of its item's other rows."""
            return sum(
                nats((k[i] - y + m * rate) / (rows[i] - 1 + m), y)
                for i, y in zip(item[:n], label[:n], strict=True)
            )

        m = min(STRENGTHS, key=others)
        held = zip(item[n:], label[n:], strict=True)
        expected["per-item rate"] = np.mean(
            [nats((k[i] + m * rate) / (rows[i] + m), y) for i, y in held]
        )
    assert store.manifest.baselines == pytest.approx(expected, rel=1e-9)
    assert list(store.manifest.baselines) == list(expected)


def users_of(store: Store) -> list[tuple[list[int], int]]:
    """Every user's items in time order, and how many of them train."""
    begin, items = store.arrays["history_begin"], store.arrays["history_items"].tolist()
    rows, trained = Counter(begin.tolist()), Counter(begin[: store.manifest.n_train].tolist())
    return [(items[b : b + rows[b]], trained[b]) for b in sorted(rows)]


@pytest.mark.parametrize("make", SEQUENCES)
def test_next_item_baselines_equal_a_brute_force(make, tmp_path):
    """The weights of `recent` by another optimiser, over softmax."""
    store = make(tmp_path)
    catalogue = store.history_rows - 1
    users = users_of(store)
    counts = Counter(i for items, trained in users for i in items[:trained])
    assert len(counts) == catalogue  # so that every item's popularity is above 0
    total = sum(counts.values())
    assert total == store.manifest.n_train

    def chances(past: list[int], item: int, popularity: float) -> list[float]:
        return [float(past[-1] == item), past.count(item) / len(past), popularity]

    learnt, held = [], []
    for items, trained in users:
        for at, item in enumerate(items):
            past = [i for i in items[:at] if i < catalogue]
            if item == catalogue:
                continue
            if at < trained and past:
                row = chances(past, item, (counts[item] - 1) / (total - 1))
                learnt += [row] if any(row) else []
            if at >= trained:
                share = counts[item] / total
                held.append((chances(past, item, share) if past else None, share))

    def unlikely(z: np.ndarray) -> float:
        w = np.exp(z - np.logaddexp.reduce(z))
        return -float(np.log(np.array(learnt) @ w).sum() + np.log(w).sum())

    z = minimize(unlikely, np.zeros(3), method="BFGS").x
    w = np.exp(z - np.logaddexp.reduce(z))
    recent = [-math.log(share if row is None else row @ w) for row, share in held]
    expected = {
        "uniform": math.log(catalogue),
        "popularity": np.mean([-math.log(share) for _, share in held]),
        "recent": np.mean(recent),
    }
    assert store.manifest.baselines == pytest.approx(expected, rel=1e-4)
    assert list(store.manifest.baselines) == list(expected)


def test_who_takes_again_what_he_has_is_predicted_by_his_past(tmp_path):
    found = repeats(tmp_path).manifest.baselines
    assert found["recent"] < found["popularity"] - 0.5 < found["uniform"] - 0.5


class Model(torch.nn.Module):
    """Answers with what it was given."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, *batch: Any) -> Any:
        return self.answer(*batch)


def run(store: Store, name: str, **model) -> RunConfig:
    train = dict(
        data_fraction=1.0, batch_size=16, epochs=1, dense_rate=0.1, sparse_rate=0.1,
        rate_factor=1.0, warmup=0.1, eval_points=1, diverge_above=2.0, seed=0,
    )  # fmt: skip
    return RunConfig(
        data=store.manifest.fingerprint,
        model=architecture(name, **model),
        train=TrainConfig.model_validate(train),
    )


@pytest.mark.parametrize("make", SEQUENCES)
def test_a_model_of_popularity_has_popularitys_loss(make, tmp_path):
    """Of the very targets over which training records its loss."""
    store = make(tmp_path)
    task = NextItemTask(run(store, "decoder", sequence_length=4), store, 0, 1, CPU)
    for name, scores in (("popularity", np.log(task.share)), ("uniform", 0 * task.share)):
        candidates = torch.from_numpy(scores)[:, None].float()

        def answer(batch, candidates=candidates):
            return torch.ones(len(batch.scored), 1), candidates

        loss = task.evaluate(Model(answer)).loss
        assert loss == pytest.approx(store.manifest.baselines[name], rel=1e-5)


@pytest.mark.parametrize("make", CLICKS)
def test_a_model_of_the_constant_rate_has_its_loss(make, tmp_path):
    store = make(tmp_path)
    task = ClickTask(run(store, "dlrm"), store, 0, 1, CPU)
    rate = store.manifest.label_rate_train
    assert rate is not None
    logit = math.log(rate / (1 - rate))
    found = task.evaluate(Model(lambda batch: torch.full((len(batch.dense),), logit)))
    assert found.loss == pytest.approx(store.manifest.baselines["constant rate"], rel=1e-6)


@pytest.mark.parametrize("make", [clicks, repeats, left_out])
def test_chunks_change_nothing(make, tmp_path, monkeypatch):
    store = make(tmp_path)
    for rows in (1, 7, 100):
        monkeypatch.setattr(module, "CHUNK_ROWS", rows)
        again = baselines(store.path, store.manifest)
        assert again == pytest.approx(store.manifest.baselines, rel=1e-12)


def arrays(folder, manifest: Manifest, **values) -> dict[str, float]:
    for name, array in values.items():
        np.save(folder / f"{name}.npy", np.array(array))
    return baselines(folder, manifest)


def facts(task: str, n_train: int, n_eval: int, rows: int) -> Manifest:
    table = {"name": "goods", "rows": rows, "distinct": rows - 1}
    return Manifest.model_validate(
        dict(source="events", task=task, fingerprint="", n_train=n_train, n_eval=n_eval,
             tables=[table], dense=[], history="goods", raw_rows=n_train + n_eval)
    )  # fmt: skip


@pytest.mark.parametrize("trained", [0, 1])
def test_one_class_in_training_leaves_every_loss_finite(trained, tmp_path):
    label, ids = [trained] * 6 + [1 - trained] * 2, [[0]] * 5 + [[1]] * 2 + [[2]]
    found = arrays(tmp_path, facts("click", 6, 2, 3), label=label, ids=ids)
    assert found["constant rate"] == pytest.approx(math.log(12))
    assert all(math.isfinite(v) for v in found.values())
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_users_who_only_repeat_leave_every_loss_finite(tmp_path):
    """Nothing in training is anybody's second item, and the evaluation holds one."""
    found = arrays(
        tmp_path, facts("next_item", 8, 2, 3),
        ids=[[0]] * 4 + [[1]] * 4 + [[1], [0]],
        history_begin=[0] * 4 + [5] * 4 + [0, 5],
        history_items=[0, 0, 0, 0, 1, 1, 1, 1, 1, 0],
    )  # fmt: skip
    assert found["uniform"] == found["popularity"] == pytest.approx(math.log(2))
    assert found["uniform"] < found["recent"] < 10


def test_no_target_no_baseline(tmp_path):
    """Every evaluation item is new."""
    found = arrays(
        tmp_path, facts("next_item", 2, 1, 2),
        ids=[[0], [0], [1]], history_begin=[0, 0, 0], history_items=[0, 0, 1],
    )  # fmt: skip
    assert found == {}
