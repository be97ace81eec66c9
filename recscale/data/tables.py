"""The files of a log as batches of the columns that a sweep reads."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from recscale.data.files import input_files
from recscale.data.formats import READERS
from recscale.data.layout import CHUNK_ROWS, DataError
from recscale.spec import Columns, EventsData, PublishedData


def log_batches(data: EventsData | PublishedData) -> Iterator[tuple[Path, pa.RecordBatch]]:
    """(file, rows) of every file in natural order, a chunk at a time; values as the file has them.

    Raises DataError for a file or column that cannot be read.
    """
    read = READERS.get(data.source)
    for file in input_files(data.path):
        for batch in read(file) if read else _batches(file, data.columns):
            yield file, batch


def _batches(file: Path, columns: Columns) -> Iterator[pa.RecordBatch]:
    """The chosen columns of one file, a chunk at a time; text of a CSV stays text."""
    wanted = list(dict.fromkeys(columns.parts.values()))
    try:
        if file.name.endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz")):
            parse = pacsv.ParseOptions(delimiter="\t" if ".tsv" in file.name else ",")
            with pacsv.open_csv(file, parse_options=parse) as header:
                _check_columns(file, header.schema.names, columns)
            convert = pacsv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pa.string()),
                strings_can_be_null=True,
            )
            with pacsv.open_csv(file, parse_options=parse, convert_options=convert) as reader:
                yield from reader
        else:
            with pq.ParquetFile(file) as parquet:
                _check_columns(file, parquet.schema_arrow.names, columns)
                yield from parquet.iter_batches(CHUNK_ROWS, columns=wanted)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{file}: cannot be read ({str(error).splitlines()[0]}); a log is Parquet, or CSV "
            "with a header line and a name that ends in .csv, .tsv, .csv.gz or .tsv.gz"
        ) from None


def _check_columns(file: Path, present: list[str], columns: Columns) -> None:
    problems = []
    for part, name in columns.parts.items():
        if name not in present:
            near = difflib.get_close_matches(name, present, 1, 0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f"data.columns.{part}: no column {name!r}{hint}")
    if problems:
        has = ", ".join(present)
        raise DataError(f"{file}: {'; '.join(problems)} The file has: {has}")
