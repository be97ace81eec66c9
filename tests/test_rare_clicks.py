"""Training where clicks are rare: every click family starts at the base rate, and only a true
divergence ends a run."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from architectures import FAMILIES, SEQUENCES, SIZES, architecture
from built import Built
from click.testing import CliRunner
from data_files import events_spec, prepared

from recscale.cli import main
from recscale.data.store import Store
from recscale.families.click import ENOUGH
from recscale.families.dlrm import DLRMConfig
from recscale.manifest import Manifest, TableFacts
from recscale.models.click import start_logits
from recscale.models.contract import features
from recscale.planner import planned_runs
from recscale.report.terminal import training_line
from recscale.run import RunConfig
from recscale.specfile import parse_spec
from recscale.train import loop
from recscale.train.divergence import PATIENCE_NATS, Judgement
from recscale.train.host import PlainHost
from recscale.train.loop import train
from recscale.train.metrics import entropy
from recscale.train.progress import Progress

RATES = {0.3: (25_000, 512), 0.03: (25_000, 512), 0.003: (60_000, 1024), 0.0003: (240_000, 2048)}
"""Click rate -> rows of its log, and a batch so large that chance alone does not reach ln 2."""


@pytest.fixture(scope="module")
def rare(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Store]:
    """Logs of every rate. A third of the items has 98 % of the clicks, so that NE can fall."""
    stores = {}
    for rate, (n, _) in RATES.items():
        folder = tmp_path_factory.mktemp("rare")
        rng = np.random.default_rng(0)
        item = rng.integers(0, 30, n)
        clicked = rng.random(n) < rate * np.where(item % 3 == 0, 2.94, 0.03)
        log = {
            "user": rng.integers(0, 50, n), "item": item, "label": clicked.astype(int),
            "time": 1_600_000_000 + np.arange(n), "price": rng.standard_normal(n),
        }  # fmt: skip
        pq.write_table(pa.table(log), folder / "log.parquet")
        spec = events_spec(folder / "log.parquet", columns={"label": "label", "dense": ("price",)})
        stores[rate] = prepared(folder, spec)
    return stores


@dataclass
class Listener(PlainHost):
    """Hears the training loss of every step."""

    heard: list[float] = field(default_factory=list)

    def looked(self, samples: int, train_loss: float, kept: int) -> None:
        self.heard.append(train_loss)


def default_run(store: Store, family: str, **train: float) -> RunConfig:
    """The run of a sweep that names a family and its log, and nothing else but `train`."""
    text = {"name": "x", "data": {"source": "synthetic"}, "model": {"family": family},
            "train": train, "budget": {"flop": 1e18}}  # fmt: skip
    (planned,) = planned_runs(parse_spec(json.dumps(text)), store.manifest)
    return planned.config


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_click_family_starts_at_the_base_rate_and_ends_below_it(family, rate, rare, monkeypatch):
    monkeypatch.setattr(loop, "WATCH_STEPS", 1)
    run = default_run(rare[rate], family, eval_points=1, batch_size=RATES[rate][1])
    host = Listener()
    outcome = train(run, rare[rate], host)
    assert outcome.status == "done", outcome.error
    assert max(host.heard) < math.log(2)
    assert outcome.curve[-1].metrics["eval_ne"] < 1


@pytest.mark.parametrize("name", SIZES)
def test_the_first_loss_is_the_base_rates_entropy(name, rare):
    for store in rare.values():
        run = RunConfig(
            data="",
            model=architecture(name),
            train=default_run(store, "dlrm", batch_size=4096).train,
        )
        training = loop._Training(run, store, PlainHost())
        with torch.no_grad():
            first = training.task.loss(training.model, 0)
        # on these very rows, whose clicks are not exactly at the base rate
        assert float(first.loss) == pytest.approx(first.untrained, rel=0.01)
        whole = training.task.evaluate(training.model)
        assert whole.loss == pytest.approx(store.manifest.baselines["constant rate"], rel=0.005)


def test_a_window_of_one_class_starts_finite(data):
    for rate in (0.0, 1.0, None):
        assert math.isfinite(start_logits(data.model_copy(update={"label_rate_train": rate}))[0])
    assert start_logits(data.model_copy(update={"label_rate_train": 0.25}))[0] == pytest.approx(
        math.log(1 / 3)
    )


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("width", [16, 128])
def test_a_sequence_model_starts_at_a_guess_among_all_items(name, width, sequence_store):
    config = architecture(name, sequence_width=width)
    built = Built(config, sequence_store)
    with torch.no_grad():
        batch, logits = built.logits(built.stream.windows(0, 0, 400))
    target = torch.from_numpy(batch.target[batch.scored])
    loss = torch.nn.functional.cross_entropy(logits, target)
    # logits spread by a quarter and less: 0.03 nats, and as much again by which items are asked for
    assert float(loss) == pytest.approx(math.log(logits.shape[1]), abs=0.08)


def ended(losses: np.ndarray, untrained: np.ndarray) -> bool:
    """Whether a run with these losses of steps of 64 samples [steps] is ended, at looks every 50
    steps."""
    judgement = Judgement()
    for begin in range(0, len(losses), 50):
        look = slice(begin, begin + 50)
        judgement = judgement.hear(64 * losses[look].sum(), 64 * untrained[look].sum())
        if judgement.diverged(2.0):
            return True
    return False


def steps(p: float, n: int, ratio: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Mean losses [n] of batches of 64 rows clicked at rate p: of a model that answers `ratio`
    times p to all of them, and of one that answers p."""
    k = np.random.default_rng(seed).binomial(64, p, n)

    def loss(q: float) -> np.ndarray:
        return -(k * math.log(q) + (64 - k) * math.log1p(-q)) / 64

    return loss(ratio * p), loss(p)


