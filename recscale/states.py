"""Checkpoints as they lie in a folder: which are there, and whether each is whole at a glance.

A checkpoint is a folder `step-N` of which `facts.json`, written last, vouches for every other file;
see `recscale.train.checkpoint`, which reads them byte for byte.
"""

from __future__ import annotations

import errno
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

from recscale.crc import vouched
from recscale.storage import filesystem, read

PREFIX = "step-"
FACTS = "facts.json"
UNREADABLE = {errno.ENOENT, errno.EIO, errno.EISDIR, errno.ENOTDIR}
"""A file that is gone, on a bad part of a disk, or none."""


def folder(root: str, step: int) -> str:
    return f"{root}/{PREFIX}{step:012d}"


def step_of(path: str) -> int:
    """Steps of the checkpoint in a folder."""
    return int(path.rpartition(PREFIX)[2])


def checkpoints(fs: pafs.FileSystem, root: str) -> dict[str, dict[str, int]]:
    """Folder of each checkpoint under `root` -> name and bytes of its files, by the files alone:
    an object store need not list folders."""
    found = fs.get_file_info(pafs.FileSelector(root, recursive=True, allow_not_found=True))
    below = len(root.rstrip("/")) + 1
    files: dict[str, dict[str, int]] = {}
    for info in found:
        step, _, name = info.path[below:].partition("/")
        digits = step.removeprefix(PREFIX)
        if info.type == pafs.FileType.File and digits != step and digits.isdigit():
            files.setdefault(info.path[:below] + step, {})[name] = info.size or 0
    return files


def latest(root: str | Path) -> str | None:
    """The newest complete checkpoint in the folder `root`."""
    return newest(*filesystem(root))


def newest(fs: pafs.FileSystem, root: str, most: int | None = None) -> str | None:
    """Likewise, of those of at most so many steps."""
    complete = [path for path, files in checkpoints(fs, root).items() if FACTS in files]
    return max((p for p in complete if most is None or step_of(p) <= most), default=None)


def facts_of(
    fs: pafs.FileSystem, path: str, name: str, resting: bool
) -> tuple[dict[str, Any], str]:
    """Facts of the checkpoint in the folder `path`, which should be of the run or trajectory
    `name`; or what is wrong with them, the file's name first. One that is `resting`, and not of a
    run that goes on at once, must be of this version."""
    facts = vouched(read_or(fs, f"{path}/{FACTS}"))
    if facts is None or "files" not in facts:
        return {}, f"{FACTS} is damaged, or of an earlier version"
    if facts.pop("run", None) != name:
        return {}, f"{FACTS} is of another run"
    made, here = facts.pop("recscale", None), version("recscale")
    if resting and made != here:
        return {}, f"{FACTS} is of recscale {made}, and this is {here}"
    return facts, ""


def whole(fs: pafs.FileSystem, root: str, name: str) -> tuple[list[int], list[str]]:
    """Steps of the states of a trajectory at `root` that seem whole by the sizes of their files,
    and of each other one what is wrong, its path first."""
    steps, wrong = [], []
    for path, files in sorted(checkpoints(fs, root).items()):
        if FACTS not in files:
            continue  # it was being written, and never counted
        facts, what = facts_of(fs, path, name, resting=True)
        for file, (size, _) in facts.get("files", {}).items():
            if files.get(file) != size:
                what = f"{file} is {'cut' if file in files else 'missing'}"
        if what:
            wrong.append(f"{path}/{what}")
        else:
            steps.append(step_of(path))
    return steps, wrong


def read_or(fs: pafs.FileSystem, path: str) -> bytes:
    """Of a file that cannot be read, nothing. Raises OSError for what is wrong with the place."""
    try:
        return read(fs, path)
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        return b""
