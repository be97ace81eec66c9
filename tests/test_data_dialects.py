"""Text files against the strict reader of their dialect: the same rows, or refused."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from data_files import events_spec, prepared
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from recscale.data import dialects
from recscale.data.dialects import CSV, RAGGED, TSV, TextTable
from recscale.data.layout import DataError
from recscale.data.tables import log_batches, whole_rows
from recscale.spec import TextFormat

quickly = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SEMICOLON = TextFormat(separator=";")
ESCAPED = TextFormat(escape="\\")
NO_HEADER = TextFormat(header=("a", "b"))


def strict_rows(text: str, dialect: TextFormat) -> list[list[str]]:
    """Records that are not blank, as Python's csv has them. Raises csv.Error."""
    quoting = csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE
    lines = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=dialect.separator,
        quotechar=dialect.quote,
        escapechar=dialect.escape,
        quoting=quoting,
        strict=True,
    )
    return [row for row in lines if row]


def read(file: Path, dialect: TextFormat) -> tuple[list[list[str]], int]:
    """All rows, nulls as empty text, and how many lines were dropped."""
    dropped: Counter[Path] = Counter()
    batches = TextTable(file, dialect, dropped).batches()
    rows = [[v or "" for v in row.values()] for b in batches for row in b.to_pylist()]
    return rows, dropped.total()


pieces = st.sampled_from(
    ["a", "b", '"', '""', ",", ";", "\t", "\n", "\r\n", "\r", " ", "NA", "é", "\\"]
)


@quickly
@given(
    st.lists(pieces, max_size=30),
    st.sampled_from([CSV, TSV, SEMICOLON, ESCAPED]),
    st.integers(1, 9),
)
@example(["a", '"', "b", ",", "a", "\n"], CSV, 3)
@example(["\n", '"', "\n", '"', ",", "a"], CSV, 1)
def test_any_text_gives_the_rows_of_a_strict_reader_or_is_refused(tmp_path, body, dialect, block):
    dialect = dialect.model_copy(update={"header": ("x", "y")})
    text = "".join(body)
    if dialect.escape:  # without a last line break Python's reader refuses records with escapes
        assume(not text.endswith(("\\", "\\\n", "\\\r")))
        text += "\n"
    file = tmp_path / "log.csv"
    file.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dialects, "BLOCK", block)
        patch.setattr(dialects, "HEAD", block)
        try:
            expected = strict_rows(text, dialect)
        except csv.Error:
            with pytest.raises(DataError, match="a quote"):
                read(file, dialect)
            return
        got, dropped = read(file, dialect)
    assert got == [row for row in expected if len(row) == 2]
    assert dropped == sum(len(row) != 2 for row in expected)


def log(file: Path, body: str, header: str = "user,item,time\n") -> Path:
    file.write_bytes((header + body).encode())
    return file


def plain(n: int) -> str:
    return "".join(f"u{i % 7},i{i % 11},{1_600_000_000 + i}\n" for i in range(n))


def test_line_breaks_in_quotes_are_read_in_a_file_of_any_size(tmp_path, monkeypatch):
    monkeypatch.setattr(dialects, "BLOCK", 1 << 20)  # the same file in three blocks
    body = "".join(
        f'u{i % 7},"i{i % 11}",{1_600_000_000 + i},"said ""no"",\nthen {"yes " * (i % 9)}\r\n"\n'
        for i in range(60_000)
    )
    file = log(tmp_path / "log.csv", body, "user,item,time,text\n")
    rows, dropped = read(file, CSV)
    assert rows == strict_rows(file.read_bytes().decode(), CSV)[1:] and not dropped
    assert prepared(tmp_path, events_spec(file, task="next_item")).manifest.raw_rows == 60_000


def test_a_value_longer_than_a_block_is_one_value(tmp_path, monkeypatch):
    monkeypatch.setattr(dialects, "BLOCK", 1000)
    file = log(tmp_path / "log.csv", 'u,"' + "a,b\n" * 5000 + '",1\nv,j,2\n')
    assert [len(row[1]) for row in read(file, CSV)[0]] == [20_000, 1]
    monkeypatch.setattr(dialects, "LONGEST", 10_000)
    with pytest.raises(DataError, match="line 2: a quote is never closed"):
        read(file, CSV)


