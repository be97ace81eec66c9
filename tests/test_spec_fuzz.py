"""Any sweep file at all: it is planned, or refused in sentences that a newcomer understands, soon;
and what is planned can be shown, asked and reported, however its runs ended. `RECSCALE_SLOW=1`
tries many times as many."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fuzz_sweeps import sweep_files, world
from hypothesis import HealthCheck, Phase, given, settings

from recscale.cli import main
from recscale.engine.ready import Sweep, ready, standing
from recscale.ledger import Ledger
from recscale.planner import Launch, Planned, decide_search
from recscale.planner.journal import entry
from recscale.run import CurvePoint, RunRecord
from recscale.specfile import load_spec
from recscale.study import plan_entry

LONG = "RECSCALE_SLOW" in os.environ
LONGEST_S = 5.0  # of this process's time, whatever else the machine does
FITTED_S = 30.0  # likewise, of verbs that fit laws: three or four on an idle machine
FITTING = ("status", "ask", "report")
INTERNALS = re.compile(
    r"pydantic|Traceback|\bInput\b|valid (dictionary|tuple|list|integer)|instance of|Spec\b|"
    r"errno|<class|\bNone\b|literal_error|NoneType|pyarrow"
)


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory: pytest.TempPathFactory):
    """A folder with the log that some of the sweeps name."""
    folder, before = tmp_path_factory.mktemp("sweeps"), Path.cwd()
    world(folder)
    os.chdir(folder)
    yield folder
    os.chdir(before)


def call(*words: str) -> Result:
    """A verb in this process, which ends in an exit code, and in time."""
    begin = time.process_time()
    result = CliRunner().invoke(main, list(words))
    took = time.process_time() - begin
    error = result.exception
    assert error is None or isinstance(error, SystemExit), (words, result.exc_info)
    assert took < (FITTED_S if words[0] in FITTING else LONGEST_S), (words, took)
    return result


def check_words(result: Result) -> None:
    """What a refusal says."""
    said = result.stderr.splitlines()
    assert said and all(len(line) < 1200 for line in said), said
    assert not INTERNALS.search(result.stderr), result.stderr


def record(run: Planned, number: int, data_eval: float) -> RunRecord:
    """An end of a run: most are done, some diverged, failed, or lost to a baseline."""
    status = ("done", "done", "done", "done", "diverged", "failed", "done")[number % 7]
    loss = data_eval * (0.9 + 0.3 / (1 + np.log1p(run.cost.train_flop)) + 0.001 * (number % 3))
    train = run.config.train
    metrics: dict[str, float | None] = {
        "eval_auc": 0.7,
        "eval_calibration": 1.0,
        "eval_ne": loss / 0.6,
    }
    if run.config.model.task == "next_item":
        metrics = {"eval_hr_10": 0.1, "eval_ndcg_10": 0.05}
    elif run.config.model.task == "trainer":
        metrics = {}
    elif train.schedule == "anytime" and train.epochs == 1:
        metrics |= {"progressive_ne": loss / 0.59, "progressive_loss": loss}
    curve = [
        CurvePoint(
            samples=run.cost.samples, train_flop=run.cost.train_flop, time_s=1.0, train_loss=loss,
            eval_loss=loss, metrics=metrics,
        )
    ]  # fmt: skip
    lost = number % 7 == 6 and train.seed == 0 and run.config.model.task != "trainer"
    return RunRecord(
        run_id=run.run_id, config=run.config, status=status, reason=run.reason,
        curve=tuple(curve) if status != "failed" else (), estimated=run.cost,
        measured=run.cost if status != "failed" else None, workers=1, started_at=1.8e9,
        finished_at=1.8e9 + 1, error="ran out" if status == "failed" else None,
        worse_than={"constant rate": loss} if lost else {},
    )  # fmt: skip


def train(sweep: Sweep) -> None:
    """A ledger of the sweep in which some of its runs have ended."""
    ledger = Ledger(sweep.run_dir, name="fuzz")
    ledger.append("plan", **plan_entry(sweep.spec, sweep.data, sweep.planned))
    runs = sweep.planned[:40]
    if sweep.problem is not None:
        decision = decide_search(sweep.problem, standing(sweep))
        if isinstance(decision, Launch):
            ledger.append("decision", **entry(decision))
            runs = decision.runs
    for number, run in enumerate(runs):
        ledger.record(record(run, number, 0.5))


@given(sweep_files())
@settings(
    max_examples=3000 if LONG else 60,
    deadline=None,
    derandomize=not LONG,
    phases=[p for p in Phase if LONG or p is not Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_any_sweep_file_is_planned_or_refused_in_sentences(content: bytes):
    Path("sweep.yaml").write_bytes(content)
    planned = call("plan", "sweep.yaml")
    assert planned.exit_code in (0, 2), planned.output
    if planned.exit_code:
        check_words(planned)
        return
    sweep = ready(load_spec("sweep.yaml"))
    if sweep.spec.storage != "runs" or Ledger(sweep.run_dir).entries():
        return  # tried before, under the same name
    try:
        train(sweep)
        for verb in FITTING:
            shown = call(verb, sweep.run_dir)
            assert shown.exit_code in (0, 2), shown.output
            if shown.exit_code:
                check_words(shown)
    finally:
        Path(sweep.run_dir).rename(Path(sweep.run_dir).parent / f"done-{time.time_ns()}")
