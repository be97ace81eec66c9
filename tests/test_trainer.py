"""Trainers of a user's own: from the sweep file to what is heard of a run, without Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recscale.engine.job import Job
from recscale.engine.own_training import Shelf
from recscale.engine.worker import run_job
from recscale.families import TrainerConfig
from recscale.families.command import code_of, filled
from recscale.families.door import FOLDERS, load_function
from recscale.families.trainer import DATA
from recscale.ledger import Ledger
from recscale.planner import Planned, planned_runs, remarks
from recscale.planner.candidates import problem
from recscale.run import RunConfig, RunRecord
from recscale.specfile import SpecError, dump_spec, load_spec, parse_spec
from recscale.study import Study, plan_entry
from recscale.trainers import TrainerError, TrainerFailed, call
from recscale.trainers.trial import complaint, tried

TRAIN = """
import json, os

def train(config, report, checkpoint_dir):
    state = os.path.join(checkpoint_dir, "state.json")
    begun = json.load(open(state))["samples"] if os.path.exists(state) else 0
    n = config["samples"]
    for samples in (n // 4, n // 2, n):
        if samples <= begun:
            continue
        if os.environ.get("FAIL_AT") == str(samples):
            raise RuntimeError("the machine is on fire")
        loss = 0.3 + config["hidden"] ** -0.5 + 10 * samples ** -0.5
        report(samples=samples, loss=loss, auc=1 - loss / 2, train_loss=loss - 0.1)
        with open(state, "w") as file:
            json.dump({"samples": samples}, file)

def never(config, report, checkpoint_dir):
    pass

def nan(config, report, checkpoint_dir):
    report(samples=1, loss=float("nan"))

def later_nan(config, report, checkpoint_dir):
    report(samples=1, loss=1.0)
    report(samples=2, loss=float("inf"))

def back(config, report, checkpoint_dir):
    report(samples=10, loss=1.0)
    try:
        report(samples=5, loss=1.0)
    except ValueError:
        pass

def boom(config, report, checkpoint_dir):
    raise ValueError("boom")

def lossless(config, report, checkpoint_dir):
    report(samples=1, val=3)

def exits(config, report, checkpoint_dir):
    raise SystemExit(3)

def two(config, report):
    pass

def steps(config, report, checkpoint_dir):
    yield 1

class Train:
    pass
"""
SCRIPT = """
import argparse, json, os
import beside
p = argparse.ArgumentParser()
p.add_argument("--hidden", type=int)
p.add_argument("--samples", type=int)
p.add_argument("--to")
a = p.parse_args()
print("a line of a log, not of JSON")
for k in (1, 2, 4):
    line = json.dumps({"samples": a.samples * k // 4, "val_loss": 0.3 + 1 / a.hidden + 1 / k})
    print(line) if not a.to else open(a.to, "a").write(line + chr(10))
"""
STUMPS = """
import numpy as np

def log_loss(f, y):
    return float(np.mean(np.logaddexp(0, f) - y * f))

def train(config, report, checkpoint_dir):
    '''Boosted stumps (Friedman 2001) on the logistic loss.'''
    draw = np.random.default_rng(0)
    weights = draw.normal(size=8)
    def rows(n):
        x = draw.normal(size=(n, 8))
        return x, (draw.random(n) < 1 / (1 + np.exp(-x @ weights))).astype(float)
    (xe, ye), n = rows(5000), config["samples"]
    x, y = rows(n)
    f, fe = np.zeros(n), np.zeros(5000)
    for k in range(config["stumps"]):
        residual, best = y - 1 / (1 + np.exp(-f)), None
        for j in range(8):
            cut = np.median(x[:, j])
            left, right = residual[x[:, j] <= cut].mean(), residual[x[:, j] > cut].mean()
            if best is None or abs(left - right) > best[0]:
                best = abs(left - right), j, cut, left, right
        _, j, cut, left, right = best
        f += 4 * np.where(x[:, j] <= cut, left, right)
        fe += 4 * np.where(xe[:, j] <= cut, left, right)
        report(samples=n * (k + 1) // config["stumps"], loss=log_loss(fe, ye))
"""
SWEEP = """
name: mine
trainer: "mine:train"
axes: {hidden: [16, 64, 256], samples: [1e3, 1e4, 1e5]}
cost: 6 * hidden * samples
budget: {flop: 1e15}
"""
COMMAND = """
name: cmd
command: [python, script.py, --hidden, "{hidden}", --samples, "{samples}"]
axes: {hidden: [16, 64, 256], samples: [1e3, 1e4, 1e5]}
cost: 6 * hidden * samples
loss: val_loss
budget: {flop: 1e15}
"""


def forget() -> None:
    load_function.cache_clear()
    for name in ("mine", "beside"):
        sys.modules.pop(name, None)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's folder with his training code."""
    monkeypatch.setenv(FOLDERS, str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(TRAIN)
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "beside.py").write_text("X = 1\n")
    forget()
    yield tmp_path
    forget()


def runs_of(text: str) -> list[Planned]:
    return planned_runs(parse_spec(text), DATA)


def job_of(run: Planned, folder: Path, text: str = SWEEP) -> Job:
    (folder / "runs" / "ledger").mkdir(parents=True, exist_ok=True)
    return Job(
        config=run.config.model_dump(mode="json"),
        run_id=run.run_id,
        reason=run.reason,
        run_dir=str(folder / "runs"),
        store="",
        resources=parse_spec(text).resources.model_dump(mode="json"),
    )


def trained(run: Planned, folder: Path) -> RunRecord:
    """A run as a Ray worker trains it."""
    run_job(job_of(run, folder), 0, 1, lambda point: None, lambda: None)
    return Ledger(folder / "runs").records()[-1]


# -- the sweep file -----------------------------------------------------------------------------


def test_a_sweep_of_a_trainer_is_planned_like_any_other():
    spec, runs = parse_spec(SWEEP), runs_of(SWEEP)
    assert len(runs) == 9 and remarks(spec.on(1), DATA, runs) == []
    assert spec.law_variables == ("hidden", "samples") and spec.law_loss == "eval_loss"
    first = runs[0]
    assert (first.cost.samples, first.cost.train_flop) == (1000, 6 * 16 * 1000)
    model = first.config.model
    assert isinstance(model, TrainerConfig)
    given = {"hidden": 16, "samples": 1000, "epochs": 1, "seed": 0, "rate_factor": 1.0}
    assert model.given(first.config.train) == given
    assert all(type(v) is type(given[k]) for k, v in model.given(first.config.train).items())


@pytest.mark.parametrize("text", [SWEEP, COMMAND])
def test_files_runs_and_plans_are_read_back_as_they_were_written(text: str):
    spec, runs = parse_spec(text), runs_of(text)
    assert parse_spec(dump_spec(spec)) == spec
    entry = json.loads(json.dumps(plan_entry(spec, DATA, runs)))
    forget()
    Path("mine.py").unlink()  # a ledger is read where the trainer is not
    assert type(spec).model_validate(entry["spec"]) == spec
    for run in runs:
        again = RunConfig.model_validate_json(run.config.model_dump_json())
        assert again == run.config and again.run_id == run.run_id


def test_another_source_is_another_run(folder: Path):
    before = [p.run_id for p in runs_of(SWEEP)]
    forget()
    assert [p.run_id for p in runs_of(SWEEP)] == before
    (folder / "mine.py").write_text(TRAIN + "\n# changed\n")
    forget()
    assert not {p.run_id for p in runs_of(SWEEP)} & {*before}


@pytest.mark.parametrize("file", ["script.py", "beside.py"])
def test_a_script_is_known_by_itself_and_what_it_imports_beside_it(folder: Path, file: str):
    command = ("python", "script.py")
    before = code_of(command)
    (folder / "elsewhere.py").write_text("Y = 1\n")
    assert code_of(command) == before
    (folder / file).write_text((folder / file).read_text() + "\n# changed\n")
    assert code_of(command) != before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("trainer: 'mine:missing'", "sweep:3: trainer: mine:missing: the module mine has no"),
        ("trainer: 'nowhere:train'", "there is no module nowhere"),
        ("trainer: 'mine:two'", "takes (config, report) and is called with config, report"),
        ("trainer: 'mine:steps'", "does not run when it is called"),
        ("trainer: 'mine:Train'", "is no function"),
        ("trainer: ''", "is no dotted path"),
        ("axes: {hidden: [a, b]}", "sweep:3: axes.hidden: 'a': an axis is of numbers"),
        ("axes: {}", "axes: missing"),
        ("axes: {hidden: [1, 2], epochs: [1, 2]}", "give train.epochs"),
        ("axes: {hidden: [1, 2], status: 1}", "axes.status: recscale uses this name itself"),
        ("axes: {hidden: [1, 2], columns: 1}", "axes.columns: recscale uses this name itself"),
        ("axes: {hidden: [1, 2], _x: 1}", "a letter first"),
        ("axes: {hidden: [1, 2], samples: [0.5, 1]}", "whole numbers from 1 on"),
        ("cost: hidden * z", "there is no column 'z'"),
        ("cost: hidden.real", "cannot be evaluated"),
        ("cost: 16 - hidden", "what a run costs is above 0"),
        ("cost: hidden + samples", "does not grow in proportion to samples"),
        ("data: {source: synthetic}", "data: the data is the trainer's own"),
        ("model: 3", "model.family: missing"),
        ("model: {family: dlrm}", "model: the model is the trainer's own"),
        ("command: [ls]", "a sweep has a trainer or a command"),
        ("train: {batch_size: 64}", "train.batch_size: the training is the trainer's own"),
        ("train: {schedule: anytime}", "train.schedule: the training is the trainer's own"),
        ("train: {data_fraction: [0.5, 1]}", "train.data_fraction: the training is"),
        ("train: {learning_rate: {dense: 0.1}}", "the rates are the trainer's own"),
        ("variables: [z]", "variables: 'z' is no axis; allowed: hidden, samples, epochs"),
        ("variables: [samples, samples]", "variables: 'samples' stands twice"),
        ("samples: rows", "samples: 'rows' is no axis"),
        ("samples: hidden", "axes.samples: hidden is the number of samples of a run"),
        ("loss: samples", "loss: 'samples' is a number of its own in every report"),
        ("loss: hidden", "loss: 'hidden' is a number of its own in every report"),
        ("metrics: log.jsonl", "metrics: belongs to command"),
        ("probes: [long_tail]", "probes"),
    ],
)
def test_what_does_not_go_together_is_one_sentence_with_its_line(change: str, words: str):
    key = change.partition(":")[0]
    kept = [line for line in SWEEP.strip().splitlines() if not line.startswith(f"{key}:")]
    with pytest.raises(SpecError) as refused:
        parse_spec("\n".join([*kept[:1], "", change, *kept[1:]]))
    assert words in str(refused.value), refused.value


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("[nope, '{hidden}', '{samples}']", "command: there is no program 'nope' in PATH"),
        ("[python, nope.py, '{hidden}', '{samples}']", "there is no file 'nope.py' in"),
        ("[python, script.py, '{samples}']", "axes.hidden: the command holds no {hidden}"),
        ("[python, script.py, '{hidden}']", "axes.samples: the command holds no {samples}"),
        ("[python, script.py, '{hidden}{samples}{g}']", "{g} is no axis; allowed: checkpoint_dir"),
        ("[]", "command: names no program"),
        ("python script.py", "should be a list"),
    ],
)
def test_a_command_that_cannot_work_is_refused_with_the_file(command: str, words: str):
    lines = [f"command: {command}" if "command:" in x else x for x in COMMAND.splitlines()]
    with pytest.raises(SpecError) as refused:
        parse_spec("\n".join(lines))
    assert words in str(refused.value)


