"""Files that hold types of their own: Parquet, Arrow IPC and JSON lines, a chunk at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from types import NoneType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recscale.data.layout import CHUNK_ROWS, DataError
from recscale.data.streams import open_bytes, readable

HEAD_BYTES = 4 << 20
"""Of JSON lines whose keys are taken for the columns."""
CHUNK_BYTES = 16 << 20
"""Of JSON lines parsed at once; as Python's objects they take about ten times that."""


class ParquetTable:
    """Times that Spark wrote as int96 are read in microseconds: in nanoseconds, pyarrow's default,
    the year 9999 lands in 1816."""

    def __init__(self, file: Path):
        self.file = file
        with readable(file), self._open() as parquet:
            self.schema = parquet.schema_arrow

    def _open(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.file, coerce_int96_timestamp_unit="us")

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The chosen columns, by default all. Raises DataError."""
        with readable(self.file), self._open() as parquet:
            for batch in parquet.iter_batches(_rows_at_once(parquet, columns), columns=columns):
                yield batch if columns is None else batch.select(list(columns))


def _rows_at_once(parquet: pq.ParquetFile, columns: Sequence[str] | None) -> int:
    """As many as hold some CHUNK_ROWS values of the chosen column with the longest lists."""
    held, meta = 0, parquet.metadata
    for i in range(meta.num_columns):
        column = parquet.schema.column(i)
        path = f"{column.path}."
        chosen = columns is None or any(path.startswith(f"{name}.") for name in columns)
        if chosen and column.max_repetition_level:
            groups = (meta.row_group(g).column(i) for g in range(meta.num_row_groups))
            held = max(held, sum(group.num_values for group in groups))
    return max(1, CHUNK_ROWS * meta.num_rows // max(1, held, meta.num_rows))


class ArrowTable:
    """Arrow IPC, as a file (Feather is one) or as a stream."""

    def __init__(self, file: Path, streamed: bool):
        self.file, self._streamed = file, streamed
        with readable(file), pa.OSFile(str(file)) as source:
            opened = pa.ipc.open_stream(source) if streamed else pa.ipc.open_file(source)
            self.schema = opened.schema

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The chosen columns, by default all. Raises DataError."""
        with readable(self.file), pa.OSFile(str(self.file)) as source:
            for batch in self._whole(source):
                chosen = batch if columns is None else batch.select(list(columns))
                for begin in range(0, len(chosen), CHUNK_ROWS):
                    yield chosen.slice(begin, CHUNK_ROWS)

    def _whole(self, source: pa.NativeFile) -> Iterator[pa.RecordBatch]:
        if self._streamed:
            yield from pa.ipc.open_stream(source)
            return
        opened = pa.ipc.open_file(source)
        for i in range(opened.num_record_batches):
            yield opened.get_batch(i)


class JsonTable:
    """One JSON object a line, read by Python's json: pyarrow's reader takes texts that look like
    dates for timestamps and whole numbers beyond 64 bits for doubles, which makes two ids one."""

    def __init__(self, file: Path):
        self.file = file
        with readable(file):
            rows = next(self._chunks(HEAD_BYTES), [])
        keys = dict.fromkeys(key for row in rows for key in row)
        self.schema = pa.schema([(k, self._column(k, rows, False).type) for k in keys])

    def look_for(self, names: Set[str]) -> set[str]:
        """Those of the names that some line further down has: they are columns then. Reads until
        all are found, or the whole file. Raises DataError."""
        found: dict[str, pa.DataType] = {}
        with readable(self.file):
            for rows in self._chunks(CHUNK_BYTES) if names else ():
                for name in sorted(names & {key for row in rows for key in row} - found.keys()):
                    found[name] = self._column(name, rows, False).type
                if len(found) == len(names):
                    break
        self.schema = pa.schema([*self.schema, *(pa.field(n, t) for n, t in found.items())])
        return set(found)

    def _chunks(self, size: int) -> Iterator[list[dict[str, Any]]]:
        """Objects of whole lines, about `size` bytes of them at once."""
        done = 0
        with open_bytes(self.file) as source:
            while lines := source.readlines(size):
                yield self._objects([line for line in lines if line.strip()], done)
                done += len(lines)

    def _objects(self, lines: list[bytes], before: int) -> list[dict[str, Any]]:
        try:  # one call for all lines takes a third of the time of one for each
            found = json.loads(b"[" + b",".join(lines) + b"]")
        except (ValueError, RecursionError):  # the latter of a value nested a thousand deep
            found = []
        if len(found) == len(lines) and all(type(row) is dict for row in found):
            return found
        return [self._object(line, n) for n, line in enumerate(lines, before + 1)]

    def _object(self, line: bytes, n: int) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            return row
        raise DataError(
            f"{self.file}: about line {n} is no JSON object: "
            f"{line.decode('utf-8', 'replace').strip()[:80]!r}; write one object a line (jq -c "
            "'.[]' does it to an array)"
        )

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The chosen columns, null where a line lacks one. By default all; what no column can hold
        comes as JSON then. Raises DataError."""
        names = self.schema.names if columns is None else list(columns)
        with readable(self.file):
            for rows in filter(None, self._chunks(CHUNK_BYTES)):
                if columns is None:  # with the keys that the first lines lack
                    names = list(dict.fromkeys([*names, *(key for row in rows for key in row)]))
                arrays = [self._column(name, rows, columns is not None) for name in names]
                yield pa.RecordBatch.from_arrays(arrays, names=names)

    def _column(self, name: str, rows: list[dict[str, Any]], strict: bool) -> pa.Array:
        """Numbers that are text elsewhere, or have more than 64 bits, are text."""
        values = [row.get(name) for row in rows]
        try:
            return pa.array(values)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
            if not strict:
                return pa.array([json.dumps(v) for v in values])
            if isinstance(error, UnicodeEncodeError):
                raise DataError(
                    f"{self.file}: column {name!r} holds {error.object!r}, half of a pair of "
                    "surrogates, which is no letter; write the whole letter"
                ) from None
            if all(type(v) in (int, float, str, NoneType) for v in values):
                return pa.array([v if v is None else str(v) for v in values], pa.string())
            said = (str(error).splitlines() or [""])[0]
            kinds = {type(v): v for v in values if v is not None}
            shown = ", ".join(repr(v)[:40] for v in kinds.values())
            raise DataError(
                f"{self.file}: column {name!r} holds values of different kinds, such as {shown} "
                f"({said}); write them all as text"
            ) from None
