"""Schedule `anytime`: a mean of the weights, and runs that are points of one training."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from planted_study import DATA
from planted_study import SWEEP as PLANTED
from test_train import Killed, Mortal, group, quality

from recscale.cost import estimate, eval_schedule, steps
from recscale.data.store import Store
from recscale.planner import PlanError, planned_runs
from recscale.run import RunConfig
from recscale.specfile import SpecError, parse_spec
from recscale.train import average
from recscale.train.average import share, stride
from recscale.train.host import PlainHost
from recscale.train.loop import _Training, train
from recscale.train.optim import schedule

SWEEP = """
name: any
data: {source: synthetic, rows: 20000, users: 500, items: 300}
model: {family: dlrm, embedding_dim: [4, 8], mlp_width: 16, sequence_length: 6}
train: {data_fraction: [0.1, 0.25, 1.0], batch_size: 128, schedule: anytime, warmup_samples: 1280}
budget: {flop: 1e15}
"""


@pytest.fixture(scope="module")
def opened(store: Path) -> Store:
    return Store.open(store)


@pytest.fixture
def runs(data) -> list[RunConfig]:
    """The fractions of the larger model, the smallest first."""
    planned = planned_runs(parse_spec(SWEEP), data)
    runs = [p.config for p in planned if "-d8-" in p.run_id]
    assert [r.train.data_fraction for r in runs] == [0.1, 0.25, 1.0]
    return runs


# -- the mean ---------------------------------------------------------------------------------
def test_the_mean_is_that_of_the_powers_of_the_steps():
    """Against sums over all moves, in float64, at every step."""
    moved, seen, kept = 0, [], 0.0
    for step in range(1, 3000):
        weight = share(step)
        assert (weight is None) == (step % stride(step) != 0)
        if weight is None:
            continue
        value = float(torch.sin(torch.tensor(float(step))))
        lower, upper = (x ** (average.POWER + 1) for x in (moved, step))
        seen.append((upper - lower, value))
        kept += weight * (value - kept)
        total = sum(w for w, _ in seen)
        assert total == pytest.approx(step ** (average.POWER + 1))
        assert kept == pytest.approx(sum(w * v for w, v in seen) / total)
        assert step - moved <= max(1, step / average.MOVES)
        moved = step


def test_moves_do_not_depend_on_where_a_training_goes_on():
    """Each is told by its step alone, and lies a stride after the one before it."""
    moves = [s for s in range(1, 5000) if share(s) is not None]
    for before, after in zip(moves, moves[1:], strict=False):
        assert after - before == stride(after - 1)


def test_weights_and_mean_change_places_bit_for_bit(runs, opened, monkeypatch):
    monkeypatch.setattr(average, "BLOCK", 100)
    training = _Training(runs[0], opened, PlainHost())
    for step in range(5):
        training._step(step)
    mean = training.average
    assert mean is not None
    pairs = [(w.clone(), m.clone()) for w, m in mean._pairs]
    assert any((w != m).any() for w, m in pairs)
    with mean.in_place():
        assert all((w == n).all() for (w, _), (_, n) in zip(mean._pairs, pairs, strict=True))
    with pytest.raises(Killed), mean.in_place():
        raise Killed
    for (weights, kept), (w, m) in zip(mean._pairs, pairs, strict=True):
        assert torch.equal(weights, w) and torch.equal(kept, m) and kept.dtype == torch.float32
    sizes = [p.size() for p in training.model.state_dict().values()]
    parameters = sum(math.prod(size) for size in sizes)
    assert sum(m.numel() for _, m in pairs) == parameters


def test_products_in_bfloat16_have_their_mean_in_float32(runs, opened):
    half = runs[0].train.model_copy(update={"precision": "bfloat16"})
    training = _Training(runs[0].model_copy(update={"train": half}), opened, PlainHost())
    assert training.run().status == "done" and training.average
    assert {m.dtype for _, m in training.average._pairs} == {torch.float32}
    assert any((w != m).any() for w, m in training.average._pairs)


def test_what_is_evaluated_is_the_mean(runs, opened):
    outcome = train(runs[0], opened, PlainHost())
    training = _Training(runs[0], opened, PlainHost())
    for step in range(training.total):
        training._step(step)
    assert training.average
    with training.average.in_place():
        mean = training.task.evaluate(training.model)
    raw = training.task.evaluate(training.model)
    assert outcome.curve[-1].eval_loss == mean.loss != raw.loss


# -- nothing depends on an end -------------------------------------------------------------------
def test_rate_rises_and_stays(runs):
    for total in (100, 10_000):
        rates = [schedule(runs[0].train, total)(step) for step in range(100)]
        assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
        assert set(rates[9:]) == {1.0}
    none = runs[0].train.model_copy(update={"warmup_samples": 0})
    assert schedule(none, 10)(0) == 1.0


@pytest.mark.parametrize("points", [1, 2, 6, 20])
def test_a_longer_run_evaluates_on_the_way_where_a_shorter_one_did(points):
    for short in range(1, 200):
        asked = eval_schedule(short, points, "anytime")
        assert asked[-1] == short and len(set(asked)) == len(asked) <= points
        assert all(s & (s - 1) == 0 for s in asked[:-1])
        for long in range(short, 400):
            missing = {s for s in eval_schedule(long, points, "anytime") if s < short} - {*asked}
            assert not missing


def test_a_run_is_the_start_of_a_longer_one(runs, opened):
    """The weights at its end, bit for bit, whatever was evaluated on the way."""
    long = _Training(runs[2], opened, PlainHost())
    for run in runs[:2]:
        short = _Training(run, opened, PlainHost())
        short.run()
        for step in range(long.progress.step, short.total):
            long._step(step)
        long.progress.step = short.total
        assert long.average and short.average
        for (a, b), (c, d) in zip(long.average._pairs, short.average._pairs, strict=True):
            assert torch.equal(a, c) and torch.equal(b, d)


# -- points of one training ----------------------------------------------------------------------
def test_each_run_goes_on_where_the_one_before_rests(runs, opened, tmp_path):
    alone = [train(run, opened, PlainHost()) for run in runs]
    points = [train(run, opened, Mortal(tmp_path)) for run in runs]
    for run, one, other in zip(runs, alone, points, strict=True):
        assert quality(other) == quality(one)
        assert [p.metrics for p in other.curve] == [p.metrics for p in one.curve]
        assert other.whole.samples == one.whole.samples == other.kept
        assert other.resumed == 0 and run.place == runs[0].place
    ends = [0, *(o.whole.samples for o in points)]
    assert [o.before.samples for o in points] == ends[:-1]
    assert sum(o.time_s for o in points) == pytest.approx(points[-1].whole.time_s)
    # each evaluates what none before it has
    taken = [o.whole.evaluations - o.before.evaluations for o in points]
    asked = [set(eval_schedule(steps(r.train, opened.manifest), 6, "anytime")) for r in runs]
    seen: set[int] = set()
    for own, n in zip(asked, taken, strict=True):
        assert n == len(own - seen)
        seen |= own


@pytest.mark.parametrize("dies_at", [1, 4, 6])
def test_a_kill_on_the_way_changes_nothing(dies_at, runs, opened, tmp_path):
    """Of the second of three, twice; at its own end it is evaluated and not yet a record."""
    alone = [train(run, opened, PlainHost()) for run in runs]
    first = train(runs[0], opened, Mortal(tmp_path))
    fewer = first.whole.evaluations
    for n in (dies_at, 1):
        try:
            train(runs[1], opened, Mortal(tmp_path, dies_at=max(1, n - fewer)))
        except Killed:
            continue
    second = train(runs[1], opened, Mortal(tmp_path))
    third = train(runs[2], opened, Mortal(tmp_path))
    assert [quality(o) for o in (first, second, third)] == [quality(o) for o in alone]
    assert second.before.samples == first.whole.samples
    assert third.before.samples == second.whole.samples


def test_a_run_that_wants_less_than_what_rests_begins_anew_and_leaves_it(runs, opened, tmp_path):
    alone = [train(run, opened, PlainHost()) for run in runs]
    last = train(runs[2], opened, Mortal(tmp_path))
    early = train(runs[0], opened, Mortal(tmp_path))
    assert early.before.samples == 0 and quality(early) == quality(alone[0])
    kept = {int(p.parent.name[5:]) * 128 for p in tmp_path.glob("step-*/facts.json")}
    assert kept == {early.samples, last.samples}
    middle = train(runs[1], opened, Mortal(tmp_path))
    assert middle.before.samples == early.samples and quality(middle) == quality(alone[1])


def test_what_diverged_is_diverged_at_every_later_point_for_nothing(runs, opened, tmp_path):
    def wild(run: RunConfig) -> RunConfig:
        train = run.train.model_copy(update={"dense_rate": 1e4, "sparse_rate": 1e4})
        return run.model_copy(update={"train": train})

    first, second = (train(wild(run), opened, Mortal(tmp_path)) for run in runs[1:])
    assert first.status == second.status == "diverged" and first.error == second.error
    assert first.samples == second.samples > 0
    assert second.before.samples == second.whole.samples


def test_passes_over_a_fraction_branch_off_the_first_one(opened, data, tmp_path):
    text = SWEEP.replace("[0.1, 0.25, 1.0]", "[0.25, 0.5], epochs: [1, 2, 3]").replace(
        "[4, 8]", "8"
    )
    runs = {
        (r.train.data_fraction, r.train.epochs): r
        for r in (p.config for p in planned_runs(parse_spec(text), data))
    }
    assert len({r.place.trunk for r in runs.values()}) == 1
    names = {key: r.place.trajectory for key, r in runs.items()}
    assert names[0.25, 1] == names[0.5, 1] != names[0.25, 2] == names[0.25, 3] != names[0.5, 2]
    found = {}
    for key in ((0.25, 1), (0.25, 2), (0.5, 1), (0.25, 3), (0.5, 3)):
        host = Mortal(tmp_path / runs[key].place.trajectory)
        found[key] = train(runs[key], opened, host)
        assert quality(found[key]) == quality(train(runs[key], opened, PlainHost()))
    one = found[0.25, 1].samples
    came = {key: round(o.before.samples / one) for key, o in found.items()}
    assert came == {(0.25, 1): 0, (0.25, 2): 1, (0.5, 1): 1, (0.25, 3): 2, (0.5, 3): 2}


def test_progressive_validation_is_the_loss_of_batches_before_they_are_learnt(runs, opened):
    outcome = train(runs[1], opened, PlainHost())
    training = _Training(runs[1], opened, PlainHost())
    before = []
    for step in range(training.total):
        with torch.no_grad():
            part = training.task.loss(training.model, step)
        before.append((float(part.loss), part.untrained))
        training._step(step)
    last = outcome.curve[-1]
    power = 1 << (training.total.bit_length() - 1)
    lost, untrained = (sum(b[i] for b in before[power // 2 :]) for i in (0, 1))
    n = training.total - power // 2
    assert last.metrics["progressive_loss"] == pytest.approx(lost / n, rel=1e-5)
    assert last.metrics["progressive_ne"] == pytest.approx(lost / untrained, rel=1e-5)


def test_a_trajectory_goes_on_on_another_number_of_workers(runs, opened, store, tmp_path):
    """Two workers, then one: the mean lies where the rows lie, and moves with them."""
    runs = [r.model_copy(update={"train": r.train.model_copy(update={"batch_size": 127})})
            for r in runs[:2]]  # fmt: skip
    alone = [quality(train(run, opened, PlainHost())) for run in runs]
    # `group` gives each run a folder of its own
    (two,) = group(2, store, runs[:1], tmp_path, tmp_path / "two.pt")
    (tmp_path / runs[0].run_id).rename(tmp_path / runs[1].run_id)
    outcome = train(runs[1], opened, Mortal(tmp_path / runs[1].run_id))
    assert outcome.before.samples == two[-1][0]
    for found, one in zip([two, quality(outcome)], alone, strict=True):
        assert [p[0] for p in found] == [p[0] for p in one]
        assert [p[1:] for p in found] == [pytest.approx(p[1:], rel=2e-4) for p in one]


# -- identity, cost and refusals -------------------------------------------------------------------
SEQUENCE = """
name: s
data: {source: synthetic, task: next_item}
model: {family: decoder, sequence_width: 16, dropout: 0.1}
train: {batch_size: 64, sgd_after: 0.5, precision: bfloat16, warmup: 0.2}
budget: {flop: 1e18}
"""


def test_ids_of_decayed_runs_are_as_they_were():
    """Before there was another schedule, on 2026-11-29."""
    before = {
        PLANTED: "dlrm-d16-rall-w128-s1-f0.02-x1-seed0-74805ee5",
        SEQUENCE: "decoder-l2-d16-h1-s50-f1-x1-seed0-2a8ece95",
    }
    for text, run_id in before.items():
        first = planned_runs(parse_spec(text), DATA)[0]
        assert first.run_id == run_id and first.place == (run_id, run_id, first.place.epochs)


def test_an_anytime_run_is_another_run(data):
    anytime = planned_runs(parse_spec(SWEEP), data)
    plain = SWEEP.replace(", schedule: anytime, warmup_samples: 1280", "")
    assert not {p.run_id for p in anytime} & {
        p.run_id for p in planned_runs(parse_spec(plain), data)
    }
    assert len({p.place.trunk for p in anytime}) == 2


def test_the_mean_is_in_the_plans_memory(data):
    spec = parse_spec(SWEEP)
    for p in planned_runs(spec, data):
        plain = p.config.train.model_copy(update={"schedule": "decayed"})
        before = estimate(p.config.model, plain, data, spec.resources)
        weights = before.table_params + before.dense_params + before.head_params
        assert p.cost.peak_bytes - before.peak_bytes == 4 * weights


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("sgd_after: 0.5", "train.sgd_after: 0.5 is a share of the steps up to an end"),
        ("warmup: 0.05", "train.warmup: 0.05 is a share of the steps up to an end"),
        ("schedule: cosine", "should be 'decayed' or 'anytime'"),
        ("warmup_samples: -1", "train.warmup_samples: -1: should be at least 0"),
    ],
)
def test_what_makes_no_sense_is_a_sentence_at_its_line(given, said):
    key = given.split(":")[0]
    text = re.sub(rf", {key}: \w+", "", SWEEP).replace(
        "batch_size: 128", f"batch_size: 128, {given}"
    )
    with pytest.raises(SpecError, match=re.escape(said)):
        parse_spec(text)


def test_samples_of_warm_up_belong_to_anytime():
    with pytest.raises(SpecError, match="train.warmup_samples: 1280 belongs to schedule anytime"):
        parse_spec(SWEEP.replace("schedule: anytime, ", ""))


def test_a_fraction_that_ends_in_the_warm_up_is_refused(data):
    text = SWEEP.replace("warmup_samples: 1280", "warmup_samples: 4000")
    with pytest.raises(
        PlanError, match=r"train.data_fraction: 0.1 of 18,.* ends within the warm-up"
    ):
        planned_runs(parse_spec(text), data)
