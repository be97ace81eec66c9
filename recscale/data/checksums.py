"""Checksums of a store's arrays, block by block, and arrays that are checked as they are read.

CRC-32 of every 64 KiB of a file, some 3 GB/s a core: it finds what disks, networks and stray
writes do, not what an attacker does. A block is checked when a process first touches it, so a run
on a thousandth of a terabyte checks a thousandth of it, and a process that trains run after run
checks a block once, for as long as the file's inode, size and times stay the same.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from recscale.data.layout import Mapped, array_path, open_array, parsed
from recscale.manifest import CHECKSUMS, Seal, StoreError, prepare_anew

BLOCK = 1 << 16
"""Bytes under one checksum: about what a disk reads at once, so that a single value of a random
place costs little more than it would anyway. 64 MB of checksums a terabyte."""

_seen: dict[str, tuple[tuple[int, ...], np.ndarray]] = {}
"""Of files that this process has read: their state then, and which of their blocks were good."""


def seal(folder: Path, files: Mapping[str, Mapped], store: str) -> Seal:
    """Writes the checksums of all arrays of `folder`, which is to be the store of that name."""
    sums = [_sums(file.raw.data) for _, file in sorted(files.items())]
    every = np.concatenate(sums) if sums else np.empty(0, np.uint32)
    np.save(array_path(folder, CHECKSUMS), every)
    sizes = {name: len(file.raw) for name, file in files.items()}
    return Seal(store=store, bytes=sizes, checksums=hash_of(every))


def _sums(raw: memoryview) -> np.ndarray:
    """uint32 [blocks] of a file."""
    sums = [zlib.crc32(raw[begin : begin + BLOCK]) for begin in range(0, len(raw), BLOCK)]
    return np.array(sums, np.uint32)


class Checked:
    """One array of a store, as a memory map of which nothing unchecked is handed out."""

    def __init__(self, path: Path, size: int, sums: np.ndarray):
        """size: bytes of its file; sums: uint32 [blocks]. Raises StoreError."""
        self.path, self._sums = path, sums
        try:
            with path.open("rb") as file:
                state = os.fstat(file.fileno())
                if state.st_size != size:
                    found = f"{state.st_size:,} bytes of the {size:,} that were prepared"
                    raise damaged(path, f"has {found}")
                self._raw = np.memmap(file, np.uint8, "r").view(np.ndarray)
        except FileNotFoundError:
            raise damaged(path, "is missing") from None
        times = state.st_mtime_ns, state.st_ctime_ns
        now = (state.st_dev, state.st_ino, size, *times, hash_of(sums))
        before = _seen.get(str(path))
        if before is None or before[0] != now:
            before = _seen[str(path)] = now, np.zeros(len(sums), bool)
        self._good = before[1]
        self._left = int((~self._good).sum())
        self._check(0, 1)
        _, self._array, self._begin = parsed(self._raw)
        self._stride = self._array.strides[0]

    def __len__(self) -> int:
        return len(self._array)

    def whole(self) -> np.ndarray:
        """All of it."""
        self._check(0, len(self._good))
        return self._array

    def rows(self, rows: slice) -> np.ndarray:
        """Rows [start, stop), a view."""
        if self._left and rows.stop > rows.start:
            first = self._begin + rows.start * self._stride
            last = self._begin + rows.stop * self._stride
            self._check(first // BLOCK, -(-last // BLOCK))
        return self._array[rows]

    def take(self, at: np.ndarray) -> np.ndarray:
        """Values [n] of a one-dimensional array at places int64 [n]."""
        if self._left and len(at):
            blocks = (self._begin + at * self._stride) // BLOCK  # none straddles two
            for block in np.unique(blocks[~self._good[blocks]]).tolist():
                self._check(block, block + 1)
        return np.take(self._array, at)

    def _check(self, first: int, last: int) -> None:
        """Raises StoreError unless the blocks [first, last) are as they were prepared."""
        if not self._left or self._good[first:last].all():
            return
        for block in (np.flatnonzero(~self._good[first:last]) + first).tolist():
            begin = block * BLOCK
            if zlib.crc32(self._raw[begin : begin + BLOCK].data) != self._sums[block]:
                end = min(begin + BLOCK, len(self._raw))
                raise damaged(self.path, f"differs from what was prepared in {begin:,} to {end:,}")
            self._good[block] = True
            self._left -= 1


class Arrays(Mapping[str, np.ndarray]):
    """The arrays of a store by name: each is checked whole when it is first asked for. `checked`
    holds them for who reads only parts."""

    def __init__(self, folder: Path, seal: Seal):
        """Raises StoreError for a file that is missing or has another size."""
        sums = _load(folder, seal)
        self.checked: dict[str, Checked] = {}
        begin = 0
        for name, size in sorted(seal.bytes.items()):
            blocks = -(-size // BLOCK)
            path = array_path(folder, name)
            self.checked[name] = Checked(path, size, sums[begin : begin + blocks])
            begin += blocks

    def __getitem__(self, name: str) -> np.ndarray:
        return self.checked[name].whole()

    def __iter__(self) -> Iterator[str]:
        return iter(self.checked)

    def __len__(self) -> int:
        return len(self.checked)


def damaged(path: Path, what: str) -> StoreError:
    """The error of a file of a store."""
    return StoreError(
        f"{path} {what}: it was damaged or overwritten since; {prepare_anew(path.parent)}"
    )


def hash_of(sums: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(sums).data)


def _load(folder: Path, seal: Seal) -> np.ndarray:
    """uint32 [blocks of all arrays]. Raises StoreError unless they are those of the manifest."""
    path = array_path(folder, CHECKSUMS)
    try:
        sums = open_array(folder, CHECKSUMS).view(np.ndarray)
    except FileNotFoundError:
        raise damaged(path, "is missing") from None
    except Exception:  # numpy's reader of headers raises whatever a damaged one makes of it
        raise damaged(path, "holds no checksums") from None
    blocks = sum(-(-size // BLOCK) for size in seal.bytes.values())
    if sums.dtype != np.uint32 or sums.shape != (blocks,) or hash_of(sums) != seal.checksums:
        raise damaged(path, "holds other checksums than the manifest vouches for")
    return sums
