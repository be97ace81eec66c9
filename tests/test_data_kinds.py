"""Every kind of file gives the rows of its log; tables are read as their own log says."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import re
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from data_files import events_spec, prepared

from recscale.data import binary
from recscale.data.layout import DataError
from recscale.data.tables import columns_read, log_batches, whole_rows
from recscale.spec import EventsData

START = 1_600_000_000


def table(n: int = 300, first: int = 0) -> pa.Table:
    i = np.arange(first, first + n)
    return pa.table({"user": i % 7, "item": i % 11, "time": START + 60 * i, "price": i / 2})


def read(data: EventsData) -> list[dict]:
    return [row for _, batch in log_batches(data) for row in batch.to_pylist()]


def spec(path, **columns) -> EventsData:
    return events_spec(path, task="next_item", columns=columns)


def write_stream(rows: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, rows.schema) as out:
        out.write_table(rows)


def write_json(rows: pa.Table, path: Path) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows.to_pylist()).encode()
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)


KINDS = {
    "log.parquet": pq.write_table,
    "log": pq.write_table,
    "log.arrow": lambda rows, path: feather.write_feather(rows, path, compression="uncompressed"),
    "log.feather": lambda rows, path: feather.write_feather(rows, path, compression="zstd"),
    "log.ipc": write_stream,
    "log.jsonl": write_json,
    "log.ndjson.gz": write_json,
    "log.json": write_json,
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_gives_the_same_rows_with_its_own_types(name, tmp_path):
    KINDS[name](table(), tmp_path / name)
    data = spec(tmp_path / name, dense=("price",))
    assert read(data) == table().select(columns_read(data)).to_pylist()
    assert next(log_batches(data))[1].schema.types == [pa.int64()] * 3 + [pa.float64()]
    assert prepared(tmp_path, data).manifest.raw_rows == 300


def test_a_hive_partitioned_folder_has_its_keys_as_columns(tmp_path):
    for day in (1, 2):
        for hour in (9, 10):
            folder = tmp_path / f"parts/date=2026-08-0{day}/hour={hour}"
            folder.mkdir(parents=True)
            pq.write_table(table(100, 1000 * day + 100 * hour), folder / "part-0.parquet")
    (tmp_path / "parts/_SUCCESS").touch()
    data = spec(tmp_path / "parts", time="date", sparse=("hour",))
    rows = read(data)
    assert len(rows) == 400
    assert [r["hour"] for r in rows[::100]] == ["9", "10", "9", "10"]
    assert [r["date"] for r in rows[::200]] == ["2026-08-01", "2026-08-02"]
    (file, _), *_ = log_batches(data)
    (row,) = whole_rows(data, file, np.array([7]))
    assert row.schema.names == ["user", "item", "time", "price", "date", "hour"]


@pytest.mark.parametrize(("value", "fits"), [(9, True), (10, False)])
def test_a_key_that_is_also_a_column_must_agree(tmp_path, value, fits):
    folder = tmp_path / "parts/hour=9"
    folder.mkdir(parents=True)
    rows = table().append_column("hour", pa.array([value] * 300))
    pq.write_table(rows, folder / "x.parquet")
    data = spec(tmp_path / "parts", sparse=("hour",))
    if fits:
        assert {r["hour"] for r in read(data)} == {9}
        return
    with pytest.raises(DataError, match="'hour' holds 10 where the folder's name says hour=9"):
        read(data)


def test_int96_times_keep_their_century(tmp_path):
    rows = table(3).drop_columns("time")
    times = [datetime(1, 1, 1), datetime(2024, 2, 29, 12), datetime(9999, 12, 31)]
    rows = rows.append_column("time", pa.array(times, pa.timestamp("us")))
    pq.write_table(rows, tmp_path / "log.parquet", use_deprecated_int96_timestamps=True)
    assert [r["time"] for r in read(spec(tmp_path / "log.parquet"))] == times


def test_json_keeps_large_numbers_and_texts_that_look_like_dates(tmp_path):
    lines = [{"user": 2**53 + i, "item": "2024-01-01", "time": START + i} for i in range(4)]
    lines[2]["deep"], lines[3]["deep"] = {"a": [1]}, 5  # not read, so of any kind
    (tmp_path / "log.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
    rows = read(spec(tmp_path / "log.jsonl"))
    assert [r["user"] for r in rows] == [2**53 + i for i in range(4)]
    assert rows[0]["item"] == "2024-01-01"
    whole = next(whole_rows(spec(tmp_path / "log.jsonl"), tmp_path / "log.jsonl", np.arange(4)))
    assert whole["deep"].to_pylist() == ["null", "null", '{"a": [1]}', "5"]


def test_json_numbers_are_the_texts_that_other_lines_have_for_them(tmp_path):
    lines = [
        {"user": [7, "7", 2**70 + 7][i % 3], "item": [i % 5, f"{i % 5}"][i % 2], "time": START + i}
        for i in range(60)
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    store = prepared(tmp_path, spec(tmp_path / "log.jsonl"))
    assert [t.distinct for t in store.manifest.tables] == [2, 5]
    assert len(store.arrays["time"]) == 60


@pytest.mark.parametrize("parts", [1, 2])
def test_a_json_key_that_comes_late_is_null_before(tmp_path, monkeypatch, parts):
    monkeypatch.setattr(binary, "HEAD_BYTES", 200)
    monkeypatch.setattr(binary, "CHUNK_BYTES", 500)
    lines: list[dict] = [{"user": i % 7, "item": i % 5, "time": START + i} for i in range(90)]
    for line in lines[70:]:
        line["c"] = f"c{line['user']}"
    folder = tmp_path / "day=1"
    folder.mkdir()
    for part in range(parts):
        text = "\n".join(map(json.dumps, lines[90 * part // parts : 90 * (part + 1) // parts]))
        (folder / f"{part}.jsonl").write_text(text)
    rows = read(spec(tmp_path, sparse=("c", "day")))
    assert [row["c"] for row in rows] == [None] * 70 + [line["c"] for line in lines[70:]]
    assert {row["day"] for row in rows} == {"1"}
    whole = next(whole_rows(spec(tmp_path), folder / f"{parts - 1}.jsonl", np.array([89 // parts])))
    assert parts > 1 or whole["c"].to_pylist() == ["c5"]
    with pytest.raises(DataError, match=r"sparse\[0\]: no column 'd'"):
        read(spec(tmp_path, sparse=("d",)))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (
            "log.jsonl",
            b'{"user": 1, "item": 2, "time": 3}\n{"user"',
            "about line 2 is no JSON object",
        ),
        ("log.json", b"[\n{}]", "line 1 is no JSON object"),
        ("log.jsonl", b'{"user": 1, "item": 2, "time": 3}\n{"user": [1]}\n', "'user' holds values"),
        ("log.jsonl", b'{"user": true, "item": 1, "time": 1}\n{"user": 1}', "'user' holds values"),
        ("log.jsonl", b'{"user": 1, "item": 2}\n', "no column 'time'"),
        ("log.zip", b"PK\x03\x04....", "is a zip archive"),
        ("log.orc", b"ORC....", "is an ORC file"),
        ("log.parquet", b"PAR1....", "log.parquet: cannot be read"),
        ("log.parquet", b"hello", "is named .parquet and is none"),
        ("log.arrow", b"ARROW1\0\0....", "log.arrow: cannot be read"),
        ("log.arrow", b"\xff\xff\xff\xff....", "log.arrow: cannot be read"),
        ("log.txt", b"user item time", "does not say by its name .*data.format"),
        ("log.parquet.gz", gzip.compress(b"PAR1", mtime=0), "parquet and is none"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name_in_a_sentence(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=sentence) as refused:
        prepared(tmp_path, spec(tmp_path / name))
    assert name in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("ending", ["parquet", "arrow", "csv.gz", "csv.zst", "csv.xz"])
def test_a_damaged_file_is_told_in_words_of_ours(tmp_path, ending):
    """Cut, flipped and followed by other bytes: no library's words, which tell a user nothing."""
    whole, path = tmp_path / "whole", tmp_path / f"log.{ending}"
    rows = "user,item,time\n" + "".join(f"u{i % 7},i{i % 9},{10**9 + i}\n" for i in range(400))
    if ending == "parquet":
        pq.write_table(table(), whole)
    elif ending == "arrow":
        feather.write_feather(table(), str(whole), compression="zstd")
    elif ending == "csv.xz":
        whole.write_bytes(lzma.compress(rows.encode()))
    else:
        kind = {"csv.gz": "gzip", "csv.zst": "zstd"}[ending]
        whole.write_bytes(pa.compress(rows.encode(), kind, asbytes=True))
    content, told = whole.read_bytes(), 0
    n = len(content)
    harmed = [content[: n // 3], content[: n - 9], content + b"\1" * 40]
    for at in range(20, n, max(1, n // 25)):
        harmed.append(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
    for i, content in enumerate(harmed):
        path.write_bytes(content)
        try:
            prepared(tmp_path / str(i), spec(path))
        except DataError as refused:
            words = str(refused).replace(str(path), "")
            assert "cannot be read" not in words or "; " in words
            assert not re.search(
                r"(?i)pyarrow|inflate|magic|errno|zlib|lzma|dictionary|zstd", words
            )
            told += 1
    assert told > 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(tmp_path):
    pq.write_table(table(), tmp_path / "log.parquet")
    (tmp_path / "log.parquet").chmod(0)
    with pytest.raises(DataError, match="may not be read; correct its permissions"):
        prepared(tmp_path, spec(tmp_path / "log.parquet"))


def test_whole_rows_are_found_by_their_number_in_the_file(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    pq.write_table(table(), folder / "1.parquet")
    pq.write_table(table(first=300), folder / "2.parquet")
    data = spec(folder)
    some = np.array([0, 5, 299])
    got = pa.Table.from_batches(whole_rows(data, folder / "2.parquet", some))
    assert got == table(first=300).take(some)
    assert not list(whole_rows(data, folder / "2.parquet", np.array([300])))


def test_files_of_other_columns_are_no_part_of_the_log(tmp_path):
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,2,3.5,100\n")
    (tmp_path / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,2,fun,100\n")
    (tmp_path / "movies.csv").write_text("movieId,title\n2,Toys\n")
    names = {"user": "userId", "item": "movieId", "time": "timestamp"}
    for path, odd in (("*s.csv", "movies.csv"), ("[rt]a*.csv", "tags.csv")):
        with pytest.raises(DataError, match=f"{odd}: .* narrow data.path") as refused:
            read(spec(tmp_path / path, **names))
        assert "ratings.csv" in str(refused.value)
    assert len(read(spec(tmp_path / "r*.csv", **names))) == 1


def test_parts_of_a_log_may_differ_in_columns_that_are_not_read(tmp_path):
    for i, name in enumerate(("a", "b")):
        rows = table(5).append_column(name, pa.array(range(5)))
        pq.write_table(rows, tmp_path / f"part-{i}.parquet")
    assert len(read(spec(tmp_path / "part-*"))) == 10
    with pytest.raises(DataError, match="part-1.parquet: data.columns.sparse.*no column 'a'"):
        read(spec(tmp_path / "part-*", sparse=("a",)))


@pytest.fixture
def delta(tmp_path):
    """A Delta table: 4 appends, one delete, one update, one new column, partitioned by day."""
    deltalake = pytest.importorskip("deltalake")
    path = tmp_path / "the table"
    for i in range(4):
        rows = table(10, 10 * i).append_column("day", pa.array(["a/b", "c d"] * 5))
        if i == 3:
            rows = rows.append_column("late", pa.array([1] * 10))
        mode = {"schema_mode": "merge"} if i else {"partition_by": ["day"]}
        deltalake.write_deltalake(path, rows, mode="append", **mode)
    deltalake.DeltaTable(path).delete("price = 3")
    deltalake.DeltaTable(path).update(predicate="price = 4", updates={"item": "99"})
    return path


def test_a_delta_table_is_read_without_deleted_and_replaced_rows(delta, tmp_path):
    data = spec(delta, sparse=("day", "late"), dense=("price",))
    rows = read(data)
    expected = table(40).to_pylist()
    expected.pop(6)
    expected[7]["item"] = 99
    for row in expected:
        row["day"] = ["a/b", "c d"][int(row["price"] * 2) % 2]
        row["late"] = 1 if row["price"] >= 15 else None
    key = lambda row: row["price"]  # noqa: E731
    assert sorted(rows, key=key) == expected
    store = prepared(tmp_path, data)
    assert store.manifest.raw_rows == 39
    import deltalake

    deltalake.DeltaTable(delta).delete("price = 10")
    assert prepared(tmp_path, data).manifest.raw_rows == 38
    for path in (delta / "day*", delta.parent / "the*/*/*.parquet", delta / "day=c%20d"):
        with pytest.raises(DataError, match="is a table of Delta.*give data.path: .*the table"):
            read(spec(path))


def test_a_delta_table_without_the_package_names_the_extra(delta, monkeypatch):
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(DataError, match=r"recscale\[delta\]"):
        read(spec(delta))


def test_a_delta_table_that_the_package_does_not_read_is_refused(delta):
    log = delta / "_delta_log/00000000000000000000.json"
    text = log.read_text()
    for of, old in (("Reader", 1), ("Writer", 2)):
        feature = f'"{of.lower()}Features":["deletionVectors"]'
        new = 3 if of == "Reader" else 7
        text = text.replace(f'"min{of}Version":{old}', f'"min{of}Version":{new},{feature}')
    log.write_text(text)
    with pytest.raises(DataError, match="cannot be read by deltalake .*REORG"):
        read(spec(delta))


@pytest.mark.parametrize(
    ("kind", "log"), [("Iceberg", "metadata/v1.metadata.json"), ("Hudi", ".hoodie/x")]
)
def test_other_tables_are_refused_by_name(tmp_path, kind, log):
    folder = tmp_path / "clicks"
    (folder / "data").mkdir(parents=True)
    pq.write_table(table(), folder / "data/x.parquet")
    (folder / log).parent.mkdir()
    (folder / log).touch()
    for path in (folder, tmp_path, folder / "data", folder / "data/*.parquet"):
        with pytest.raises(DataError, match=f"clicks is a table of {kind}.*write its current"):
            read(spec(path))
