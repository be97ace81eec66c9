"""A search as its ledger tells it: what was decided and why, and what was known before it began.

Entries of kind `decision` hold the runs, the sentence and what was believed; one entry of kind
`warm` holds the rows of an earlier ledger or table. A driver that starts again has nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from recscale.families import TrainerConfig
from recscale.frame import judged, left_out
from recscale.laws import LawError
from recscale.laws.points import check
from recscale.laws.table import load
from recscale.ledger import Ledger
from recscale.manifest import Manifest
from recscale.planner.candidates import FIELDS, Target, in_unit, values
from recscale.planner.fixed import Launch, PlanError, Planned, Stop
from recscale.planner.state import Warm
from recscale.run import Cost, RunConfig
from recscale.spec import SweepSpec

TABLES = (".csv", ".tsv", ".parquet", ".gz")


def plan_of(planned: Iterable[Planned]) -> list[dict[str, Any]]:
    """Runs as a ledger holds them."""
    return [
        {
            "config": p.config.model_dump(mode="json"),
            "cost": p.cost.model_dump(mode="json"),
            "reason": p.reason,
        }
        for p in planned
    ]


def planned_of(rows: Iterable[dict[str, Any]]) -> list[Planned]:
    """The runs that `plan_of` wrote."""
    return [
        Planned(RunConfig.model_validate(r["config"]), Cost.model_validate(r["cost"]), r["reason"])
        for r in rows
    ]


def entry(decision: Launch | Stop) -> dict[str, Any]:
    """What the ledger keeps of a decision."""
    runs = plan_of(decision.runs) if isinstance(decision, Launch) else []
    stop = {"exhausted": decision.exhausted} if isinstance(decision, Stop) else None
    return {"runs": runs, "why": decision.reason, "stop": stop, "facts": decision.facts}


def decisions(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The decision entries in the order of time."""
    return [e for e in entries if e["kind"] == "decision"]


def decided(entries: Iterable[dict[str, Any]]) -> list[Planned]:
    """Every run decided on, each once, in that order."""
    runs = {}
    for e in decisions(entries):
        for p in planned_of(e["runs"]):
            runs.setdefault(p.run_id, p)
    return list(runs.values())


def ended(entries: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """The decision that ended the search, unless it has gone on since."""
    made = decisions(entries)
    return made[-1] if made and made[-1]["stop"] is not None else None


def warm_of(entries: Iterable[dict[str, Any]]) -> Warm | None:
    """The runs known before the search began."""
    found = next((e for e in entries if e["kind"] == "warm"), None)
    if found is None:
        return None
    rows = found["rows"]
    x = np.log(np.array([r["at"] for r in rows]))
    loss, cost = np.array([[r["loss"], r["cost"]] for r in rows]).T
    return Warm(x, loss, cost, frozenset(found["run_ids"]))


def warm_entry(path: str, spec: SweepSpec, data: Manifest, target: Target) -> dict[str, Any]:
    """The entry for `search.warm_start`.

    Raises:
        PlanError: nothing usable is there, or it is of another data set.
    """
    key = f"search.warm_start: {path}"
    try:
        if path.endswith(TABLES):
            rows, ids = _from_table(key, path, spec, target), []
        else:
            rows, ids = _from_ledger(key, path, spec, data, target)
    except LawError as error:
        raise PlanError(f"{key}: {error}") from None
    if not rows:
        raise PlanError(f"{key}: no finished run that could enter the law is there")
    return {"source": path, "rows": rows, "run_ids": ids}


def _from_ledger(key, path: str, spec: SweepSpec, data: Manifest, target: Target):
    ledger = Ledger(path)
    ledger.vouch()
    records = ledger.records()
    if not records:
        raise PlanError(
            f"{key}: no run is recorded there; give the run directory of an earlier sweep, or a "
            "table (.csv, .parquet)"
        )
    others = sorted({r.config.data for r in records} - {data.fingerprint})
    if others:
        raise PlanError(
            f"{key}: it is the ledger of another data set (fingerprint {others[0][:12]}, this "
            f"sweep's is {data.fingerprint[:12]}): losses on different data follow different "
            "laws; leave it out, or use the data it was made with"
        )
    now = spec.train.schedule
    records = [r for r in records if r.config.train.schedule == now]
    family = spec.model.family
    own = [r for r in records if isinstance(r.config.model, TrainerConfig)]  # of no family
    records = own or [r for r in records if r.config.model.family == family]
    if not records:
        raise PlanError(_of_others(key, family))
    records = judged(records, spec.law_loss, data)
    if not records:
        raise PlanError(
            f"{key}: its runs are of another schedule than {now}, and follow another law; leave "
            "it out, or take their train.schedule"
        )
    out, rows = left_out(records, spec.law.below_baseline), []
    for r in records:
        if r.run_id in out or r.final is None:
            continue
        row = values(r.config.model, r.config.train, r.trained)
        at = [row[v] for v in spec.law_variables if v in row]
        loss = r.final.columns().get(spec.law_loss)
        if len(at) == len(spec.law_variables) and min(at) > 0 and loss is not None:
            cost = in_unit(r.trained, target.unit)
            rows.append({"at": at, "loss": loss, "cost": cost})
    return rows, [r.run_id for r in records if r.status == "done"]


def _of_others(key: str, family: str) -> str:
    return (
        f"{key}: none of its runs is of family {family}, and others follow laws of their own; "
        "leave it out, or take what a sweep of that family has left"
    )


def _from_table(key: str, path: str, spec: SweepSpec, target: Target) -> list[dict[str, Any]]:
    frame = load(path)
    if "protocol" in frame:
        own = frame["protocol"].isna() | (frame["protocol"] == spec.train.schedule)
        frame = pd.DataFrame(frame[own])
    family = spec.model.family
    if {"run_id", "enters_law", "family"} <= {*frame} and spec.log is not None:
        frame = pd.DataFrame(frame[frame["family"] == family])
        if frame.empty:
            raise PlanError(_of_others(key, family))
    points = check(frame, spec.law_variables, spec.law_loss, cost=FIELDS[target.unit])
    x, cost = np.exp(points.logx), np.exp(points.rank)
    return [
        {"at": [float(v) for v in at], "loss": float(y), "cost": float(c)}
        for at, y, c in zip(x, points.y, cost, strict=True)
    ]


def same_code(entries: Sequence[dict[str, Any]], spec: SweepSpec, run_dir: str) -> None:
    """Raises PlanError when the run directory holds a search of another source of the user's own
    family: what it knows is of another network."""
    plans = [e for e in entries if e["kind"] == "plan"]
    if plans and decisions(entries):
        before, now = plans[-1]["spec"]["model"], spec.model.model_dump()
        if before["family"] == now["family"] and before.get("code") != now.get("code"):
            key = "model.family" if spec.log else "trainer" if spec.trainer else "command"
            raise PlanError(
                f"{key}: {now['family']} has another source ({now.get('code')}) than the "
                f"search in {run_dir} ({before.get('code')}): a search cannot go on with it; give "
                "the sweep another name or storage, or bring the file back as it was"
            )


def same_data(entries: Sequence[dict[str, Any]], data: Manifest, run_dir: str) -> None:
    """Raises PlanError when the run directory holds a search on other data."""
    plans = [e for e in entries if e["kind"] == "plan"]
    if plans and decisions(entries):
        before = plans[-1]["data"]["fingerprint"]
        if before != data.fingerprint:
            raise PlanError(
                f"{run_dir}: its ledger is of another data set (fingerprint {before[:12]}, this "
                f"sweep's is {data.fingerprint[:12]}): a search cannot go on with it; give the "
                "sweep another name or storage"
            )
