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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recscale.data import criteo, events, synthetic, walks
from recscale.data.baselines import with_baselines
from recscale.data.build import Built, Progress, arrange
from recscale.data.checks import (
    history_warnings,
    idle_warnings,
    label_warnings,
    refuse_unlearnable,
    table_warnings,
)
from recscale.data.checksums import seal
from recscale.data.contract import refuse_outside
from recscale.data.copies import refuse_copies
from recscale.data.delta import delta_version
from recscale.data.files import input_files, log_place, partition_keys, table_format
from recscale.data.identity import (
    Content,
    changed_since,
    contents,
    note_prepared,
    refuse_changed,
)
from recscale.data.layout import (
    DataError,
    Mapped,
    array_path,
    fingerprint,
    mapped,
    open_array,
    present,
)
from recscale.data.tables import holds_rows, layouts
from recscale.manifest import (
    MANIFEST,
    VERSION,
    LabelFacts,
    Manifest,
    Seal,
    StoreError,
    load_sealed,
    prepare_anew,
    sealed,
)
from recscale.spec import CriteoData, DataSpec, EventsData, PublishedData, SyntheticData
from recscale.storage import unfollowed

__all__ = ["DataError", "prepare", "store_path"]

_RECIPES = {"synthetic": synthetic.RECIPE, "criteo": criteo.RECIPE}  # others: of events


@dataclass(frozen=True)
class _Identity:
    """Which store it is, and of which files."""

    target: Path
    contents: list[Content]


def store_path(data: DataSpec, root: str | Path) -> Path:
    """Folder of the prepared data under `root`: `<source>-<hash of the recipe>`.

    The recipe is every literal of the spec but paths, the input files' names and the digests of
    all their bytes, and the version of the code that prepares them; so a moved log needs no second
    preparation, and one that was changed, however little and wherever, gets it.
    Raises DataError when there is no input file.
    """
    return _identify(data, Path(root)).target


def _identify(data: DataSpec, root: Path) -> _Identity:
    # keys younger than the first stores say nothing where they are not given: names stay
    young = {"label_weights": True, "columns": {"labels"}} if _labels(data) == {} else {}
    literals = data.model_dump(mode="json", exclude={"path": True, **young})
    seen, named = [], []
    if not isinstance(data, SyntheticData):
        seen = contents(input_files(data.path), root)
        keys = [partition_keys(data.path, c.file) for c in seen]
        place = log_place(data.path)
        if table_format(place) == "Delta":
            literals["table"] = delta_version(place)
        named = [[c.file.name, k, c.digest] for c, k in zip(seen, keys, strict=True)]
    recipe = json.dumps(
        [VERSION, _RECIPES.get(data.source, events.RECIPE), literals, named], sort_keys=True
    )
    name = hashlib.blake2b(recipe.encode(), digest_size=6).hexdigest()
    return _Identity(root / f"{data.source}-{name}", seen)


def prepare(data: DataSpec, root: str | Path, progress: Progress | None = None) -> Path:
    """The prepared store of `data`; returns at once when it exists.

    It is built in a hidden sibling folder, the manifest written last, and renamed into place: a
    killed preparation leaves nothing that looks finished, and the next one removes its remains.
    A second process that asks for the same store waits for the first.
    Raises DataError with the column or file, what was found, and what to do; also when a file
    changes before the store is done. Raises StoreError for a store whose manifest was damaged, or
    which is another one.
    """
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    log = _identify(data, root)
    target = log.target
    if not (target / MANIFEST).exists():
        with only_one(target):
            if not (target / MANIFEST).exists():
                _build_whole(data, log, root, progress or (lambda done, total: None))
    refuse_other(load_sealed(target)[1].store, target)
    note_prepared(log.contents, root)
    return target


def refuse_other(name: str, target: Path | str) -> None:
    """Raises StoreError where the store at `target` is that of another `name`."""
    if name != str(target).rpartition("/")[2]:
        raise StoreError(
            f"{target} holds the store {name}: it was moved there or overwritten; "
            f"{prepare_anew(target)}"
        )


