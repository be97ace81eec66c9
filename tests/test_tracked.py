"""What trackers export, read as it is: mlflow, W&B, Ray Tune, TensorBoard, our own ledgers."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from recscale.cli import main
from recscale.laws import LawError, fit_table
from recscale.laws.reading import load
from recscale.laws.runs import aliased, clustered, split
from recscale.ledger import Ledger

SIZES = [(h, d) for h in (16, 64, 256) for d in (1e3, 1e4, 1e5)]


def loss(h: float, d: float) -> float:
    return 0.3 + h**-0.5 + 10 * d**-0.5


def mlflow(path: Path) -> Path:
    """The tables of an mlflow store (its schema of 2.x and 3.x, as far as it is read)."""
    with sqlite3.connect(path) as store:
        store.executescript(
            "create table experiments (experiment_id integer, name text);"
            "create table runs (run_uuid text, name text, experiment_id integer, status text,"
            " lifecycle_stage text, start_time bigint);"
            "create table params (key text, value text, run_uuid text);"
            "create table latest_metrics (key text, value double, timestamp bigint, step bigint,"
            " is_nan boolean, run_uuid text);"
            "insert into experiments values (1, 'mine');"
        )
        for i, (h, d) in enumerate(SIZES):
            run = f"r{i}"
            store.execute("insert into runs values (?,?,1,'FINISHED','active',0)", (run, run))
            for key, value in {"hidden": h, "data/size": d, "name": "adam"}.items():
                store.execute("insert into params values (?,?,?)", (key, str(value), run))
            row = ("val/loss", loss(h, d), 0, 9, False, run)
            store.execute("insert into latest_metrics values (?,?,?,?,?,?)", row)
        store.execute("insert into runs values ('gone','gone',1,'FINISHED','deleted',0)")
        store.execute("insert into runs values ('bad','bad',1,'FAILED','active',0)")
        store.execute("insert into latest_metrics values ('val/loss',0,0,0,true,'bad')")
    return path


NAMED = ["N=params.hidden", "D=params.data/size"]


def check_law(table: Any, variables: list[str], loss: str = "loss", **more: Any) -> dict[str, Any]:
    facts = fit_table(table, variables=variables, loss=loss, **more)
    assert facts["n"] == 9 and facts["status"] == "converged", facts["reason"]
    names = [v.partition("=")[0] for v in variables]
    for name in names:
        assert facts["coefficients"][f"alpha_{name}"] == pytest.approx(0.5, abs=1e-3)
    return facts


@pytest.mark.parametrize("name", ["mlflow.db", "mlruns.sqlite", "store"])
def test_an_mlflow_store_is_a_table_of_its_runs(tmp_path: Path, name: str):
    path = mlflow(tmp_path / name)
    frame = load(path)
    assert len(frame) == 10 and set(frame["experiment"]) == {"mine"}
    facts = check_law(path, NAMED, "metrics.val/loss", cost="6 * N * D")
    assert facts["frontier"] and "gone" not in set(frame["run_id"])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_frame_of_search_runs_is_read_as_mlflow_wrote_it(tmp_path: Path, kind: str):
    """Its parameters are text."""
    frame = load(mlflow(tmp_path / "mlflow.db"))
    params = [c for c in frame if c.startswith("params.")]
    texts = frame.assign(**{c: frame[c].astype(str).where(frame[c].notna()) for c in params})
    path = tmp_path / f"runs.{kind}"
    texts.to_csv(path, index=False) if kind == "csv" else texts.to_parquet(path)
    check_law(path, NAMED, "metrics.val/loss")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"SQLite format 3\0 and then nothing", "cannot be read"),
        (b"", "no store of mlflow"),
    ],
)
def test_what_is_no_mlflow_store_is_told(tmp_path: Path, content: bytes, words: str):
    (tmp_path / "x.db").write_bytes(content)
    with pytest.raises(LawError, match=words):
        load(tmp_path / "x.db")


def wandb(path: Path) -> Path:
    """As the runs table of a project exports it."""
    rows = [
        {"Name": f"run-{i}", "State": "finished", "Model Size": h, "data, rows": d,
         "val/loss": loss(h, d), "Notes": "-"}
        for i, (h, d) in enumerate(SIZES)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_columns_of_any_name_can_be_named(tmp_path: Path):
    path = wandb(tmp_path / "wandb.csv")
    check_law(path, ["N=Model Size", "D=data, rows"], "val/loss")
    both = "N=Model Size,D=`data, rows`"
    result = CliRunner().invoke(
        main, ["fit", str(path), "--variables", both, "--loss", "val/loss", "--cost", "6*N*D",
               "--where", "State == 'finished' and `Model Size` > 0 and N > 0", "--json"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["variables"] == ["N", "D"]
    one = ["Model Size", "data, rows"]
    facts = fit_table(path, variables=one, loss="val/loss", cost="6 * `Model Size` * `data, rows`")
    assert facts["frontier"]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (["N=Nothing"], "no column 'Nothing'"),
        (["State=Model Size"], "has a column 'State' of its own"),
        (["a b=Model Size"], "no name of letters"),
        (["=Model Size"], "no name of letters"),
    ],
)
def test_names_that_cannot_be_are_told(tmp_path: Path, variables: list[str], words: str):
    with pytest.raises(LawError, match=words):
        fit_table(wandb(tmp_path / "wandb.csv"), variables=variables, loss="val/loss")


def test_names_are_split_at_commas_outside_of_quotes():
    assert split("N, D ,") == ["N", "D"]
    assert split("N=`a, b`,`c,d`") == ["N=`a, b`", "`c,d`"]
    frame = pd.DataFrame({"c,d": [1], "a=b": [2]})
    assert aliased(frame, ["`c,d`", "a=b"])[1] == ["c,d", "a=b"]


def tune(path: Path, results: bool) -> Path:
    """An experiment of Ray Tune 2.60: its state, and the results of its JSON logger."""
    path.mkdir()
    pairs = []
    for i, (h, d) in enumerate(SIZES):
        config = {"model": {"hidden": h}, "rows": d, "layers": [1, 2]}
        last = {"loss": loss(h, d), "training_iteration": 3, "trial_id": f"t{i}", "config": config}
        runtime = {"last_result": {} if results else last}
        pairs.append([json.dumps({"trial_id": f"t{i}", "config": config}), json.dumps(runtime)])
        if results:
            trial = path / f"train_{i}"
            trial.mkdir()
            first = json.dumps({**last, "loss": 9.0, "training_iteration": 1})
            (trial / "result.json").write_text(f'{first}\n{json.dumps(last)}\n{{"loss": 1')
    state = {"trial_data": pairs, "runner_data": {}, "stats": {}}
    (path / "experiment_state-2026-11-30_15-00-00.json").write_text(json.dumps(state))
    return path


@pytest.mark.parametrize("results", [True, False])
def test_an_experiment_of_ray_tune_is_a_table_of_its_trials(tmp_path: Path, results: bool):
    path = tune(tmp_path / "exp", results)
    assert set(load(path)["training_iteration"]) == {3}
    facts = check_law(path, ["h=config/model/hidden", "config/rows"][:1] + ["d=config/rows"])
    assert not any("checkpoints" in a for a in facts["answers"])
    with pytest.raises(LawError, match="several experiments of Ray Tune; name one: exp"):
        load(tmp_path)


def test_a_folder_of_events_needs_tensorboard(tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "events.out.tfevents.1.host").write_bytes(b"")
    try:
        import tensorboard  # pyright: ignore  # noqa: F401
    except ImportError:
        with pytest.raises(LawError, match="pip install tensorboard"):
            load(tmp_path)


def test_a_run_directory_is_a_table_of_what_may_enter_its_law(tmp_path: Path):
    ledger = Ledger(tmp_path / "mine")
    for h, d in SIZES:
        ledger.record(axes={"hidden": h}, samples=d, cost="hidden * samples", loss=loss(h, d))
    ledger.record(axes={"hidden": 1}, samples=10, cost="hidden * samples", status="diverged")
    check_law(tmp_path / "mine", ["hidden", "samples"], cost="6 * hidden * samples")
    check_law(tmp_path / "mine" / "ledger", ["N=hidden", "D=samples"], "eval_loss")
    result = CliRunner().invoke(
        main, ["fit", str(tmp_path / "mine"), "--variables", "hidden,samples"]
    )
    assert result.exit_code == 0 and "converged" in result.output, result.output
    whole = ledger.frame()
    for name in ("runs.csv", "runs.parquet"):  # as `recscale report` writes them
        table = tmp_path / name
        whole.to_csv(table, index=False) if name == "runs.csv" else whole.to_parquet(table)
        assert [*load(table)["run_id"]] == [*load(tmp_path / "mine")["run_id"]], name
        assert len(load(table)) == len(SIZES) == len(whole) - 1


def test_runs_of_which_none_may_enter_a_law_are_refused_with_their_reasons(tmp_path: Path):
    ledger = Ledger(tmp_path / "mine")
    for h in (1, 2, 3):
        ledger.record(axes={"hidden": h}, samples=10, cost="hidden * samples", status="diverged")
    with pytest.raises(LawError, match=r"none of its 3 runs may enter a law \(3: .*diverged"):
        load(tmp_path / "mine")


# -- rows of one run ----------------------------------------------------------------------------


def checkpoints(runs: int = 6, **more: Any) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        {"run": f"r{i}", "N": 10.0 ** (6 + i % 3), "D": d, "loss": loss(10.0 ** (6 + i % 3), d) + e}
        for i in range(runs)
        for e in [rng.normal(0, 0.01)]
        for d in np.geomspace(1e3, 1e6, 5)
    ]
    return pd.DataFrame(rows).assign(**more)


@pytest.mark.parametrize("name", ["run", "Run Name", "info/run_id", "trial_id"])
def test_rows_of_one_run_are_taken_together(name: str):
    frame = checkpoints().rename(columns={"run": name})
    assert clustered(frame, ["N", "D"], "loss", None)[0] == name
    facts = fit_table(frame, variables=["N", "D"])
    assert facts["runs"] == 6 and any("6 runs, 30 rows" in a for a in facts["answers"])
    alone = fit_table(frame, variables=["N", "D"], cluster="none")
    assert alone["runs"] == 30 and not any("taken together" in a for a in alone["answers"])


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (checkpoints(3), "too few to be taken together"),
        (checkpoints().drop(columns="run").assign(step=1), "a column counts steps"),
        (checkpoints(3).drop(columns="run"), "has several values where the other variables"),
        (checkpoints(3).assign(run=range(15), step=1), ""),
        (checkpoints().rename(columns={"run": "kind"}).assign(Name=range(30)), ""),
    ],
)
def test_it_is_said_where_rows_may_be_checkpoints(frame: pd.DataFrame, words: str):
    cluster, said = clustered(frame, ["N", "D"], "loss", None)
    assert cluster is None and words in said and bool(said) == bool(words)


def test_whole_numbers_beyond_every_integer_are_numbers(tmp_path: Path):
    C = [6 * 10 ** (18 + i) for i in range(8)]
    frame = pd.DataFrame({"C": C, "loss": [2 + 30 * (c / 1e18) ** -0.4 for c in C]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    with_blank = (tmp_path / "a.csv").read_text() + ",2.5\nNaN,2.5\n"
    (tmp_path / "b.csv").write_text(with_blank)
    for table in (frame, tmp_path / "a.csv", tmp_path / "b.csv"):
        facts = fit_table(table, variables=["C"], form="power", where="C > 7e18")
        assert facts["n"] == 7, table
        assert facts["coefficients"]["beta"] == pytest.approx(0.4, abs=1e-6)
