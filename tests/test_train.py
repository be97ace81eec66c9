"""The training loop: deterministic, resumable, the same on one worker and on several."""

from __future__ import annotations

import itertools
import json
import math
import os
import pickle
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.fs as pafs
import pytest
import torch
from fsspec.implementations.local import LocalFileSystem

from recscale import states
from recscale.data.store import Split, Store
from recscale.models.contract import features
from recscale.planner import planned_runs
from recscale.run import LATENCY, RunConfig, Spectrum
from recscale.testing import training as testing
from recscale.testing.training import Killed
from recscale.testing.workers import spawn
from recscale.train import checkpoint
from recscale.train.dcpfiles import Reader
from recscale.train.host import PlainHost
from recscale.train.loop import Outcome, _Training, train
from recscale.train.metrics import click_metrics, entropy
from recscale.train.optim import rate
from recscale.train.sharding import blocks
from recscale.train.spectrum import spectra


@dataclass
class Mortal(testing.Mortal):
    """Also one that is given notice, and that hears of damage."""

    notice: float | None = None
    told: list[str] = field(default_factory=list)

    def damaged(self, found: list[str]) -> None:
        self.told += found

    def drain_s(self) -> float | None:
        return self.notice


def log_loss(p: list[float], y: list[float]) -> float:
    pairs = zip(p, y, strict=True)
    return -sum(math.log(a) if b else math.log(1 - a) for a, b in pairs) / len(p)


def auc(p: list[float], y: list[float]) -> float:
    """Share of (click, no click) pairs in the right order."""
    clicks = [a for a, b in zip(p, y, strict=True) if b]
    others = [a for a, b in zip(p, y, strict=True) if not b]
    return sum((c > o) + 0.5 * (c == o) for c in clicks for o in others) / len(clicks) / len(others)


def quality(outcome: Outcome) -> list[tuple]:
    """Every point of the curve, with what the tables became in the end."""
    used = sum(s.information_abundance for s in outcome.spectra.values())
    return [
        (p.samples, p.eval_loss, p.metrics["eval_auc"], p.train_loss, used) for p in outcome.curve
    ]


@pytest.fixture(scope="module")
def opened(store: Path) -> Store:
    return Store.open(store)


@pytest.fixture
def runs(small, data) -> list[RunConfig]:
    """The largest run with and without sequence blocks."""
    planned = planned_runs(small, data)
    deepest = {p.config.model.sequence_depth: p.config for p in planned}
    return [deepest[0], deepest[1]]


def test_training_learns(runs, opened, data):
    for run in runs:
        outcome = train(run, opened, PlainHost())
        assert outcome.status == "done"
        assert outcome.curve[-1].eval_loss < outcome.curve[0].eval_loss
        assert outcome.curve[-1].metrics["eval_auc"] > 0.52
        assert data.floor.log_loss < outcome.curve[-1].eval_loss


def test_latency_of_a_click_model_is_measured_where_it_is_asked_for(runs, opened):
    """And changes nothing that was learnt."""
    asked = runs[0].model_copy(
        update={"train": runs[0].train.model_copy(update={"probes": ("latency",)})}
    )
    usual, found = (train(run, opened, PlainHost()) for run in (runs[0], asked))
    latency = found.probes[LATENCY]
    assert not usual.probes and latency and 0 < latency < 5
    assert quality(usual) == quality(found)


def test_same_seed_same_result_and_another_seed_another(runs, opened):
    run = runs[1]
    first, second = (train(run, opened, PlainHost()) for _ in range(2))
    assert quality(first) == quality(second)
    other = run.model_copy(update={"train": run.train.model_copy(update={"seed": 1})})
    assert quality(train(other, opened, PlainHost())) != quality(first)


@pytest.mark.parametrize("which", [0, 1])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(which, runs, opened, tmp_path):
    whole = train(runs[which], opened, PlainHost())
    with pytest.raises(Killed):
        train(runs[which], opened, Mortal(tmp_path, dies_at=5))
    assert states.latest(tmp_path) is not None
    host = Mortal(tmp_path)
    resumed = train(runs[which], opened, host)
    assert resumed.resumed == 1
    assert len(host.heard) < len(whole.curve)
    assert quality(resumed) == quality(whole)


class NoFolders(pafs.FSSpecHandler):
    """A store of objects that lists no folders."""

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        found = super().get_file_info_selector(selector)
        return [info for info in found if info.type != pafs.FileType.Directory]


def test_a_store_without_folders_keeps_the_newest_checkpoint_and_resumes_from_it(
    runs, opened, tmp_path, monkeypatch
):
    store = pafs.PyFileSystem(NoFolders(LocalFileSystem()))
    monkeypatch.setattr(checkpoint, "filesystem", lambda root: (store, str(root)))
    tmp_path = tmp_path / "step-1" / "run"  # whose own name must not be taken for a checkpoint's
    tmp_path.mkdir(parents=True)
    (tmp_path / "stray").touch()
    with pytest.raises(Killed):
        train(runs[0], opened, Mortal(tmp_path, dies_at=5))
    kept = {p.parent.name for p in tmp_path.glob("step-*/facts.json")}
    assert len(kept) == 1
    assert train(runs[0], opened, Mortal(tmp_path)).resumed == 1
    assert (tmp_path / "stray").exists()


