"""Logs made up by hypothesis: the same events in any of the shapes that a log may have."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from field_logs import NS, UNITS
from hypothesis import strategies as st

COLUMNS = ("user", "item", "time", "label")
TEXTS = [
    "a",
    "ä",
    "NA",
    "null",
    "nan",
    "012",
    "12",
    'say "x"',
    "u,1",
    "it's",
    "日本",
    "a b",
    "-",
    "1e5",
]
BROKEN = ["two\nlines", "a\tb"]  # where a file can quote them


class Way(NamedTuple):
    """How a file holds the values of a column."""

    convert: Callable[[Any], Any]
    kind: pa.DataType | None = None
    """of Parquet"""
    encode: bool = False
    """as a dictionary"""


@dataclass(frozen=True)
class Drawn:
    rows: list[tuple[Any, ...]]
    """of `COLUMNS`, None where missing; times in nanoseconds"""
    shards: list[tuple[list[int], list[Way]]]
    """places of a file's rows, and how it holds each column"""
    others: list[tuple[list[int], list[Way]]]
    """the same rows once more in other files"""
    ending: str
    task: str
    order: str
    compression: str = "snappy"


def alike(drawn: Drawn) -> bool:
    """Whether two files hold the same rows, which is refused."""
    for split in (drawn.shards, drawn.others):
        held = [sorted(repr(drawn.rows[p]) for p in places) for places, _ in split if places]
        if any(rows in held[:n] for n, rows in enumerate(held)):
            return True
    return False


