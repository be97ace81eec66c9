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
from recscale.models.click import start_logit
from recscale.planner import planned_runs
from recscale.run import RunConfig
from recscale.specfile import parse_spec
from recscale.train import loop
from recscale.train.host import PlainHost
from recscale.train.loop import train
from recscale.train.metrics import entropy
from recscale.train.task import Part

RATES = {0.3: 6_000, 0.03: 20_000, 0.003: 60_000, 0.0003: 300_000}
"""Click rate -> rows of its log, about a hundred clicks or more in each."""


@pytest.fixture(scope="module")
def rare(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Store]:
    """Logs of every rate. A third of the items has 98 % of the clicks, so that NE can fall."""
    stores = {}
    for rate, n in RATES.items():
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

    def looked(self, samples: int, train_loss: float) -> None:
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
    host, large = Listener(), {"batch_size": 4096} if rate < 0.001 else {}
    outcome = train(default_run(rare[rate], family, eval_points=1, **large), rare[rate], host)
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
        assert whole.loss == pytest.approx(entropy(store.manifest.label_rate_eval), rel=0.02)


def test_a_window_of_one_class_starts_finite(data):
    for rate in (0.0, 1.0, None):
        assert math.isfinite(start_logit(data.model_copy(update={"label_rate_train": rate})))
    assert start_logit(data.model_copy(update={"label_rate_train": 0.25})) == pytest.approx(
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
    assert float(loss) == pytest.approx(math.log(logits.shape[1]), rel=0.01)


class Scripted:
    """A task whose losses are given: (loss, untrained) of each step, 64 samples each."""

    def __init__(self, losses: list[tuple[float, float]]):
        self.losses = losses

    def loss(self, model, step: int) -> Part:
        found, untrained = self.losses[step]
        any_weight = next(p for p in model.parameters() if p.requires_grad)
        return Part(any_weight.sum() * 0 + found, untrained, 64.0)


def fate(losses: list[tuple[float, float]], store: Store) -> str | None:
    """What the loop says of a run with these losses; None as long as it lets it go on."""
    training = loop._Training(default_run(store, "dlrm", batch_size=64), store, PlainHost())
    training.task = Scripted(losses)  # type: ignore[assignment]
    for step in range(len(losses)):
        training._step(step)
        training.progress.step += 1
        if training.progress.step % loop.WATCH_STEPS == 0:
            error = training._watch()
            if error:
                return error
    return None


def clicks(rng: np.random.Generator, p: float, steps: int, ratio: float) -> list:
    """Losses of batches of 64 rows clicked at rate p, to a model that answers p to all of them and
    to one that answers `ratio` times p."""
    k = rng.binomial(64, p, steps)

    def loss(q: float) -> np.ndarray:
        return -(k * math.log(q) + (64 - k) * math.log1p(-q)) / 64

    return list(zip(loss(ratio * p).tolist(), loss(p).tolist(), strict=True))


@pytest.mark.parametrize("p", [0.3, 0.03, 0.001, 0.0003])
def test_noise_of_small_batches_is_no_divergence(p, store):
    opened, rng = Store.open(store), np.random.default_rng(1)
    for ratio in (0.5, 1.0, 1.5):
        assert fate(clicks(rng, p, 3000, ratio), opened) is None


def test_a_true_divergence_is_seen_at_any_rate(store):
    opened, rng = Store.open(store), np.random.default_rng(1)
    for p in (0.3, 0.001):
        calm = clicks(rng, p, 500, 1.0)
        wild = [(3 * untrained + 0.1, untrained) for _, untrained in clicks(rng, p, 2000, 1.0)]
        assert fate(calm, opened) is None
        assert "x what the untrained model lost" in fate(calm + wild, opened)
    for broken in (math.nan, math.inf):
        assert "nan" in fate([(broken, 0.01)] * 50, opened) or broken == math.inf


@pytest.mark.parametrize("family", ["dlrm", "dcnv2", "wukong"])
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