def test_a_half_written_checkpoint_is_not_used(runs, opened, tmp_path):
    (tmp_path / "step-000000000010").mkdir()
    assert states.latest(tmp_path) is None
    outcome = train(runs[0], opened, Mortal(tmp_path))
    assert outcome.resumed == 0
    assert outcome.status == "done"


def test_a_drain_notice_is_answered_by_a_checkpoint_at_once(runs, opened, tmp_path):
    """The interval alone would not write one in a run so short."""
    for notice in (None, 30.0):
        with pytest.raises(Killed):
            train(runs[0], opened, Mortal(tmp_path, dies_at=3, checkpoint_s=1e6, notice=notice))
        assert (states.latest(tmp_path) is not None) == (notice is not None)


def test_the_interval_wastes_the_least_time(tmp_path):
    """Against the expected share of time lost, cost/T + T/2M, on a fine grid of T."""
    for cost, life in ((0.05, 3600), (2, 3600), (0.5, 60)):
        grid = [1.01**k for k in range(-200, 900)]
        best = min(grid, key=lambda t: cost / t + t / (2 * life))
        assert checkpoint.interval(cost, 1e9, life) == pytest.approx(best, rel=0.01)
    assert checkpoint.interval(10, 60) == 60


def test_a_description_that_would_run_code_is_refused(runs, opened, tmp_path):
    with pytest.raises(Killed):
        train(runs[0], opened, Mortal(tmp_path, dies_at=4))
    newest = states.latest(tmp_path)
    assert newest is not None
    (Path(newest) / ".metadata").write_bytes(pickle.dumps(os.getcwd))
    with pytest.raises(pickle.UnpicklingError, match="getcwd has no place"):
        Reader(pafs.LocalFileSystem(), newest).read_metadata()
    host = Mortal(tmp_path)
    assert train(runs[0], opened, host).resumed == 0
    assert "metadata is damaged" in host.told[0]


@pytest.mark.parametrize("wrong", [10**6, -1])
def test_a_look_up_outside_its_table_ends_the_training(runs, opened, data, wrong):
    """Whoever hands over the ids: fbgemm would say a word on stderr and train row 0."""
    training = _Training(runs[0], opened, PlainHost())
    batch = opened.train().read(0, 8, history_length=6)
    batch.ids[3, 1] = wrong
    with pytest.raises(RuntimeError, match="(?i)idx|index|bound"):
        training.model(features(batch, data, training.device))


def test_a_runaway_loss_ends_as_diverged(runs, opened):
    wild = runs[0].train.model_copy(update={"dense_rate": 1e4, "sparse_rate": 1e4})
    outcome = train(runs[0].model_copy(update={"train": wild}), opened, PlainHost())
    assert outcome.status == "diverged"
    assert outcome.error
    assert all(math.isfinite(p.eval_loss) for p in outcome.curve)


def test_rate_rises_then_falls_to_zero():
    rates = [rate(step, 100, 0.1) for step in range(100)]
    assert rates[9] == max(rates) == 1
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] <= 0.02


def test_metrics_equal_their_definitions():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(500, generator=generator)
    labels = (torch.rand(500, generator=generator) < torch.sigmoid(logits - 1)).float()
    got = click_metrics(logits, labels)
    p = torch.sigmoid(logits.double()).tolist()
    y = labels.tolist()
    assert got.log_loss == pytest.approx(log_loss(p, y), rel=1e-9)
    assert got.ne == pytest.approx(log_loss(p, y) / entropy(sum(y) / 500), rel=1e-9)
    assert got.auc == pytest.approx(auc(p, y), abs=1e-6)
    assert got.calibration == pytest.approx(sum(p) / sum(y), rel=1e-9)


def test_the_base_rate_has_ne_one():
    labels = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert click_metrics(torch.full((4,), math.log(1 / 3)), labels).ne == pytest.approx(1)


def test_one_class_has_no_normalised_entropy():
    logits = torch.tensor([-3.0, -2.0])
    for label in (0.0, 1.0):
        found = click_metrics(logits, torch.full((2,), label))
        assert found.ne is None and found.auc is None and math.isfinite(found.log_loss)
        assert (found.calibration is None) == (label == 0)


def _watched(train_rows: int) -> list[tuple[int, int]]:
    """Every range of training rows that this process reads from now on."""
    seen: list[tuple[int, int]] = []
    read = Split.read

    def watched(self: Split, begin: int, end: int, **options):
        if self.begin < train_rows:
            seen.append((begin, end))
        return read(self, begin, end, **options)

    Split.read = watched
    return seen


