"""The folders that a sweep file names, held against each other before anything is written."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from recscale.data.layout import array_path
from recscale.ledger import SUFFIX
from recscale.manifest import CHECKSUMS, MANIFEST
from recscale.spec.document import SpecError
from recscale.spec.sweep import STORE
from recscale.storage import is_uri


def check_places(storage: str, name: str, log: str | None, warm_start: str | None) -> None:
    """Raises SpecError where the sweep would write into its own log, read its own store, or cannot
    have its folders. All paths are expanded; log: `data.path`, None for a synthetic world."""
    if is_uri(storage):
        return
    root = os.path.realpath(storage)
    own = [os.path.join(root, STORE), os.path.join(root, name)]
    for place in (storage, *own):
        if file := _in_the_way(place):
            _refuse(f"storage: {place}: {file} is no folder; remove it, or choose another storage")
    for part in (Path(root), *Path(root).parents):
        if what := _ours(part):
            _refuse(f"storage: {storage} lies in {part}, which is {what}; choose a folder outside")
    if warm_start and os.path.realpath(warm_start) == own[1]:
        _refuse(
            f"search.warm_start: {warm_start} is this sweep's own run directory, which goes on by "
            "itself; leave it out"
        )
    if log is None or is_uri(log):
        return
    if _reads(log, root, own):
        _refuse(
            f"data.path: {log} takes in {storage} (storage), so that tables of this sweep would be "
            "read as its log; give the log a folder of its own, or set storage elsewhere"
        )
    if inside := next((place for place in own if _within(os.path.realpath(log), place)), None):
        _refuse(
            f"data.path: {log} lies in {inside}, which this sweep writes; copy the log elsewhere, "
            "or set storage elsewhere"
        )


def _ours(folder: Path) -> str | None:
    """What a folder is that sweeps keep for themselves; None for another one."""
    if all(map(os.path.exists, (folder / MANIFEST, array_path(folder, CHECKSUMS)))):
        return "a prepared store"
    entries = glob.iglob(f"{glob.escape(str(folder))}/ledger/*{SUFFIX}")
    return "a run directory" if any(entries) else None


def _in_the_way(place: str) -> str | None:
    """The first part of a path that is there and is no folder, a link to nothing included."""
    path = Path(os.path.abspath(place))
    for part in (path, *path.parents):
        if os.path.isdir(part):
            return None
        if os.path.lexists(part):
            return str(part)
    return None


def _reads(log: str, root: str, own: list[str]) -> bool:
    """Whether a log, a folder or a glob, holds the storage `root` or what the sweep writes there;
    a folder is read with all below it but for names that begin with a dot or underscore."""
    if not glob.has_magic(log):
        return os.path.isdir(log) and _seen(os.path.realpath(log), root)
    parts = Path(os.path.abspath(log)).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    base = os.path.realpath(os.path.join(*parts[:fixed]))
    pattern = re.compile("/".join(map(_pattern, parts[fixed:])).replace(".*/", "(.*/)?"))
    written = [root, *own, *(os.path.join(own[1], f"runs.{end}") for end in ("csv", "parquet"))]
    above = [os.path.join(base, *Path(p).relative_to(base).parts[:n])
             for p in written if _seen(base, p)
             for n in range(1, len(Path(p).relative_to(base).parts) + 1)]  # fmt: skip
    return any(pattern.fullmatch(os.path.relpath(p, base)) for p in above)


def _pattern(part: str) -> str:
    """A part of a glob as a regular expression."""
    if part == "**":
        return ".*"
    table = {"*": "[^/]*", "?": "[^/]"}
    pieces = re.findall(r"\[!?[^\]]+\]|.", part, re.DOTALL)
    return "".join(
        p.replace("[!", "[^") if len(p) > 1 else table.get(p) or re.escape(p) for p in pieces
    )


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _seen(folder: str, path: str) -> bool:
    """Whether reading a folder meets a path."""
    if not _within(path, folder):
        return False
    below = os.path.relpath(path, folder).split(os.sep)
    return not any(part.startswith((".", "_")) for part in below if part != ".")


def _refuse(sentence: str) -> None:
    raise SpecError([sentence])
