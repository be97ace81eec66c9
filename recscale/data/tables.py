"""The files of a log as batches of raw columns: what the sweep reads, a sample, or whole rows."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from recscale.data.binary import ArrowTable, JsonTable, ParquetTable
from recscale.data.dialects import CSV, TSV, TextTable, dialect_of
from recscale.data.files import input_files
from recscale.data.formats import READERS
from recscale.data.layout import DataError
from recscale.data.plain import plain
from recscale.data.streams import COMPRESSED, ENDINGS, kind_of, plain_name, readable
from recscale.spec import EventsData, FileFormat, PublishedData, TextFormat, positive_column

Log = EventsData | PublishedData


class Table(Protocol):
    """One file, opened: its columns are known, its rows are not read yet."""

    file: Path

    @property
    def schema(self) -> pa.Schema: ...

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]: ...


def columns_read(data: Log) -> tuple[str, ...]:
    """Names of the raw columns that the sweep reads, each once."""
    c = data.columns
    named = [c.user, c.item, c.time, c.label, c.domain, c.history, positive_column(data)]
    named += [*c.sparse, *c.dense, *c.weights.values()]
    return tuple(dict.fromkeys(name for name in named if name is not None))


def log_batches(
    data: Log, columns: Sequence[str] | None = None, dropped: Counter[str] | None = None
) -> Iterator[tuple[Path, pa.RecordBatch]]:
    """(file, rows) of every file in natural order, a chunk at a time, values as the file has them:
    text files give strings, others the types that they hold, which may differ between files.

    columns: by default those that the sweep reads.
    dropped: counts lines of text files that cannot be told apart into fields; without it such a
        line is refused.
    Raises DataError for a file or column that cannot be read; every file's columns are looked at
    before the first row is read.
    """
    wanted = columns_read(data) if columns is None else tuple(columns)
    files = input_files(data.path)
    if isinstance(data, PublishedData):
        for file in files:
            for batch in READERS[data.source](file):
                yield file, batch
        return
    for file in files:
        _check_columns(open_table(file, data.format), data)
    for file in files:
        for batch in open_table(file, data.format, dropped).batches(wanted):
            yield file, batch


def whole_rows(data: Log, file: Path, rows: np.ndarray) -> Iterator[pa.RecordBatch]:
    """All columns of some rows of one file, in the order of the file.

    rows: int64 [n], ascending; numbers count the rows that `log_batches` gives of the file, from 0.
    """
    seen = 0
    if isinstance(data, PublishedData):
        batches = READERS[data.source](file)
    else:
        batches = open_table(file, data.format, Counter()).batches()
    for batch in batches:
        begin, end = np.searchsorted(rows, [seen, seen + len(batch)])
        if end > begin:
            chosen = pa.array(rows[begin:end] - seen)
            columns = [plain(column).take(chosen) for column in batch.columns]
            yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
        seen += len(batch)
        if end == len(rows):
            return


@dataclass(frozen=True)
class Sample:
    """The beginning of a log, and how it is read."""

    files: tuple[Path, ...]
    format: FileFormat | TextFormat
    """What the sweep has to say under `data.format`; `auto` where it may leave that out."""
    rows: pa.RecordBatch
    """Of all columns, text files as strings."""


def log_sample(path: str, n: int = 10_000, format: FileFormat | TextFormat = "auto") -> Sample:
    """Up to the first n rows of the log at `path`. Raises DataError."""
    files = input_files(path)
    table = open_table(files[0], format)
    for batch in table.batches():
        return Sample(tuple(files), format, batch.slice(0, n))
    empty = table.schema.empty_table().to_batches()
    rows = empty[0] if empty else pa.RecordBatch.from_pylist([], schema=table.schema)
    return Sample(tuple(files), format, rows)


def open_table(
    file: Path, format: FileFormat | TextFormat, dropped: Counter[str] | None = None
) -> Table:
    """A file by its format; `auto` goes by what it begins with, and for text by its name.

    Raises DataError for a file that no reader here reads.
    """
    if isinstance(format, TextFormat):
        return TextTable(file, format, dropped)
    with readable(file):
        kind = kind_of(file)
    if format == "parquet" or kind == "parquet":
        return ParquetTable(file)
    if format == "arrow" or kind.startswith("arrow"):
        return ArrowTable(file, streamed=kind != "arrow")
    if kind not in COMPRESSED | {"text", "empty"}:
        raise DataError(f"{file}: is a {kind}; {_LOGS}")
    if format in ("csv", "tsv"):
        return TextTable(file, CSV if format == "csv" else TSV, dropped)
    if format == "jsonl" or plain_name(file).endswith((".jsonl", ".ndjson", ".json")):
        return JsonTable(file)
    dialect = dialect_of(file)
    if dialect is None:
        raise DataError(
            f"{file}: neither its name nor its first bytes say what it holds; {_LOGS}; say what it "
            'is by data.format (csv, tsv, jsonl, or {separator: ";"})'
        )
    return TextTable(file, dialect, dropped)


_LOGS = (
    "a log is Parquet, Arrow IPC, JSON lines (.jsonl), CSV with a header line (.csv) or "
    f"tab-separated text (.tsv), text also compressed ({', '.join(ENDINGS)})"
)


def _check_columns(table: Table, data: EventsData) -> None:
    columns, present = data.columns, table.schema.names
    parts = {"user": columns.user, "item": columns.item, "time": columns.time}
    parts |= {"label": columns.label} if columns.label else {}
    parts |= {"domain": columns.domain} if columns.domain else {}
    parts |= {"history": columns.history} if columns.history else {}
    parts |= {f"sparse[{i}]": c for i, c in enumerate(columns.sparse)}
    parts |= {f"dense[{i}]": c for i, c in enumerate(columns.dense)}
    parts |= {f"weights.{c}": w for c, w in columns.weights.items()}
    named = {f"data.columns.{part}": name for part, name in parts.items()}
    if (compared := positive_column(data)) is not None:
        named["data.positive"] = compared
    problems = []
    for key, name in named.items():
        if name not in present:
            near = difflib.get_close_matches(name, present, 1, 0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f"{key}: no column {name!r}{hint}")
        elif present.count(name) > 1:
            problems.append(f"{key}: {present.count(name)} columns are named {name!r}")
    if problems:
        has = ", ".join(present)
        raise DataError(f"{table.file}: {'; '.join(problems)} The file has: {has}")
