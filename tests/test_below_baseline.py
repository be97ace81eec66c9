"""A run that is no better than a baseline is marked wherever it is shown, and enters a law only
when the sweep asks for it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from click.testing import CliRunner
from planted_study import DATA, SWEEP, record, start
from test_report import FEW, Page, words
from test_search import SWEEP as HUNT
from test_search import play, took

from recscale.advice import advise
from recscale.advice.hold_out import hold_out
from recscale.cli import main
from recscale.engine.job import Job, finished_record, unbeaten
from recscale.frame import left_out, lost_words, records_frame
from recscale.laws import LawError
from recscale.ledger import Ledger
from recscale.manifest import Manifest
from recscale.planner import Planned, Problem, Stop, planned_runs, problem
from recscale.planner.journal import warm_entry
from recscale.report.page import render
from recscale.report.terminal import baseline_lines, progress_line
from recscale.run import RunRecord, Way
from recscale.specfile import parse_spec
from recscale.study import Study, plan_entry

ENTROPY = 0.5623  # nats, of the planted world's rate
ASKED = ("law: {", "law: {below_baseline: true, ")


def ledger_of(path: Path, ne: dict[str, float], text: str = SWEEP) -> Ledger:
    """The planted sweep's runs as the engine records them beside baselines of these NE."""
    spec, data = parse_spec(text), beside(ne)
    runs = planned_runs(spec, data)
    ledger = Ledger(path, name="planted")
    ledger.append("plan", **plan_entry(spec, data, runs))
    for p in runs:
        ledger.record(marked(record(p), data))
    return ledger


def beside(ne: dict[str, float]) -> Manifest:
    """The planted world with baselines of these NE."""
    return DATA.model_copy(update={"baselines": {k: ENTROPY * v for k, v in ne.items()}})


def marked(r: RunRecord, data: Manifest) -> RunRecord:
    assert r.final is not None
    return r.model_copy(update={"worse_than": unbeaten(data.baselines, r.final.eval_loss)})


SOME = {"constant rate": 1.0, "per-item rate": 0.9}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("below")
    ledger_of(path, SOME)
    return path


@pytest.fixture(scope="module")
def study(run_dir: Path) -> Study:
    return Study.open(str(run_dir))


def test_a_loss_has_to_be_lower_than_a_baselines():
    found = {"uniform": 3.0, "popularity": 2.0, "recent": 1.0}
    assert unbeaten(found, 0.9) == {}
    assert unbeaten(found, 1.0) == {"recent": 1.0}
    assert unbeaten(found, 2.5) == {"popularity": 2.0, "recent": 1.0}
    assert unbeaten(found, math.nan) == found
    assert unbeaten({}, 9.0) == {}


@pytest.mark.parametrize("status", ["done", "diverged"])
def test_the_record_of_a_run_holds_what_it_lost_to(status: str):
    """By its final loss, not its best; a run that diverged is none that lost."""
    spec, data = parse_spec(SWEEP), beside(SOME)
    p = planned_runs(spec, data)[0]
    run = record(p)
    curve = [
        point.model_copy(update={"eval_loss": nats})
        for point, nats in zip((run.curve[0], run.curve[-1]), (0.3, 0.53), strict=True)
    ]
    outcome = SimpleNamespace(
        status=status, curve=curve, probes={}, spectra={}, workers=1, resumed=0,
        before=Way(), whole=Way(100, 2.0, 2.0), worker_s=2.0, peak_bytes=1, error=None,
    )  # fmt: skip
    config, resources = p.config.model_dump(mode="json"), spec.resources.model_dump(mode="json")
    job = Job(config, p.run_id, "", "", "", resources)
    found = finished_record(job, data, outcome, [start(p)])
    lost = {"per-item rate": data.baselines["per-item rate"]} if status == "done" else {}
    assert found.worse_than == lost


