"""What can befall a file: for the tests of damage, and for the benchmark of faults."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

LONG = "RECSCALE_SLOW" in os.environ


def harms(content: bytes, other: bytes, seed: int, few: int) -> Iterator[tuple[str, bytes | None]]:
    """Ways to damage a file of that content, and what it then is, None where it is gone: every
    byte changed and every length cut, of which the short profile takes `few` each; emptied,
    missing, swapped for `other`, a piece of zeros, one of another place, something behind it."""
    rng, n = random.Random(seed), len(content)
    places = range(n) if LONG else sorted(rng.sample(range(n), min(few, n)))
    edges = {0, 1, n // 2, n - 2, n - 1}
    for at in sorted({*places, *edges} & set(range(n))):
        flipped = content[at] ^ (1 << rng.randrange(8))
        yield f"byte {at} flipped", content[:at] + bytes([flipped]) + content[at + 1 :]
        yield f"cut to {at} bytes", content[:at]
    yield "missing", None
    yield "swapped", other
    for _ in range(few):
        at, size = rng.randrange(n), rng.randrange(1, 64)
        yield f"zeros at {at}", _put(content, at, bytes(size))
        yield f"another place's bytes at {at}", _put(content, at, content[: rng.randrange(n) + 1])
    yield "more behind it", content + content[-20:]


def _put(content: bytes, at: int, piece: bytes) -> bytes:
    return content[:at] + piece[: len(content) - at] + content[at + len(piece) :]


def put(path: Path, content: bytes | None) -> None:
    """Replaces what a file holds, or removes it."""
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
