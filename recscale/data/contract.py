"""What every prepared store promises to those that read it, asked once when it is prepared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from recscale.data.layout import (
    BAG_IDS,
    BAG_WEIGHTS,
    CHUNK_ROWS,
    HISTORY_ITEMS,
    DataError,
    Mapped,
    array_path,
)
from recscale.manifest import Manifest

BESIDE = 256  # rows


def refuse_outside(folder: Path, files: Mapping[str, Mapped], manifest: Manifest) -> None:
    """Raises DataError for a value that no training can read as it is meant: an id outside its
    table, a row whose history or bag lies outside the values, a label other than 0 and 1, a number
    that is not finite. No log leads here, only a fault of what prepares it."""
    most = _greatest(files, manifest)
    for name, (_, array, _) in files.items():
        for begin in range(0, len(array), CHUNK_ROWS):
            rows = array[begin : begin + CHUNK_ROWS]
            if name in most:
                found = _outside(rows, most[name])
            elif name == "dense" or name.startswith(BAG_WEIGHTS):
                found = _not_finite(rows)
            else:
                continue
            if name in ("history_begin", "bag_begin") and found is None:
                ends = files[name.replace("begin", "end")].array
                found = _outside(rows, ends[begin : begin + CHUNK_ROWS])
            if found is not None:
                what = f"row {begin + found[0]} holds {rows[found]}"
                raise DataError(
                    f"{array_path(folder, name)}: {what}, which lies outside what it points into; "
                    "nothing was kept: this is a fault of recscale and not of the log; please "
                    "report it"
                )


def _outside(values: np.ndarray, most: np.ndarray) -> tuple[int, ...] | None:
    """Where the first of the whole numbers lies that is not from 0 to `most`, if there is one."""
    unsigned = values.view(f"u{values.itemsize}")  # what is negative is great then
    of_columns = unsigned if most.shape == values.shape else _maxima(unsigned)
    if (of_columns <= most.astype(unsigned.dtype, copy=False)).all():
        return None
    return tuple(np.argwhere((values < 0) | (values > most))[0].tolist())


def _maxima(values: np.ndarray) -> np.ndarray:
    """Of each column of [n, k], or of [n] the one; many rows beside each other, as numpy is slow
    at narrow ones."""
    if values.ndim == 1 or not values.size:
        return values.max(axis=0, initial=0)
    whole = len(values) // BESIDE * BESIDE
    wide = values[:whole].reshape(-1, BESIDE * values.shape[1]).max(axis=0, initial=0)
    found = wide.reshape(BESIDE, -1).max(axis=0)
    return np.maximum(found, values[whole:].max(axis=0, initial=0))


def _not_finite(values: np.ndarray) -> tuple[int, ...] | None:
    if np.isfinite(values.sum()):  # not of any that is infinite or no number
        return None
    found = np.argwhere(~np.isfinite(values))
    return tuple(found[0].tolist()) if len(found) else None


def _greatest(files: Mapping[str, Mapped], manifest: Manifest) -> dict[str, np.ndarray]:
    """Of the arrays of whole numbers from 0 on: the greatest value that each column may hold."""
    bags = [len(files[f"{BAG_IDS}.{i}"].array) for i in range(len(manifest.bags))]
    most = {"ids": [t.rows - 1 for t in manifest.plain], "label": 1, "labels": 1}
    most |= {f"{BAG_IDS}.{i}": facts.rows - 1 for i, facts in enumerate(manifest.bags)}
    most |= {"bag_begin": bags, "bag_end": bags}
    if manifest.history:
        most |= {HISTORY_ITEMS: manifest.items.rows - 1}
        items = len(files[HISTORY_ITEMS].array)
        most |= {"history_begin": items, "history_end": items}
    return {name: np.asarray(value) for name, value in most.items()}
