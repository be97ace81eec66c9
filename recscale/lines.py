"""The lines of a ledger's files: JSON objects, the last key of each a CRC-32 of all before it."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, field
from typing import Any

SEAL = re.compile(rb', "crc32": "([0-9a-f]{8})"\}')
RUN = re.compile(r'"run_id": "([^"\\]+)"')
KIND = re.compile(r'"kind": "(\w+)"')
DRIVES = {"session", "plan"}
"""Kinds of entries that only drivers write."""


class Unreadable(ValueError):
    """A line that is not as it was written, and what it was, as far as can be told."""


def written(entry: dict[str, Any]) -> bytes:
    """The line of an entry, its end included."""
    text = json.dumps(entry, allow_nan=False)[:-1].encode()
    return text + b', "crc32": "%08x"}\n' % zlib.crc32(text)


def whole(line: bytes) -> bool:
    """Whether it is a line with a checksum that fits; be its end there or not."""
    line = line.removesuffix(b"\n")
    seal = SEAL.fullmatch(line, max(0, len(line) - len(', "crc32": "00000000"}')))
    return seal is not None and zlib.crc32(line[: seal.start()]) == int(seal[1], 16)


def parsed(line: bytes, sealed: bool) -> dict[str, Any]:
    """The entry of a line. Raises Unreadable.

    sealed: whether the file is of a version that writes checksums.
    """
    if (sealed or SEAL.search(line)) and not whole(line):
        raise Unreadable(f"is damaged: its checksum does not fit{about(line)}")
    try:
        entry = json.loads(line)
        entry.pop("crc32", None)
        _ = entry["kind"], float(entry["at"])
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Unreadable(f"is damaged: it is no entry of a ledger{about(line)}") from None
    return entry


def about(line: bytes) -> str:
    """What may be missing with a line that cannot be read."""
    text = line.decode(errors="replace")
    kind, run = KIND.search(text), RUN.search(text)
    of = f" of run {run[1]}" if run else ""
    if kind and kind[1] == "run":
        return f"; it held the result{of or ' of a run'} and what that cost"
    what = f"an entry of kind {kind[1]!r}" if kind else "some entry"
    return f"; it held {what}{of}"


def mended(data: bytes) -> bytes:
    """A writer's own file without a torn last line; a last line that only lacks its end gets it."""
    end = data.rfind(b"\n") + 1
    if not data[end:]:
        return data
    return data + b"\n" if whole(data[end:]) else data[:end]


@dataclass
class Read:
    """What has been read of one writer's file."""

    size: int = 0
    """Bytes of its whole lines."""
    looked: int = 0
    """Bytes of the file when it was last read."""
    lines: int = 0
    crc: int = 0
    """Of its whole lines."""
    ends: dict[int, int] = field(default_factory=dict)
    """Of every line: where it ended, and the CRC-32 of the file up to there."""
    tail: bytes = b""
    """Behind its whole lines: what a kill has torn, or what is being written."""
    sealed: bool = False
    """Whether its lines have checksums; an older version wrote none."""
    drives: bool = False
    """Whether a driver writes it."""
    entries: list[dict[str, Any]] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    """Line number, or nothing, and what is wrong there."""

    def hear(self, data: bytes) -> list[dict[str, Any]]:
        """The entries of what was read behind the whole lines so far."""
        self.looked = self.size + len(data)
        *lines, tail = data.split(b"\n")
        ended = [line + b"\n" for line in lines] + [tail] * whole(tail)
        self.tail = b"" if whole(tail) else tail
        entries = []
        for line in ended:
            for part in (line.removesuffix(b"\n"), b"\n" * line.endswith(b"\n")):
                self.size, self.crc = self.size + len(part), zlib.crc32(part, self.crc)
                self.ends[self.size] = self.crc
            if line == b"\n":  # an end that came later than its line
                continue
            self.lines += 1
            try:
                entries.append(parsed(line, self.sealed))
            except Unreadable as error:
                self.damage.append(f":{self.lines} {error}")
                continue
            self.sealed |= whole(line)
            self.drives |= entries[-1]["kind"] in DRIVES
        self.entries += entries
        return entries

    def found(self) -> list[str]:
        """What is damaged in it."""
        if SEAL.search(self.tail):  # a torn line has no end, so that this one was changed
            return [*self.damage, f":{self.lines + 1} is damaged: its end{about(self.tail)}"]
        return self.damage

    def lacks(self, size: int, crc: int) -> str:
        """What is wrong with a file whose first `size` bytes somebody has read, with that CRC-32;
        empty where they are there."""
        if self.size < size:
            return f" was cut: it held {size:,} bytes or more, now {self.size:,}"
        if self.ends.get(size) != crc:
            return f" holds other lines in its first {size:,} bytes than it did"
        return ""
