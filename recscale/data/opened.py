"""The files of a log, each opened by the reader of its format, before any row is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from recscale.data.binary import ArrowTable, JsonTable, ParquetTable
from recscale.data.delta import delta_parts
from recscale.data.dialects import CSV, TSV, TextTable, dialect_of
from recscale.data.files import FORMATS, input_files, log_place, partition_keys, table_format
from recscale.data.layout import DataError
from recscale.data.streams import (
    COMPRESSED,
    ENDINGS,
    HEAD,
    TAR,
    kind_of,
    kind_of_bytes,
    open_bytes,
    plain_name,
    readable,
)
from recscale.spec import FileFormat, TextFormat

LOGS = (
    "a log is Parquet, Arrow IPC, JSON lines (.jsonl), CSV with a header line (.csv) or "
    f"tab-separated text (.tsv), text also compressed ({', '.join(ENDINGS)})"
)


class Table(Protocol):
    """One file, opened: its columns are known, its rows are not read yet."""

    @property
    def file(self) -> Path: ...

    @property
    def schema(self) -> pa.Schema: ...

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]: ...


class Partition:
    """A file of a Hive-partitioned folder: its own columns and the keys of its folders, as text."""

    def __init__(self, table: Table, keys: dict[str, str | None]):
        self.file, self.table, self._keys = table.file, table, keys

    @property
    def schema(self) -> pa.Schema:
        own = self.table.schema
        more = [pa.field(k, pa.string()) for k in self._keys if k not in own.names]
        return pa.schema([*own, *more]) if len(own) else own

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The chosen columns, by default all. Raises DataError where a key contradicts a column
        of its name."""
        has = self.table.schema.names
        own = None if columns is None else [n for n in columns if n in has]
        for batch in self.table.batches(has[:1] if own == [] else own):
            named = list(zip(batch.schema.names, batch.columns, strict=True))
            for name, key in self._keys.items():
                if name not in {*has, *batch.schema.names}:
                    named.append((name, pa.repeat(pa.scalar(key, pa.string()), len(batch))))
            names, arrays = zip(*((n, self._agreed(c, n)) for n, c in named), strict=True)
            whole = pa.RecordBatch.from_arrays(list(arrays), names=list(names))
            yield whole if columns is None else whole.select(list(columns))

    def _agreed(self, column: pa.Array, name: str) -> pa.Array:
        if name not in self._keys:
            return column
        key = self._keys[name]
        for value in pc.unique(column).to_pylist():  # type: ignore
            if value != key and str(value) != key and not _same_number(value, key):
                raise DataError(
                    f"{self.file}: column {name!r} holds {value!r} where the folder's name says "
                    f"{name}={key}; rename the column or the folders"
                )
        return column


def _same_number(value: object, key: str | None) -> bool:
    """5 as `month=05`."""
    return isinstance(value, int) and bool(key) and key.isdecimal() and int(key) == value


def open_log(
    path: str, format: FileFormat | TextFormat, dropped: Counter[Path] | None = None
) -> list[Table]:
    """Every file of a log in natural order. Raises DataError.

    dropped: counts lines of text that cannot be told apart into fields, by file; without it such a
        line is refused.
    """
    folder = log_place(path)
    if table_format(folder) == "Delta":
        return list(delta_parts(folder))
    if format == "delta":
        raise DataError(f"data.path {path}: no Delta table (a folder that holds _delta_log)")
    return [open_part(path, file, format, dropped) for file in input_files(path)]


def open_part(
    path: str, file: Path, format: FileFormat | TextFormat, dropped: Counter[Path] | None = None
) -> Table:
    """One of the files of a log, with the keys of its folders; see `open_log`."""
    folder = log_place(path)
    if table_format(folder) == "Delta":
        return next(part for part in delta_parts(folder) if part.file == file)
    table, keys = open_file(file, format, dropped), partition_keys(path, file)
    return Partition(table, keys) if keys else table


def open_file(
    file: Path, format: FileFormat | TextFormat, dropped: Counter[Path] | None = None
) -> Table:
    """One file by its format; `auto` goes by what it begins with, and for text by its name.

    Raises DataError for a file that no reader here reads.
    """
    with readable(file):
        kind = kind_of(file)
    if kind not in COMPRESSED | {"text", "empty", "parquet", "arrow", "arrow stream"}:
        raise DataError(f"{file}: is {kind}; unpack or convert it: {LOGS}")
    if isinstance(format, TextFormat):
        return TextTable(file, format, dropped)
    if format == "auto":
        format = _format_of(file, kind)
    if format == "parquet":
        return ParquetTable(file)
    if format == "arrow":
        return ArrowTable(file, streamed=kind == "arrow stream")
    if format == "jsonl":
        return JsonTable(file)
    return TextTable(file, CSV if format == "csv" else TSV, dropped)


def _format_of(file: Path, kind: str) -> FileFormat:
    """Raises DataError where neither content nor name tell."""
    if kind in ("parquet", "arrow", "arrow stream"):
        return "parquet" if kind == "parquet" else "arrow"
    name = plain_name(file).lower()
    if name.endswith((".jsonl", ".ndjson", ".json")):
        return "jsonl"
    if (dialect := dialect_of(file)) is not None:
        return "csv" if dialect is CSV else "tsv"
    ending = next((e for e in FORMATS if name.endswith(e)), "")
    what = f"is named {ending} and is none" if ending else "does not say by its name what it holds"
    if kind in COMPRESSED and kind_of_bytes(open_bytes(file).read(HEAD)) == TAR:
        raise DataError(f"{file}: is {TAR}; unpack or convert it: {LOGS}")
    what = "is empty" if kind == "empty" else what
    raise DataError(
        f"{file}: {what}; leave it out by a narrower data.path, or say what it is by data.format: "
        'csv, tsv, jsonl, or a mapping such as {separator: ";", header: [user, item, time]}; '
        f"{LOGS}"
    )