def test_a_record_and_a_manifest_from_before_baselines_are_read(run_dir: Path):
    r = Ledger(run_dir).records()[0].model_dump(mode="json")
    data = beside(SOME).model_dump(mode="json")
    del r["worse_than"], data["baselines"]
    assert RunRecord.model_validate(r).worse_than == {}
    assert Manifest.model_validate(data).baselines == {}


def test_the_frame_says_which_baseline_and_both_numbers(study: Study):
    frame = study.frame().set_index("run_id")
    kept_out = 0
    for r in study.records:
        row, final = frame.loc[r.run_id], r.final
        assert final is not None
        lost = [k for k, v in study.data.baselines.items() if final.eval_loss >= v]
        assert row["worse_than"] == ", ".join(lost) or (pd.isna(row["worse_than"]) and not lost)
        if lost and r.config.train.rate_factor == 1:  # the better one throughout
            kept_out += 1
            assert not row["enters_law"]
            assert f"eval_loss {final.eval_loss:.5g} is no better than" in row["left_out"]
            for name in lost:
                assert f"{name} ({study.data.baselines[name]:.5g})" in row["left_out"]
        else:
            assert row["enters_law"] == (r.config.train.rate_factor == 1)
    assert 0 < kept_out < sum(frame["rate_factor"] == 1)
    assert study.law().n == sum(frame["enters_law"])


def test_the_learning_rate_is_chosen_before_baselines_are_looked_at():
    """Factor 1 is better on average although one of its seeds loses to a baseline; factor 3, of
    which no seed does, is not taken in its place."""
    runs = planned_runs(parse_spec(SWEEP), DATA)
    group = [p for p in runs if p.config.tuning_group == runs[0].config.tuning_group]
    nats: dict[tuple[float, int], float] = {(1, 0): 0.2, (1, 1): 0.41, (3, 0): 0.39, (3, 1): 0.39}
    records: dict[tuple[float, int], RunRecord] = {}
    for p in group:
        at = p.config.train.rate_factor, p.config.train.seed
        r = record(p)
        curve = (*r.curve[:-1], r.curve[-1].model_copy(update={"eval_loss": nats[at]}))
        records[at] = r.model_copy(
            update={"curve": curve, "worse_than": unbeaten({"recent": 0.4}, nats[at])}
        )
    out = left_out([*records.values()])
    assert set(out) == {r.run_id for at, r in records.items() if at != (1, 0)}
    assert "baseline recent (0.4)" in out[records[1, 1].run_id]
    assert "factor 1 was better than 3" in out[records[3, 0].run_id]
    asked = left_out([*records.values()], below_baseline=True)
    assert set(asked) == {records[3, 0].run_id, records[3, 1].run_id}


def test_the_sweep_may_ask_for_them(tmp_path: Path, study: Study):
    ledger = ledger_of(tmp_path, SOME, SWEEP.replace(*ASKED))
    asked = Study.of(ledger)
    assert asked.law().n > study.law().n
    assert asked.law().n == sum(r.config.train.rate_factor == 1 for r in asked.records)
    assert "below baseline: worse than" in progress_line(asked)  # marked all the same
    assert len(asked.facts()["below_baseline"]) == len(study.facts()["below_baseline"])
    assert "they enter the law, as the sweep asks" in words(Page(render(asked)).text)
    for who in (asked, study):  # the ledger alone, the study and its consumers agree
        plain = records_frame(who.records, below_baseline=who.spec.law.below_baseline)
        assert set(plain.loc[plain["enters_law"], "run_id"]) == {
            r.run_id for r in who.records if r.run_id not in who.left_out()
        }
    frame = ledger.frame()
    assert sum(frame["enters_law"]) == asked.law().n


