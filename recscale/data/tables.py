"""A log as batches of raw columns: those that the sweep reads, or whole rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from recscale.data.files import input_files
from recscale.data.fitting import check_columns
from recscale.data.formats import open_published
from recscale.data.opened import Table, open_log, open_part
from recscale.data.plain import plain
from recscale.spec import (
    CriteoData,
    EventsData,
    PublishedData,
    positive_column,
)

Log = EventsData | PublishedData


def columns_read(data: Log) -> tuple[str, ...]:
    """Names of the raw columns that the sweep reads, each once."""
    named = [*data.columns.parts.values(), positive_column(data)]
    return tuple(dict.fromkeys(name for name in named if name is not None))


def log_batches(
    data: Log, columns: Sequence[str] | None = None, dropped: Counter[Path] | None = None
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
    for table in _opened(data, dropped):
        for batch in table.batches(wanted) if len(table.schema) else ():
            yield table.file, batch


def _opened(data: Log, dropped: Counter[Path] | None) -> Sequence[Table]:
    """All files, with every column that the sweep reads. Raises DataError."""
    if isinstance(data, EventsData):
        tables = open_log(data.path, data.format, dropped)
        check_columns(tables, data)
        return tables
    return open_published(data.source, input_files(data.path), dropped)


def layouts(data: PublishedData) -> str:
    """The layouts that the files were told to have, in words. Raises DataError."""
    opened = open_published(data.source, input_files(data.path), Counter())
    return "; ".join(dict.fromkeys(p.layout for p in opened))


def whole_rows(data: Log, file: Path, rows: np.ndarray) -> Iterator[pa.RecordBatch]:
    """All columns of some rows of one file, in the order of the file.

    rows: int64 [n], ascending; numbers count the rows that `log_batches` gives of the file, from 0.
    """
    if isinstance(data, EventsData):
        table = open_part(data.path, file, data.format, Counter())
    else:
        files = input_files(data.path) if data.source == "sequences" else [file]
        opened = open_published(data.source, files, Counter())
        table = next(t for t in opened if t.file == file)
    batches = table.batches() if len(table.schema) else ()
    seen = 0
    for batch in batches:
        begin, end = np.searchsorted(rows, [seen, seen + len(batch)])
        if end > begin:
            columns = [_taken(column, rows[begin:end] - seen) for column in batch.columns]
            yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
        seen += len(batch)
        if end == len(rows):
            return


def _taken(column: pa.Array, rows: np.ndarray) -> pa.Array:
    """Some rows of a column; as text where it has lists of views or of run ends, which pyarrow does
    not take."""
    try:
        return plain(column).take(pa.array(rows))
    except pa.ArrowNotImplementedError:
        return pa.array([str(column[row].as_py()) for row in rows.tolist()], pa.string())


def holds_rows(data: Log | CriteoData, file: Path) -> bool:
    """Whether a file of the log has a row at all. Raises DataError."""
    if isinstance(data, CriteoData):
        return file.stat().st_size > 0
    return next(whole_rows(data, file, np.array([0])), None) is not None
