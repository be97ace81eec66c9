"""Runs of nobody's sweep: recorded from Python and the shell, and read like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from test_report import Page

from recscale.cli import main
from recscale.ledger import Ledger
from recscale.recorded import RecordError, record_of
from recscale.study import Study, StudyError

COST = "6 * hidden * samples"


def loss(hidden: float, samples: float) -> float:
    return 0.3 + hidden**-0.5 + 10 * samples**-0.5


def fill(place: Path) -> None:
    ledger = Ledger(place)
    for hidden in (16, np.int64(64), 256.0):
        for samples in (1e3, 1e4, 1e5):
            ledger.record(
                axes={"hidden": hidden, "optimizer": "adam"}, samples=samples, cost=COST,
                loss=loss(float(hidden), samples), metrics={"auc": 0.5},
            )  # fmt: skip


def log(*words: str, lines: str | None = None) -> Result:
    return CliRunner().invoke(main, ["log", *words], input=lines)


def test_recorded_runs_are_a_study_with_law_and_advice(tmp_path: Path):
    from recscale.advice import advise

    fill(tmp_path / "mine")
    study = Study.open(str(tmp_path / "mine"))
    assert study.complete and study.count("done") == 9 and study.spec.name == "mine"
    assert study.law().coefficients["alpha_hidden"] == pytest.approx(0.5, abs=0.02)
    assert study.spent.flop == pytest.approx(6 * 336 * 111_000)
    advice = advise(study, "10x")
    assert advice.best and "recorded with hidden" in advice.sentences()
    frame = Ledger(tmp_path / "mine").frame()
    assert set(frame["hidden"]) == {16, 64, 256} and set(frame["auc"]) == {0.5}
    assert set(frame["optimizer"]) == {"adam"} and all(frame["enters_law"])


def test_their_page_calls_the_data_as_they_do(tmp_path: Path):
    from recscale.report.page import render

    fill(tmp_path)
    page = Page(render(Study.open(str(tmp_path))))
    assert "data_fraction" not in page.text and "samples" in page.runs
    assert "data_fraction" not in page.runs and "samples" in page.text


def test_two_values_of_each_axis_have_effects_and_three_a_law_as_stated(tmp_path: Path):
    ledger = Ledger(tmp_path / "two")
    for hidden in (64, 128):
        for rows in (10**6, 10**7):
            ledger.record(
                axes={"hidden": hidden, "rows": rows}, cost="hidden * rows",
                loss=loss(hidden, rows),
            )  # fmt: skip
    law = Study.open(str(tmp_path / "two")).law()
    assert law.form == "effects" and law.status.determined
    fill(tmp_path / "three")
    assert Study.open(str(tmp_path / "three")).law().form == "additive"


@pytest.mark.parametrize("verb", ["status", "ask", "report"])
def test_each_verb_of_a_run_directory_reads_them(tmp_path: Path, verb: str):
    for i, hidden in enumerate((16, 64, 256)):
        Ledger(tmp_path).record(axes={"hidden": hidden}, cost=f"{hidden}e3", loss=1 - i / 10)
    result = CliRunner().invoke(main, [verb, str(tmp_path)])
    assert not isinstance(result.exception, Exception) or result.exit_code == 2, result.output
    assert result.output.strip()


def test_a_run_said_twice_is_one_and_another_result_needs_another_seed(tmp_path: Path):
    ledger = Ledger(tmp_path)
    first = ledger.record(axes={"hidden": 1}, cost=1.0, loss=0.5)
    assert ledger.record(axes={"hidden": 1}, cost=1.0, loss=0.5) == first
    assert len(ledger.attempts()) == 1
    with pytest.raises(RecordError, match="needs another seed"):
        ledger.record(axes={"hidden": 1}, cost=1.0, loss=0.6)
    assert ledger.record(axes={"hidden": 1}, cost=1.0, loss=0.6, seed=1) != first
    assert Study.open(str(tmp_path)).count("done") == 2


def test_failures_and_curves_are_kept(tmp_path: Path):
    ledger = Ledger(tmp_path)
    ledger.record(axes={"hidden": 1}, cost=1.0, status="diverged", error="loss nan")
    curve = [{"samples": 1, "loss": 2.0}, {"samples": 2, "loss": 1.0, "auc": 0.7}]
    ledger.record(axes={"hidden": 2}, cost=1.0, curve=curve)
    assert [r.status for r in ledger.records()] == ["diverged", "done"]
    assert list(ledger.curves()["eval_loss"]) == [2.0, 1.0]
    assert Study.open(str(tmp_path)).count("diverged") == 1


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ({"axes": {}}, "axes: should name the sizes"),
        ({"axes": {"epochs": 2}}, "call it passes"),
        ({"axes": {"status": 2}}, "axes.status: recscale uses this name itself"),
        ({"axes": {"a b": 2}}, "letters, digits and _, a letter first"),
        ({"axes": {"h": [1, 2]}}, "axes.h: "),
        ({"axes": {"h": None}}, "axes.h: "),
        ({"cost": 0}, "cost: 0: should be above 0"),
        ({"cost": "h * z"}, "there is no column 'z'"),
        ({"cost": "h"}, "does not grow in proportion to samples"),
        ({"samples": 0.5}, "samples: 0.5: should be a whole number from 1 on"),
        ({"loss": float("nan")}, "loss nan"),
        ({"loss": None}, "loss: missing"),
        ({"loss": "low"}, "no number"),
        ({"status": "ok"}, "status: 'ok'; allowed: done, diverged, failed"),
    ],
)
def test_what_is_no_run_is_refused_and_nothing_written(
    tmp_path: Path, run: dict[str, Any], words: str
):
    with pytest.raises(RecordError) as refused:
        record_of(**{"axes": {"h": 2}, "cost": "h * samples", "samples": 10, "loss": 0.5} | run)
    assert words in str(refused.value)
    with pytest.raises(RecordError):
        Ledger(tmp_path / "x").record(
            **{"axes": {"h": 2}, "cost": "h * samples", "samples": 10, "loss": 0.5} | run
        )
    assert not (tmp_path / "x").exists()


def test_the_shell_records_by_options(tmp_path: Path):
    words = ["--axes", "hidden=64,layers=2", "--cost", "6e9", "--loss", "0.41", "--metrics", "a=1"]
    said = log(str(tmp_path), *words, "--seed", "3")
    assert said.exit_code == 0, said.output
    (record,) = Ledger(tmp_path).records()
    assert said.output.strip() == record.run_id and record.config.train.seed == 3
    assert record.final and record.final.metrics == {"a": 1.0}
    assert record.trained.train_flop == 6e9


def test_the_shell_records_lines(tmp_path: Path):
    lines = [{"axes": {"h": h}, "cost": h, "loss": 1 / h} for h in (1, 2, 4)]
    said = log(str(tmp_path), lines="\n".join(map(json.dumps, lines)) + "\n\n")
    assert said.exit_code == 0 and len(Ledger(tmp_path).records()) == 3


@pytest.mark.parametrize(
    ("words", "lines", "sentence"),
    [
        ([], "", "nothing to record"),
        ([], "x", "stdin:1: no JSON object"),
        ([], '{"axes": {"h": 1}, "cost": 1, "loss": 1}\n[]', "stdin:2: no JSON object"),
        ([], '{"axes": {"h": 1}, "cost": 1, "los": 1}', "stdin:1: los: unknown key; allowed: axes"),
        ([], '{"axes": {"h": 1}, "loss": 1}', "stdin:1: cost: missing"),
        (["--axes", "h"], "", "--axes 'h': should be name=value"),
        (["--axes", "h=1,h=2"], "", "--axes: h stands twice"),
        (["--axes", "h=1", "--loss", "1"], "", "cost: missing"),
    ],
)
def test_what_the_shell_does_not_understand(
    tmp_path: Path, words: list[str], lines: str, sentence: str
):
    said = log(str(tmp_path), *words, lines=lines)
    assert said.exit_code == 2 and sentence in said.output, said.output


def test_the_ledger_of_a_sweep_is_left_alone(tmp_path: Path):
    Ledger(tmp_path).append("plan", spec={}, data={}, runs=[])
    with pytest.raises(RecordError, match="the ledger of a sweep"):
        Ledger(tmp_path).record(axes={"h": 1}, cost=1.0, loss=1.0)
    with pytest.raises(StudyError, match="recscale log"):
        Study.open(str(tmp_path / "nothing"))
