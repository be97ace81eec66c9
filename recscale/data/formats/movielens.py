"""MovieLens (grouplens.org): `u.data` of 100K, tab-separated; `ratings.dat` of 1M and 10M,
separated by `::`; `ratings.csv` of 20M and later, with a header."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from recscale.data.dialects import CSV, TSV, TextTable
from recscale.data.formats.renamed import Renamed
from recscale.data.layout import DataError
from recscale.data.streams import plain_name
from recscale.spec import TextFormat

PARTS = ("user", "item", "rating", "time")
TABS = TSV.model_copy(update={"header": PARTS})
COLONS = TextFormat(separator="::", quote=None, header=PARTS)
HEADED = ("userId", "movieId", "rating", "timestamp")
STARS = (0.5, 5.0)
"""The lowest and the highest rating of any release."""


def open_movielens(file: Path, dropped: Counter[Path] | None = None) -> Renamed:
    """A ratings file of any release. Raises DataError for another file, such as tags.dat, which
    has the same number of fields."""
    name = plain_name(file)
    if name == "u.data":
        table, layout = TextTable(file, TABS, dropped), "MovieLens 100K: user, item, rating, time"
    elif name.endswith(".dat"):
        table, layout = TextTable(file, COLONS, dropped), "MovieLens 1M and 10M: `::` separates"
    elif name.endswith(".csv"):
        table, layout = TextTable(file, CSV, dropped), "MovieLens 20M and later: a header names"
    else:
        raise _other(file, "its name is none of theirs")
    columns = HEADED if name.endswith(".csv") else PARTS
    missing = [c for c in columns if c not in table.schema.names]
    if missing:
        raise _other(file, f"no column {missing[0]!r}")
    opened = Renamed(table, layout, dict(zip(PARTS, columns, strict=True)))
    for batch in TextTable(file, table.dialect, Counter()).batches([columns[2]]):
        for value in batch.slice(0, 1000)[0].to_pylist():
            if not _stars(value):
                raise _other(file, f"where a rating stands it has {value!r}")
        return opened
    if file.stat().st_size and table.dialect.header is not True:
        raise _other(file, "its first lines have another number of fields")
    return opened


def _stars(text: str | None) -> bool:
    try:
        return STARS[0] <= float(text or "") <= STARS[1]
    except ValueError:
        return False


def _other(file: Path, what: str) -> DataError:
    return DataError(
        f"{file}: not a ratings file of MovieLens ({what}); data.path names u.data (100K), "
        "ratings.dat (1M, 10M) or ratings.csv (20M and later)"
    )