def test_status_and_the_live_line_mark_them_at_once(run_dir: Path, study: Study):
    lost = [r for r in study.records if r.worse_than]
    assert f"  {len(lost)} below baseline: worse than " in progress_line(study)
    first = replace(study, records=(lost[0],))
    assert f"1 below baseline: worse than {', '.join(lost[0].worse_than)}" in progress_line(first)
    said = baseline_lines(study)
    assert said[0].startswith("baselines (evaluation loss, nats a sample): constant rate 0.5623, ")
    assert "is no better than the baseline" in said[1] and said[1].startswith(lost[0].run_id)
    text = CliRunner().invoke(main, ["status", str(run_dir)]).output
    assert text.splitlines() == [progress_line(study), *said]
    facts = json.loads(CliRunner().invoke(main, ["status", str(run_dir), "--json"]).output)
    assert facts["baselines"] == study.data.baselines
    assert {f["run_id"] for f in facts["below_baseline"]} == {r.run_id for r in lost}
    for f in facts["below_baseline"]:
        assert all(f["eval_loss"] >= nats for nats in f["worse_than"].values())


def test_without_baselines_nothing_is_said(tmp_path: Path):
    study = Study.of(ledger_of(tmp_path, {}, FEW))
    assert baseline_lines(study) == [] and "baseline" not in progress_line(study)
    assert "Beside baselines" not in Page(render(study)).text
    assert study.facts()["below_baseline"] == []


@pytest.mark.parametrize("ne", [0.72, 0.5])
def test_a_law_without_runs_says_what_took_them(ne: float, tmp_path: Path):
    """Few are left at .72, none at .5."""
    study = Study.of(ledger_of(tmp_path, {"recent": ne}))
    n, below = len(study.records), len(study.below())
    told = f"{below} of {n} runs lost to a baseline (recent): "
    try:
        law = study.law()
        assert law.status == "underdetermined" and law.reason.startswith(told)
    except LawError as error:
        assert str(error).startswith(told)
    assert study.facts()["law"]["why"].startswith(told)
    with pytest.raises(LawError) as refused:
        advise(study, "10x")
    assert told in str(refused.value)
    page = Page(render(study))
    assert told in page.by_id["answer"]
    assert told in progress_line(study)


def test_where_all_runs_lose_ask_says_a_way_out_and_the_page_counts_seeds(tmp_path: Path):
    lost = ledger_of(tmp_path, {"recent": 0.1})
    shown = CliRunner().invoke(main, ["ask", str(tmp_path)])
    assert shown.exit_code == 2 and "law: {below_baseline: true}" in shown.output
    seeds = Study.of(lost).spec.train.seeds
    unknown = "No configuration has two runs that enter the law" if seeds > 1 else "One seed"
    assert unknown in render(Study.of(lost))


def test_a_law_of_the_smaller_models_says_what_took_its_runs(tmp_path: Path):
    text = SWEEP.replace("law: {", "law: {hold_out_largest: 1, ")
    found = hold_out(Study.of(ledger_of(tmp_path, {"recent": 0.74}, text)))
    assert found is None or found.law is not None or "lost to a baseline (recent)" in found.why


def test_the_report_draws_baselines_and_lists_who_lost(study: Study):
    page = Page(render(study))
    section = words(page.by_id["baselines"] + page.text)
    below = study.below()
    assert f"{len(below)} of the {len(study.records)} finished runs are no better" in section
    assert "they are kept out of the law" in section and "per-item rate" in section
    for key in ("compute", "axis-mlp_width"):
        layout = page.figures[key]["layout"]
        dotted = [s["y0"] for s in layout["shapes"] if s["line"]["dash"] == "dot"]
        assert any(y == pytest.approx(0.9, rel=1e-3) for y in dotted), key
        assert any("per-item rate" in a["text"] for a in layout["annotations"])
    assert "baseline" in page.text and "is no better than the baseline" in page.text


def test_the_report_counts_when_none_lost(tmp_path: Path):
    study = Study.of(ledger_of(tmp_path, {"constant rate": 5.0}, FEW))
    page = Page(render(study))
    assert f"All of the {len(study.records)} finished runs beat every baseline." in page.text
    assert not any(s["line"]["dash"] == "dot" for s in page.figures["compute"]["layout"]["shapes"])


