"""Files as streams of bytes: what they begin with says whether and how they are compressed."""

from __future__ import annotations

import io
import lzma
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from recscale.data.layout import DataError

MAGIC = {  # first bytes -> what the file is
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xfd7zXZ\x00": "xz",
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"\xff\xff\xff\xff": "arrow stream",
    b"PK\x03\x04": "a zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
    b"\x80\x04\x95": "a Python pickle",
    b"\x80\x05\x95": "a Python pickle",
    b"SQLite format 3": "a SQLite database",
}
TAR = "a tar archive"
HEAD = 512
"""Bytes that tell what a file is."""
COMPRESSED = {"gzip", "bz2", "zstd", "lz4", "xz"}
BUFFER = 1 << 20
"""Bytes held for readers of lines."""
ENDINGS = (".gz", ".gzip", ".bz2", ".zst", ".zstd", ".lz4", ".xz")
"""Of the names of compressed files."""


def kind_of(file: Path) -> str:
    """What the first bytes say: a value of MAGIC, TAR, `empty`, or `text`. Raises OSError."""
    with open(file, "rb") as source:
        return kind_of_bytes(source.read(HEAD))


def kind_of_bytes(first: bytes) -> str:
    """The same of HEAD bytes."""
    if not first:
        return "empty"
    if first[257:262] == b"ustar":
        return TAR
    return next((kind for magic, kind in MAGIC.items() if first.startswith(magic)), "text")


def plain_name(file: Path) -> str:
    """The name without the ending of a compression."""
    name = file.name
    ending = next((e for e in ENDINGS if name.lower().endswith(e)), "")
    return name[: len(name) - len(ending)]


def open_bytes(file: Path) -> BinaryIO:
    """The bytes of a file, uncompressed; all members of a gzip file one after the other."""
    return io.BufferedReader(open_stream(file), BUFFER)  # type: ignore


def open_stream(file: Path) -> pa.NativeFile:
    """The same for pyarrow."""
    kind = kind_of(file)
    if kind == "xz":
        return pa.PythonFile(lzma.open(file))
    return pa.input_stream(str(file), compression=kind if kind in COMPRESSED else None)


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turns whatever a reader raises about the file into a DataError of one sentence."""
    try:
        yield
    except DataError:
        raise
    except PermissionError:
        raise DataError(f"{file}: may not be read; correct its permissions") from None
    except (pa.ArrowException, OSError, EOFError, UnicodeError, lzma.LZMAError, zlib.error) as e:
        said = (str(e).splitlines() or [type(e).__name__])[0][:200]
        if re.search("utf-?8", said, re.IGNORECASE):
            raise DataError(
                f"{file}: cannot be read: its text is not UTF-8; convert it, for instance "
                "with iconv -f latin1 -t utf-8"
            ) from None
        if re.search("truncated|ended before", said, re.IGNORECASE):
            raise DataError(
                f"{file}: cannot be read: it breaks off in the middle; copy it again"
            ) from None
        if isinstance(e, OSError) and e.errno:  # of the system; pyarrow's bear no number
            raise DataError(
                f"{file}: cannot be read: {os.strerror(e.errno)}; mount or copy it again, or leave "
                "it out"
            ) from None
        if isinstance(e, pa.ArrowNotImplementedError):
            raise DataError(
                f"{file}: cannot be read: it holds what no reader here knows; write its rows anew, "
                "for instance with pandas, or leave it out"
            ) from None
        raise DataError(
            f"{file}: cannot be read: it is damaged, encrypted or not what it begins as; copy or "
            "write it again, or leave it out"
        ) from None
