"""Sweeps side by side: what they share is measured, and what cannot be compared is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from planted_study import DATA, SWEEP, planted, record

from recscale.cli import main
from recscale.ledger import Ledger
from recscale.planner import planned_runs
from recscale.report.across import Incomparable, across, compare_page
from recscale.run import LATENCY, SERVED, RunRecord
from recscale.specfile import parse_spec
from recscale.study import Study, plan_entry

WIDER = SWEEP.replace("[32, 64, 128, 256]", "[64, 128, 256, 512]")
ANYTIME = (
    SWEEP.replace("batch_size: 512", "batch_size: 512\n  schedule: anytime")
    .replace("learning_rate: {tune: [1, 3]}", "")
    .replace("0.02", "0.05")
)


def shifted(path: Path, by: float, text: str = SWEEP, data=DATA) -> Study:
    """A study whose runs lose `by` more than planted, each in a training of its own."""
    spec = parse_spec(text)
    runs = planned_runs(spec, data)
    ledger = Ledger(path)
    ledger.append("plan", **plan_entry(spec, data, runs))
    for i, p in enumerate(runs):
        r = record(p, start=f"{path.name}{i}")
        metrics = {**r.curve[-1].metrics, "eval_ne": r.curve[-1].metrics["eval_ne"] + by}
        curve = (*r.curve[:-1], r.curve[-1].model_copy(update={"metrics": metrics}))
        ledger.record(RunRecord.model_validate({**r.model_dump(), "curve": curve}))
    return Study.open(str(path))


def test_a_change_is_measured_between_the_same_runs(tmp_path: Path):
    a, b = shifted(tmp_path / "a", 0.0), shifted(tmp_path / "b", -0.02)
    (pairs,) = across([a, b], ["a", "b"]).pairs
    assert pairs.n == len(a.records) and not pairs.same
    assert pairs.change == pytest.approx(-0.02)
    assert pairs.high - pairs.low == pytest.approx(0, abs=1e-9)  # the same for every pair


def test_runs_that_one_of_them_has_not_are_no_pairs(tmp_path: Path):
    a, b = shifted(tmp_path / "a", 0.0), shifted(tmp_path / "b", 0.01, WIDER)
    found = across([a, b], ["a", "b"])
    shared = {r.run_id for r in a.records} & {r.run_id for r in b.records}
    assert 0 < found.pairs[0].n == len(shared) < len(a.records)
    top = min(max(r.trained.train_flop for r in s.records) for s in (a, b))
    assert found.flop == pytest.approx(top)


def test_a_copy_is_told_as_the_same_trainings(tmp_path: Path):
    a = Study.open(str(planted(tmp_path / "a").place))
    b = Study.open(str(planted(tmp_path / "b").place))
    (pairs,) = across([a, b], ["x/a", "y/b"]).pairs
    assert pairs.same == pairs.n and pairs.change == 0


def test_one_pair_has_no_interval(tmp_path: Path):
    text = (
        SWEEP.split("model:")[0]
        + """