def test_the_spectrum_of_a_table_is_that_of_its_moved_rows(runs, opened):
    """Against numpy's SVD of the whole table, rows that training never read left out."""
    outcome = train(runs[0], opened, PlainHost())
    model = _Training(runs[0], opened, PlainHost()).model  # as drawn, and not trained
    assert spectra(model, runs[0].train.seed, 1) == {}
    assert set(outcome.spectra) == set(runs[0].model.tables(opened.manifest))
    rows = torch.randn(40, 8, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 9)
    for name, here, _ in blocks(model, runs[0].train.seed):
        if name.endswith("item.weight"):
            here[:40] = rows
    found = spectra(model, runs[0].train.seed, 1)
    assert set(found) == {"item"} and found["item"].rows == 40
    exact = torch.linalg.svdvals(rows.double())
    assert found["item"].singular_values == pytest.approx(exact.tolist(), rel=1e-4)
    abundance = float(exact.sum() / exact[0])
    assert found["item"].information_abundance == pytest.approx(abundance, rel=1e-4)


def test_information_abundance_and_effective_rank_of_known_spectra():
    even = Spectrum(rows=9, singular_values=(2.0, 2.0, 2.0, 2.0))
    assert even.information_abundance == even.effective_rank == pytest.approx(4)
    collapsed = Spectrum(rows=9, singular_values=(5.0, 0.0, 0.0, 0.0))
    assert collapsed.information_abundance == collapsed.effective_rank == pytest.approx(1)


def worker(rank, world, store, runs, folder, dies_at, out):
    """One of a group. Rank 0 leaves the curves in `out`, every rank what it read."""
    opened = Store.open(store)
    seen = _watched(opened.manifest.n_train)
    results, read = [], []
    for run in runs:
        seen.clear()
        host = Mortal(folder / run.run_id, dies_at, rank, world)
        try:
            results.append(quality(train(run, opened, host)))
        except Killed:
            results.append([])
        read.append(list(seen))
    torch.save(read, f"{out}.{rank}")
    if rank == 0:
        torch.save(results, out)


def group(world, store, runs, folder, out, dies_at=None) -> list[list[tuple]]:
    spawn(worker, world, store, runs, folder, dies_at, out)
    return torch.load(out, weights_only=True)


def test_two_workers_train_what_one_does(runs, opened, store, tmp_path):
    """Same global batch, tables sharded: metrics agree to float32 rounding. The
    batch is odd, so that the shares of the workers differ."""
    runs = [resized(run) for run in runs]
    alone = [quality(train(run, opened, PlainHost())) for run in runs]
    together = group(2, store, runs, tmp_path / "a", tmp_path / "a.pt")
    for one, two in zip(alone, together, strict=True):
        assert [p[0] for p in one] == [p[0] for p in two]
        assert [p[1:-1] for p in two] == [pytest.approx(p[1:-1], rel=2e-4) for p in one]
        # three steps in, a row is where Adagrad's first steps sent it, however small its gradient
        assert [p[-1] for p in two] == [pytest.approx(p[-1], rel=2e-3) for p in one]


def resized(run: RunConfig) -> RunConfig:
    """The same run with a global batch that no two workers can share evenly."""
    return run.model_copy(update={"train": run.train.model_copy(update={"batch_size": 255})})


def test_a_run_resized_from_one_worker_to_two_and_back_ends_as_one_left_alone(
    runs, opened, store, tmp_path
):
    """Tables and both optimisers' state move to the new sharding, and every row is trained on
    once: what a step reads after a resize begins where the checkpoint ended."""
    runs = [resized(run) for run in runs]
    alone = [quality(train(run, opened, PlainHost())) for run in runs]
    folder = tmp_path / "elastic"
    for run in runs:
        with pytest.raises(Killed):
            train(run, opened, Mortal(folder / run.run_id, dies_at=4))
    begun = [facts(folder, run) for run in runs]
    assert group(2, store, runs, folder, tmp_path / "two.pt", dies_at=2) == [[], []]
    shares = [torch.load(f"{tmp_path}/two.pt.{rank}", weights_only=True) for rank in (0, 1)]
    for n, run in enumerate(runs):
        size = run.train.batch_size
        rows = sorted(shares[0][n] + shares[1][n])
        assert rows[0][0] == begun[n]["step"] * size > 0
        assert all(a[1] == b[0] for a, b in itertools.pairwise(rows))
        assert rows[-1][1] >= facts(folder, run)["step"] * size > rows[0][0]
    shutil.copytree(folder, tmp_path / "still two")
    stayed = group(2, store, runs, tmp_path / "still two", tmp_path / "still.pt")
    for run, one, two in zip(runs, alone, stayed, strict=True):
        outcome = train(run, opened, Mortal(folder / run.run_id))
        assert outcome.resumed == 2
        for curve in (quality(outcome), two):
            assert [p[0] for p in curve] == [p[0] for p in one]
            assert [p[1:] for p in curve] == [pytest.approx(p[1:], rel=2e-4) for p in one]


def facts(folder: Path, run: RunConfig) -> dict:
    newest = states.latest(folder / run.run_id)
    assert newest is not None
    return json.loads((Path(newest) / "facts.json").read_text())