@pytest.mark.parametrize("p", [0.3, 0.03, 0.003, 0.001, 0.0003])
def test_noise_of_small_batches_is_no_divergence(p):
    """Though the loss of 50 steps alone is often twice the base rate's entropy and more."""
    for ratio in (0.5, 1.0, 1.5):
        assert not ended(*steps(p, 100_000, ratio))
    if p <= 0.001:
        of_looks = steps(p, 100_000, 1.0)[0].reshape(-1, 50).mean(1)
        assert of_looks.max() > 2 * entropy(p)


def test_a_burst_of_clicks_is_no_divergence():
    """Ten times the base rate for a while: the untrained model would have lost as much."""
    calm, clicked = steps(0.003, 500, 1.0), np.full(500, 0.03)
    burst = -(clicked * math.log(0.003) + (1 - clicked) * math.log1p(-0.003))
    assert burst.mean() > 2 * entropy(0.003)
    assert not ended(np.append(calm[0], 1.2 * burst), np.append(calm[1], burst))


def test_a_true_divergence_is_seen_at_any_rate():
    for p in (0.3, 0.03, 0.001):
        calm, wild = steps(p, 500, 1.0), steps(p, 2000, 1.0, seed=2)[1]
        assert ended(np.append(calm[0], 3 * wild + 0.1), np.append(calm[1], wild))
    for broken in (math.nan, math.inf):  # at once, however few clicks there were
        assert Judgement().hear(broken, 1e-3).diverged(2.0)


def test_a_judgement_goes_on_where_it_was_interrupted(rare, tmp_path):
    """Pooled over several looks, as it is where clicks are rare."""
    run = default_run(rare[0.0003], "dlrm", batch_size=64, data_fraction=0.1)
    training = loop._Training(run, rare[0.0003], PlainHost())
    for step in range(50):
        training._step(step)
    assert training._watch() is None
    progress = training.progress
    assert 0 < progress.judgement.untrained < PATIENCE_NATS
    facts = json.loads(json.dumps(progress.facts()))
    restored = Progress.restore(facts, run.run_id, run.train.batch_size)
    assert restored.judgement == progress.judgement


@pytest.mark.parametrize("family", FAMILIES)
def test_absurd_rates_diverge_on_rare_clicks_too(family, rare):
    run = default_run(rare[0.003], family, batch_size=64)
    wild = run.train.model_copy(update={"dense_rate": 1e3, "sparse_rate": 1e3})
    outcome = train(run.model_copy(update={"train": wild}), rare[0.003], PlainHost())
    assert outcome.status == "diverged" and outcome.error


def test_the_log_of_the_rare_click_ends_done(tmp_path: Path):
    rows = [f"u{i % 40},i{i % 7},{1600000000 + 60 * i},{int(i % 20 == 0)}" for i in range(1280)]
    (tmp_path / "log.csv").write_text("\n".join(["user,item,time,label", *rows, ""]))
    spec = events_spec(tmp_path / "log.csv", columns={"label": "label"})
    store = prepared(tmp_path, spec)
    outcome = train(default_run(store, "dlrm", batch_size=64), store, PlainHost())
    assert outcome.status == "done"