def test_baselines_have_the_unit_of_the_loss():
    data = DATA.model_copy(update={"baselines": {"constant rate": 0.6}})
    p = DATA.label_rate_eval
    assert p is not None
    entropy = -(p * math.log(p) + (1 - p) * math.log(1 - p))
    assert data.baselines_in("eval_loss") == {"constant rate": 0.6}
    assert data.baselines_in("eval_ne") == {"constant rate": pytest.approx(0.6 / entropy)}
    assert data.baselines_in("eval_hr10") == {}
    one_class = data.model_copy(update={"label_rate_eval": 1.0})
    assert one_class.baselines_in("eval_ne") == {}


# -- the frontier search --------------------------------------------------------------------------
LINE = {"recent": 0.96}


def hunt(ne: dict[str, float], text: str = HUNT) -> Problem:
    return problem(parse_spec(text), beside(ne))


def fate(run: Planned, i: int) -> RunRecord:
    return marked(took(run, 1.0), beside(LINE))


def test_a_search_goes_on_where_baselines_are_beaten():
    """What loses is not tried again; the law of the others predicts what else would lose."""
    attempts, decided, launches, stop = play(hunt(LINE), fate)
    assert isinstance(stop, Stop)
    lost = [r for r in attempts if r.worse_than]
    groups = [r.config.tuning_group for r in lost]
    assert len(groups) == len(set(groups))
    assert stop.facts["finished"] == len(attempts) - len(lost) >= 8
    start = {p.run_id for d in launches if d.facts["phase"] == "start" for p in d.runs}
    later = [r for r in lost if r.run_id not in start]
    unaware, _, _, _ = play(hunt({}))
    would = sum(bool(fate(p, 0).worse_than) for p in decided_later(unaware, start))
    assert len(later) < 0.2 * would


def decided_later(attempts: list[RunRecord], start: set[str]) -> list[Planned]:
    return [Planned(r.config, r.estimated, "") for r in attempts if r.run_id not in start]


def test_a_search_that_asks_for_them_takes_them_as_they_are():
    attempts, decided, _, stop = play(hunt(LINE, HUNT.replace(*ASKED)), fate)
    _, before, _, _ = play(hunt({}))
    assert [p.run_id for p in decided] == [p.run_id for p in before]
    assert stop.facts["finished"] == len(attempts)
    assert any(r.worse_than for r in attempts)


@pytest.mark.parametrize("ne", [0.1, 0.92])
def test_a_search_in_which_all_lose_ends_and_says_so(ne: float):
    """At once where the start shows that nothing can win, and nothing is run twice otherwise."""
    text = HUNT.replace("[4, 8, 16, 32]", "[4, 8, 16]").replace("[32, 64, 128, 256]", "[32, 64]")
    text = text.replace("[0.02, 0.05, 0.1, 0.3, 1.0]", "[0.02, 0.05, 0.1]")
    beaten = beside({"recent": ne})
    attempts, decided, _, stop = play(
        problem(parse_spec(text), beaten), lambda run, i: marked(took(run, 1.0), beaten)
    )
    n = len(attempts)
    assert len({r.config.tuning_group for r in attempts}) == len(decided) == n
    assert 8 <= n <= 18 and (n == 8 or ne > 0.5)
    assert f"{n} of {n} runs lost to a baseline (recent)" in stop.reason


@pytest.mark.parametrize("asked", [False, True])
def test_a_warm_start_takes_what_the_sweep_asks_for(asked: bool, run_dir: Path):
    spec = parse_spec(HUNT.replace(*ASKED) if asked else HUNT)
    task = problem(spec, DATA)
    rows = warm_entry(str(run_dir), spec, DATA, task.target)["rows"]
    out = left_out(Ledger(run_dir).records(), asked)
    assert len(rows) == len(Ledger(run_dir).records()) - len(out)


def test_words_count_only_runs_that_are_done(study: Study):
    done = study.records[-1]
    failed = record(study.planned[0], status="failed", curve=(), measured=None)
    lost = done.model_copy(update={"worse_than": {"recent": 0.1, "popularity": 0.2}})
    assert lost_words([failed, lost]) == "1 of 1 runs lost to a baseline (recent, popularity)"
    assert lost_words([failed]) == ""
