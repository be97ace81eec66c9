"""The verbs as a user meets them, without Ray."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from recscale.cli import main
from recscale.manifest import Manifest, TableFacts, load_sealed, sealed
from recscale.report.data_text import data_lines

SWEEP = """
name: verbs
data: {source: synthetic, rows: 5000, users: 100, items: 50}
model: {family: dlrm, embedding_dim: [4, 8]}
train: {data_fraction: [0.5, 1.0], batch_size: 100, seeds: 2}
budget: {flop: 1e15}
"""


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(w) for w in words])


def test_every_verb_explains_itself():
    for verb in main.commands:
        shown = call(verb, "--help")
        assert shown.exit_code == 0
        assert "Example: recscale" in shown.output


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("fit", "runs.csv", "--variables", "N,D", "--where", ""), "--where"),
        (("fit", "runs.csv", "--variables", "N,D", "--predict", " "), "--predict"),
        (("fit", "", "--variables", "N"), "TABLE"),
        (("replay", "runs.csv", "--variables", "N", "--cost", "", "--target", "N > 1"), "--cost"),
        (("ask", "runs/mine", "--compute", ""), "--compute"),
        (("new", ""), "NAME"),
    ],
)
def test_an_empty_text_is_refused_and_never_ignored(words, named):
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == 2 and result.stderr.startswith(f"{named} is empty; give ")


def test_plan_prices_every_run_before_it_runs(sweep_file):
    sweep = sweep_file(SWEEP)
    shown = call("plan", sweep, "--json")
    assert shown.exit_code == 0, shown.output
    runs = json.loads(shown.stdout)
    assert len(runs) == 2 * 2 * 2
    for run in runs:
        assert {"run_id", "table_params", "dense_params", "train_flop", "samples"} <= set(run)
        assert run["time_s"] > 0 and run["usd"] > 0 and run["reason"]
    table = call("plan", sweep)
    assert all(run["run_id"] in table.output for run in runs)


def test_plan_says_which_batch_and_rates_the_runs_have(sweep_file):
    from recscale.families.dlrm import DLRMConfig

    (said,) = [x for x in call("plan", sweep_file(SWEEP)).output.splitlines() if "batch" in x]
    usual = DLRMConfig.rates
    rates = f"learning rates: dlrm {usual.dense:g} dense, {usual.sparse:g} sparse"
    assert said.startswith(f"batch 100; {rates} (dense and sparse left out"), said
    given = SWEEP.replace("batch_size: 100", "learning_rate: {sparse: 0.02}")
    assert given != SWEEP
    (said,) = [x for x in call("plan", sweep_file(given)).output.splitlines() if "batch" in x]
    assert said.startswith("batch 32 (left out"), said
    assert f"dlrm {usual.dense:g} dense, 0.02 sparse (dense left out" in said


def test_prepare_says_what_it_made(sweep_file):
    shown = call("prepare", sweep_file(SWEEP))
    assert shown.exit_code == 0
    assert "4,500 training and 500 evaluation rows" in shown.output
    assert "training:" in shown.output and "% positives" in shown.output
    assert "world: " in shown.output  # a note of the manifest


FRONTIER = "search: {strategy: frontier, target: {flop: 20x}}\n"


@pytest.mark.parametrize("search", ["", FRONTIER], ids=["grid", "frontier"])
def test_warnings_of_the_data_are_said_by_prepare_and_plan(search, sweep_file):
    axes = SWEEP.replace("[0.5, 1.0]", "[0.1, 0.3, 1.0]").replace("[4, 8]", "[4, 8, 16]")
    sweep = sweep_file((axes + search) if search else SWEEP)
    store = Path(call("prepare", sweep).stdout.splitlines()[0])
    manifest, seal = load_sealed(store)
    warning = "column 'uuid' has nearly one value a row"
    warned = manifest.model_copy(update={"warnings": (warning,)})
    (store / "manifest.json").write_text(sealed(warned, seal))
    for verb in ("prepare", "plan"):
        shown = call(verb, sweep)
        assert shown.exit_code == 0, shown.output
        assert shown.output.splitlines()[-1] == f"warning: {warning}"
    told = json.loads(call("plan", sweep, "--json").stdout)
    for facts in told if isinstance(told, list) else [told]:
        assert facts["warnings"] == [warning]


def test_a_prepared_log_is_described():
    data = Manifest(
        source="events", task="click", fingerprint="", n_train=900, n_eval=100, raw_rows=1040,
        tables=(
            TableFacts(name="user", rows=31, distinct=30, unseen_rate=0.05),
            TableFacts(name="tags", rows=9, distinct=8, mean_length=2.5, weighted=True),
            *(TableFacts(name=f"c{i}", rows=3, distinct=2) for i in range(20)),
        ),
        dense=("price",), history="item", label_rate_train=0.0123, label_rate_eval=0.02,
        time_range_train=("2026-01-01 00:00:00", "2026-01-09 00:00:00"),
        time_range_eval=("2026-01-09 00:00:01", "2026-01-10 00:00:00"), time_unit="ms",
        dropped={"time unreadable": 40}, notes={"positives": "rating >= 4: 12 of 900 rows"},
        baselines={"constant rate": 0.0664},
    )  # fmt: skip
    text = "\n".join(data_lines(data))
    for said in (
        "900 training and 100 evaluation rows",
        "2026-01-01 00:00:00 to 2026-01-09 00:00:00; 1.23 % positives",
        "2026-01-09 00:00:01 to 2026-01-10 00:00:00; 2 % positives",
        "dropped 40 rows (3.8 %): time unreadable",
        "user 31 (5 % of evaluation unseen), tags 9 (2.5 values a row, weighted)",
        "10 more with 30 in all",
        "dense columns, 1: price",
        "positives: rating >= 4: 12 of 900 rows",
        "constant rate 0.0664",
    ):
        assert said in text, text


@pytest.mark.parametrize("verb", ["prepare", "plan", "run"])
def test_a_bad_sweep_exits_2_and_writes_nothing(verb, sweep_file, tmp_path):
    shown = call(verb, sweep_file(SWEEP.replace("embedding_dim", "embeding_dim")))
    assert shown.exit_code == 2
    assert "did you mean 'embedding_dim'?" in shown.output
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("words", [("status",), ("ask",), ("report",)])
def test_a_directory_without_a_sweep_exits_2(words, tmp_path):
    shown = call(*words, tmp_path)
    assert shown.exit_code == 2
    assert "recscale run" in shown.output


def test_unprepared_logs_that_do_not_exist_are_named(sweep_file, tmp_path):
    text = SWEEP.replace(
        "{source: synthetic, rows: 5000, users: 100, items: 50}",
        "{source: events, path: nowhere.parquet, columns: {user: u, item: i, time: t}}",
    )
    shown = call("plan", sweep_file(text))
    assert shown.exit_code == 2
    assert "nowhere.parquet" in shown.output


def test_a_job_does_not_write_where_ray_deletes(sweep_file, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert call("plan", sweep_file(SWEEP)).exit_code == 0
    relative = tmp_path / "r.yaml"
    relative.write_text(SWEEP)
    shown = call("plan", relative)
    assert shown.exit_code == 2 and "absolute path" in shown.output


def test_storage_of_an_unknown_kind_is_refused(tmp_path):
    sweep = tmp_path / "s.yaml"
    sweep.write_text(SWEEP + "storage: s4://bucket/runs\n")
    shown = call("plan", sweep)
    assert shown.exit_code == 2
    assert "s4://bucket/runs" in shown.output and "s3://, gs://" in shown.output


def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_written(
    sweep_file, tmp_path, monkeypatch
):
    monkeypatch.setattr("recscale.engine.tracking.find_spec", lambda package: None)
    shown = call("run", sweep_file(SWEEP + "track: mlflow\n"))
    assert shown.exit_code == 2
    assert "pip install mlflow" in shown.output
    monkeypatch.setattr("recscale.engine.tracking.find_spec", lambda package: package)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shown = call("run", sweep_file(SWEEP + "track: [tensorboard, mlflow]\n"))
    assert shown.exit_code == 2
    assert "MLFLOW_TRACKING_URI is not set" in shown.output
    assert not (tmp_path / "runs").exists()
    unknown = call("plan", sweep_file(SWEEP + "track: tensorbord\n"))
    assert unknown.exit_code == 2 and "'tensorboard', 'mlflow' or 'wandb'" in unknown.output


def test_a_ray_of_our_own_stays_on_loopback():
    script = (
        "from recscale.engine.ready import stay_on_loopback\n"
        "stay_on_loopback()\n"
        "import ray\n"
        "print(ray.util.get_node_ip_address())"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "127.0.0.1"