def test_seeds_passes_and_workers_of_a_command_have_to_reach_it():
    for more, words in (
        ("train: {seeds: 2}", "train.seeds: the command holds no {seed}"),
        ("train: {epochs: [1, 2]}", "train.epochs: the command holds no {epochs}"),
        ("resources: {workers: 2}", "a command runs on one worker"),
    ):
        with pytest.raises(SpecError, match=words):
            parse_spec(COMMAND + more)


def test_keys_of_a_trainer_mean_nothing_beside_a_model():
    text = "name: x\ndata: {source: synthetic}\nmodel: {family: dlrm}\nbudget: {flop: 1}\n"
    for key in ("axes: {a: 1}", "cost: '1'", "loss: x", "samples: x", "variables: [x]"):
        with pytest.raises(SpecError, match="belongs to trainer or command"):
            parse_spec(text + key)
    for wrong in (
        text.replace("dlrm", "dlrm, task: trainer"),
        text.replace("{source: s", "null #"),
    ):
        with pytest.raises(SpecError):
            parse_spec(wrong)


def test_arguments_are_filled_and_stay_one_each():
    values = {"hidden": 64, "rate": 1e-5, "name": "a b; rm x", "on": True}
    assert filled("--h={hidden}", values) == "--h=64"
    assert filled("{rate}{on}", values) == "1e-05true"
    assert filled("{name}", values) == "a b; rm x"
    assert filled('{{hidden}} {"a": 1} {}', values) == '{hidden} {"a": 1} {}'


