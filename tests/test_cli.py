"""The verbs as a user meets them, without Ray."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from recscale.cli import main

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


def test_new_copies_an_example_that_can_be_planned(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("new", "mine", "--like", "demo").exit_code == 0
    assert "name: mine" in Path("mine.yaml").read_text()
    again = call("new", "mine")
    assert again.exit_code == 2 and "exists" in again.output
    unknown = call("new", "other", "--like", "nothing")
    assert unknown.exit_code == 2 and "demo" in unknown.output


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


def test_prepare_says_what_it_made(sweep_file):
    shown = call("prepare", sweep_file(SWEEP))
    assert shown.exit_code == 0
    assert "4,500 training and 500 evaluation rows" in shown.output


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