def _build_whole(data: DataSpec, log: _Identity, root: Path, progress: Progress) -> None:
    for remains in glob.glob(str(_hidden(log.target, "*.tmp"))):
        shutil.rmtree(remains)
    folder = _hidden(log.target, f"{uuid.uuid4().hex[:8]}.tmp")
    folder.mkdir()
    try:
        if not isinstance(data, SyntheticData):
            refuse_copies(data.path, log.contents, lambda file: holds_rows(data, file))
        manifest, arrays = _build(data, folder, log.target.name, progress)
        if isinstance(data, PublishedData):
            notes = {"layout": layouts(data), **manifest.notes}
            manifest = manifest.model_copy(update={"notes": notes})
        if not isinstance(data, SyntheticData):
            refuse_changed(log.contents)
            if input_files(data.path) != [c.file for c in log.contents]:
                raise DataError(
                    f"data.path {data.path}: files came or went while it was prepared; nothing was "
                    "kept; give the command again when nothing writes there any more"
                )
        if changed := changed_since(log.contents, root):
            manifest = manifest.model_copy(update={"warnings": (*manifest.warnings, changed)})
        (folder / MANIFEST).write_text(sealed(manifest, arrays))
        shutil.rmtree(log.target, ignore_errors=True)  # a folder without a manifest is no store
        os.rename(folder, log.target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _hidden(target: Path, ending: str) -> Path:
    return target.parent / f".{target.name}.{ending}"


@contextlib.contextmanager
def only_one(target: Path) -> Iterator[None]:
    """One process at a time per store; the kernel frees the lock of a process that dies."""
    with open(_hidden(target, "lock"), "w", opener=unfollowed) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(data: DataSpec, folder: Path, store: str, progress: Progress) -> tuple[Manifest, Seal]:
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
    files = {name: mapped(array_path(folder, name)) for name in present(folder)}
    with ThreadPoolExecutor(1) as beside:  # zlib and hashlib hold no lock of the interpreter
        arrays = beside.submit(seal, folder, files, store)
        manifest = _manifest(data, folder, files, built)
        refuse_outside(folder, files, manifest)
        return with_baselines(folder, manifest), arrays.result()


def _manifest(data: DataSpec, folder: Path, files: dict[str, Mapped], built: Built) -> Manifest:
    label, time, n = open_array(folder, "label"), open_array(folder, "time"), built.n_train
    parts = (slice(0, n), slice(n, len(label)))
    mean_length = 0.0
    if built.history:
        lengths = open_array(folder, "history_end")[:n] - open_array(folder, "history_begin")[:n]
        mean_length = float(np.mean(lengths))
    shown = [[_shown(int(edge), built) for edge in (time[p].min(), time[p].max())] for p in parts]
    return Manifest(
        version=VERSION,
        source=data.source,
        task=data.task,
        fingerprint=fingerprint(files, n, [t.rows for t in built.tables], _labels(data)),
        n_train=n,
        n_eval=len(label) - n,
        tables=tuple(built.tables),
        dense=tuple(built.dense),
        history=built.history,
        history_mean_length=mean_length,
        order=data.order,
        label_rate_train=float(np.mean(label[:n])),
        label_rate_eval=float(np.mean(label[n:])),
        labels=tuple(
            LabelFacts(
                name=name,
                weight=weight,
                rate_train=float(np.mean(files["labels"].array[:n, i])),
                rate_eval=float(np.mean(files["labels"].array[n:, i])),
            )
            for i, (name, weight) in enumerate(_labels(data).items())
        ),
        time_range_train=(shown[0][0], shown[0][1]),
        time_range_eval=(shown[1][0], shown[1][1]),
        raw_rows=built.raw_rows,
        dropped=built.dropped,
        notes=built.notes,
        warnings=(
            *built.warnings,
            *table_warnings(built),
            *idle_warnings(folder, built),
            *history_warnings(data, folder, built),
            *label_warnings(data, folder, built),
        ),
        time_unit=built.time_unit,
        floor=built.floor,
    )


def _labels(data: DataSpec) -> dict[str, float]:
    """Several labels with their weights; empty of a single one."""
    if not isinstance(data, EventsData):
        return {}
    return {name: data.label_weights.get(name, 1.0) for name in data.columns.labels}


def _shown(time: int, built: Built) -> str:
    """A time of the store, to its own resolution."""
    if not built.calendar:
        return str(time)
    return str(np.datetime64(time, built.time_unit)).replace("T", " ")