def test_words_stay_values_unless_the_sweep_calls_them_nulls(tmp_path):
    words = ["NA", "null", "NULL", "nan", "NaN", "None", "N/A", "#N/A", "-", "true", "1.0", "007"]
    file = log(tmp_path / "log.csv", "".join(f"{w},i,1\n" for w in words) + ",i,1\n")
    (batch,) = TextTable(file, CSV).batches(["user"])
    assert batch["user"].to_pylist() == [*words, None]
    told = TextFormat(nulls=("", "NA", "-"))
    log(file, 'NA,i,1\n"NA",i,1\n-,i,1\nx,i,1\n')
    (batch,) = TextTable(file, told).batches(["user"])
    assert batch["user"].to_pylist() == [None, "NA", None, "x"]


def test_quotes_are_letters_in_the_fields_tab_separated_files(tmp_path):
    body = '7"\ta\t1\n"b\tc"d\t2\n"\t"\t3\n'
    for name in ("log.tsv", "log.inter", "log.tab"):
        file = log(tmp_path / name, body, "user\titem\ttime\n")
        rows = [r for _, b in log_batches(events_spec(file)) for r in b.to_pylist()]
        assert [r["user"] for r in rows] == ['7"', '"b', '"'] and rows[1]["item"] == 'c"d'


@pytest.mark.parametrize(
    ("separator", "quote"), [(";", '"'), ("|", None), ("::", None), ("\x01", None), ("¦", None)]
)
def test_separators_are_told_by_the_sweep(tmp_path, separator, quote):
    body = "user,item,time\n" + plain(100)
    file = tmp_path / "log.csv"
    file.write_text(body.replace(",", separator))
    with (
        pytest.raises(DataError, match="data.format: {separator:")
        if separator != "¦"
        else (pytest.raises(DataError, match="data.format"))
    ):
        list(log_batches(events_spec(file)))
    data = events_spec(file, format={"separator": separator, "quote": quote})
    rows = [r for _, b in log_batches(data) for r in b.to_pylist()]
    assert [list(r.values()) for r in rows] == strict_rows(body, CSV)[1:]


def test_files_without_a_header_are_named_by_the_sweep(tmp_path):
    file = log(tmp_path / "log.csv", plain(100), "")
    with pytest.raises(DataError, match=r"first line is a row already, .*header: \[...\]"):
        list(log_batches(events_spec(file)))
    data = events_spec(file, format={"header": ["user", "item", "time"]})
    assert sum(len(b) for _, b in log_batches(data)) == 100


PACKED = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda b: pa.compress(b, "zstd", asbytes=True),
    "lz4": lambda b: pa.compress(b, "lz4", asbytes=True),
}


@pytest.mark.parametrize("ending", PACKED)
def test_compressed_text_is_read_by_its_first_bytes(tmp_path, ending):
    text = ("user,item,time\n" + plain(5000)).encode()
    for name in (f"log.csv.{ending}", "log.csv"):
        file = tmp_path / ending / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(PACKED[ending](text))
        assert sum(len(b) for _, b in log_batches(events_spec(file))) == 5000
        file.unlink()


