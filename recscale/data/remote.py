"""A prepared store in an object store: uploaded once, and copied once to every node that trains.

Arrays are memory-mapped, so a node needs them on its own disk: under `$XDG_CACHE_HOME/recscale`,
by default `~/.cache/recscale`. A store on a path, NFS included, is used where it lies.
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

import pyarrow.fs as pafs

from recscale.data.build import Progress
from recscale.data.prepare import only_one, prepare, refuse_other, store_path
from recscale.data.store import Store, StoreError
from recscale.manifest import MANIFEST, load_manifest, load_sealed
from recscale.spec import DataSpec
from recscale.storage import check_room, exists, filesystem, guarded, is_uri, write

CHUNK = 1 << 24  # bytes copied at once


def cache() -> Path:
    """Where this node keeps its copies."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "recscale"


def prepared(data: DataSpec, root: str, progress: Progress | None = None) -> str:
    """The prepared store of `data` under `root`, a path or URI; prepares and uploads it unless it
    is there. Raises DataError, StorageError."""
    if not is_uri(root):
        with guarded(root):
            return os.path.abspath(prepare(data, root, progress))
    with guarded(cache(), "XDG_CACHE_HOME"):
        store = f"{root}/{store_path(data, cache()).name}"
    fs, folder = filesystem(store)
    with guarded(store):
        if exists(fs, f"{folder}/{MANIFEST}"):
            refuse_other(load_sealed(store)[1].store, store)
            return store
    with guarded(root):
        fs.create_dir(folder.rpartition("/")[0], recursive=True)
    check_room(root)  # before the log is read, which may take hours
    with guarded(cache(), "XDG_CACHE_HOME"):
        built = prepare(data, cache(), progress)
        Store.open(built).verify()
    with guarded(store):
        fs.create_dir(folder, recursive=True)
        for file in built.glob("*.npy"):
            pafs.copy_files(
                str(file), f"{folder}/{file.name}", destination_filesystem=fs, chunk_size=CHUNK
            )
        write(fs, f"{folder}/{MANIFEST}", (built / MANIFEST).read_bytes())
    return store


def fetched(store: str) -> Path:
    """The folder of a prepared store on this node. The first process of a node that asks copies
    it, the others wait, and the copy is compared with its checksums.
    Raises StorageError, and StoreError for a copy that differs."""
    if not is_uri(store):
        return Path(store)
    with guarded(store):
        manifest = load_manifest(store)
    target = cache() / f"{store.rsplit('/', 1)[-1]}-{manifest.fingerprint}"
    with guarded(cache(), "XDG_CACHE_HOME"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with only_one(target):
            if not target.exists():
                _copy(store, target)
    return target


def discard(copy: Path) -> None:
    """Removes this node's copy of a store, which was found damaged: the next that asks copies it
    anew. A process that reads it meanwhile keeps its files."""
    aside = copy.parent / f".{copy.name}.{uuid.uuid4().hex[:8]}.tmp"
    with suppress(FileNotFoundError):  # another process was faster
        os.rename(copy, aside)
        shutil.rmtree(aside)


def _copy(store: str, target: Path) -> None:
    fs, folder = filesystem(store)
    part = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.tmp"
    part.mkdir()
    try:
        for info in fs.get_file_info(pafs.FileSelector(folder)):
            if info.is_file:
                pafs.copy_files(
                    info.path,
                    str(part / info.base_name),
                    source_filesystem=fs,
                    destination_filesystem=pafs.LocalFileSystem(),
                    chunk_size=CHUNK,
                )
        try:
            Store.open(part).verify()
        except StoreError as error:
            raise StoreError(str(error).replace(str(part), store)) from None
        os.rename(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
