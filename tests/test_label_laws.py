"""A law of one label among several: one question, one loss, wherever runs are judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from planted_study import DATA, SWEEP, record
from test_report import words

from recscale.cli import main
from recscale.engine.tracking import require_trackers
from recscale.frame import judged
from recscale.ledger import Ledger
from recscale.manifest import LabelFacts, Manifest
from recscale.planner import Planned, Problem, Progress, planned_runs, problem
from recscale.planner.state import SearchState
from recscale.report.data_text import data_lines
from recscale.report.page import render
from recscale.report.runs import runs_data
from recscale.report.terminal import baseline_lines, progress_line
from recscale.run import RunRecord, unbeaten
from recscale.specfile import SpecError, parse_spec
from recscale.study import Study, plan_entry

NAMES = ("click", "buy")
EVENTS = (
    "data: {source: events, path: x.parquet, columns: "
    "{user: u, item: i, time: t, labels: [click, buy]}}"
)
BUY = SWEEP.replace("data: {source: synthetic}", EVENTS).replace("eval_ne", "eval_loss_buy")
ALL = BUY.replace("eval_loss_buy", "eval_loss")
LINE = 0.4948
"""Nats: the baseline of the buys, which about half of the planted runs beat."""
LABELS = tuple(
    LabelFacts(name=name, weight=1, rate_train=0.25, rate_eval=0.25, baselines={"recent": line})
    for name, line in zip(NAMES, (9.0, LINE), strict=True)
)
DATA_OF_BOTH = DATA.model_copy(
    update={"labels": LABELS, "baselines": {"recent": (9 + LINE) / 2}, "floor": None}
)


def of_both(p: Planned, **changes) -> RunRecord:
    """The planted loss is that of the buys; of clicks it is the same for all."""
    r, curve = record(p, **changes), []
    for point in r.curve:
        own = {"eval_loss_buy": point.eval_loss, "eval_loss_click": 0.3}
        both = (point.eval_loss + 0.3) / 2
        curve.append(point.model_copy(update={"eval_loss": both, "metrics": own}))
    lost = unbeaten(DATA_OF_BOTH.baselines, curve[-1].eval_loss) if curve else {}
    return r.model_copy(update={"curve": tuple(curve), "worse_than": lost})


def ledger_of(path: Path, text: str) -> Ledger:
    spec = parse_spec(text)
    runs = planned_runs(spec, DATA_OF_BOTH)
    ledger = Ledger(path, name="planted")
    ledger.append("plan", **plan_entry(spec, DATA_OF_BOTH, runs))
    for p in runs:
        ledger.record(of_both(p))
    return ledger


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    path = tmp_path_factory.mktemp("buy")
    ledger_of(path, BUY)
    return path, Study.open(str(path))


def test_runs_are_held_against_the_baselines_of_the_laws_label(study):
    path, buys = study
    lost = {r.run_id for r in buys.records if r.final and r.final.metrics["eval_loss_buy"] >= LINE}
    assert 0 < len(lost) < len(buys.records)
    assert {r.run_id for r in buys.below()} == lost
    for frame in (buys.frame(), Ledger(path).frame()):
        assert set(frame.loc[frame["worse_than"] == "recent", "run_id"]) == lost
        assert not frame.loc[frame["run_id"].isin([*lost]), "enters_law"].any()
    assert f"{len(lost)} below baseline: worse than recent" in progress_line(buys)
    first, *rest = baseline_lines(buys)
    assert first == f"baselines (eval_loss_buy, nats a sample): recent {LINE:.4f}"
    assert all("eval_loss_buy " in line for line in rest[:3])
    said = json.loads(CliRunner().invoke(main, ["status", str(path), "--json"]).output)
    assert said["baselines"] == {"recent": LINE}
    assert {x["run_id"] for x in said["below_baseline"]} == lost
    assert all(x["eval_loss_buy"] >= LINE for x in said["below_baseline"])
    assert f"{len(lost)} of the {len(buys.records)} finished runs" in words(render(buys))


def test_the_same_runs_under_a_law_of_all_labels_are_judged_as_recorded(tmp_path):
    ledger_of(tmp_path, ALL)
    both = Study.open(str(tmp_path))
    assert both.below() == [] and all(r.judged_by == "eval_loss" for r in both.records)
    assert baseline_lines(both)[0].startswith("baselines (evaluation loss, nats")


def test_a_law_is_kept_where_no_run_has_ended_since(study):
    path, before = study
    ledger = Ledger(path)
    before.once("mark", lambda: 1)
    assert Study.of(ledger, before=before)._known["mark"] == 1


def test_a_search_judges_by_the_label_too():
    hunt: Problem = problem(parse_spec(BUY.replace(
        "search: {strategy: axes}", "search: {strategy: frontier, target: {flop: 10x}}"
    )), DATA_OF_BOTH)  # fmt: skip
    runs = planned_runs(parse_spec(BUY), DATA_OF_BOTH)[:40]
    found = SearchState(hunt, Progress([of_both(p) for p in runs], runs))
    lost = sum(of_both(p).curve[-1].metrics["eval_loss_buy"] >= LINE for p in runs)  # type: ignore
    assert lost and f"{lost} of {len(runs)} runs lost to a baseline (recent)" == found.lost


def test_what_is_recorded_says_nothing_of_one_label(tmp_path):
    """A ledger is of no law: its records are the same whichever label is asked about."""
    (a, b) = (ledger_of(tmp_path / k, text).records() for k, text in (("a", BUY), ("b", ALL)))
    assert [r.model_dump() for r in a] == [r.model_dump() for r in b]
    assert "judged_by" not in a[0].model_dump()
    again = judged(judged(a, "eval_ne_buy", DATA_OF_BOTH), "eval_loss_click", DATA_OF_BOTH)
    assert not any(r.worse_than for r in again)


def test_every_label_has_its_rates_and_baselines_told():
    lines = "\n".join(data_lines(DATA_OF_BOTH))
    for name, line in zip(NAMES, ("9.0000", "0.4948"), strict=True):
        assert f"baselines (eval_loss_{name}, nats a sample): recent {line}" in lines


def test_the_pages_runs_show_the_laws_loss_whichever_it_is(study):
    frame = study[1].frame()
    data = runs_data(frame, ["embedding_dim"], "eval_loss_buy")
    assert "eval_loss_buy" in {c["name"] for c in data["columns"]}
    assert data["colour"] in data["axes"]


def test_a_label_may_be_called_like_a_metric():
    """`eval_ne_x` as the name of a label leads to no other label's loss."""
    odd = tuple(
        x.model_copy(update={"name": n}) for x, n in zip(LABELS, ("x", "eval_ne_x"), strict=True)
    )
    data: Manifest = DATA_OF_BOTH.model_copy(update={"labels": odd})
    assert data.judged_by("eval_ne_x") == "eval_loss_x"
    assert data.judged_by("eval_loss_eval_ne_x") == "eval_loss_eval_ne_x"
    assert data.judged_by("eval_auc_x") == data.judged_by("progressive_ne") == "eval_loss"


def test_labels_that_mlflow_cannot_name_are_refused_before_anything_is_spent(monkeypatch):
    monkeypatch.setattr("recscale.engine.tracking.find_spec", lambda name: name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    for name, said in (("bought?", "eval_ne_bought?"), ("x" * 300, "xxx"), ("buy it", "")):
        spec = parse_spec(ALL.replace("[click, buy]", f"[click, '{name}']") + "track: mlflow\n")
        if not said:
            require_trackers(spec)
            continue
        with pytest.raises(SpecError, match="mlflow: takes no metric called") as refused:
            require_trackers(spec)
        assert said in str(refused.value)
    require_trackers(parse_spec(ALL.replace("buy]", "'bought?']") + "track: tensorboard\n"))
