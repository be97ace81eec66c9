"""Files that are no clean log: cut, spoilt, misnamed, absurd, or odd in what holds them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

ROWS = 60
TEXTS = ("csv", "tsv", "jsonl")
FORMS = (*TEXTS, "parquet", "arrow", "feather")
ABSURD: tuple[Any, ...] = (
    "", None, 0, -1, 2, 0.5, 1e300, -1e300, 10**19, 2**63, 2**64, -(2**63), 10**400, float("nan"),
    float("inf"), True, "\0", "\x1f", "\r", "\ufeff", "a" * 5000, "=1+1", "9999-12-31",
    "0000-00-00", "2026-02-30", "1e999", "٣", "\u202e", [], [1], {}, {"a": 1}, b"\xff",
)  # fmt: skip


def clean() -> dict[str, list[Any]]:
    """A log that is prepared without complaint."""
    pick = random.Random(0)
    return {
        "user": [f"u{n % 7}" for n in range(ROWS)],
        "item": [f"i{pick.randrange(9)}" for _ in range(ROWS)],
        "time": [1_700_000_000 + 60 * n for n in range(ROWS)],
        "label": [pick.randrange(2) for _ in range(ROWS)],
        "price": [round(pick.random(), 3) for _ in range(ROWS)],
    }


def as_bytes(log: dict[str, list[Any]], form: str, separator: str | None = None) -> bytes:
    """The log in one of FORMS; what a typed format cannot hold is text there."""
    rows = list(zip(*log.values(), strict=True))
    if form == "jsonl":
        lines = (json.dumps(dict(zip(log, row, strict=True)), default=str) for row in rows)
        return "".join(f"{line}\n" for line in lines).encode()
    if form in ("csv", "tsv"):
        separator = separator or ("," if form == "csv" else "\t")
        cells = [list(log), *([("" if v is None else str(v)) for v in row] for row in rows)]
        return "".join(separator.join(row) + "\n" for row in cells).encode("utf-8", "replace")
    table = pa.table({name: _array(values) for name, values in log.items()})
    return table_bytes(table, form)


def table_bytes(table: pa.Table, form: str) -> bytes:
    out = io.BytesIO()
    if form == "parquet":
        pq.write_table(table, out)
    elif form == "feather":
        feather.write_feather(table, out)
    else:
        with pa.ipc.new_stream(out, table.schema) as stream:
            stream.write_table(table)
    return out.getvalue()


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError):
        return pa.array([None if v is None else str(v) for v in values])


Spoiler = Callable[[random.Random, Path], Path | None]
"""Writes a log below a folder; the place to read, or None for the folder itself."""


def any_bytes(pick: random.Random, folder: Path) -> Path | None:
    ending = pick.choice(
        ["csv", "jsonl", "parquet", "arrow", "tsv.gz", "json", "csv.zst", "txt", ""]
    )
    alphabet = pick.choice([bytes(range(256)), b'",\n\r\t;a1{}[]:', b"\0\n", b"\xff\xfe\0a,\n"])
    size = pick.choice([0, 1, 4, 100, 5000])
    magic = pick.choice(
        [b"", b"", b"PAR1", b"ARROW1", b"\x1f\x8b", b"BZh9", b"PK\3\4", b"\xfd7zXZ\0"]
    )
    data = magic + bytes(pick.choice(alphabet) for _ in range(size))
    (folder / f"log.{ending}".rstrip(".")).write_bytes(data)
    return None


def cut(pick: random.Random, folder: Path) -> Path | None:
    form = pick.choice(FORMS)
    data = as_bytes(clean(), form)
    (folder / f"log.{form}").write_bytes(data[: pick.randrange(len(data))])
    return None


def flipped(pick: random.Random, folder: Path) -> Path | None:
    form = pick.choice(FORMS)
    data = bytearray(as_bytes(clean(), form))
    for _ in range(pick.choice([1, 3, 50])):
        data[pick.randrange(len(data))] = pick.choice([0, 10, 13, 34, 255, pick.randrange(256)])
    (folder / f"log.{form}").write_bytes(bytes(data))
    return None


def packed(pick: random.Random, folder: Path) -> Path | None:
    """Compressed, and then cut, doubled, followed by rubbish, or under another name."""
    packers = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": _zstd}
    ending, form = pick.choice(sorted(packers)), pick.choice(FORMS)
    data = packers[ending](as_bytes(clean(), form))
    data = pick.choice([
        data, data[: pick.randrange(len(data))], data + data, data + b"\0" * 9, data + b"rubbish",
        packers[ending](data),
    ])  # fmt: skip
    ending = pick.choice([ending, ending, "gz", "csv", ""])
    (folder / f"log.{form}.{ending}".rstrip(".")).write_bytes(data)
    return None


def _zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


def misnamed(pick: random.Random, folder: Path) -> Path | None:
    form, name = pick.choice(FORMS), pick.choice([*FORMS, "json", "txt", "dat", "CSV"])
    (folder / f"log.{name}").write_bytes(as_bytes(clean(), form))
    return None


def encoded(pick: random.Random, folder: Path) -> Path | None:
    log = clean()
    log["item"] = [f"é{v}ß" for v in log["item"]]
    text = as_bytes(log, pick.choice(TEXTS)).decode()
    one, other = pick.sample(["utf-8", "latin-1", "utf-16", "utf-32", "utf-8-sig", "cp1252"], 2)
    at = pick.choice([0, len(text) // 2, len(text)])
    data = text[:at].encode(one) + text[at:].encode(other)
    (folder / f"log.{pick.choice(TEXTS)}").write_bytes(data)
    return None


def separated(pick: random.Random, folder: Path) -> Path | None:
    separator = pick.choice([";", "|", " ", "::", "\x01", "\x1f", "\0", ",", "é", ", "])
    text = as_bytes(clean(), "csv", separator).decode()
    lines = text.split("\n")
    for _ in range(pick.choice([0, 1, 5, 60])):
        n = pick.randrange(len(lines))
        lines[n] = pick.choice([
            lines[n] + separator, separator + lines[n], '"' + lines[n], lines[n] + '"', "", "\r",
            lines[n].replace(separator, "", 1), f'"{lines[n]}', "#" + lines[n], separator * 500,
        ])  # fmt: skip
    breaks = pick.choice(["\n", "\r\n", "\r", "\n\n", "\n\r"])
    (folder / f"log.{pick.choice(['csv', 'tsv'])}").write_text(breaks.join(lines), newline="")
    return None


def absurd(pick: random.Random, folder: Path) -> Path | None:
    log = clean()
    for _ in range(pick.choice([1, 3, ROWS])):
        log[pick.choice(list(log))][pick.randrange(ROWS)] = pick.choice(ABSURD)
    if pick.random() < 0.3:
        log[pick.choice(list(log))] = [pick.choice(ABSURD)] * ROWS
    form = pick.choice(FORMS)
    (folder / f"log.{form}").write_bytes(as_bytes(log, form))
    return None


def headed(pick: random.Random, folder: Path) -> Path | None:
    """Other names: missing, twice, blank, absurdly long, of odd letters; no rows, no columns."""
    log = clean()
    rows = pick.choice([0, 1, 2, ROWS])
    names = list(log)
    for _ in range(pick.choice([0, 1, 2])):
        odd = ["", " ", "user", "USER", "a\nb", 'a"b', "a.b", "x" * 5000, "\0", "=1", "列", "1"]
        names[pick.randrange(len(names))] = pick.choice(odd)
    form = pick.choice(FORMS)
    if form in TEXTS:
        named = enumerate(zip(names, log.values(), strict=True))
        cells = {f"{name}\x02{i}": values[:rows] for i, (name, values) in named}
        data = as_bytes(cells, form)
        for i in range(len(names)):
            data = data.replace(f"\x02{i}".encode(), b"").replace(f"\\u0002{i}".encode(), b"")
        data = data if pick.random() < 0.8 else data.split(b"\n", 1)[1]
    else:
        arrays = [_array(v)[:rows] for v in log.values()]
        table = pa.Table.from_arrays(arrays, names=names)
        data = table_bytes(table if pick.random() < 0.9 else table.select([]), form)
    (folder / f"log.{form}").write_bytes(data)
    return None


def typed(pick: random.Random, folder: Path) -> Path | None:
    """Columns of types that no such column should have."""
    log: dict[str, Any] = {n: pa.array(v) for n, v in clean().items()}
    n = ROWS
    odd: list[Any] = [
        pa.nulls(n), pa.array([Decimal("1e-20")] * n), pa.array([[1, None]] * n),
        pa.array([{"a": [1]}] * n), pa.array([b"\xff\0"] * n),
        pa.array([2**62] * n, pa.timestamp("s")),
        pa.array([-(2**62)] * n, pa.timestamp("us", "UTC")), pa.array([True, None] * (n // 2)),
        pa.array([1] * n, pa.duration("ns")), pa.array([1] * n, pa.time64("ns")),
        pa.array([10**9] * n, pa.date32()), pa.array(["a"] * n).dictionary_encode(),
        pa.array([[("k", 1)]] * n, pa.map_(pa.string(), pa.int64())),
        pa.array([float("nan")] * n), pa.array([1.5] * n, pa.float16()), pa.array(["x" * 9] * n),
        pa.array([b"abcd"] * n, pa.binary(4)), pa.array([[1.0] * 3] * n, pa.list_(pa.float32(), 3)),
        pa.array(["", None] * (n // 2), pa.large_string()), pa.array([2**64 - 1] * n, pa.uint64()),
    ]  # fmt: skip
    for _ in range(pick.choice([1, 2])):
        log[pick.choice(list(log))] = pick.choice(odd)
    form = pick.choice(["parquet", "arrow", "feather"])
    try:
        data = table_bytes(pa.table(log), form)
    except (pa.ArrowException, TypeError):
        data = table_bytes(pa.table(log), "arrow")
    (folder / f"log.{form}").write_bytes(data)
    return None


def jsons(pick: random.Random, folder: Path) -> Path | None:
    rows = [dict(zip(clean(), row, strict=True)) for row in zip(*clean().values(), strict=True)]
    lines = [json.dumps(row) for row in rows]
    n = pick.randrange(len(lines))
    lines[n] = pick.choice([
        "[" * 100_000, "[" * 990 + "]" * 990, '{"user":' * 50_000, "null", "1", '"a"', "[1]", "{}",
        "NaN", '{"user": NaN, "time": Infinity}', '{"user": "\\ud800"}', '{"a": "\\x"}', "{'a': 1}",
        '{"user": 1, "user": 2}', '{"time": ' + "9" * 5000 + "}", '{"time": 1e99999}', "\0", "{",
        '{"": 1}', '{"item": {"a": {"b": [1, {"c": null}]}}}', '{"item": "' + "x" * 200_000 + '"}',
        json.dumps({f"k{i}": i for i in range(3000)}),
    ])  # fmt: skip
    text = (
        "\n".join(lines) if pick.random() < 0.9 else json.dumps(rows, indent=pick.choice([None, 1]))
    )
    (folder / f"log.{pick.choice(['json', 'jsonl', 'ndjson'])}").write_text(text)
    return None


def long_lines(pick: random.Random, folder: Path) -> Path | None:
    size = 3_000_000
    head = as_bytes(clean(), "csv")
    tail = pick.choice(
        [b"a" * size, b"," * size, b'"' + b"a\n" * (size // 2), b"\n" * size, b"\0" * size]
    )
    (folder / f"log.{pick.choice(TEXTS)}").write_bytes(head + tail)
    return None


def placed(pick: random.Random, folder: Path) -> Path | None:
    """Folders, links, pipes and names; the path may be a glob."""
    data = as_bytes(clean(), "csv")
    kind = pick.randrange(14)
    log = folder / "log.csv"
    log.write_bytes(data)
    if kind == 0:
        log.unlink()
    elif kind == 1:
        (folder / "again.csv").symlink_to(log)
    elif kind == 2:
        (folder / "gone.csv").symlink_to(folder / "nowhere")
    elif kind == 3:
        (folder / "loop").symlink_to(folder)
    elif kind == 4:
        (folder / "self.csv").symlink_to(folder / "self.csv")
    elif kind == 5:
        os.mkfifo(folder / "pipe.csv")
    elif kind == 6:
        (folder / "more.csv").mkdir()
        (folder / "more.csv" / "part.csv").write_bytes(data.replace(b"u1", b"u8"))
    elif kind == 7:
        (folder / "README.md").write_text("notes")
    elif kind == 8:
        (folder / "other.parquet").write_bytes(as_bytes(clean(), "parquet"))
    elif kind == 9:
        deep = folder.joinpath(*["d"] * 60)
        deep.mkdir(parents=True)
        log.rename(deep / "log.csv")
    elif kind == 10:
        Path(os.fsdecode(os.fsencode(folder) + b"/\xff.csv")).write_bytes(data)
    elif kind == 11:
        (folder / "a=1").mkdir()
        log.rename(folder / "a=1" / "x[1]*?.csv")
        return folder / "a=*" / "x*"
    elif kind == 12:
        (folder / "_delta_log").mkdir()
        (folder / "_delta_log" / "00000000000000000000.json").write_text("{}")
    else:
        (folder / "log\n.csv").write_bytes(data.replace(b"u1", b"u8"))
        return pick.choice(
            [folder / "nothing*", folder / ("x" * 300), folder / "**", folder / "[", None]
        )
    return None


SPOILERS: tuple[Spoiler, ...] = (
    any_bytes, cut, flipped, packed, misnamed, encoded, separated, absurd, headed, typed, jsons,
    long_lines, placed,
)  # fmt: skip