# -- one run ------------------------------------------------------------------------------------


def test_a_run_is_trained_and_recorded(folder: Path):
    run = runs_of(SWEEP)[-1]
    record = trained(run, folder)
    assert record.status == "done" and record.run_id == run.run_id and record.final
    assert [p.samples for p in record.curve] == [25_000, 50_000, 100_000]
    assert [p.train_flop / run.cost.train_flop for p in record.curve] == [0.25, 0.5, 1.0]
    assert record.final.metrics["auc"] == pytest.approx(1 - record.final.eval_loss / 2)
    assert record.measured and record.measured.train_flop == run.cost.train_flop
    assert record.measured.samples == 100_000
    assert not (folder / "runs" / "checkpoints" / run.run_id).exists()
    spent = Ledger(folder / "runs").starts()
    assert spent[-1].over and spent[-1].flop == pytest.approx(run.cost.train_flop)


def test_a_run_that_broke_off_goes_on_from_its_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    run = runs_of(SWEEP)[-1]
    monkeypatch.setenv("FAIL_AT", "100000")
    with pytest.raises(RuntimeError, match="on fire"):
        trained(run, folder)
    monkeypatch.delenv("FAIL_AT")
    start = Ledger(folder / "runs").starts()[-1]
    assert start.over and start.samples <= 75_000, "one gap more than it has reported, at most"
    record = trained(run, folder)
    assert record.status == "done" and record.resumed == 1
    assert [p.samples for p in record.curve] == [25_000, 50_000, 100_000]
    last = Ledger(folder / "runs").starts()[-1]
    assert last.origin == 25_000, "a checkpoint holds the report before the last for certain"


