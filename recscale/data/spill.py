"""Arrays of unknown length: rows appended to .npy files whose headers are completed at the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from recscale.data.layout import array_path


class Spill:
    """Appends to one .npy file per array under `folder`; a context manager that closes them."""

    def __init__(self, folder: Path, arrays: Mapping[str, tuple[str, int | None]]):
        """arrays: name -> type and width, None for arrays [n] and a number for [n, width]."""
        self._folder, self._arrays, self._rows = folder, arrays, 0

    def __enter__(self) -> Spill:
        self._files = {name: array_path(self._folder, name).open("wb") for name in self._arrays}
        for name in self._arrays:
            self._write_header(name)
        return self

    def __exit__(self, *_: object) -> None:
        # numpy pads a header so that the first axis may grow without moving the data
        for name, file in self._files.items():
            file.seek(0)
            self._write_header(name)
            file.close()

    def append(self, rows: dict[str, np.ndarray]) -> None:
        """The next rows of every array, of equal length."""
        for name, (dtype, _) in self._arrays.items():
            np.ascontiguousarray(rows[name], dtype).tofile(self._files[name])
        self._rows += len(next(iter(rows.values())))

    def _write_header(self, name: str) -> None:
        dtype, width = self._arrays[name]
        shape = (self._rows,) if width is None else (self._rows, width)
        header = {"descr": dtype, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._files[name], header)
        self._files[name].flush()
