"""The files of a prepared store: names, types, and how they are written, opened and hashed."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

ROW_ARRAYS = {
    "dense": "<f4",  # [n, n_dense]
    "ids": "<i4",  # [n, n_plain], frequency ranks
    "label": "|u1",  # [n]
    "labels": "|u1",  # [n, k], where rows have several: all of them; `label` is the first
    "time": "<i8",  # [n], steps of the manifest's time_unit since 1970, or of a log's own clock
    "history_begin": "<i8",  # [n], into history_items
    "history_end": "<i8",  # [n]
    "bag_begin": "<i8",  # [n, n_bags], into that bag's bag_ids
    "bag_end": "<i8",  # [n, n_bags]
}
HISTORY_ITEMS = "history_items"  # [m], ids of the history's table, grouped by user, oldest first
HISTORY_TIMES = "history_times"  # [m], when each of them happened; of task next_item only
HISTORY_DOMAINS = "history_domains"  # [m], codes; where data.columns.domain names a column
BAG_IDS = "bag_ids"  # .0, .1, ..., one a bag: "<i4" [m], frequency ranks of its values
BAG_WEIGHTS = "bag_weights"  # likewise "<f4" [m] where it has weights: a row's magnitudes add to 1
DTYPES = {**ROW_ARRAYS, HISTORY_ITEMS: "<i4", HISTORY_TIMES: "<i8", HISTORY_DOMAINS: "<i4"}

HEAD = 4096  # bytes that hold the header of any of them

CHUNK_ROWS = 1 << 18
"""Rows worked on at once: some 40 MB of a log with 39 columns."""


class DataError(ValueError):
    """The user's data cannot be prepared as asked; the sentence says what to change."""


def array_path(folder: str | Path, name: str) -> Path:
    return Path(folder) / f"{name}.npy"


def create_array(
    folder: str | Path, name: str, shape: tuple[int, ...], dtype: str | None = None
) -> np.memmap:
    """A new writable memory map of `shape`; the type is the layout's for the layout's names."""
    return np.lib.format.open_memmap(
        array_path(folder, name), mode="w+", dtype=dtype or DTYPES[name], shape=shape
    )


def open_array(folder: str | Path, name: str, mode: Literal["r", "r+"] = "r") -> np.memmap:
    """A memory map of an array of the store, read-only unless asked otherwise."""
    return np.lib.format.open_memmap(array_path(folder, name), mode=mode)


def remove_raw(folder: str | Path) -> None:
    """Deletes the arrays `raw*`, which a source keeps beside the layout's while it builds."""
    for path in Path(folder).glob("raw*.npy"):
        path.unlink()


def present(folder: str | Path) -> list[str]:
    """Names of the layout's arrays that `folder` holds."""
    bags = [p.stem for kind in (BAG_IDS, BAG_WEIGHTS) for p in Path(folder).glob(f"{kind}.*.npy")]
    return [name for name in DTYPES if array_path(folder, name).exists()] + sorted(bags)


class Mapped(NamedTuple):
    """One array of a store, mapped once for whoever reads it."""

    raw: np.ndarray
    """uint8 [bytes] of its file"""
    array: np.ndarray
    begin: int
    """Of its values in the file"""


def mapped(path: Path) -> Mapped:
    """Memory maps the file of an array."""
    return parsed(np.memmap(path, np.uint8, "r").view(np.ndarray))


def parsed(raw: np.ndarray) -> Mapped:
    """The array of a file, uint8 [bytes]. Raises ValueError where it does not begin as one."""
    head, of = io.BytesIO(raw[:HEAD].tobytes()), np.lib.format
    major, _ = of.read_magic(head)
    read = of.read_array_header_1_0 if major == 1 else of.read_array_header_2_0
    shape, fortran, dtype = read(head)
    order = "F" if fortran else "C"
    return Mapped(raw, np.ndarray(shape, dtype, raw, head.tell(), order=order), head.tell())


def fingerprint(
    files: Mapping[str, Mapped],
    n_train: int,
    table_rows: Sequence[int],
    labels: Mapping[str, float],
) -> str:
    """BLAKE2b of every array's name, type, shape and values, the split, the table sizes and, where
    rows have several labels, their names and weights.

    Headers are left out: numpy may pad them differently from version to version.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{n_train} {list(table_rows)}".encode())
    if labels:
        digest.update(f" {list(labels.items())}".encode())
    for name, (_, array, _) in sorted(files.items()):
        digest.update(f" {name} {array.dtype.str} {array.shape} ".encode())
        flat = array.reshape(-1)
        for begin in range(0, len(flat), 1 << 24):
            digest.update(flat[begin : begin + (1 << 24)].data)
    return digest.hexdigest()
