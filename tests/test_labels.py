"""Several labels a row: the store, towers and experts, the loss and its metrics, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import FAMILIES, architecture
from data_files import events_spec, history, prepared
from label_logs import (
    LABELS,
    MMOE,
    WEIGHTS,
    columns,
    label_log,
    labelled_subject,
    labels_spec,
    sweep,
)  # fmt: skip
from pydantic import ValidationError

from recscale.data.layout import DataError
from recscale.data.prepare import store_path
from recscale.data.store import Store
from recscale.families.base import Rates
from recscale.families.click import ClickSpec, rarer_rates
from recscale.families.door import search_in
from recscale.families.towers import Towers
from recscale.models.contract import build
from recscale.models.counting import Subject, count
from recscale.models.towers import LabelTowers
from recscale.planner import planned_runs
from recscale.run import RunConfig
from recscale.specfile import SpecError, parse_spec
from recscale.testing import training
from recscale.testing.contract import found
from recscale.train.click import ClickTask
from recscale.train.loop import train
from recscale.train.metrics import entropy

CPU = torch.device("cpu")
PLAIN: dict[str, Any] = {}
TOWER = {"tower_depth": 2, "tower_width": 12}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Store:
    folder = tmp_path_factory.mktemp("labels")
    return prepared(folder, labels_spec(label_log(folder), label_weights=WEIGHTS))


def run_of(store: Store, **model) -> RunConfig:
    return planned_runs(sweep(model=model), store.manifest)[0].config


def test_a_store_has_every_label_and_histories_of_the_first(labelled):
    world, data = columns(), labelled.manifest
    truth = np.stack([world[name] for name in LABELS], axis=1)
    assert labelled.arrays["labels"].tolist() == truth.tolist()
    assert labelled.arrays["label"].tolist() == world["click"].tolist()
    n = data.n_train
    for i, facts in enumerate(data.labels):
        assert facts.name == LABELS[i] and facts.weight == WEIGHTS.get(facts.name, 1)
        assert facts.rate_train == pytest.approx(truth[:n, i].mean(), rel=1e-12)
        assert facts.rate_eval == pytest.approx(truth[n:, i].mean(), rel=1e-12)
    assert data.label_shares == (1 / 6, 4 / 6, 1 / 6)
    row = 500
    past = (world["user"][:row] == world["user"][row]) & (world["click"][:row] == 1)
    assert len(history(labelled, row)) == past.sum()
    assert "click 1, buy 4, like 1" in data.notes["labels"]
    batch = labelled.eval().read(3, 8)
    assert batch.label.dtype == np.float32 and batch.label.tolist() == truth[n + 3 : n + 8].tolist()


def test_baselines_are_those_of_each_label_alone(labelled, tmp_path):
    data = labelled.manifest
    for facts in data.labels:
        alone = prepared(
            tmp_path, events_spec(label_log(tmp_path), columns={"label": facts.name})
        ).manifest
        assert facts.baselines == alone.baselines
        for kind in ("loss", "ne"):
            assert data.baselines_in(f"eval_{kind}_{facts.name}") == alone.baselines_in(
                f"eval_{kind}"
            )
    rates = [entropy(x.rate_eval) for x in data.labels]
    for name, nats in data.baselines.items():
        each = [x.baselines[name] for x in data.labels]
        assert nats == pytest.approx(np.dot(data.label_shares, each))
        ne = data.baselines_in("eval_ne")[name]
        assert ne == pytest.approx(nats / np.dot(data.label_shares, rates))
    assert data.baselines_in("eval_auc_buy") == data.baselines_in("eval_loss_buys") == {}


def test_runs_differ_by_names_weights_and_rows_of_labels(tmp_path):
    path = label_log(tmp_path, columns(2000))
    specs = [
        labels_spec(path),
        labels_spec(path, label_weights={"buy": 2.0}),
        labels_spec(path, ("click", "like", "buy")),
        events_spec(path, columns={"label": "click"}),
    ]
    stores = [prepared(tmp_path, spec) for spec in specs]
    assert len({s.path.name for s in stores}) == len({s.manifest.fingerprint for s in stores}) == 4
    label_log(tmp_path, {k.replace("like", "share"): v for k, v in columns(2000).items()})
    renamed = prepared(tmp_path, labels_spec(path, ("click", "buy", "share")))
    assert renamed.manifest.fingerprint != stores[0].manifest.fingerprint


def test_a_store_of_one_label_is_named_as_it_was(tmp_path):
    """What is stored under a name that a version without several labels gave is found again."""
    log = tmp_path / "log.csv"
    log.write_text("user,item,time,click\n" + "".join(f"u{i % 3},i{i % 4},{i},{i % 2}\n"
                                                      for i in range(40)))  # fmt: skip
    data = events_spec(log, columns={"label": "click"})
    assert store_path(data, tmp_path).name == "events-7abf198164e6"


def test_two_labels_that_say_one_thing_are_told(tmp_path, labelled):
    assert not any("labels" in w for w in labelled.manifest.warnings)
    log = columns(2000)
    for buy, said in (
        (log["click"], "the same as"),
        (1 - np.array(log["click"]), "the opposite of"),
    ):
        found = prepared(tmp_path, labels_spec(label_log(tmp_path, {**log, "buy": buy}))).manifest
        (told,) = [w for w in found.warnings if w.startswith("data.columns.labels")]
        assert f"'click' says {said} 'buy' in all 1,800 training rows" in told


@pytest.mark.parametrize("ends", [PLAIN, TOWER, MMOE], ids=["plain", "towers", "mmoe"])
@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_and_flops_are_those_of_the_network(family, ends, labelled):
    data, config = labelled.manifest, architecture(FAMILIES[family], **ends)
    found = count(Subject.of(config), data)
    assert config.dense_params(data) == found.dense_params
    said = config.forward_flop(data)
    apart = said.total - said.attention
    assert 0.99 * apart <= found.flop <= 1.01 * (apart + 2 * said.attention)


def test_sizes_counted_by_hand():
    """Two labels over 10 values: 3 experts of 4, gates of 3 each, towers 4 -> 5 -> 1."""
    sizes = Towers(labels=2, width=10, experts=3, expert_width=4, tower_width=5, tower_depth=1)
    experts, gates, towers = 3 * (10 * 4 + 4), 2 * 10 * 3, 2 * (4 * 5 + 5 + 5 + 1)
    assert sizes.params == experts + gates + towers - (10 + 1)
    mixes = 2 * 3 * 4
    assert sizes.macs == 3 * 40 + gates + mixes + 2 * (4 * 5 + 5) - 10
    plain = sizes._replace(experts=0, expert_width=0, tower_width=0, tower_depth=0)
    assert (plain.params, plain.macs) == (10 + 1, 10)


@torch.no_grad()
def test_every_label_mixes_the_experts_by_its_own_gate():
    sizes = Towers(labels=2, width=7, experts=3, expert_width=4, tower_width=5, tower_depth=1)
    torch.manual_seed(0)
    towers: Any = LabelTowers(sizes, [torch.nn.Linear(5, 1) for _ in range(2)], CPU)
    x, found = torch.randn(6, 7), []
    w, b = towers.experts.weight, towers.experts.bias
    for row in range(6):
        for label in range(2):
            score = [float(towers.gates.weight[3 * label + i] @ x[row]) for i in range(3)]
            whole = sum(np.exp(score))
            mixed = torch.zeros(4)
            for i in range(3):
                at = slice(4 * i, 4 * i + 4)
                mixed += float(np.exp(score[i]) / whole) * torch.relu(w[at] @ x[row] + b[at])
            first, out = towers.towers[label][0][0], towers.towers[label][1]
            hidden = torch.relu(first.weight @ mixed + first.bias)
            found.append(out.weight @ hidden + out.bias)
    torch.testing.assert_close(towers(x), torch.cat(found).view(6, 2))


def test_an_untrained_model_answers_each_labels_rate(labelled):
    data = labelled.manifest
    for ends in (PLAIN, TOWER, MMOE):
        torch.manual_seed(0)
        model: Any = build(architecture("dlrm", **ends), data)
        hidden = torch.randn(500, architecture("dlrm").last_width(data))
        rate = torch.sigmoid(model.output(hidden)).mean(0).tolist()
        assert rate == pytest.approx([x.rate_train for x in data.labels], rel=0.02)


@pytest.mark.parametrize("ends", [TOWER, MMOE], ids=["towers", "mmoe"])
def test_training_beats_the_rate_of_every_label(labelled, ends):
    run = run_of(labelled, **ends)
    outcome = train(run, labelled, training.Mortal())
    last, data = outcome.curve[-1], labelled.manifest
    for facts in data.labels:
        assert last.metrics[f"eval_loss_{facts.name}"] < facts.baselines["constant rate"] - 0.005
        assert last.metrics[f"eval_auc_{facts.name}"] > 0.65
        ne = last.metrics[f"eval_loss_{facts.name}"] / entropy(facts.rate_eval)
        assert last.metrics[f"eval_ne_{facts.name}"] == pytest.approx(ne, rel=1e-6)
        assert f"eval_calibration_{facts.name}" in last.metrics
    each = [float(last.metrics[f"eval_loss_{name}"] or 0) for name in LABELS]
    assert last.eval_loss == pytest.approx(np.dot(data.label_shares, each), rel=1e-12)
    rates = np.dot(data.label_shares, [entropy(x.rate_eval) for x in data.labels])
    assert last.metrics["eval_ne"] == pytest.approx(last.eval_loss / rates, rel=1e-12)
    assert "eval_auc" not in last.metrics


def test_the_loss_is_the_mean_of_the_labels_by_weight(labelled):
    """By a double loop over rows and labels, and so is what the untrained model lost."""
    task = ClickTask(run_of(labelled), labelled, 0, 1, CPU)
    batch = labelled.train().read(0, 255)
    logits = torch.randn(255, 3, generator=torch.Generator().manual_seed(1))
    part = task.loss(lambda features: logits, 0)
    shares, total, untrained = (1 / 6, 4 / 6, 1 / 6), 0.0, 0.0
    for row in range(255):
        for k, share in enumerate(shares):
            y, rate = batch.label[row, k], labelled.manifest.labels[k].rate_train
            p = float(torch.sigmoid(logits[row, k].double()))
            total -= share * np.log(p if y else 1 - p) / 255
            untrained -= share * np.log(rate if y else 1 - rate) / 255
    assert float(part.loss) == pytest.approx(total, rel=1e-5)
    assert part.untrained == pytest.approx(untrained, rel=1e-5)


@pytest.mark.parametrize("check", ["parameters", "FLOPs", "answers", "gradients", "resumes"])
def test_the_contract_of_a_family_holds(tmp_path, check):
    """Two workers: with all families in test_contract.py."""
    said = found(check, labelled_subject(tmp_path, **MMOE))
    assert said.holds, said.said


def test_rates_are_those_of_the_label_with_the_most(labelled):
    """Lower than usual only where every label is rare."""
    data, usual = labelled.manifest, Rates(1e-3, 1e-1)
    assert rarer_rates(usual, data, 1.0) == usual
    rare = [x.model_copy(update={"rate_train": 1e-3}) for x in data.labels]
    both = data.model_copy(update={"labels": (rare[0], data.labels[1])})
    assert rarer_rates(usual, both, 1.0) == usual
    assert rarer_rates(usual, data.model_copy(update={"labels": tuple(rare)}), 1.0) < usual


def test_laws_of_a_label(labelled):
    assert sweep(law={"loss": "eval_loss_buy"}).law_loss == "eval_loss_buy"
    with pytest.raises(ValidationError, match="'eval_loss_bought' is no loss of family dlrm; .*"
                       "eval_ne_buy, eval_loss_buy"):  # fmt: skip
        sweep(law={"loss": "eval_loss_bought"})


def test_sizes_of_towers_are_axes_and_have_no_effect_on_one_label(labelled, data):
    spec = sweep(model={"experts": [0, 2, 4], "tower_depth": [0, 1]})
    runs = planned_runs(spec, labelled.manifest)
    assert len({p.run_id for p in runs}) == 6
    assert any("-x4x64-t1x64" in p.run_id for p in runs)
    model = spec.model
    assert isinstance(model, ClickSpec)
    values = {k: v[-1] for k, v in model.axes().items()}
    assert model.resolve(values, data) == model.resolve({**values, "experts": 0}, data)
    assert "the data has one label" in model.idle(data)["experts"]
    assert "experts" not in model.idle(labelled.manifest)
    grown = model.grown(runs[0].config.model, "experts")
    assert (grown["experts"], grown["expert_width"]) == (1, 64)


HEAD = "name: x\nbudget: {flop: 1e9}\nmodel: {family: %s}\ndata:\n  source: events\n  path: x\n"
COLUMNS = "  columns: {user: u, item: i, time: t, %s}\n"


@pytest.mark.parametrize(
    ("given", "more", "family", "sentence"),
    [
        ("labels: [a, a]", "", "dlrm", "the column a is given two parts; name it once"),
        ("labels: [a, u]", "", "dlrm", "the column u is given two parts"),
        ("labels: [a, b], sparse: [b]", "", "dlrm", "the column b is given two parts"),
        ("labels: [a, b], label: c", "", "dlrm", "both name labels; list all of them under"),
        ("labels: [a]", "", "dlrm", "'a' is one label alone; write label: a"),
        ("labels: a", "", "dlrm", "labels"),
        ("labels: [a, '']", "", "dlrm", "is empty; name a column"),
        ("labels: [a, b]", "positive: r > 1", "dlrm", "columns.labels 'a', 'b' both say what is a"),
        ("labels: [a, b]", "task: next_item", "decoder", "columns.labels: belongs to task click"),
        ("labels: [a, b]", "label_weights: {c: 1}", "dlrm", "'c' is no column under.*: a, b"),
        ("label: a", "label_weights: {a: 1}", "dlrm", "'a' is no column.*which is not given"),
        ("labels: [a, b]", "label_weights: {b: -1}", "dlrm", "should be above 0"),
        ("labels: [a, b]", "label_weights: {b: 0}", "dlrm", "should be above 0"),
        ("labels: [a, b]", "label_weights: {b: 1e300}", "dlrm", "should be at most"),
        ("labels: [a, b]", "label_weights: {b: .nan}", "dlrm", "label_weights"),
        ("labels: [a, b]", "label_weights: {b: .inf}", "dlrm", "label_weights"),
        ("labels: [a, b]", "label_weights: {b: many}", "dlrm", "label_weights"),
        ("labels: [a, b]", "label_weights: [1, 2]", "dlrm", "label_weights"),
    ],
)  # fmt: skip
def test_keys_that_say_nothing_are_refused_with_their_line(given, more, family, sentence):
    text = HEAD % family + COLUMNS % given + (f"  {more}\n" if more else "")
    with pytest.raises(SpecError, match=sentence) as told:
        parse_spec(text, "x.yaml")
    assert all(line.startswith("x.yaml:") for line in told.value.lines)
    assert "pydantic" not in str(told.value)


def test_a_family_of_ones_own_learns_one_label():
    search_in(Path(__file__).parents[1] / "sweeps")
    text = HEAD % "own.deepfm:DeepFM" + COLUMNS % "labels: [a, b]"
    with pytest.raises(SpecError, match="own.deepfm:DeepFM learns one label, and .* names a, b"):
        parse_spec(text, "x.yaml")


N = 400


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"buy": np.zeros(N, int)}, "label 'buy': positives are 0 of 360 .*nothing to tell apart; "
         "check what it says, or leave it out of data.columns.labels"),
        ({"buy": (np.arange(N) < 300).astype(int)}, "label 'buy': .*0 of 40 evaluation rows"),
        ({"like": np.ones(N, int)}, "label 'like': positives are 360 of 360"),
        ({"buy": np.where(np.arange(N) % 4, 1.0, np.nan)}, "25.0% of the 400 rows would be dropped "
         r"\(label buy not 0 or 1: 100.*write 0 in 'buy' where nothing stands for none"),
        ({"buy": np.arange(N) % 5}, "label buy not 0 or 1.*such as"),
        ({"buy": [["x"]] * N}, "data.columns.labels 'buy' holds"),
        ({"buy": ["yes", "no"] * (N // 2)}, "label buy not 0 or 1: 400, such as"),
    ],
)  # fmt: skip
def test_a_label_that_cannot_be_learnt_is_refused_by_its_name(tmp_path, changes, sentence):
    path = label_log(tmp_path, columns(N), **changes)
    with pytest.raises(DataError, match=sentence):
        prepared(tmp_path, labels_spec(path))
    assert not list((tmp_path / "stores").glob("events*"))


def test_a_label_that_the_log_lacks_is_named(tmp_path):
    path = label_log(tmp_path, columns(N))
    with pytest.raises(DataError, match=r"labels\[2\]: no column 'likes' \(did you mean 'like'"):
        prepared(tmp_path, labels_spec(path, ("click", "buy", "likes")))


def test_a_few_rows_without_one_label_are_dropped_and_counted(tmp_path):
    log = columns(N)
    buy = log["buy"].astype(float)
    buy[[3, 5]] = np.nan
    store = prepared(tmp_path, labels_spec(label_log(tmp_path, log, buy=buy)))
    assert store.manifest.dropped == {"label buy not 0 or 1": 2}
    assert len(store.arrays["labels"]) == N - 2


def test_labels_of_listed_items(tmp_path):
    """A row that lists items lists a label of each kind for every one of them."""
    log = columns(N)
    lists = {
        "user": log["user"][::4],
        "time": log["time"][::4],
        **{k: log[k].reshape(-1, 4).tolist() for k in ("item", *LABELS)},
    }
    store = prepared(tmp_path, labels_spec(label_log(tmp_path, lists)))
    found = store.arrays["labels"]
    assert sorted(map(tuple, found.tolist())) == sorted(
        zip(*(log[name].tolist() for name in LABELS), strict=True)
    )
    one = label_log(tmp_path, lists, buy=[1, 0] * (N // 8))
    with pytest.raises(DataError, match="'buy' is one value a row where 'item' holds lists"):
        prepared(tmp_path, labels_spec(one))
