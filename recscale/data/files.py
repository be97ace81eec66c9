"""Input files of a log: one file, a folder, or a glob."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from recscale.data.layout import DataError


def input_files(path: str) -> list[Path]:
    """The files that `path` names, in natural order (`day_2` before `day_10`).

    `$VARIABLES` and `~` are expanded; hidden files of a folder are left out.
    Raises DataError when there is none.
    """
    place = Path(os.path.expandvars(os.path.expanduser(path)))
    if place.is_file():
        return [place]
    found = place.iterdir() if place.is_dir() else map(Path, glob.glob(str(place)))
    files = [f for f in found if f.is_file() and not f.name.startswith((".", "_"))]
    if not files:
        raise DataError(
            f"data.path {path}: no file there (looked for {place.absolute()}); "
            "give a file, a folder of files, or a glob such as logs/day_*"
        )
    return sorted(files, key=_natural)


def _natural(file: Path) -> list[tuple[int, str]]:
    """Digits compare as numbers, everything else as text."""
    parts: list[tuple[int, str]] = []
    digits = ""
    for c in file.name + "\0":
        if c.isdigit():
            digits += c
            continue
        if digits:
            parts.append((int(digits), ""))
            digits = ""
        parts.append((-1, c))
    return parts