def test_what_nobody_has_reported_is_no_training_for_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    run, whole = runs_of(SWEEP)[-1], 100_000
    monkeypatch.setenv("FAIL_AT", str(whole // 4))
    with pytest.raises(RuntimeError, match="on fire"):
        trained(run, folder)
    first = Ledger(folder / "runs").starts()[-1]
    assert first.over and first.samples == whole, "before its first report anything may be done"
    assert first.flop == pytest.approx(run.cost.train_flop)
    monkeypatch.setenv("FAIL_AT", str(whole // 2))
    with pytest.raises(RuntimeError, match="on fire"):
        trained(run, folder)
    assert Ledger(folder / "runs").starts()[-1].samples == whole // 2, "a report and a gap"


def test_what_a_lost_report_came_to_is_trained_again(folder: Path):
    """It left its last checkpoint, and died before its report was known."""
    run = runs_of(SWEEP)[-1]
    shelf = Shelf(f"{folder}/runs/checkpoints/{run.run_id}")
    Path(shelf.local, "state.json").write_text('{"samples": 100000}')
    shelf.note({"points": [{"samples": 25_000, "time_s": 1.0, "loss": 0.5}], "way": [0, 1, 1, 0]})
    with pytest.raises(TrainerFailed, match="begins anew"):
        trained(run, folder)
    record = trained(run, folder)
    assert record.status == "done" and [p.samples for p in record.curve][-1] == 100_000


def test_checkpoints_lie_in_an_object_store_too(folder: Path):
    place = "memory://bucket/run"
    shelf = Shelf(place)
    Path(shelf.local, "a").mkdir()
    Path(shelf.local, "a", "weights").write_bytes(b"1")
    assert shelf.changed()
    shelf.note({"points": [1]})
    Path(shelf.local, "a", "weights").write_bytes(b"22")
    shelf.note({"points": [2]})
    assert not shelf.changed()
    again = Shelf(place)
    assert again.local != shelf.local and again.facts["points"] == [2] and again.holds
    assert Path(again.local, "a", "weights").read_bytes() == b"22"
    again.clear()
    assert not Shelf(place).holds


def test_a_model_of_numpy_alone_learns_and_is_recorded(folder: Path):
    (folder / "boost.py").write_text(STUMPS)
    text = SWEEP.replace("mine:train", "boost:train").replace("hidden", "stumps")
    runs = runs_of(text.replace("[16, 64, 256]", "[1, 4, 16]"))
    ends = {}
    for run in (runs[0], runs[-1]):
        record = trained(run, folder)
        assert record.status == "done" and record.final
        ends[run.run_id] = record.final.eval_loss
    first, last = ends.values()
    assert last < first < 0.72


@pytest.mark.parametrize("file", ["", "{checkpoint_dir}/log.jsonl", "log.jsonl"])
def test_a_script_is_heard_by_its_output_or_its_file(folder: Path, file: str):
    text = COMMAND
    if file:
        text = text.replace('"{samples}"]', f'"{{samples}}", --to, "{file}"]')
        text += f'metrics: "{file}"\n'
        (folder / "log.jsonl").write_text('{"samples": 9, "val_loss": 9}\n')
    record = trained(runs_of(text)[0], folder)
    assert record.status == "done"
    assert [p.samples for p in record.curve] == [250, 500, 1000]
    assert record.final and record.final.eval_loss == pytest.approx(0.3 + 1 / 16 + 1 / 4)
    assert record.config.model.family == "script.py"


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("import sys; sys.exit('no such file')", TrainerFailed, "exit status 1: no such file"),
        ("raise ValueError(7)", TrainerFailed, "ended with exit status 1: ValueError: 7"),
        ("import os; os.kill(os.getpid(), 9)", TrainerFailed, "was killed by signal 9"),
        ("print('epoch 1')", TrainerError, "without a JSON line .* the last line was 'epoch 1'"),
        ("print('{\"samples\": 1}')", TrainerError, "that holds samples and val_loss"),
    ],
)
def test_a_command_that_goes_wrong_is_quoted(
    folder: Path, code: str, kind: type[Exception], words: str
):
    (folder / "script.py").write_text(code)
    run = runs_of(COMMAND)[0].config
    assert isinstance(run.model, TrainerConfig)
    with pytest.raises(kind, match=words):
        call(run.model, run.train, str(folder), lambda report: None)


def test_no_command_is_left_running(folder: Path):
    (folder / "script.py").write_text(
        "import os, time\nopen('pid', 'w').write(str(os.getpid()))\n"
        'print(\'{"samples": 1, "val_loss": 1}\', flush=True)\ntime.sleep(60)\n'
    )
    run = runs_of(COMMAND)[0].config

    def enough(report: Any) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError):
        call(run.model, run.train, str(folder), enough)  # type: ignore[arg-type]
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "pid").read_text()), 0)


