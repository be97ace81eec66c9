"""torch.distributed.checkpoint on any filesystem that pyarrow knows: local, NFS, s3://, gs://."""

from __future__ import annotations

import dataclasses
import io
import pickle
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow.fs as pafs
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.filesystem import FileSystemBase
from torch.distributed.checkpoint.metadata import Metadata

from recscale.storage import exists, unfollowed


class Writer(dcp.FileSystemWriter):
    """One file a rank in the folder `path` of `fs`; on a local disk synced before it counts."""

    def __init__(self, fs: pafs.FileSystem, path: str):
        super().__init__(path, sync_files=isinstance(fs, pafs.LocalFileSystem))
        self.fs, self.path = _Arrow(fs), path  # type: ignore[assignment]

    @property
    def sums(self) -> dict[str, tuple[int, int]]:
        """Bytes and CRC-32 of every file that this rank has written, by name."""
        return self.fs.sums  # type: ignore[attr-defined]


class Reader(dcp.FileSystemReader):
    """Reads only what this rank's shards need."""

    def __init__(self, fs: pafs.FileSystem, path: str):
        super().__init__(path)
        self.fs, self.path = _Arrow(fs), path  # type: ignore[assignment]

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        with self.fs.create_stream(self._get_metadata_path(kwargs.get("rank")), "rb") as stream:
            metadata = _Unpickler(stream).load()
        metadata.storage_meta.load_id = self.load_id
        return metadata


class _Arrow(FileSystemBase):
    """What DCP's writer and reader ask of a filesystem."""

    def __init__(self, fs: pafs.FileSystem):
        self.fs = fs
        self.sums: dict[str, tuple[int, int]] = {}

    @contextmanager
    def create_stream(self, path: Any, mode: str) -> Iterator[Any]:
        if mode == "rb":
            with self.fs.open_input_file(path) as stream:
                yield stream
            return
        local = isinstance(self.fs, pafs.LocalFileSystem)
        with (
            open(path, "wb", opener=unfollowed) if local else self.fs.open_output_stream(path)
        ) as stream:
            sink = _Sink(stream)
            try:
                yield sink
            except Exception as error:
                raise sink.error or error from None
            self.sums[_name(path)] = sink.size, sink.crc

    def concat_path(self, path: Any, suffix: str) -> str:
        return f"{path}/{suffix}"

    def rename(self, path: Any, new_path: Any) -> None:
        self.fs.move(path, new_path)
        self.sums[_name(new_path)] = self.sums.pop(_name(path))

    def init_path(self, path: Any) -> str:
        return str(path)

    def mkdir(self, path: Any) -> None:
        self.fs.create_dir(path, recursive=True)

    def exists(self, path: Any) -> bool:
        return exists(self.fs, path)

    def rm_file(self, path: Any) -> None:
        self.fs.delete_file(path)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return True


def _name(path: Any) -> str:
    return str(path).rpartition("/")[2]


class _Sink(io.RawIOBase):
    """A stream that counts what goes through it, and remembers why it failed: torch's zip writer
    says only that it did."""

    def __init__(self, stream: Any):
        self.stream = stream
        self.size = self.crc = 0
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        try:
            written = self.stream.write(data)
            self.size, self.crc = self.size + memoryview(data).nbytes, zlib.crc32(data, self.crc)
            return written
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        try:
            if not self.stream.closed:
                self.stream.flush()
        except OSError as error:
            self.error = error
            raise

    def tell(self) -> int:
        return self.stream.tell()

    def fileno(self) -> int:
        return self.stream.fileno()


PLAIN = {
    ("torch", "Size"),
    ("torch", "device"),
    ("torch.serialization", "_get_layout"),
    ("pathlib", "PosixPath"),
    ("torch.distributed.checkpoint.metadata", "_MEM_FORMAT_ENCODING"),
}
FACTS = {"torch.distributed.checkpoint.metadata", "torch.distributed.checkpoint.filesystem"}


class _Unpickler(pickle.Unpickler):
    """DCP describes a checkpoint by a pickle. This one builds torch's own plain facts and nothing
    else, so that a file which a stranger puts into the storage runs no code."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = (module, name) in PLAIN or module == "torch" and name in _DTYPES
        if allowed or module in FACTS and name in _DATACLASSES:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a checkpoint")


_DTYPES = {n for n, x in vars(torch).items() if isinstance(x, torch.dtype)}
_DATACLASSES = {
    n
    for module in (dcp.metadata, dcp.filesystem)
    for n, x in vars(module).items()
    if isinstance(x, type) and dataclasses.is_dataclass(x)
}
