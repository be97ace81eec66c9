"""Amazon Reviews of one category, which is the domain.

JSON lines of 2014 and 2018 (reviewerID, asin, overall, unixReviewTime) and 2023 (user_id,
parent_asin, rating, timestamp in milliseconds), whole or 5-core. CSV of ratings without a header:
`ratings_Beauty.csv` of 2014 is user, item, rating, time and `Beauty.csv` of 2018 is item, user,
rating, time; copies of both go by either name, so the ids themselves say which it is. CSV of 2023
has a header.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recscale.data.dialects import CSV, TextTable
from recscale.data.formats.renamed import Parsed, Published, Renamed, Row
from recscale.data.layout import DataError
from recscale.data.streams import open_bytes, plain_name, readable

KEYS = (
    ("reviewerID", "asin", "unixReviewTime", "overall"),  # 2014 and 2018
    ("user_id", "parent_asin", "timestamp", "rating"),  # 2023
)
PARTS = ("user", "item", "time", "rating")
ITEM = re.compile(r"B[0-9A-Z]{9}|[0-9]{9}[0-9X]")
"""An ASIN has ten characters: B and nine more, or the ISBN of a book."""
USER = re.compile(r"A[0-9A-Z]{10,}|#oc-[0-9A-Z]+")
LOOKED_AT = 10_000
"""Rows of a file without a header by which its order is told."""


def open_amazon(file: Path, dropped: Counter[Path] | None = None) -> Published:
    """Reviews or ratings of any release. Raises DataError for lines of another layout."""
    name = plain_name(file).lower()
    if name.endswith(".csv"):
        return _ratings(file, dropped)
    if name.endswith((".json", ".jsonl")):
        return _reviews(file)
    raise DataError(
        f"{file}: not a file of Amazon Reviews; their names end in .json, .jsonl or .csv, also "
        "compressed"
    )


def _ratings(file: Path, dropped: Counter[Path] | None) -> Renamed:
    headed = TextTable(file, CSV, dropped)
    names = headed.schema.names
    if "user_id" in names:
        user, item, time, rating = KEYS[1]
        item = item if item in names else "asin"
        columns = [user, item, time, rating]
        missing = [c for c in columns if c not in names]
        if missing:
            raise DataError(
                f"{file}: no column {missing[0]!r}, which a ratings file of Amazon 2023 has"
            )
        parts = {"user": user, "item": item, "time": time, "rating": rating}
        return Renamed(headed, f"Amazon 2023: a header names; items are {item}", parts)
    columns = ("a", "b", "rating", "time")
    table = TextTable(file, CSV.model_copy(update={"header": columns}), dropped)
    user, year = ("a", 2014) if _users_first(file, table) else ("b", 2018)
    item = "b" if user == "a" else "a"
    order = "user, item" if user == "a" else "item, user"
    parts = {"user": user, "item": item, "time": "time", "rating": "rating"}
    return Renamed(table, f"Amazon {year}: {order}, rating, time, told by the ids", parts)


def _users_first(file: Path, table: TextTable) -> bool:
    """Whether a file without a header has users before items. Raises DataError where its ids do not
    tell."""
    votes: Counter[bool] = Counter()
    n = 0
    for batch in TextTable(file, table.dialect, Counter()).batches(["a", "b"]):
        for a, b in zip(*(c.to_pylist() for c in batch.slice(0, LOOKED_AT)), strict=True):
            n += 1
            if USER.fullmatch(a or "") and ITEM.fullmatch(b or ""):
                votes[True] += 1
            elif ITEM.fullmatch(a or "") and USER.fullmatch(b or ""):
                votes[False] += 1
        break
    (first, count), *others = votes.most_common() or [(True, 0)]
    if count <= n / 2 or others:
        raise DataError(
            f"{file}: a file without a header, and its ids do not say whether users (A and more "
            "letters) or items (ten characters) stand first, as in 2014 and 2018; bring it as "
            "source: events with format: {header: [user, item, rating, time]} in its own order"
        )
    return first


def _reviews(file: Path) -> Parsed:
    with readable(file), open_bytes(file) as lines:
        first = next((line for line in lines if line.strip()), b"")
    review = _object(first)
    keys = next((k for k in KEYS if k[0] in review), None)
    if first and keys is None:
        shown = first[:80].decode("utf-8", "replace").strip()
        raise DataError(f"{file}: its first line is of no known layout: {shown!r}")
    user, item, time, rating = keys or KEYS[0]
    if keys is KEYS[1] and item not in review:
        item = "asin"

    def rows() -> Iterator[Row]:
        """An unreadable line is a row without user, which is counted as dropped."""
        with readable(file), open_bytes(file) as lines:
            for line in lines:
                if line.strip():
                    review = _object(line)
                    yield tuple(_text(review.get(k)) for k in (user, item, time, rating))

    year = "2014 or 2018" if user == "reviewerID" else "2023"
    return Parsed(file, f"Amazon {year}: JSON lines; items are {item}", PARTS, rows)


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str:
    return "" if value is None else str(value)
