"""Runs as trackers leave them, one row a run: mlflow's sqlite file, folders of Ray Tune and of
TensorBoard events, and recscale's own ledgers.

Columns are called as the tracker calls them, by their whole names: `params.hidden` and
`metrics.val/loss` (mlflow), `config/hidden` and `training_iteration` (Ray Tune), the tags of
scalars (TensorBoard).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd

from recscale.laws.nouns import LawError

SQLITE = b"SQLite format 3\0"
EVENTS = "events.out.tfevents.*"
STATE = "experiment_state-*.json"
RESULT = "result.json"
LEDGER = "ledger"
MOST_FILES = 100_000


def is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE


def folder(path: Path) -> pd.DataFrame:
    """The runs in a folder. Raises LawError where it holds none that can be read."""
    if path.name == LEDGER or (path / LEDGER).is_dir():
        return _ledger(path)
    if any(path.glob(STATE)) or any(path.glob(f"*/{RESULT}")) or (path / RESULT).is_file():
        return _ray_tune(path)
    if any(path.glob(f"*/{STATE}")):
        inner = sorted({p.parent.name for p in path.glob(f"*/{STATE}")})
        raise LawError(f"it holds several experiments of Ray Tune; name one: {', '.join(inner)}")
    events = [p for _, p in zip(range(MOST_FILES), path.rglob(EVENTS), strict=False)]
    if events:
        return _tensorboard(path, sorted({p.parent for p in events}))
    raise LawError(
        "the folder holds no runs that can be read: a recscale run directory, an experiment of Ray "
        "Tune (experiment_state-*.json or */result.json) or TensorBoard's event files; or give a "
        ".csv, .tsv, .parquet or mlflow sqlite file"
    )


def _ledger(path: Path) -> pd.DataFrame:
    """All runs; their loss is called both `eval_loss` and `loss`."""
    from recscale.ledger import Ledger

    frame = Ledger(path).frame()
    if not len(frame):
        raise LawError("no run has ended yet")
    return frame if "loss" in frame else frame.assign(loss=frame["eval_loss"])


def _ray_tune(path: Path) -> pd.DataFrame:
    """The last result of every trial of an experiment."""
    rows = []
    folders = [path] if (path / RESULT).is_file() else sorted(p.parent for p in _results(path))
    for trial in folders:
        last = _last_line(trial / RESULT)
        if last is not None:
            rows.append(flat({"trial_id": trial.name, **last}))
    known = {str(r["trial_id"]) for r in rows}
    rows += [r for r in _states(path) if str(r.get("trial_id")) not in known]
    if not rows:
        raise LawError("no trial of this experiment has reported a result")
    return pd.DataFrame(rows)


def _results(path: Path) -> Iterator[Path]:
    return path.glob(f"*/{RESULT}")


def _last_line(file: Path) -> dict[str, Any] | None:
    """The last whole line of a file of JSON lines; a kill may have cut the one after it."""
    for line in reversed(file.read_text(errors="replace").splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return None


def _states(path: Path) -> Iterator[dict[str, Any]]:
    """Trials by the newest state of the experiment, with their last results."""
    newest = max(path.glob(STATE), default=None, key=lambda p: (p.stat().st_mtime, p.name))
    if newest is None:
        return
    try:
        state = json.loads(newest.read_text())
        pairs = [[json.loads(part) for part in pair] for pair in state["trial_data"]]
    except (ValueError, KeyError, TypeError):
        raise LawError(f"{newest.name} is no state of a Ray Tune experiment") from None
    for trial, runtime in pairs:
        result = runtime.get("last_result") or trial.get("last_result") or {}
        config = trial.get("config") or {}
        if isinstance(result, dict) and isinstance(config, dict) and result:
            yield flat({"trial_id": trial.get("trial_id"), "config": config, **result})


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as names with slashes, as Ray Tune writes them; lists are left out."""
    out: dict[str, Any] = {}
    for key, each in value.items():
        name = f"{prefix}{key}"
        if isinstance(each, Mapping):
            out |= flat(each, f"{name}/")
        elif not isinstance(each, list):
            out[name] = each
    return out


def mlflow(path: Path) -> pd.DataFrame:
    """The runs of an mlflow store, with the columns of `mlflow.search_runs`, of all experiments.
    Raises LawError."""
    # immutable would miss what lies in a log beside the file
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as store:
        try:
            tables = {r[0] for r in store.execute("select name from sqlite_master")}
            if not {"runs", "params", "latest_metrics", "experiments"} <= tables:
                raise LawError("it is no store of mlflow: it has no tables of runs and params")
            return _mlflow_runs(store)
        except sqlite3.Error as error:
            raise LawError(f"cannot be read as an mlflow store: {error}") from None


def _mlflow_runs(store: sqlite3.Connection) -> pd.DataFrame:
    names = dict(store.execute("select experiment_id, name from experiments"))
    runs: dict[str, dict[str, Any]] = {}
    wanted = "select run_uuid, name, experiment_id, status, lifecycle_stage from runs"
    for run, name, experiment, status, stage in store.execute(wanted):
        if stage != "deleted":
            runs[run] = {"run_id": run, "name": name, "experiment": names.get(experiment),
                         "status": status}  # fmt: skip
    for run, key, value in store.execute("select run_uuid, key, value from params"):
        if run in runs:
            runs[run][f"params.{key}"] = value
    found = store.execute("select run_uuid, key, value, is_nan from latest_metrics")
    for run, key, value, is_nan in found:
        if run in runs:
            runs[run][f"metrics.{key}"] = None if is_nan else value
    if not runs:
        raise LawError("the mlflow store holds no runs")
    return pd.DataFrame(list(runs.values()))


def _tensorboard(path: Path, folders: list[Path]) -> pd.DataFrame:
    """Of every folder of events the last value of each scalar, and the hyperparameters that the
    HParams plugin has of it."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import (  # pyright: ignore
            EventAccumulator,
        )
    except ImportError:
        raise LawError(
            "it holds TensorBoard's event files, which the package tensorboard reads: pip install "
            "tensorboard; or export the scalars as CSV"
        ) from None
    rows = []
    for run in folders:
        events = EventAccumulator(str(run), size_guidance={"scalars": 0})
        events.Reload()
        row: dict[str, Any] = {"run": str(run.relative_to(path)), **_hparams(events)}
        for tag in events.Tags()["scalars"]:
            last = events.Scalars(tag)[-1]
            row |= {tag: last.value, "step": max(row.get("step", 0), last.step)}
        rows.append(row)
    return pd.DataFrame(rows)


def _hparams(events: Any) -> dict[str, Any]:
    from tensorboard.plugins.hparams import plugin_data_pb2  # pyright: ignore

    try:
        content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    except KeyError:
        return {}
    told = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    return {k: getattr(v, v.WhichOneof("kind")) for k, v in told.items() if v.WhichOneof("kind")}
