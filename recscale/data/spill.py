"""Columns of unknown length, appended to flat files and then mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np


class Spill:
    """One file per column under `folder`. Used as a context manager, which closes the files.

    A name maps to a type, or to a type and a width for arrays [n, width].
    """

    def __init__(self, folder: Path, dtypes: dict[str, str | tuple[str, int]]):
        self._shapes = {
            name: (dtype, None) if isinstance(dtype, str) else dtype
            for name, dtype in dtypes.items()
        }
        self._paths = {name: folder / f"raw.{i}" for i, name in enumerate(dtypes)}

    def __enter__(self) -> Spill:
        self._files = {name: path.open("wb") for name, path in self._paths.items()}
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def append(self, columns: dict[str, np.ndarray]) -> None:
        """Rows for every column, of equal length."""
        for name, (dtype, _) in self._shapes.items():
            np.ascontiguousarray(columns[name], dtype).tofile(self._files[name])

    def finish(self) -> dict[str, np.ndarray]:
        """The columns as read-only memory maps, [n] or [n, width]."""
        self.__exit__()
        maps = {}
        for name, (dtype, width) in self._shapes.items():
            path = self._paths[name]
            empty = path.stat().st_size == 0
            flat = np.empty(0, dtype) if empty else np.memmap(path, dtype, "r")
            maps[name] = flat if width is None else flat.reshape(-1, width)
        return maps

    @staticmethod
    def remove(folder: Path) -> None:
        """Deletes the files of any spill under `folder`."""
        for path in folder.glob("raw.*"):
            path.unlink()