def test_a_command_dies_with_its_worker(folder: Path):
    (folder / "script.py").write_text(
        "import os, time\nopen('pid', 'w').write(str(os.getpid()) + ' ')\ntime.sleep(60)\n"
    )
    (folder / "worker.py").write_text(
        "import sys\nfrom recscale.run import RunConfig\nfrom recscale.trainers import call\n"
        "run = RunConfig.model_validate_json(sys.argv[1])\n"
        "call(run.model, run.train, '.', print)\n"
    )
    run = runs_of(COMMAND)[0].config
    with subprocess.Popen([sys.executable, "worker.py", run.model_dump_json()]) as worker:
        pid = until(lambda: (folder / "pid").exists() and (folder / "pid").read_text())
        worker.kill()
    # who takes over its orphans may be slow to bury them
    until(lambda: " Z " in (stat_of(int(pid)) or " Z "))


def until(condition: Callable[[], Any]) -> Any:
    """The first true value of a condition that comes true within half a minute."""
    for _ in range(600):
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it never came")


def stat_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""


def test_what_a_command_leaves_running_holds_nothing_up(folder: Path):
    (folder / "script.py").write_text(
        'import subprocess\nprint(\'{"samples": 1, "val_loss": 1}\', flush=True)\n'
        "subprocess.Popen(['sleep', '60'])\n"
    )
    run = runs_of(COMMAND)[0].config
    assert isinstance(run.model, TrainerConfig)
    begun = time.monotonic()
    call(run.model, run.train, str(folder), lambda report: None)
    assert time.monotonic() - begun < 30