def iso(form: str, offset: timedelta | None = timedelta(0)) -> Callable[[int], str]:
    zone = UTC if not offset else timezone(offset)

    def text(ns: int) -> str:
        at = datetime.fromtimestamp(ns // NS, zone) + timedelta(microseconds=ns % NS // 1000)
        whole = at.strftime(form) + (f".{at.microsecond:06d}" if at.microsecond else "")
        return whole + ("" if offset is None else "Z" if not offset else at.strftime("%z"))

    return text


def whole(unit: str) -> Callable[[int], int]:
    return lambda ns: ns // UNITS[unit]


def ways_of_time(step: int, unit: str) -> dict[str, list[Way]]:
    """step: nanoseconds between two moments that a way must tell apart; unit: of numbers, which
    is one throughout a log."""
    units = [u for u in UNITS if UNITS[u] <= step]
    plain = [whole(unit)]
    texts = [
        iso("%Y-%m-%d %H:%M:%S", None),
        iso("%Y-%m-%dT%H:%M:%S"),
        iso("%Y-%m-%dT%H:%M:%S", timedelta(hours=5, minutes=30)),
        iso("%Y-%m-%d %H:%M:%S", timedelta(hours=-8)),
    ]
    # a double has seconds of today to 0.24 microseconds
    doubles = [lambda ns: ns / NS] if step >= 10**6 and unit == "s" else []
    plain = plain if UNITS[unit] <= step else []
    stamps = [
        Way(whole(u), pa.timestamp(u, zone))
        for u in units
        for zone in (None, "UTC", "America/New_York", "Asia/Kolkata", "+02:00")
    ]
    return {
        "parquet": [
            *stamps,
            *(Way(c, pa.int64()) for c in plain),
            *(Way(c, pa.float64()) for c in doubles),
            *(Way(c, kind) for c in texts for kind in (pa.string(), pa.large_string())),
            *(Way(c, pa.string(), True) for c in texts),
        ],
        "jsonl": [Way(c) for c in (*plain, *doubles, *texts)],
        "csv": [Way(lambda ns, c=c: str(c(ns))) for c in (*plain, *doubles, *texts)],
    }


def same(value: Any) -> Any:
    return value


def as_double(value: int) -> str:
    return f"{value}.0"


WHOLE = {  # whole numbers
    "parquet": [
        *(Way(same, kind) for kind in (pa.int64(), pa.uint64())),
        Way(float, pa.float64()),
        Way(Decimal, pa.decimal128(25, 2)),
        Way(Decimal, pa.decimal128(20, 0)),
        *(Way(str, kind) for kind in (pa.string(), pa.large_string(), pa.string_view())),
        Way(same, pa.int64(), True),
        Way(str, pa.string(), True),
    ],
    "jsonl": [Way(same), Way(float), Way(str)],
    "csv": [Way(str), Way(as_double)],
}
TEXT = {
    "parquet": [
        *(Way(same, kind) for kind in (pa.string(), pa.large_string(), pa.string_view())),
        Way(same, pa.string(), True),
        Way(same, pa.large_string(), True),
    ],
    "jsonl": [Way(same)],
    "csv": [Way(same)],
}
LABEL = {
    "parquet": [
        *(Way(same, kind) for kind in (pa.int8(), pa.uint64())),
        Way(bool, pa.bool_()),
        Way(float, pa.float32()),
        Way(Decimal, pa.decimal128(3, 1)),
        Way(str, pa.string()),
        Way(lambda v: ("false", "true")[v], pa.large_string()),
        Way(str, pa.string(), True),
    ],
    "jsonl": [Way(same), Way(bool), Way(float), Way(str)],
    "csv": [Way(str), Way(as_double), Way(lambda v: ("False", "True")[v])],
}
ENDINGS = {
    "parquet": ["parquet"],
    "csv": ["csv", "csv.gz", "tsv"],
    "jsonl": ["jsonl", "jsonl.gz"],
}


@st.composite
def logs(draw: st.DrawFn) -> Drawn:
    form = draw(st.sampled_from(sorted(ENDINGS)))
    ending = draw(st.sampled_from(ENDINGS[form]))
    texts = TEXTS + ([] if ending == "tsv" else BROKEN)
    ways, values = [], []
    for least in (2, 3):  # users, items
        if draw(st.booleans()):
            ways.append(TEXT[form])
            some = draw(st.lists(st.sampled_from(texts), min_size=least, max_size=6, unique=True))
        else:
            ways.append(WHOLE[form])
            first = draw(st.sampled_from([1, 16777215, 99_999_999_998]))
            some = list(range(first, first + draw(st.integers(least, 6))))
        values.append(some)
    step = draw(st.sampled_from([NS, 10**6, 10**3]))
    begin = draw(st.integers(800_000_000, 1_900_000_000)) * NS
    moments = [
        begin + step * n for n in draw(st.lists(st.integers(0, 10**6), min_size=4, max_size=16))
    ]
    unit = draw(st.sampled_from(sorted(UNITS)))
    ways += [ways_of_time(step, unit)[form], LABEL[form]]

    def given(strategy: st.SearchStrategy) -> st.SearchStrategy:
        """Now and then missing."""
        return st.integers(0, 39).flatmap(lambda n: strategy if n else st.none())

    columns = [st.sampled_from(v) for v in (*values, moments)]
    row = st.tuples(*map(given, (*columns, st.integers(0, 1))))
    rows = draw(st.lists(row, min_size=12, max_size=40))
    rows += [rows[n] for n in draw(st.lists(st.integers(0, 11), max_size=4))]

    def split() -> list[tuple[list[int], list[Way]]]:
        places = draw(st.permutations(range(len(rows))))
        cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=3)))
        return [
            (places[a:b], [draw(st.sampled_from(w)) for w in ways])
            for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)
        ]

    shards, others = split(), split()
    task = draw(st.sampled_from(["click", "next_item"]))
    order = draw(st.sampled_from(["time", "hash"]))
    compression = draw(st.sampled_from(["none", "snappy", "zstd", "gzip"]))
    return Drawn(rows, shards, others, ending, task, order, compression)


def write(drawn: Drawn, folder: Path) -> None:
    """One file a shard; labels only where the task has some."""
    names = COLUMNS if drawn.task == "click" else COLUMNS[:3]
    for n, (places, ways) in enumerate(drawn.shards):
        columns = {
            name: [None if (v := drawn.rows[p][i]) is None else way.convert(v) for p in places]
            for i, (name, way) in enumerate(zip(names, ways, strict=False))
        }
        path = folder / f"part-{n}.{drawn.ending}"
        if drawn.ending == "parquet":
            arrays = {}
            for (name, column), way in zip(columns.items(), ways, strict=False):
                arrays[name] = pa.array(column, way.kind)
                arrays[name] = arrays[name].dictionary_encode() if way.encode else arrays[name]
            pq.write_table(pa.table(arrays), path, compression=drawn.compression)
            continue
        text = _text(columns, drawn.ending).encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def _text(columns: dict[str, list[Any]], ending: str) -> str:
    rows = list(zip(*columns.values(), strict=True))
    if ending.startswith("jsonl"):
        return "".join(json.dumps(dict(zip(columns, r, strict=True))) + "\n" for r in rows)
    filled = [["" if v is None else v for v in row] for row in [tuple(columns), *rows]]
    if ending == "tsv":
        return "".join("\t".join(row) + "\n" for row in filled)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(filled)
    return out.getvalue()
