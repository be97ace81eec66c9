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

from recscale.data.binary import JsonTable
from recscale.data.dialects import CSV, dialect_of
from recscale.data.drafts.names import WEIGHTS, words_of
from recscale.data.files import FORMATS, input_files
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
QUOTING = ",;|"
EVEN = 0.95
"""Share of the lines that must have as many values as most have."""
SEPARATORS = ("\t", ",", ";", "|", "::", "\x01")
"""Tried on text, a blank after all of them; Hive writes \\x01."""


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
    vectors: tuple[str, ...] = ()
    """Columns of vectors of numbers, which no part takes: they are not read."""
    partial: tuple[str, ...] = ()
    """Columns that some of the files lack: no sweep of all files can name them."""


def look(path: str) -> Sample:
    """Some rows of the log at a file, folder or glob. Raises DataError for what is no log."""
    files = input_files(path)
    _refuse_notes(files)
    with readable(files[0]):
        kind = kind_of(files[0])
    format, doubt = ("auto", None) if kind not in COMPRESSED | {"text"} else _dialect(files[0])
    try:
        return _looked(path, files, kind, format, doubt)
    except DataError:
        escaped = _escaped(files[0], kind, format)
        if escaped is None:
            raise
    return _looked(path, files, kind, escaped, doubt)


def _escaped(file: Path, kind: str, format: FileFormat | TextFormat) -> TextFormat | None:
    """The dialect with quotes in values as Spark, Hive and MySQL write them, where the file has
    such; None for others."""
    plain = {"auto": dialect_of(file), "csv": CSV}.get(str(format)) if kind != "parquet" else None
    dialect = format if isinstance(format, TextFormat) else plain
    if dialect is None or dialect.quote is None:
        return None
    with readable(file), open_bytes(file) as stream:
        quoted = f"\\{dialect.quote}".encode() in stream.read(HEAD)
    return dialect.model_copy(update={"escape": "\\"}) if quoted else None