def test_a_loss_that_is_no_longer_finite_is_an_outcome(folder: Path):
    record = trained(runs_of(SWEEP.replace("mine:train", "mine:later_nan"))[0], folder)
    assert record.status == "diverged" and record.error == "reported loss inf at 2 samples"
    assert len(record.curve) == 1 and record.measured and record.measured.samples == 2


@pytest.mark.parametrize("name", ["never", "nan", "back", "lossless"])
def test_a_trainer_that_keeps_no_rule_is_given_up_at_once(folder: Path, name: str):
    with pytest.raises(TrainerError):
        trained(runs_of(SWEEP.replace("mine:train", f"mine:{name}"))[0], folder)


@pytest.mark.parametrize(
    ("name", "words", "always"),
    [
        ("train", "", False),
        ("later_nan", "", False),
        ("never", "ended without a report of samples and loss", True),
        ("back", "reported 5 samples after 10", True),
        ("boom", "raised (mine.py, line 36) ValueError: boom", False),
        ("exits", "it called sys.exit(3)", False),
    ],
)
def test_a_trainer_is_tried_until_its_second_report(
    folder: Path, name: str, words: str, always: bool
):
    run = runs_of(SWEEP.replace("mine:train", f"mine:{name}"))[0].config
    found, everywhere = tried(run, str(folder))
    assert found.startswith(words) and bool(found) == bool(words) and everywhere == always


def test_it_is_tried_in_a_process_of_its_own():
    assert complaint(runs_of(SWEEP)[0].config) == ("", False)
    run = runs_of(SWEEP.replace("mine:train", "mine:boom"))[0].config
    assert complaint(run) == ("raised (mine.py, line 36) ValueError: boom", False)


