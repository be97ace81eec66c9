"""What every prepared store promises to those that read it, asked once when it is prepared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from recscale.data.layout import (
    BAG_IDS,
    BAG_WEIGHTS,
    CHUNK_ROWS,
    HISTORY_ITEMS,
    DataError,
    array_path,
    open_array,
    present,
)
from recscale.manifest import Manifest

Wrong = Callable[[np.ndarray, slice], np.ndarray]
"""Of a piece of an array, and the rows that it is: which of its values break the promise."""


def refuse_outside(folder: Path, manifest: Manifest) -> None:
    """Raises DataError for a value that no training can read as it is meant: an id outside its
    table, a row whose history or bag lies outside the values, a label other than 0 and 1, a number
    that is not finite. No log leads here, only a fault of what prepares it."""
    names = present(folder)
    most = _greatest(folder, names, manifest)
    for name in names:
        if name in most:
            _refuse(folder, name, lambda x, _, name=name: (x < 0) | (x > most[name]))
        elif name == "dense" or name.startswith(BAG_WEIGHTS):
            _refuse(folder, name, lambda x, _: ~np.isfinite(x))
    for kind in ("history", "bag"):
        if f"{kind}_end" in names:
            ends = open_array(folder, f"{kind}_end")
            _refuse(folder, f"{kind}_begin", lambda x, rows, ends=ends: x > ends[rows])


def _greatest(folder: Path, names: list[str], manifest: Manifest) -> dict[str, np.ndarray]:
    """Of the arrays of whole numbers from 0 on: the greatest value that each column may hold."""
    length = {name: len(open_array(folder, name)) for name in names}
    bags = [length[f"{BAG_IDS}.{i}"] for i in range(len(manifest.bags))]
    most = {"ids": [t.rows - 1 for t in manifest.plain], "label": 1}
    most |= {f"{BAG_IDS}.{i}": facts.rows - 1 for i, facts in enumerate(manifest.bags)}
    most |= {"bag_begin": bags, "bag_end": bags}
    if manifest.history:
        most |= {HISTORY_ITEMS: manifest.items.rows - 1}
        most |= {f"history_{side}": length[HISTORY_ITEMS] for side in ("begin", "end")}
    return {name: np.asarray(value) for name, value in most.items()}


def _refuse(folder: Path, name: str, wrong: Wrong) -> None:
    array = open_array(folder, name)
    for begin in range(0, len(array), CHUNK_ROWS):
        rows = slice(begin, min(begin + CHUNK_ROWS, len(array)))
        found = wrong(array[rows], rows)
        if found.any():
            row, *column = np.argwhere(found)[0].tolist()
            raise DataError(
                f"{array_path(folder, name)}: row {begin + row} holds "
                f"{array[(begin + row, *column)]}, which lies outside what it points into; nothing "
                "was kept: this is a fault of recscale and not of the log; please report it"
            )