def test_a_gzip_file_of_several_members_is_read_whole_and_a_torn_one_refused(tmp_path):
    file = tmp_path / "log.csv.gz"
    parts = [b"user,item,time\n", plain(5000).encode(), plain(3000).encode()]
    file.write_bytes(b"".join(map(gzip.compress, parts)))
    assert sum(len(b) for _, b in log_batches(events_spec(file))) == 8000
    for torn in (file.read_bytes()[:-3], file.read_bytes()[: len(file.read_bytes()) // 2]):
        file.write_bytes(torn)
        with pytest.raises(DataError, match="log.csv.gz: cannot be read"):
            prepared(tmp_path, events_spec(file, task="next_item"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("user,item,time\nu,é,1\n".encode("latin-1"), "UTF-?8.*iconv"),
        ("user,item,time\nu,é,1\n".encode("utf-16"), "UTF-16.*iconv"),
        ("user,item,time\nu,é,1\n".encode("utf-16-le"), "UTF-16.*iconv"),
        (b'user,item,time\nu,i,1\nu,"i,1\n' + b"u,i,1\n" * 9, "line 3: a quote is never closed"),
        (b'user,item,time\n"u"x,i,1\n', "line 2: a quote is not followed by a separator"),
        (b"user,item,time,user\nu,i,1,v\n", "columns.user: 2 columns are named 'user'"),
        (b"user,item,time\n" + b"u,i\n" * 9, "usable .*another number of fields: 9"),
        (b"user,item,time\n" + b"u,i,1,\n" * 9, "of fields: 9\\); say the dialect of the lines by"),
        (b"user,item,time\nu,i\0,1\n" * 9, "holds a NUL byte, at byte 18, so it is no text"),
        (b"", "the files hold no rows"),
        (b"\n\r\n", "the files hold no rows"),
        (b"user,item,time\n", "the files hold no rows"),
    ],
)
def test_text_that_is_no_plain_csv_is_refused_with_the_remedy(tmp_path, content, sentence):
    (tmp_path / "log.csv").write_bytes(content)
    with pytest.raises(DataError, match=sentence) as refused:
        prepared(tmp_path, events_spec(tmp_path / "log.csv", task="next_item"))
    assert "log.csv" in str(refused.value) and "\n" not in str(refused.value)


def test_missing_columns_are_told_without_far_fetched_guesses(tmp_path):
    file = log(tmp_path / "log.csv", plain(9), "USER,item,event\n")
    with pytest.raises(DataError) as told:
        prepared(tmp_path, events_spec(file, task="next_item"))
    assert (
        "data.columns.user: no column 'user' (did you mean 'USER'?); data.columns.time: no column "
        "'time'. The file has: USER, item, event" in str(told.value)
    )
    named = TextFormat(header=("a", "b", "c"))
    with pytest.raises(DataError) as told:
        prepared(tmp_path, events_spec(file, task="next_item", format=named))
    assert str(told.value).endswith("The file has: a, b, c")


def test_ragged_lines_are_counted_and_never_shifted(tmp_path):
    body = plain(100) + "u1,i1\n" + "u1,i1,1,7\n" + "\n" + plain(1)
    file = log(tmp_path / "log.csv", body, "\ufeffuser,item,time\r\n")
    store = prepared(tmp_path, events_spec(file, task="next_item"))
    assert store.manifest.raw_rows == 103
    assert store.manifest.dropped[RAGGED] == 2


def test_ragged_lines_are_told_with_the_names_of_their_files(tmp_path):
    parts = tmp_path / "log"
    parts.mkdir()
    for n, bad in enumerate([0, 2, 1, 3, 5, 0]):
        rows = "".join(f"u{i % 9},i{i % 7},{1600000000 + 1000 * n + i}\n" for i in range(200))
        (parts / f"{n}.csv").write_text("user,item,time\n" + rows + "u1,i1\n" * bad)
    data = events_spec(parts, task="next_item")
    (warning,) = prepared(tmp_path, data).manifest.warnings
    assert warning == (
        "lines with another number of fields than the file's others are left out: "
        f"{parts}/4.csv: 5, {parts}/3.csv: 3, {parts}/1.csv: 2, 1 more files; correct them, or say "
        "the dialect by data.format"
    )
    with pytest.raises(DataError, match=f"number of fields: 11 in {parts}/1.csv\\)"):
        prepared(tmp_path, data.model_copy(update={"refuse_above": 0.001}))


def test_quotes_may_be_escaped_and_such_a_null_is_none(tmp_path):
    body = r"""u1,\N,1,"a \"b\", c\\"
u2,\,x,2,\N
u3,"line \
two",3,"\N"
"""
    file = log(tmp_path / "log.csv", body, "user,item,time,note\n")
    rows, dropped = read(file, ESCAPED)
    assert not dropped and rows == [
        ["u1", "", "1", 'a "b", c\\'],
        ["u2", ",x", "2", ""],
        ["u3", "line \ntwo", "3", "N"],
    ]
    with pytest.raises(DataError, match="line 2: a quote is not followed.*or .*escape: "):
        read(file, CSV)
    with pytest.raises(ValueError, match="cannot be escape and quote"):
        TextFormat(escape='"')


def test_a_ragged_line_that_is_not_utf_8_is_refused_without_a_trace(tmp_path, capfd):
    file = tmp_path / "log.csv"
    file.write_bytes(b"user,item,time\nu,i,1\nu,i,1,m\xfcller\n")
    with pytest.raises(DataError, match="iconv -f latin1"):
        read(file, CSV)
    assert capfd.readouterr().err == ""


def test_whole_rows_keep_columns_of_one_name_apart(tmp_path):
    file = log(tmp_path / "log.csv", "u,i,1,a,b\nv,j,2,c,d\n", "user,item,time,x,x\n")
    (batch,) = whole_rows(events_spec(file), file, np.array([1]))
    assert [v for (v,) in batch.to_pydict().values()] == ["v", "j", "2", "c", "d"]
