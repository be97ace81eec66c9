"""Text files in a stated dialect, read block by block; the values stay text.

A block ends where a record ends, so quoted values may hold line breaks and be longer than any
block. pyarrow parses a block; what it accepts and the strict grammar of the dialect does not (a
value that goes on after its closing quote, a quote never closed) is refused here before.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from recscale.data.layout import DataError
from recscale.data.streams import open_bytes, plain_name, readable
from recscale.spec import TextFormat

CSV = TextFormat()
TSV = TextFormat(separator="\t", quote=None)
"""As the field writes it (MovieLens, RecBole, KuaiRec's kin): a quote is a letter like others."""

RAGGED = "line with another number of fields"
BLOCK = 16 << 20
"""Bytes read at once."""
HEAD = 1 << 16
"""Bytes read at first where only the header is wanted."""
LONGEST = 256 << 20
"""Bytes after which a record that has not ended is taken for a quote that was never closed."""
UNIT = b"\x1f"
"""Stands for a separator of several characters while a block is parsed."""


class TextTable:
    """One text file: its columns, all of them text, and its rows."""

    def __init__(self, file: Path, dialect: TextFormat, dropped: Counter[Path] | None = None):
        """dropped: where lines with another number of fields are counted by file; without it they
        are refused. Raises DataError for a file whose columns cannot be told."""
        self.file, self.dialect, self._dropped = file, dialect, dropped
        self._quote = (dialect.quote or "").encode()
        self._escape = (dialect.escape or "").encode()
        separator = dialect.separator.encode()
        self._packed = len(separator) > 1
        self._separator = UNIT if self._packed else separator
        self._record = _grammar(self._separator, self._quote, self._escape)
        s, e = re.escape(self._separator), re.escape(self._escape)
        self._null = re.compile(rb"(?<![^" + s + rb"\r\n])" + e + rb"N(?![^" + s + rb"\r\n])")
        with readable(file):
            names = [] if isinstance(dialect.header, bool) else list(dialect.header)
            with self._open() as stream:
                if first := next(self._blocks(stream, HEAD), b""):
                    names = names or self._header(first)
        self.schema = pa.schema([(name, pa.string()) for name in names])

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The chosen columns, by default all, about a block at a time.

        Raises DataError for a file that is not of the dialect, or not UTF-8.
        """
        names = self.schema.names
        if not names:
            return
        # twins cannot be asked for by name, and are told apart by their place
        unique = [n if names.index(n) == i else f"{n} ({i})" for i, n in enumerate(names)]
        wanted = unique if columns is None else list(columns)
        convert = pacsv.ConvertOptions(
            include_columns=wanted,
            column_types=dict.fromkeys(wanted, pa.string()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=list(self.dialect.nulls),
        )
        headed = self.dialect.header is True
        with readable(self.file), self._open() as stream:
            for block in self._blocks(stream, BLOCK):
                if headed:
                    block = block[self._header_end(block) :]
                    headed = False
                if block.strip(b"\r\n"):
                    read = pacsv.ReadOptions(column_names=unique, block_size=len(block) + 1)
                    table = self._parsed(block, read, convert)
                    yield from table.combine_chunks().to_batches()

    def _parsed(
        self, block: bytes, read: pacsv.ReadOptions, convert: pacsv.ConvertOptions
    ) -> pa.Table:
        """Raises DataError, pyarrow's errors, and UnicodeDecodeError."""
        options = {
            "delimiter": self._separator.decode(),
            "quote_char": self.dialect.quote or False,
            "escape_char": self.dialect.escape or False,
            "newlines_in_values": True,
        }
        try:
            return pacsv.read_csv(pa.py_buffer(block), read, pacsv.ParseOptions(**options), convert)
        except pa.ArrowInvalid:
            block.decode()  # a handler of lines gets text: without it pyarrow prints a traceback
        parse = pacsv.ParseOptions(**options, invalid_row_handler=self._ragged)
        return pacsv.read_csv(pa.py_buffer(block), read, parse, convert)

    def _ragged(self, row: pacsv.InvalidRow) -> str:
        if self._dropped is None:
            text = (row.text or "")[:80]
            raise DataError(
                f"{self.file}: a line has {row.actual_columns} fields in place of "
                f"{row.expected_columns}: {text!r}; correct the line, or state the dialect in "
                "data.format"
            )
        self._dropped[self.file] += 1
        return "skip"

    def _open(self) -> BinaryIO:
        return open_bytes(self.file)

    def _header_end(self, block: bytes) -> int:
        """Where the first record that is not blank ends."""
        begin = len(block) - len(block.lstrip(b"\r\n"))
        found = self._record.match(block, begin)
        return found.end() if found else len(block)

    def _header(self, block: bytes) -> list[str]:
        text = block[: self._header_end(block)].decode("utf-8").strip("\r\n")
        if text.startswith("sep=") and len(text) <= len("sep=\t"):
            raise DataError(
                f"{self.file}: begins with the line {text!r}, which Excel alone reads; remove it"
            )
        reader = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=self._separator.decode(),
            quotechar=self.dialect.quote,
            escapechar=self.dialect.escape,
            quoting=csv.QUOTE_MINIMAL if self.dialect.quote else csv.QUOTE_NONE,
        )
        first = next(reader, [])
        if self.dialect.header is True:
            return first
        return [f"column {i}" for i in range(1, len(first) + 1)]

    def _blocks(self, stream: BinaryIO, size: int) -> Iterator[bytes]:
        """Whole records, at least one a block, with UNIT for a long separator."""
        rest, line, first = b"", 1, True
        while True:
            more = stream.read(size)
            data = rest + more
            if first and data:
                data, first = self._after_mark(data), False
            end = self._whole(data, not more, line)
            block, rest = data[:end], data[end:]
            if len(rest) > LONGEST:
                raise DataError(self._odd(line + block.count(b"\n"), "is never closed"))
            if block:
                line += block.count(b"\n")
                yield self._separated(block)
            if not more:
                return

    def _separated(self, block: bytes) -> bytes:
        if self._escape:
            block = self._null.sub(b"", block)
        if not self._packed:
            return block
        if UNIT in block:
            raise DataError(
                f"{self.file}: holds the character U+001F, which a log with the separator "
                f"{self.dialect.separator!r} may not hold; remove it"
            )
        return block.replace(self.dialect.separator.encode(), UNIT)

    def _after_mark(self, data: bytes) -> bytes:
        """Without the byte order mark of UTF-8. Raises DataError for text that is not UTF-8."""
        if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in (data[:1], data[1:2]):
            raise DataError(
                f"{self.file}: is UTF-16 or no text at all; save it as UTF-8, for instance with "
                "iconv -f utf-16 -t utf-8"
            )
        if b"\0" in data[:1024]:
            raise DataError(
                f"{self.file}: holds a NUL byte, at byte {data.index(0):,}, so it is no text or is "
                "damaged; remove such bytes, for instance with tr -d '\\000'"
            )
        return data.removeprefix(b"\xef\xbb\xbf")

    def _whole(self, data: bytes, last: bool, line: int) -> int:
        """Where the last whole record of `data` ends; `data` begins with a record, and `last` when
        nothing follows it."""
        if self._escape and self._escape in data:
            return self._walked(data, last, line)
        if not self._quote or self._quote not in data:
            return len(data) if last else _last_end(data, len(data))
        text = np.frombuffer(data, np.uint8)
        quotes = np.flatnonzero(text == self._quote[0])
        if not self._regular(text, quotes):
            return self._walked(data, last, line)
        if last:
            if len(quotes) % 2:
                at = line + data[: quotes[-1]].count(b"\n")
                raise DataError(self._odd(at, "is never closed"))
            return len(data)
        end = len(data)
        while end := _last_end(data, end):
            inside = int(np.searchsorted(quotes, end - 1))
            if inside % 2 == 0:
                return end
            end = int(quotes[inside - 1])
        return 0

    def _regular(self, text: np.ndarray, quotes: np.ndarray) -> bool:
        """Whether every quote opens at the begin of a value, or closes at its end."""
        edge = np.zeros(256, bool)
        edge[[self._separator[0], self._quote[0], 10, 13]] = True
        opening, closing = quotes[::2], quotes[1::2]
        before = text[opening[opening > 0] - 1]
        after = text[closing[closing < len(text) - 1] + 1]
        return bool(edge[before].all() and edge[after].all())

    def _walked(self, data: bytes, last: bool, line: int) -> int:
        """`_whole` record by record, for blocks with escapes or with quotes inside of unquoted
        values."""
        end = 0
        while end < len(data):
            found = self._record.match(data, end)
            # a line break at the very end may be escaped, or half of one
            open_end = not found or found.end() == len(data) and not found[1].endswith(b"\n")
            if open_end and not last:
                break
            if not found:
                at = line + data[:end].count(b"\n")
                raise DataError(self._odd(at, "is not followed by a separator"))
            end = found.end()
        return end

    def _odd(self, line: int, what: str) -> str:
        separator = json.dumps(self.dialect.separator)
        return (
            f"{self.file}: line {line}: a quote {what}, so this is no CSV; correct the line, or "
            f"where values are not quoted say so: data.format: {{separator: {separator}, quote: "
            f"null}}, or where \\ stands before such quotes: {{separator: {separator}, escape: \\}}"
        )


