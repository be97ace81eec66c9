"""Bags in the click models: what torchrec pools, what it costs, and that they are learnt from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from architectures import FAMILIES, architecture
from data_files import events_spec, prepared

from recscale.cost import estimate
from recscale.data.store import Store
from recscale.models.contract import build, features
from recscale.models.names import module_name, plain_name
from recscale.planner import planned_runs
from recscale.run import RunConfig
from recscale.spec import SweepSpec
from recscale.specfile import parse_spec
from recscale.testing.workers import spawn
from recscale.train.host import PlainHost
from recscale.train.loop import train
from recscale.train.sharding import ensure_process_group, shard

CPU = torch.device("cpu")
STRANGE = ("a.b", "x@y", "type", "f", "f_set0", "größe m²", " ", "raw.id.0", "features", "a/b")


def bag_log(path: Path, n: int = 12_000) -> None:
    """Clicks that a bag of tags alone decides: each tag has an effect, and a row the mean of its
    tags', or their weighted mean by `amounts`."""
    rng = np.random.default_rng(0)
    effect = rng.standard_normal(40) * 3
    tags = [rng.integers(0, 40, rng.integers(0, 5)) for _ in range(n)]
    amounts = [rng.exponential(size=len(t)) for t in tags]
    logit = np.array([
        (effect[t] * a).sum() / max(a.sum(), 1e-9) for t, a in zip(tags, amounts, strict=True)
    ])  # fmt: skip
    pq.write_table(
        pa.table({
            "user": rng.integers(0, 50, n), "item": rng.integers(0, 60, n),
            "time": 1_600_000_000 + np.arange(n),
            "clicked": (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int),
            "tags": [t.tolist() for t in tags], "amounts": [a.tolist() for a in amounts],
            "plain": rng.integers(0, 5, n),
        }),
        path,
    )  # fmt: skip


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> dict[str, Store]:
    """The log without its bags, with them, and with them and their weights."""
    folder = tmp_path_factory.mktemp("bags")
    bag_log(folder / "log.parquet")
    columns = {
        "without": {"sparse": ("plain",)},
        "mean": {"sparse": ("tags", "plain")},
        "weighted": {"sparse": ("tags", "plain"), "weights": {"tags": "amounts"}},
    }
    return {
        name: prepared(
            folder, events_spec(folder / "log.parquet", columns={"label": "clicked", **given})
        )
        for name, given in columns.items()
    }


@pytest.mark.parametrize("kind", ["mean", "weighted"])
@pytest.mark.parametrize("sets", [1, 2])
def test_a_bag_pools_to_the_weighted_mean_of_its_vectors(stores, kind, sets):
    store = stores[kind]
    config = architecture("dlrm", multi_embedding=sets, embedding_rows=20)
    ensure_process_group()
    torch.manual_seed(0)
    model: Any = shard(build(config, store.manifest), 0.01, 0, CPU)
    batch = store.train().read(0, 300, embedding_rows=20, history_length=6)
    log = pq.read_table(next(store.path.parent.parent.glob("*.parquet")))
    with torch.no_grad():
        found = model.module.embedded(features(batch, store.manifest, CPU))
    (bag,), tables = batch.bags, config.set_names("tags")
    at = len(store.manifest.plain)
    for table, vectors in zip(tables, found, strict=True):
        weight = next(
            v for k, v in model.state_dict().items() if k.split(".")[-2] == module_name(table)
        )
        weight = weight.local_shards()[0].tensor
        ends = np.cumsum(bag.lengths)
        for row, (a, b) in enumerate(zip(ends - bag.lengths, ends, strict=True)):
            amounts = torch.ones(b - a)
            if kind == "weighted":
                amounts = torch.tensor(log["amounts"][row].as_py())
            rows = weight[torch.from_numpy(bag.ids[a:b])]
            naive = (amounts[:, None] * rows).sum(0) / amounts.sum().clamp(min=1e-9)
            torch.testing.assert_close(vectors[row, at], naive, rtol=1e-4, atol=1e-6)
    assert (bag.lengths == 0).any() and bag.lengths.max() > 2