def test_what_a_sweep_leaves_out_follows_the_family_and_the_log(tmp_path):
    text = """
    name: x
    data: {source: synthetic, rows: 20000}
    model: {family: dlrm}
    train: {data_fraction: [0.25, 1.0]}
    budget: {flop: 1e15}
    """
    path = tmp_path / "x.yaml"
    path.write_text(text + f"\n    storage: {tmp_path}\n")
    shown = CliRunner().invoke(main, ["plan", str(path), "--json"])
    assert shown.exit_code == 0, shown.output
    spec = parse_spec(text)
    assert spec.on(18_000).train.batch_size == 32
    assert spec.on(10**5).train.batch_size == 32  # of the smaller run, the same for both
    assert spec.on(10**6).train.batch_size == 256
    assert spec.on(10**9).train.batch_size == 1024


def usual(positives: float, n: int, fraction: float = 1.0) -> float:
    """The dense rate of a default run on a log, as a share of the family's usual one."""
    data = few_facts(positives / n, n)
    text = {"name": "x", "data": {"source": "synthetic"}, "model": {"family": "dlrm"},
            "train": {"data_fraction": fraction}, "budget": {"flop": 1e18}}  # fmt: skip
    (planned,) = planned_runs(parse_spec(json.dumps(text)), data)
    train, rates = planned.config.train, DLRMConfig.rates
    assert train.sparse_rate / rates.sparse == pytest.approx(train.dense_rate / rates.dense)
    return train.dense_rate / rates.dense


def few_facts(rate: float | None, n: int) -> Manifest:
    """Of a log of n training rows and one table."""
    return Manifest(
        source="synthetic", task="click", fingerprint="", n_train=n, n_eval=n, dense=(),
        tables=(TableFacts(name="item", rows=10, distinct=9),), history=None, raw_rows=2 * n,
        label_rate_train=rate,
    )  # fmt: skip


def test_rates_left_out_follow_the_clicks_of_the_run_where_they_are_few():
    assert usual(ENOUGH, 10**4) == usual(10**5, 10**6) == 1
    few = pytest.approx((40 / ENOUGH) ** 2)
    assert usual(40, 10**4) == few and usual(40, 10**6) == few
    assert usual(400, 10**5, fraction=0.1) == few
    assert usual(10**4 - 40, 10**4) == few  # what is rare may be what is not clicked
    assert 0 < usual(0, 10**4) <= 0.001
    assert DLRMConfig.rates == architecture("dlrm").usual_rates(few_facts(None, 9), 1.0)


def test_a_handful_of_clicks_that_follow_nothing_costs_a_default_run_nothing(tmp_path):
    """Expected over labels, so that the few evaluation clicks have no say. At the rates of long
    logs DLRM ended 0.004 NE above the constant here, and DCN V2 0.028 (2026-11-30)."""
    n, rate = 10_000, 0.004
    rng = np.random.default_rng(0)
    log = {
        "user": rng.integers(0, 200, n), "item": rng.integers(0, 40, n),
        "label": (rng.random(n) < rate).astype(int), "time": 1_600_000_000 + np.arange(n),
        "shop": rng.integers(0, 4, n),
    }  # fmt: skip
    pq.write_table(pa.table(log), tmp_path / "log.parquet")
    columns = {"label": "label", "sparse": ("shop",)}
    store = prepared(tmp_path, events_spec(tmp_path / "log.parquet", columns=columns))
    trained = store.manifest.label_rate_train or 0
    for family in ("dlrm", "dcnv2"):
        training = loop._Training(default_run(store, family), store, PlainHost())
        assert training.run().status == "done"
        batch = features(store.eval().read(0, store.manifest.n_eval, history_length=20),
                         store.manifest, training.device)  # fmt: skip
        with torch.no_grad():
            p = torch.sigmoid(training.model.eval()(batch).double())
        loss = float(-(rate * p.log() + (1 - rate) * (1 - p).log()).mean())
        constant = -(rate * math.log(trained) + (1 - rate) * math.log(1 - trained))
        assert loss < constant + 0.005 * entropy(rate), family


def test_rates_given_are_those_of_every_run():
    text = {"name": "x", "data": {"source": "synthetic"}, "model": {"family": "dlrm"},
            "train": {"learning_rate": {"dense": 0.002}}, "budget": {"flop": 1e18}}  # fmt: skip
    (planned,) = planned_runs(parse_spec(json.dumps(text)), few_facts(0.004, 10**4))
    assert planned.config.train.dense_rate == 0.002
    assert planned.config.train.sparse_rate == pytest.approx(0.16 * DLRMConfig.rates.sparse)
    said = training_line(parse_spec(json.dumps(text)).train, [planned])
    assert said.endswith(
        "(sparse left out: the family's usual ones, lower for runs with few clicks)"
    )