def _last_end(data: bytes, before: int) -> int:
    """Behind the last line break of data[:before]; a carriage return at the very end of the data
    may be half of one."""
    end = data.rfind(b"\n", 0, before) + 1
    return end or data.rfind(b"\r", 0, min(before, len(data) - 1)) + 1


def _grammar(separator: bytes, quote: bytes, escape: bytes) -> re.Pattern[bytes]:
    """One record with its line break as group 1, as RFC 4180 has it; a quote inside of a value
    that is not quoted is a letter, as in Python's strict csv."""
    ends = rb"(\r\n|\r|\n|\Z)"
    s, q, e = re.escape(separator), re.escape(quote), re.escape(escape)
    pair = rb"|" + e + rb"[\s\S]" if e else b""
    bare = rb"(?:[^" + s + e + rb"\r\n]++" + pair + rb")*+"
    if not quote:
        value = bare
    else:
        quoted = q + rb"(?:[^" + q + e + rb"]++|" + q + q + pair + rb")*+" + q
        value = rb"(?:" + quoted + rb"|(?!" + q + rb")" + bare + rb")"
    return re.compile(value + rb"(?:" + s + value + rb")*+" + ends)


def dialect_of(file: Path) -> TextFormat | None:
    """What the name says of a text file; None where it says nothing."""
    name = plain_name(file).lower()
    if name.endswith(".csv"):
        return CSV
    return TSV if name.endswith((".tsv", ".tab", ".inter")) else None