def test_one_that_takes_long_to_report_is_not_waited_for(folder: Path):
    (folder / "mine.py").write_text(TRAIN.replace("import json", "import time; time.sleep(60)", 1))
    forget()
    run = RunConfig.model_validate(
        runs_of(COMMAND)[0].config.model_dump()
        | {"model": {"family": "mine:train", "task": "trainer", "cost": "1", "hidden": 1}}
    )
    assert complaint(run, seconds=1.0) == ("", False)


# -- the study ----------------------------------------------------------------------------------


@pytest.fixture
def study(folder: Path) -> Study:
    """All runs of the sweep, by their trainer."""
    (folder / "runs" / "ledger").mkdir(parents=True)
    ledger = Ledger(folder / "runs")
    runs = runs_of(SWEEP)
    ledger.append("plan", **plan_entry(parse_spec(SWEEP).on(1), DATA, runs))
    for run in runs:
        run_job(job_of(run, folder), 0, 1, lambda point: None, lambda: None)
    return Study.open(str(folder / "runs"))


def test_the_law_and_the_advice_are_of_its_axes(study: Study):
    from recscale.advice import advise

    law = study.law()
    assert law.coefficients["alpha_hidden"] == pytest.approx(0.5, abs=0.02)
    advice = advise(study, "10x")
    assert advice.best and advice.rows_at_hand == 100_000
    said = advice.sentences()
    assert "mine:train with hidden" in said and "parameters" not in said
    frame = study.frame()
    assert set(frame["samples"]) == {1e3, 1e4, 1e5} and set(frame["hidden"]) == {16, 64, 256}


def test_a_search_weighs_its_axes(folder: Path):
    found = problem(
        parse_spec(SWEEP + "search: {strategy: frontier, target: {flop: 100x}}\n"), DATA
    )
    assert len(found.points) == 9
    flops = np.array([c.train_flop for c in found.target.costs])
    assert np.allclose(flops, 100 * 6 * 256 * 1e5, rtol=1e-3)
    assert {m.hidden for m in found.target.models} > {256, 1024}
    still = SWEEP.replace(", samples: [1e3, 1e4, 1e5]", ", layers: [1, 2, 4]")
    still = still.replace("* samples", "* layers")
    found = problem(parse_spec(still + "search: {strategy: frontier, target: {flop: 10x}}\n"), DATA)
    assert all(5 * 6 * 1024 <= c.train_flop <= 10 * 6 * 1024 for c in found.target.costs)


def test_the_data_axis_may_have_any_name():
    text = SWEEP.replace("samples", "rows") + "samples: rows\nvariables: [rows, hidden]\n"
    text += "search: {strategy: axes, base: {rows: 1e4}}\n"
    spec, runs = parse_spec(text), runs_of(text)
    assert spec.law_variables == ("samples", "hidden") and len(runs) == 5
    assert parse_spec(dump_spec(spec)) == spec
    assert {p.cost.samples for p in runs if p.config.model.hidden != 64} == {10_000}
    model = runs[0].config.model
    assert isinstance(model, TrainerConfig) and "rows" in model.given(runs[0].config.train)
    assert model.row(runs[0].config.train)["rows"] == runs[0].cost.samples


def test_too_many_runs_are_told_by_the_axis():
    many = SWEEP.replace("[16, 64, 256]", str(list(range(1, 1000)))).replace(
        "[1e3,", "[1, 2, 3, 4, 5, 6,"
    )
    with pytest.raises(SpecError, match=r"sweep:4: axes.hidden: 999 of it make this a sweep"):
        parse_spec(many)


def test_the_shipped_examples_are_planned(monkeypatch: pytest.MonkeyPatch):
    sweeps = Path(__file__).parents[1] / "sweeps"
    monkeypatch.chdir(sweeps.parent)
    for name in ("own_trainer", "own_command"):
        spec = load_spec(sweeps / f"{name}.yaml")
        assert remarks(spec.on(1), DATA, planned_runs(spec, DATA)) == []
