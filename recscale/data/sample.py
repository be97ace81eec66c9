"""A look into a log of any size: its columns and some of its rows, before anything is prepared."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recscale.data.dialects import dialect_of
from recscale.data.files import input_files
from recscale.data.layout import DataError
from recscale.data.opened import Table, open_log
from recscale.data.streams import COMPRESSED, kind_of, open_bytes, plain_name, readable
from recscale.spec import FileFormat, TextFormat

ROWS = 30_000
"""Rows looked at in each of the files."""
FILES = 3
"""Files looked at: the first, one in the middle, the last."""
HEAD = 1 << 20
"""Bytes of a text file by which its dialect is told."""
EVEN = 0.95
"""Share of the lines that must have as many values as most have."""
SEPARATORS = ("\t", ",", ";", "|", "::")


@dataclass(frozen=True)
class Sample:
    """What a look into a log shows."""

    columns: pa.Table
    """Rows as the files hold them: every column of text files is text."""
    rows: int
    """Of the whole log; an estimate where `exact` is false."""
    exact: bool
    format: FileFormat | TextFormat = "auto"
    """What `data.format` has to say."""
    doubt: str | None = None
    """What is not sure about `format`."""


def look(path: str) -> Sample:
    """Some rows of the log at a file, folder or glob. Raises DataError for what is no log."""
    files = input_files(path)
    with readable(files[0]):
        kind = kind_of(files[0])
    format, doubt = ("auto", None) if kind not in COMPRESSED | {"text"} else _dialect(files[0])
    tables = open_log(path, format, Counter())
    last = len(tables) - 1
    places = sorted({last * k // (FILES - 1) for k in range(FILES)})
    parts = [_rows(tables[i]) for i in places]
    try:
        columns = pa.concat_tables(parts, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        columns = parts[0]  # shards that disagree; preparing says how
    if not len(columns):
        raise DataError(f"data.path {path}: {files[0]} holds no rows to look at")
    whole = len(places) == len(tables) and all(len(p) < ROWS for p in parts)
    rows = len(columns) if whole else _count(files, kind, parts)
    return Sample(columns, rows, whole or kind == "parquet", format, doubt)


def _rows(table: Table) -> pa.Table:
    batches: list[pa.RecordBatch] = []
    for batch in table.batches():
        batches.append(batch)
        if sum(map(len, batches)) >= ROWS:
            break
    return pa.Table.from_batches(batches, batches[0].schema if batches else table.schema)[:ROWS]


def _count(files: list[Path], kind: str, parts: list[pa.Table]) -> int:
    """Rows of all files: exact for Parquet, else by their sizes."""
    if kind == "parquet":
        return sum(pq.read_metadata(f).num_rows for f in files)
    size = sum(f.stat().st_size for f in files)
    if kind.startswith("arrow"):
        return round(size * sum(map(len, parts)) / max(1, sum(p.nbytes for p in parts)))
    with open_bytes(files[0]) as stream:
        head = stream.read(HEAD)
    shrunk = len(zlib.compress(head)) / max(1, len(head)) if kind in COMPRESSED else 1.0
    return round(size / shrunk * head.count(b"\n") / max(1, len(head)))


def _dialect(file: Path) -> tuple[FileFormat | TextFormat, str | None]:
    """How a text file is to be read, by what it begins with, and what is not sure about that."""
    with readable(file), open_bytes(file) as stream:
        text = stream.read(HEAD).decode("utf-8-sig", errors="replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.lstrip().startswith("{"):
        told = plain_name(file).endswith((".jsonl", ".ndjson", ".json"))
        return ("auto" if told else "jsonl"), None
    text = text[: text.rfind("\n") + 1] or text
    separator = _separator(text)
    if separator is None:
        shown = text.strip().split("\n")[0][:60]
        raise DataError(
            f"{file}: no separator divides its lines, such as {shown!r}, into equally many values "
            "(tried tab, comma, ;, | and ::); a log is one event a line, or Parquet, Arrow or "
            "JSON lines (one user a line, the oldest item first, is data.source: sequences)"
        )
    quote = '"' if separator in ",;|" else None
    first, *rest = itertools.islice(_cells(text, separator), 2000)
    if _is_header(first, rest):
        stated = TextFormat(separator=separator, quote=quote)
        if stated == dialect_of(file):
            return "auto", None
        return {"\t": "tsv", ",": "csv"}.get(separator, stated), None  # type: ignore
    names = tuple(f"column_{i}" for i in range(1, len(first) + 1))
    doubt = f"the first line, {separator.join(first)[:60]!r}, looks like values, not like names"
    return TextFormat(separator=separator, quote=quote, header=names), doubt


def _separator(text: str) -> str | None:
    """The separator that divides the first lines into most values, nearly all in equally many."""
    widths = {
        s: Counter(len(cells) for cells in itertools.islice(_cells(text, s), 200))
        for s in SEPARATORS
    }
    usual = {s: max(found, key=lambda w: found[w]) for s, found in widths.items() if found}
    even = [s for s, w in usual.items() if w > 1 and widths[s][w] >= EVEN * widths[s].total()]
    return max(even, key=lambda s: usual[s], default=None)


def _cells(text: str, separator: str) -> Iterator[list[str]]:
    """The values of each line; those between tabs or longer separators are never quoted."""
    if separator in ("\t", "::"):
        return (line.split(separator) for line in text.split("\n") if line)
    return _quoted(csv.reader(io.StringIO(text, newline=""), delimiter=separator))


def _quoted(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    with contextlib.suppress(csv.Error):  # a value beyond the module's limit: the rows before do
        yield from (row for row in rows if row)


def _is_header(first: list[str], rest: list[list[str]]) -> bool:
    """Whether the first line names the columns: it holds no number, unless it counts them, and
    no value of the lines below."""
    if first == [str(i) for i in range(len(first))]:
        return True
    if any(_is_number(cell) for cell in first):
        return False
    columns = zip(*(r for r in rest if len(r) == len(first)), strict=True)
    return not any(cell and cell in values for cell, values in zip(first, columns, strict=False))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
