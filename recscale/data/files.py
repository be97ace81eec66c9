"""Input files of a log: one file, a folder with all below it, or a glob; none of them twice."""

from __future__ import annotations

import errno
import glob
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

from recscale.data.delta import delta_parts
from recscale.data.layout import DataError
from recscale.data.streams import plain_name

MISSING_KEY = "__HIVE_DEFAULT_PARTITION__"
"""What Hive and Spark write for a null."""
FORMATS = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".json", ".arrow", ".feather", ".ipc")


def input_files(path: str) -> list[Path]:
    """The files that `path` names, in natural order (`day_2` before `day_10`).

    `$VARIABLES` and `~` are expanded; what begins with `.` or `_` is left out below a folder.
    Raises DataError when there is none, when one is there twice (a link, a copy compressed or in
    another format), and when the files belong to a table whose own log says which of them count.
    """
    place = log_place(path)
    if table_format(place) == "Delta":
        return [part.file for part in delta_parts(place)]
    if place.is_file():
        files = [place]
    elif place.is_dir():
        _refuse_table(path, place)
        files = list(_walk(path, place, {}))
    else:
        files = list(_matches(path, place))
    if not files and "://" in path:
        raise DataError(
            f"data.path {path}: a log is read from files of this machine; copy it here, or mount "
            "the place where it lies"
        )
    if not files:
        raise DataError(
            f"data.path {path}: no file there (looked for {place.absolute()}); "
            "give a file, a folder of files, or a glob such as logs/day_*"
        )
    _refuse_parts_of_tables(path, files)
    _refuse_links(path, files)
    _refuse_twins(path, files)
    return sorted(files, key=lambda f: [_natural(part) for part in f.parts])


def partition_keys(path: str, file: Path) -> dict[str, str | None]:
    """Hive's keys of a file: of `parts/date=2026-08-01/x.parquet`, found by `parts` or by
    `parts/date=*`, date; what stands before is the place of the log and no part of it."""
    folders = file.parent.parts[_fixed(log_place(path)) :]
    named = [f.partition("=") for f in folders if "=" in f]
    return {unquote(k): None if v == MISSING_KEY else unquote(v) for k, _, v in named}


def _fixed(pattern: Path) -> int:
    """How many of the leading parts of a pattern are no pattern themselves."""
    return next((i for i, p in enumerate(pattern.parts) if glob.has_magic(p)), len(pattern.parts))


def log_place(path: str) -> Path:
    """`data.path` with `$VARIABLES` and `~` expanded. Raises DataError for what can be no path."""
    place = Path(os.path.expandvars(os.path.expanduser(path)))
    try:
        os.lstat(place)
    except ValueError:
        raise DataError(f"data.path {path[:80]!r}: holds a NUL, which no path may") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            said = f"data.path {path[:80]}...: is longer than a path may be ({len(path)} letters)"
            raise DataError(f"{said}; correct it") from None
    return place


def _matches(path: str, pattern: Path) -> Iterator[Path]:
    found = {Path(f) for f in glob.glob(str(pattern), recursive=True)}
    above = {parent for f in found for parent in f.parents}
    walked: dict[str, Path] = {}
    for match in sorted(found):
        if any(part.startswith((".", "_")) for part in match.parts[_fixed(pattern) :]):
            continue
        if match.is_dir() and match not in above:
            _refuse_table(path, match)
            yield from _walk(path, match, walked)
        elif not match.is_dir():
            yield _regular(path, match)


def _walk(path: str, folder: Path, walked: dict[str, Path]) -> Iterator[Path]:
    """Files below a folder. walked: real place -> folder, of those met so far."""
    other = walked.setdefault(os.path.realpath(folder), folder)
    if other != folder:
        raise DataError(
            f"data.path {path}: {other} and {folder} are one folder (a link), so its rows would "
            "count twice; remove the link, or give a narrower glob"
        )
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: may not be read ({error.strerror})") from None
    for entry in entries:
        if entry.name.startswith((".", "_")):
            continue
        if entry.is_dir():
            _refuse_table(path, entry, below=True)
            yield from _walk(path, entry, walked)
        else:
            yield _regular(path, entry)


def _regular(path: str, file: Path) -> Path:
    if not file.is_file():
        raise DataError(
            f"data.path {path}: {file} is no file (a broken link, a pipe or a device); remove it, "
            "or give a narrower glob"
        )
    return file


def table_format(folder: Path) -> str | None:
    """`Delta`, `Iceberg` or `Hudi` where the folder is such a table."""
    if (folder / "_delta_log").is_dir():
        return "Delta"
    if (folder / ".hoodie").is_dir():
        return "Hudi"
    metadata = folder / "metadata"
    iceberg = metadata.is_dir() and any(metadata.glob("*.metadata.json"))
    return "Iceberg" if iceberg else None


def _refuse_table(path: str, folder: Path, below: bool = False) -> None:
    kind = table_format(folder)
    if kind is None:
        return
    if kind == "Delta":
        remedy = f"give data.path: {folder} alone"
    else:
        remedy = "write its current rows to Parquet files with the engine that keeps it"
    raise DataError(
        f"data.path {path}: {folder} is a table of {kind}, whose files also hold deleted and "
        f"replaced rows, and only its own log says which of them count; {remedy}"
    )


def _refuse_parts_of_tables(path: str, files: Iterable[Path]) -> None:
    for folder in {
        parent for f in files for p in (f.absolute(), f.resolve()) for parent in p.parents
    }:
        _refuse_table(path, folder)


def _refuse_links(path: str, files: Iterable[Path]) -> None:
    places: dict[tuple[int, int], Path] = {}
    for file in files:
        status = file.stat()
        other = places.setdefault((status.st_dev, status.st_ino), file)
        if other != file:
            raise DataError(
                f"data.path {path}: {other} and {file} are one file under two names (a link), so "
                "its rows would count twice; remove the link, or give a narrower glob"
            )


def _refuse_twins(path: str, files: Iterable[Path]) -> None:
    same: dict[Path, list[Path]] = defaultdict(list)
    for file in files:
        name = plain_name(file)
        ending = next((e for e in FORMATS if name.lower().endswith(e)), "")
        same[file.parent / name[: len(name) - len(ending)]].append(file)
    for twins in same.values():
        if len(twins) > 1:
            names = " and ".join(str(f) for f in twins)
            raise DataError(
                f"data.path {path}: {names} have one name but for their endings, which is how a "
                "compressed or converted copy is named, and its rows would count twice; keep one, "
                f"or give a narrower glob such as *{twins[0].suffix or twins[0].name}"
            )


def _natural(name: str) -> list[tuple[int, str]]:
    """Digits compare as numbers, everything else as text."""
    parts = re.findall(r"\d+|\D", name)
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts]