def _looked(
    path: str, files: list[Path], kind: str, format: FileFormat | TextFormat, doubt: str | None
) -> Sample:
    ragged = Counter[Path]()
    tables = open_log(path, format, ragged)
    names = tables[0].schema.names
    if twins := sorted({n for n in names if names.count(n) > 1}):
        raise DataError(f"{files[0]}: two columns are called {twins[0]!r}; rename one of them")
    last = len(tables) - 1
    places = sorted({last * k // (FILES - 1) for k in range(FILES)})
    vectors = tuple(f.name for f in tables[0].schema if _is_vector(f))
    partial = _partial(tables)
    _refuse_strangers(tables, partial)
    parts = [_rows(tables[i], (*vectors, *partial)) for i in places]
    try:
        columns = pa.concat_tables(parts, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        columns = parts[0]  # shards that disagree; preparing says how
    if not len(columns):
        raise DataError(f"data.path {path}: {files[0]} {_no_rows(ragged, len(names))}")
    whole = len(places) == len(tables) and all(len(p) < ROWS for p in parts)
    rows = len(columns) if whole else _count(files, kind, parts)
    vectors = tuple(v for v in vectors if v not in partial)
    return Sample(columns, rows, whole or kind == "parquet", format, doubt, vectors, partial)


def _no_rows(ragged: Counter[Path], width: int) -> str:
    if not ragged:
        return "holds no rows to look at"
    columns = "column" if width == 1 else "columns"
    return (
        f"names {width} {columns} in its first line, and none of the {ragged.total():,} lines "
        "looked at has as many values; quote values that hold the separator, or correct the first "
        "line"
    )


def _refuse_notes(files: list[Path]) -> None:
    """Raises DataError for text of no known name, such as README.md, beside files of a log."""
    named = [f for f in files if dialect_of(f) or plain_name(f).lower().endswith(FORMATS)]
    for file in sorted(set(files) - set(named)) if named else ():
        with readable(file):
            kind = kind_of(file)
        if kind in ("text", "empty"):
            ending = "".join(named[0].suffixes[-2:]) if kind_of(named[0]) in COMPRESSED else ""
            raise DataError(
                f"{file}: does not say by its name what it holds, as {named[0].name} does; leave "
                f"it out by a narrower path, such as {named[0].parent}/*{ending or named[0].suffix}"
            )


def _partial(tables: list[Table]) -> tuple[str, ...]:
    """Columns that some files have and others lack; a key that JSON leaves out is a null."""
    held = [t.schema.names for t in tables if len(t.schema) and not isinstance(t, JsonTable)]
    common = set.intersection(*map(set, held)) if held else set()
    return tuple(dict.fromkeys(n for names in held for n in names if n not in common))


def _refuse_strangers(tables: list[Table], partial: tuple[str, ...]) -> None:
    """Raises DataError where no column is in all files, as where some lack their header line."""
    names = tables[0].schema.names
    if not set(names) <= {*partial}:
        return
    other = next((t for t in tables if len(t.schema) and not {*t.schema.names} & {*names}), None)
    if other is None:
        return
    held = [", ".join(t.schema.names[:4]) for t in (tables[0], other)]
    raise DataError(
        f"{tables[0].file} has the columns {held[0]} and {other.file} has {held[1]}: files of one "
        "log share their columns; where a header line lacks, add it, or give a narrower path"
    )


def _is_vector(field: pa.Field) -> bool:
    """Lists of fractions that are not called weights: an embedding of 768 numbers a row is much to
    read for nothing."""
    if pa.types.is_fixed_size_list(field.type):
        return True
    lists = pa.types.is_list(field.type) or pa.types.is_large_list(field.type)
    if not lists or WEIGHTS & {*words_of(field.name)}:
        return False
    return pa.types.is_floating(field.type.value_type)


def _rows(table: Table, unread: tuple[str, ...]) -> pa.Table:
    names = [n for n in table.schema.names if n not in unread]
    batches: list[pa.RecordBatch] = []
    for batch in table.batches(names):
        batches.append(batch)
        if sum(map(len, batches)) >= ROWS:
            break
    return pa.Table.from_batches(batches, None if batches else table.schema)[:ROWS]


def _count(files: list[Path], kind: str, parts: list[pa.Table]) -> int:
    """Rows of all files: exact for Parquet, else by their sizes."""
    if kind == "parquet":
        return sum(pq.read_metadata(f).num_rows for f in files)
    size = sum(f.stat().st_size for f in files)
    if kind.startswith("arrow"):
        return _rounded(size * sum(map(len, parts)) / max(1, sum(p.nbytes for p in parts)))
    with open_bytes(files[0]) as stream:
        head = stream.read(HEAD)
    shrunk = len(zlib.compress(head)) / max(1, len(head)) if kind in COMPRESSED else 1.0
    return _rounded(size / shrunk * head.count(b"\n") / max(1, len(head)))


def _rounded(rows: float) -> int:
    """An estimate, to two digits."""
    return max(1, int(float(f"{rows:.2g}")))


def _dialect(file: Path) -> tuple[FileFormat | TextFormat, str | None]:
    """How a text file is to be read, by what it begins with, and what is not sure about that."""
    with readable(file), open_bytes(file) as stream:
        text = stream.read(HEAD).decode("utf-8-sig", errors="replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        return "auto", None  # no text that is read; opening it says what is wrong
    if text.startswith("sep="):
        return "auto", None  # nor this: Excel's
    if text.lstrip().startswith(("{", "[")) and plain_name(file).endswith(".json"):
        return "auto", None
    if text.lstrip().startswith("{"):
        told = plain_name(file).endswith((".jsonl", ".ndjson"))
        return ("auto" if told else "jsonl"), None
    text = text[: text.rfind("\n") + 1] or text
    separator = _separator(text)
    if separator is None:
        shown = text.strip().split("\n")[0][:60]
        raise DataError(
            f"{file}: no separator divides its lines, such as {shown!r}, into equally many values "
            "(tried tab, comma, ;, |, ::, Hive's \\x01 and blanks); a log is one event a line, or "
            "Parquet, Arrow or JSON lines (one user a line, the oldest item first, is data.source: "
            "sequences)"
        )
    quote = '"' if separator in QUOTING else None
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
        for s in (*SEPARATORS, " ")
    }
    usual = {s: max(found, key=lambda w: found[w]) for s, found in widths.items() if found}
    even = [s for s, w in usual.items() if w > 1 and widths[s][w] >= EVEN * widths[s].total()]
    # a header line is of the log's width; lists within values need not be, nor in it
    first = {s: len(next(_cells(text, s), ())) for s in even}
    even = [s for s in even if first[s] == usual[s]] or even
    even = [s for s in even if s != " "] or even
    return max(even, key=lambda s: usual[s], default=None)


def _cells(text: str, separator: str) -> Iterator[list[str]]:
    """The values of each line; only those between QUOTING separators may be quoted."""
    if separator not in QUOTING:
        return (line.split(separator) for line in text.split("\n") if line)
    return _quoted(csv.reader(io.StringIO(text, newline=""), delimiter=separator))


def _quoted(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    with contextlib.suppress(csv.Error):  # a value beyond the module's limit: the rows before do
        yield from (row for row in rows if row)


def _is_header(first: list[str], rest: list[list[str]]) -> bool:
    """Whether the first line names the columns: above most columns of numbers it holds none. Where
    there is no such column, whether it holds no value of the lines below."""
    if first == [str(i) for i in range(len(first))]:
        return True
    columns = list(zip(*(r for r in rest if len(r) == len(first)), strict=True))
    above = [
        _is_number(cell)
        for cell, values in zip(first, columns, strict=False)
        if all(_is_number(v) for v in values if v) and any(values)
    ]
    if above:
        return sum(above) < len(above) / 2
    return not any(cell and cell in values for cell, values in zip(first, columns, strict=False))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
