"""Published logs in their own layouts, told by their names and, where names mislead, by content.

Every layout gives text columns `user`, `item`, `time`, `domain` (the file's name without endings),
and `rating` where it has one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from recscale.data.formats.amazon import open_amazon
from recscale.data.formats.movielens import open_movielens
from recscale.data.formats.renamed import Published
from recscale.data.formats.sequences import open_sequences

__all__ = ["Published", "open_published"]


def open_published(
    source: str, files: Sequence[Path], dropped: Counter[Path] | None = None
) -> Sequence[Published]:
    """The files of `source` (movielens, amazon, sequences), their layouts told, their rows not yet
    read. Raises DataError for a file of another layout.

    dropped: counts lines with another number of fields; without it such a line is refused.
    """
    if source == "sequences":
        return open_sequences(files)
    open_file = open_movielens if source == "movielens" else open_amazon
    return [open_file(file, dropped) for file in files]
