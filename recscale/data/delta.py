"""Delta tables, read through the package deltalake: the rows of their newest version alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds

from recscale.data.layout import CHUNK_ROWS, DataError
from recscale.data.streams import readable

READ = ds.ParquetReadOptions(coerce_int96_timestamp_unit="us")
"""In nanoseconds, the default, Spark's int96 wraps outside 1677-2262."""


class DeltaPart:
    """One file of a table, with the table's columns: its partition keys, and nulls for columns
    that the table got later."""

    def __init__(self, folder: Path, fragment: Any, schema: pa.Schema):
        self.file, self.schema, self._fragment = folder / fragment.path, schema, fragment

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The chosen columns, by default all. Raises DataError."""
        names = self.schema.names if columns is None else list(columns)
        with readable(self.file):
            yield from self._fragment.to_batches(
                schema=self.schema, columns=names, batch_size=CHUNK_ROWS, batch_readahead=1
            )


def delta_parts(folder: Path) -> list[DeltaPart]:
    """The files that hold the table's rows now, in the order in which they were written.

    Raises DataError without the package, and for tables that it does not read, such as those with
    deletion vectors.
    """
    table = _opened(folder)
    try:
        rows = table.to_pyarrow_dataset(parquet_read_options=READ)
        actions = pa.table(table.get_add_actions(flatten=True))
    except Exception as error:  # its errors share no base that is public
        raise DataError(_unread(folder, error)) from None
    added = zip(actions["path"].to_pylist(), actions["modification_time"].to_pylist(), strict=True)
    written = {unquote(path): time for path, time in added}
    fragments = sorted(rows.get_fragments(), key=lambda f: (written.get(f.path, 0), f.path))
    return [DeltaPart(folder, f, rows.schema) for f in fragments]


def delta_version(folder: Path) -> str:
    """The table's own name and version: the same wherever a copy of it lies."""
    table = _opened(folder)
    return f"{table.metadata().id}@{table.version()}"


def _opened(folder: Path) -> Any:
    try:
        import deltalake
    except ImportError:
        raise DataError(
            f"data.path: {folder} is a Delta table, and the package that reads it is not "
            "installed; pip install 'recscale[delta]'"
        ) from None
    try:
        return deltalake.DeltaTable(str(folder))
    except Exception as error:
        raise DataError(_unread(folder, error)) from None


def _unread(folder: Path, error: Exception) -> str:
    said = (str(error).splitlines() or [type(error).__name__])[0][:300]
    purge = ", or remove its deletion vectors there (REORG TABLE ... APPLY (PURGE))"
    return (
        f"data.path: the Delta table {folder} cannot be read by deltalake ({said}); write its rows "
        "to Parquet files with the engine that keeps it"
        f"{purge if 'deletionVectors' in said else ''}"
    )
