"""From a sweep file to a sweep that can run: data prepared, runs planned. Imports no Ray."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recscale.data.remote import prepared
from recscale.engine.places import check_places
from recscale.families.trainer import DATA
from recscale.ledger import Ledger
from recscale.manifest import Manifest, load_manifest
from recscale.planner import (
    Planned,
    Problem,
    Progress,
    decide_search,
    idle_options,
    misnamed,
    planned_runs,
    problem,
    remarks,
)
from recscale.planner.checks import whole_tables
from recscale.planner.journal import decided, same_code, same_data, warm_entry, warm_of
from recscale.spec import SweepSpec
from recscale.specfile import SpecError, expand
from recscale.storage import is_uri
from recscale.study import Study

JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray sets it in the driver of a submitted job


@dataclass(frozen=True)
class Sweep:
    """A sweep that is ready to run."""

    spec: SweepSpec
    run_dir: str
    store: str
    """The prepared data; empty with a trainer, which has its own."""
    data: Manifest
    planned: tuple[Planned, ...]
    problem: Problem | None = None
    """Of a frontier sweep, whose runs are decided as it goes."""
    remarks: tuple[str, ...] = ()
    """What the file asks for in vain, each `key: what and why`."""


def _places(spec: SweepSpec) -> tuple[str, str | None, str | None]:
    """Storage, the data's path and the search's warm start, variables expanded; the last two where
    there are any. Raises SpecError of all together."""
    data = spec.log
    path = data.path if data is not None and data.source != "synthetic" else None
    named = {
        "storage": spec.storage,
        "data.path": path,
        "search.warm_start": spec.search.warm_start,
    }
    wrong, found = [], {}
    for key, value in named.items():
        try:
            found[key] = value if value is None else expand(value, key)
        except SpecError as error:
            wrong += error.lines
    if wrong:
        raise SpecError(wrong)
    return found["storage"] or "", found["data.path"], found["search.warm_start"]


def ready(spec: SweepSpec, progress: Callable[[int, int | None], None] | None = None) -> Sweep:
    """Prepares the data unless it is prepared, and plans the runs.

    Raises SpecError, DataError, PlanError, StorageError.
    """
    storage, path, warm_from = _places(spec)
    if JOB in os.environ and not (is_uri(storage) or os.path.isabs(storage)):
        raise SpecError(
            [
                f"storage: {storage}: in a submitted job this lies in the job's own folder, which "
                "Ray deletes; give an absolute path that every node sees, or s3:// or gs://"
            ]
        )
    data = spec.log
    if data is not None and data.source != "synthetic":
        data = data.model_copy(update={"path": path})
    if wrong := misnamed(spec):
        raise SpecError(wrong)
    check_places(storage, spec.name, path, warm_from)
    root = storage.rstrip("/") if is_uri(storage) else os.path.abspath(storage)
    store = prepared(data, f"{root}/store", progress) if data else ""
    run_dir = f"{root}/{spec.name}"
    Ledger(run_dir).vouch()
    manifest = load_manifest(store) if data else DATA
    idle = [*idle_options(spec, manifest), *whole_tables(spec, manifest)]
    spec = spec.on(manifest.n_train)
    if spec.search.strategy == "frontier":
        search = problem(spec, manifest)
        entries = Ledger(run_dir).entries()
        same_data(entries, manifest, run_dir)
        same_code(entries, spec, run_dir)
        sweep = Sweep(spec, run_dir, store, manifest, (), search, (*idle, *search.remarks))
        decide_search(search, standing(sweep))  # refuses a budget that does not hold the start
        return sweep
    planned = planned_runs(spec, manifest)
    said = (*idle, *remarks(spec, manifest, planned))
    return Sweep(spec, run_dir, store, manifest, tuple(planned), remarks=said)


def standing(sweep: Sweep) -> Progress:
    """How far a frontier search is, with nothing in flight."""
    ledger = Ledger(sweep.run_dir)
    entries = ledger.entries()
    known = warm(sweep)
    warmed = warm_of([known | {"kind": "warm"}] if known else entries)
    return Progress(ledger.attempts(), decided(entries), warm=warmed, starts=ledger.starts())


def warm(sweep: Sweep) -> dict[str, Any] | None:
    """The ledger entry of `search.warm_start`, where it is given and not yet in the ledger.

    Raises PlanError, SpecError.
    """
    path = sweep.spec.search.warm_start
    if path is None or sweep.problem is None:
        return None
    if any(e["kind"] == "warm" for e in Ledger(sweep.run_dir).entries()):
        return None
    path = expand(path, "search.warm_start")
    return warm_entry(path, sweep.spec, sweep.problem.data, sweep.problem.target)


def changes(sweep: Sweep) -> tuple[list[str], list[str]]:
    """(new, orphaned) run ids against the last plan in the ledger; both empty the first time."""
    plans = [e for e in Ledger(sweep.run_dir).entries() if e["kind"] == "plan"]
    if not plans or sweep.problem is not None:
        return [], []
    before = Study.of(Ledger(sweep.run_dir)).planned
    old, new = {p.run_id for p in before}, {p.run_id for p in sweep.planned}
    return sorted(new - old), sorted(old - new)


def other_data(sweep: Sweep) -> str | None:
    """A sentence where the last plan in the ledger was made for other data than there is now."""
    plans = [e for e in Ledger(sweep.run_dir).entries() if e["kind"] == "plan"]
    now = sweep.data.fingerprint
    if not plans or (before := plans[-1]["data"]["fingerprint"]) == now:
        return None
    return (
        f"the data is not that of the last plan in {sweep.run_dir} (fingerprint {before[:12]}, now "
        f"{now[:12]}): every run is a new one, and those of the other data stay in the ledger, "
        "outside this sweep's law"
    )


def stay_on_loopback() -> None:
    """Lets a Ray of our own listen to this machine alone. Ray reads this switch, which is named
    for the systems where it is the default, when it is imported."""
    if "RAY_ADDRESS" not in os.environ:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
