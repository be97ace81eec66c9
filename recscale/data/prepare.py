"""Raw logs -> a store, once: atomic, in bounded memory, shared by every run that asks for it."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from recscale.data import criteo, events, synthetic, walks
from recscale.data.build import Built, Progress, arrange
from recscale.data.checks import refuse_unlearnable, table_warnings
from recscale.data.files import input_files
from recscale.data.layout import VERSION, DataError, fingerprint, open_array
from recscale.manifest import MANIFEST, Manifest
from recscale.spec import CriteoData, DataSpec, SyntheticData

__all__ = ["DataError", "prepare", "store_path"]

_RECIPES = {"synthetic": synthetic.RECIPE, "criteo": criteo.RECIPE}  # others: of events


def store_path(data: DataSpec, root: str | Path) -> Path:
    """Folder of the prepared data under `root`: `<source>-<hash of the recipe>`.

    The recipe is every literal of the spec but paths, the input files' names and sizes, and the
    version of the code that prepares them; so a moved log needs no second preparation, and a
    grown one gets it. Raises DataError when there is no input file.
    """
    literals = data.model_dump(mode="json", exclude={"path"})
    files = [] if isinstance(data, SyntheticData) else input_files(data.path)
    named = [[f.name, f.stat().st_size] for f in files]
    recipe = json.dumps(
        [VERSION, _RECIPES.get(data.source, events.RECIPE), literals, named], sort_keys=True
    )
    name = hashlib.blake2b(recipe.encode(), digest_size=6).hexdigest()
    return Path(root) / f"{data.source}-{name}"


def prepare(data: DataSpec, root: str | Path, progress: Progress | None = None) -> Path:
    """The prepared store of `data`; returns at once when it exists.

    It is built in a hidden sibling folder, the manifest written last, and renamed into place: a
    killed preparation leaves nothing that looks finished, and the next one removes its remains.
    A second process that asks for the same store waits for the first.
    Raises DataError with the column or file, what was found, and what to do.
    """
    target = store_path(data, root)
    if (target / MANIFEST).exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with only_one(target):
        if (target / MANIFEST).exists():
            return target
        for remains in glob.glob(str(_hidden(target, "*.tmp"))):
            shutil.rmtree(remains)
        folder = _hidden(target, f"{uuid.uuid4().hex[:8]}.tmp")
        folder.mkdir()
        try:
            _build(data, folder, progress or (lambda done, total: None))
            shutil.rmtree(target, ignore_errors=True)  # a folder without a manifest is no store
            os.rename(folder, target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return target


def _hidden(target: Path, ending: str) -> Path:
    return target.parent / f".{target.name}.{ending}"


@contextlib.contextmanager
def only_one(target: Path) -> Iterator[None]:
    """One process at a time per store; the kernel frees the lock of a process that dies."""
    with open(_hidden(target, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(data: DataSpec, folder: Path, progress: Progress) -> None:
    if isinstance(data, SyntheticData) and data.task == "next_item":
        built = walks.build(data, folder, progress)
    elif isinstance(data, SyntheticData):
        built = synthetic.build(data, folder, progress)
    elif isinstance(data, CriteoData):
        built = criteo.build(data, folder, progress)
    else:
        built = events.build(data, folder, progress)
    refuse_unlearnable(data, folder, built)
    arrange(folder, built.n_train, data.order, by_user=data.task == "next_item")
    manifest = _manifest(data, folder, built)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1))


def _manifest(data: DataSpec, folder: Path, built: Built) -> Manifest:
    label, time, n = open_array(folder, "label"), open_array(folder, "time"), built.n_train
    parts = (slice(0, n), slice(n, len(label)))
    history = "item" if (folder / "history_items.npy").exists() else None
    mean_length = 0.0
    if history:
        lengths = open_array(folder, "history_end")[:n] - open_array(folder, "history_begin")[:n]
        mean_length = float(np.mean(lengths))
    shown = [[_shown(int(edge), built) for edge in (time[p].min(), time[p].max())] for p in parts]
    return Manifest(
        version=VERSION,
        source=data.source,
        task=data.task,
        fingerprint=fingerprint(folder, n, [t.rows for t in built.tables]),
        n_train=n,
        n_eval=len(label) - n,
        tables=tuple(built.tables),
        dense=tuple(built.dense),
        history=history,
        history_mean_length=mean_length,
        order=data.order,
        label_rate_train=float(np.mean(label[:n])),
        label_rate_eval=float(np.mean(label[n:])),
        time_range_train=(shown[0][0], shown[0][1]),
        time_range_eval=(shown[1][0], shown[1][1]),
        raw_rows=built.raw_rows,
        dropped=built.dropped,
        notes=built.notes,
        warnings=(*built.warnings, *table_warnings(built, n)),
        time_unit=built.time_unit,
        floor=built.floor,
    )


def _shown(time: int, built: Built) -> str:
    """A time of the store, to its own resolution."""
    if not built.calendar:
        return str(time)
    return str(np.datetime64(time, built.time_unit)).replace("T", " ")
