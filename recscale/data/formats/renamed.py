"""A file of a published layout under the names that all layouts share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from recscale.data.dialects import TextTable
from recscale.data.layout import CHUNK_ROWS

Row = tuple[str, ...]


class Published(Protocol):
    """One file, opened: its layout is known, its rows are not read yet."""

    @property
    def file(self) -> Path: ...

    @property
    def layout(self) -> str: ...

    @property
    def schema(self) -> pa.Schema: ...

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]: ...


def text_schema(names: Iterable[str]) -> pa.Schema:
    return pa.schema([(name, pa.string()) for name in names])


@dataclass(frozen=True)
class Renamed:
    """A text file whose columns play known parts."""

    table: TextTable
    layout: str
    """In words, for the manifest"""
    parts: dict[str, str]
    """Name of the part -> column of the file"""

    @property
    def file(self) -> Path:
        return self.table.file

    @property
    def schema(self) -> pa.Schema:
        return text_schema([*self.parts, "domain"])

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The chosen columns, by default all. Raises DataError."""
        names = self.schema.names if columns is None else list(columns)
        domain = domain_of(self.file)
        own = list(dict.fromkeys(self.parts.values()))
        for batch in self.table.batches(own):
            arrays = [
                batch[self.parts[n]] if n in self.parts else pa.repeat(domain, len(batch))
                for n in names
            ]
            yield pa.RecordBatch.from_arrays(arrays, names=names)


@dataclass(frozen=True)
class Parsed:
    """A file whose lines are parsed singly."""

    file: Path
    layout: str
    names: tuple[str, ...]
    rows: Callable[[], Iterator[Row]]
    """Of values in the order of the names"""

    @property
    def schema(self) -> pa.Schema:
        return text_schema([*self.names, "domain"])

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The chosen columns, by default all. Raises DataError."""
        domain, rows = domain_of(self.file), self.rows()
        while chunk := list(itertools.islice(rows, CHUNK_ROWS)):
            arrays = [pa.array(column, pa.string()) for column in zip(*chunk, strict=True)]
            arrays.append(pa.repeat(domain, len(chunk)))
            batch = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
            yield batch if columns is None else batch.select(list(columns))


def domain_of(file: Path) -> str:
    """`All_Beauty` of `All_Beauty.jsonl.gz`, `Beauty` of `reviews_Beauty_5.json.gz` and of
    `ratings_Beauty.csv`."""
    stem = file.name.split(".")[0]
    return stem.removeprefix("reviews_").removeprefix("ratings_").removesuffix("_5")
