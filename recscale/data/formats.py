"""Published logs in their own layouts, as batches of user, item, time, rating and domain.

MovieLens (grouplens.org): `u.data` of 100K, tab-separated; `ratings.dat` of 1M and 10M, separated
by `::`; `ratings.csv` of 20M and later, with a header. Amazon Reviews: JSON lines of 2018
(reviewerID, asin, unixReviewTime) and 2023 (user_id, parent_asin, timestamp in milliseconds), whole
or 5-core;
CSV of 2018's ratings (item, user, rating, time, no header) and of 2023 (with a header).
Sequences: a user and that user's items on a line, oldest first.
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pacsv

from recscale.data.layout import CHUNK_ROWS, DataError

FIELDS = ("user", "item", "time", "rating", "domain")
AMAZON_KEYS = (
    ("reviewerID", "asin", "unixReviewTime", "overall"),  # 2014 and 2018
    ("user_id", "parent_asin", "timestamp", "rating"),  # 2023
)
RATINGS = {"userId": "user", "movieId": "item", "timestamp": "time", "rating": "rating"}
Row = tuple[str, str, str, str]


def movielens(file: Path) -> Iterator[pa.RecordBatch]:
    """A ratings file of any MovieLens release. Raises DataError for another file."""
    name = file.name.removesuffix(".gz")
    if name.endswith(".dat"):
        yield from _packed(_lines(file, lambda line: _rating(line.split("::"))), file)
    elif name.endswith(".csv"):
        yield from _delimited(file, ",", RATINGS)
    elif name == "u.data":
        yield from _delimited(file, "\t", ["user", "item", "rating", "time"])
    else:
        raise DataError(
            f"{file}: not a ratings file of MovieLens; data.path names u.data (100K), ratings.dat "
            "(1M, 10M) or ratings.csv (20M and later)"
        )


def amazon(file: Path) -> Iterator[pa.RecordBatch]:
    """Reviews or ratings of one category, which is the domain: the file's name without endings.
    Raises DataError for lines of another layout."""
    name = file.name.removesuffix(".gz")
    if name.endswith(".csv"):
        with _open(file) as lines:
            first = lines.readline().strip().split(",")
        _, item, time, rating = AMAZON_KEYS[1]
        columns: Any = ["item", "user", "rating", "time"]
        if "user_id" in first:
            item = item if item in first else "asin"
            columns = {"user_id": "user", item: "item", time: "time", rating: "rating"}
        yield from _delimited(file, ",", columns)
    elif name.endswith((".json", ".jsonl")):
        yield from _packed(_lines(file, _review), file)
    else:
        raise DataError(
            f"{file}: not a file of Amazon Reviews; their names end in .json, .jsonl or .csv, "
            "with or without .gz"
        )


def sequences(file: Path) -> Iterator[pa.RecordBatch]:
    """A line: user, then items, separated by spaces, tabs or commas. An item's place in its line
    stands for its time."""

    def rows() -> Iterator[Row]:
        with _open(file) as lines:
            for line in lines:
                user, *items = line.replace(",", " ").split() or [""]
                yield from ((user, item, str(n), "") for n, item in enumerate(items))

    yield from _packed(rows(), file)


READERS: dict[str, Callable[[Path], Iterator[pa.RecordBatch]]] = {
    "movielens": movielens,
    "amazon": amazon,
    "sequences": sequences,
}


def _rating(parts: list[str]) -> Row | None:
    return (parts[0], parts[1], parts[3], parts[2]) if len(parts) == 4 else None


def _review(line: str) -> Row | None:
    """User, item, time and rating of a review; None where the line is none."""
    try:
        review = json.loads(line)
    except ValueError:
        return None
    for user, item, time, rating in AMAZON_KEYS:
        if isinstance(review, dict) and user in review:
            item = item if item in review else "asin"
            return tuple(str(review.get(k, "")) for k in (user, item, time, rating))  # type: ignore
    return None


def _lines(file: Path, parse: Callable[[str], Row | None]) -> Iterator[Row]:
    """Rows of a file; an unreadable line is a row without user, which intake counts as dropped.
    Raises DataError when the first line is not readable: it is another layout."""
    with _open(file) as lines:
        for n, line in enumerate(lines):
            row = parse(line.rstrip("\n"))
            if row is None and n == 0:
                raise DataError(f"{file}: its first line is of no known layout: {line[:80]!r}")
            yield row or ("", "", "", "")


def _packed(rows: Iterable[Row], file: Path) -> Iterator[pa.RecordBatch]:
    domain = _domain(file)
    left = iter(rows)
    while chunk := list(itertools.islice(left, CHUNK_ROWS)):
        columns = [pa.array(column, pa.string()) for column in zip(*chunk, strict=True)]
        columns.append(pa.array([domain] * len(chunk), pa.string()))
        yield pa.RecordBatch.from_arrays(columns, names=list(FIELDS))


def _delimited(
    file: Path, delimiter: str, columns: dict[str, str] | list[str | None]
) -> Iterator[pa.RecordBatch]:
    """Columns by their header's names, or by place where the file has none."""
    read = pacsv.ReadOptions()
    if isinstance(columns, list):
        named = [c or f"column {i}" for i, c in enumerate(columns)]
        read = pacsv.ReadOptions(column_names=named)
        columns = {c: c for c in named if c in FIELDS}
    convert = pacsv.ConvertOptions(
        include_columns=list(columns),
        column_types=dict.fromkeys(columns, pa.string()),
        strings_can_be_null=True,
    )
    parse = pacsv.ParseOptions(delimiter=delimiter)
    domain = _domain(file)
    try:
        with pacsv.open_csv(file, read, parse, convert) as reader:
            for batch in reader:
                named = {columns[k]: batch[k] for k in columns}
                named["domain"] = pa.array([domain] * len(batch), pa.string())
                yield pa.RecordBatch.from_arrays([named[f] for f in FIELDS], names=list(FIELDS))
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise DataError(
            f"{file}: not of the layout that its name promises ({str(error).splitlines()[0]})"
        ) from None


def _domain(file: Path) -> str:
    """`All_Beauty` of `All_Beauty.jsonl.gz`, `Beauty` of `reviews_Beauty_5.json.gz`."""
    stem = file.name.split(".")[0]
    return stem.removeprefix("reviews_").removesuffix("_5")


def _open(file: Path) -> IO[str]:
    if file.name.endswith(".gz"):
        return gzip.open(file, "rt", encoding="utf-8", errors="replace")
    return open(file, encoding="utf-8", errors="replace")