@pytest.mark.parametrize("name", FAMILIES.values())
def test_costs_count_the_values_of_a_bag(stores, name, small: SweepSpec):
    without, data = stores["without"].manifest, stores["mean"].manifest
    model = architecture(name)
    built = build(model, data, "meta")
    assert model.table_params(data) + model.dense_params(data) == sum(
        p.numel() for p in built.parameters()
    )
    length = data.table("tags").mean_length
    assert 1.9 < length < 2.1
    assert model.lookups(data)["tags"] == pytest.approx(length)
    longer = data.model_copy(
        update={"tables": tuple(
            t.model_copy(update={"mean_length": 100.0}) if t.bag else t for t in data.tables
        )}
    )  # fmt: skip
    run = planned_runs(small, without)[0].config.train
    few, many = (estimate(model, run, d, small.resources) for d in (data, longer))
    read = (100 - length) * few.samples * (3 * model.set_dim * 4 + 8)
    assert many.lookup_bytes - few.lookup_bytes == pytest.approx(read)
    assert many.peak_bytes > few.peak_bytes
    assert many.time_s > few.time_s and many.train_flop == few.train_flop


def run_of(store: Store, **model) -> RunConfig:
    sizes = "".join(f"  {k}: {v}\n" for k, v in model.items())
    spec = parse_spec(
        f"name: bags\ndata: {{source: synthetic, rows: 20000}}\nmodel:\n  family: dlrm\n{sizes}"
        "train: {batch_size: 255}\nbudget: {flop: 1e15}"
    )
    return planned_runs(spec, store.manifest)[0].config


def test_clicks_that_a_bag_decides_are_learnt_and_weights_tell_more_than_the_mean(stores):
    auc = {}
    for name, store in stores.items():
        outcome = train(run_of(store, embedding_dim=8), store, PlainHost())
        assert outcome.status == "done"
        assert ("tags" in outcome.spectra) == (name != "without")
        auc[name] = outcome.curve[-1].metrics["eval_auc"]
    assert auc["without"] < 0.55 and auc["mean"] > 0.7 and auc["weighted"] > auc["mean"] + 0.01


def worker(rank, world, path, runs, out):
    store = Store.open(path)
    found = [train(run, store, PlainHost(rank, world)) for run in runs]
    if rank == 0:
        torch.save([[(p.eval_loss, p.train_loss) for p in o.curve] for o in found], out)


def test_two_workers_train_what_one_does(stores, tmp_path):
    store = stores["weighted"]
    runs = [run_of(store, embedding_dim=8), run_of(store, embedding_dim=8, multi_embedding=2)]
    worker(0, 1, store.path, runs, tmp_path / "one.pt")
    spawn(worker, 2, store.path, runs, tmp_path / "two.pt")
    one, two = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in ("one", "two"))
    for a, b in zip(one, two, strict=True):
        assert b == [pytest.approx(point, rel=2e-4) for point in a]


@pytest.mark.parametrize("sets", [1, 2])
def test_columns_of_any_name_train(tmp_path, sets):
    """Names that torch's modules, torchrec's features or a file system would not take."""
    rng = np.random.default_rng(1)
    n = 2000
    log = {"who": rng.integers(0, 9, n), "what": rng.integers(0, 9, n), "at": 10**9 + np.arange(n)}
    log |= {name: rng.integers(0, 5, n) for name in ("user", "item", "history", *STRANGE)}
    log |= {"keys": [[int(x), 3] for x in rng.integers(0, 5, n)], "y": rng.integers(0, 2, n)}
    pq.write_table(pa.table(log), tmp_path / "log.parquet")
    sparse = ("user", "item", "history", *STRANGE, "keys")
    columns = {"user": "who", "item": "what", "time": "at", "label": "y", "sparse": sparse}
    store = prepared(tmp_path, events_spec(tmp_path / "log.parquet", columns=columns))
    outcome = train(run_of(store, embedding_dim=8, multi_embedding=sets), store, PlainHost())
    assert outcome.status == "done"
    names = {*sparse, "user_", "item_", "history_"}
    assert set(outcome.spectra) == (
        names if sets == 1 else {f"{name}_set{i}" for name in names for i in (0, 1)}
    )


@pytest.mark.parametrize("name", [*STRANGE, "", "%", "a\nb", "items"])
def test_a_modules_name_stands_for_one_column(name):
    module = module_name(name)
    assert plain_name(module) == name
    assert not set(module) & set(".@")
    torch.nn.ModuleDict({module: torch.nn.Identity()})
