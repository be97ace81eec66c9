"""Users' items in order and without times, as the literature of sequential recommenders keeps them.

Two layouts go by the same names and are told apart by content:
- one user a line: the user, then all the user's items, oldest first;
- pairs (SASRec): a line is a user and one item, and the order of a user's lines is the order.
Spaces, tabs or commas separate fields. The place among the user's items stands for the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from recscale.data.formats.renamed import Parsed, Row
from recscale.data.layout import DataError
from recscale.data.streams import open_bytes, readable

PARTS = ("user", "item", "time")
LINES = "one user a line, then the user's items, oldest first"
PAIRS = "pairs (SASRec): a user and an item a line, in the order of the lines"


def open_sequences(files: Sequence[Path]) -> list[Parsed]:
    """All files, of one layout. Raises DataError where a user has several lines of several items:
    whether they follow each other, or the lines hold no user at all, the file does not say."""
    seen: dict[str, tuple[Path, int]] = {}
    repeated: tuple[str, Path, int] | None = None
    pairs = True
    for file in files:
        for n, (user, *items) in _lines(file):
            pairs = pairs and len(items) == 1
            if user in seen and repeated is None:
                repeated = user, file, n
            if repeated and not pairs:
                _refuse(*repeated, *seen[repeated[0]])
            seen.setdefault(user, (file, n))
    layout = PAIRS if pairs and repeated else LINES
    return [_opened(files, i, layout) for i in range(len(files))]


def _opened(files: Sequence[Path], which: int, layout: str) -> Parsed:
    def rows() -> Iterator[Row]:
        places: dict[str, int] = {}
        if layout == PAIRS:  # users go on from the files before
            for file in files[:which]:
                for _, (user, *_) in _lines(file):
                    places[user] = places.get(user, 0) + 1
        for _, (user, *items) in _lines(files[which]):
            first = places.get(user, 0)
            yield from ((user, item, str(first + n)) for n, item in enumerate(items))
            if layout == PAIRS:
                places[user] = first + 1

    return Parsed(files[which], layout, PARTS, rows)


def _lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    """(number from 1, fields) of every line that is not blank."""
    with readable(file), open_bytes(file) as lines:
        for n, line in enumerate(lines, 1):
            if fields := line.decode("utf-8-sig" if n == 1 else "utf-8").replace(",", " ").split():
                yield n, fields


def _refuse(user: str, file: Path, line: int, other: Path, first: int) -> None:
    raise DataError(
        f"{file}: line {line} begins with {user!r} as line {first} of {other.name} does, so a user "
        "would have several sequences, or the lines hold no user; write each user once with all "
        "items in order, or pairs of user and item; a log with times and ratings is brought as "
        "source: events with format: {separator: ..., quote: null, header: [user, item, ...]}"
    )