model: {family: dlrm, embedding_dim: EMB, mlp_width: 32}
train: {data_fraction: [0.1, 1.0], batch_size: 512}
law: {form: additive, variables: [table_params, samples], loss: eval_ne}
budget: {flop: 1e18}
"""
    )
    a = shifted(tmp_path / "a", 0.0, text.replace("EMB", "4"))
    b = shifted(tmp_path / "b", 0.1, text.replace("EMB", "4").replace("[0.1, 1.0]", "[0.1, 0.5]"))
    found = across([a, b], ["a", "b"])
    assert found.pairs[0].n == 1 and np.isnan(found.pairs[0].low)
    assert json.loads(json.dumps(found.facts(), allow_nan=False))["pairs"][0]["low"] is None


@pytest.mark.parametrize(
    ("facts", "text", "words"),
    [
        ({"fingerprint": "another", "n_train": 900_000}, SWEEP, "other data (planted of 1,000,000"),
        ({}, SWEEP.replace("loss: eval_ne", "loss: eval_loss"), "other losses (eval_ne and"),
        ({}, ANYTIME, "other protocols (train.schedule decayed and anytime)"),
        ({"task": "next_item"}, None, "other tasks (click and next_item)"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, facts, text, words: str):
    a = shifted(tmp_path / "a", 0.0)
    if text is None:
        b = a.__class__(**{**{f: getattr(a, f) for f in a.__dataclass_fields__ if f != "_known"},
                           "data": DATA.model_copy(update=facts)})  # fmt: skip
    else:
        b = shifted(tmp_path / "b", 0.0, text, DATA.model_copy(update=facts))
    with pytest.raises(Incomparable) as refused:
        across([a, b], ["a", "b"])
    assert str(refused.value).startswith(f"a and b cannot be compared: {words}")


def test_the_command_prints_a_table_writes_a_page_and_refuses_in_a_sentence(tmp_path: Path):
    shifted(tmp_path / "before", 0.0)
    shifted(tmp_path / "after", -0.02)
    empty = Ledger(tmp_path / "empty")
    empty.append(
        "plan", **plan_entry(parse_spec(SWEEP), DATA, planned_runs(parse_spec(SWEEP), DATA))
    )
    before, after, none = (str(tmp_path / n) for n in ("before", "after", "empty"))
    page = tmp_path / "compare.html"
    done = CliRunner().invoke(main, ["compare", before, f"{after}/", "--report", str(page)])
    assert done.exit_code == 0, done.output
    assert "-0.02" in done.output and "best eval_ne" in done.output and "before: " in done.output
    html = page.read_text()
    assert "before beside after" in html and '"name":"sweep"' in html
    for wrong, words in (
        ([before], "two run directories or more"),
        ([before, before], "is given twice"),
        ([before, none], "no run has ended"),
        ([before, str(tmp_path / "nowhere")], "no sweep was started here"),
        ([before, after, "--report", str(tmp_path / "no" / "x.html")], "no such folder"),
    ):
        done = CliRunner().invoke(main, ["compare", *wrong])
        assert done.exit_code == 2 and words in done.output and "Traceback" not in done.output


def test_sweeps_that_measured_it_are_compared_at_equal_latency(tmp_path: Path):
    """A network is as fast as its fastest run of any sweep; without all runs', or on machines of
    two kinds, nothing is said."""

    def study(name: str, text: str, late: float = 1.0, **changes) -> Study:
        known = {r.run_id: r for r in shifted(tmp_path / f"{name}0", 0.0, text).records}
        plan = Ledger(tmp_path / f"{name}0").entries()[0]
        ledger = Ledger(tmp_path / name)
        ledger.append("plan", **{k: plan[k] for k in ("spec", "data", "runs")})
        for r in known.values():
            width = r.config.model.model_dump()["mlp_width"]
            jitter = 1 + late * (r.config.train.seed == 0)
            took = {LATENCY: 1e-3 * width * jitter}
            ledger.record(r.model_copy(update={"probes": took, **changes}))
        return Study.open(str(tmp_path / name))

    a, b = study("a", SWEEP), study("b", WIDER, late=2.0)
    found = across([a, b], ["a", "b"])
    assert found.served == pytest.approx(0.064)  # the narrower of the wider sweep
    at = found.heads().index(f"best that answers {SERVED} requests within 64 ms")
    for row, runs in zip(found.rows(), found.ended, strict=True):
        assert len(row) == len(found.heads())
        few = runs[runs["mlp_width"] <= 64]["eval_ne"].to_numpy(float)
        assert float(row[at].partition(",")[0]) == pytest.approx(few.min(), abs=0.002)
        assert "-w64-" in row[at] or "-w32-" in row[at]
    assert found.facts()["equal_latency_s"] == found.served
    for other in (study("c", WIDER, hardware="another"), study("d", WIDER, probes={})):
        assert across([a, other], ["a", "x"]).served is None


def test_names_stay_text_in_the_page(tmp_path: Path):
    a, b = shifted(tmp_path / "a", 0.0), shifted(tmp_path / "b", 0.0)
    hostile = "<script>alert('x')</script>"
    assert hostile not in compare_page(across([a, b], [f"{hostile}a", f"{hostile}b"]))
