"""Text files against the strict reader of their dialect: the same rows, or refused."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recscale.data import dialects
from recscale.data.dialects import CSV, RAGGED, TSV, TextTable
from recscale.data.layout import DataError
from recscale.spec import TextFormat

quickly = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SEMICOLON = TextFormat(separator=";")
NO_HEADER = TextFormat(header=("a", "b"))


def strict_rows(text: str, dialect: TextFormat) -> list[list[str]]:
    """Records that are not blank, as Python's csv has them. Raises csv.Error."""
    quoting = csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE
    lines = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=dialect.separator,
        quotechar=dialect.quote,
        quoting=quoting,
        strict=True,
    )
    return [row for row in lines if row]


def read(file: Path, dialect: TextFormat) -> tuple[list[list[str]], int]:
    """All rows, nulls as empty text, and how many lines were dropped."""
    dropped: Counter[str] = Counter()
    batches = TextTable(file, dialect, dropped).batches()
    rows = [[v or "" for v in row.values()] for b in batches for row in b.to_pylist()]
    return rows, dropped[RAGGED]


pieces = st.sampled_from(["a", "b", '"', '""', ",", ";", "\t", "\n", "\r\n", "\r", " ", "NA", "é"])


@quickly
@given(st.lists(pieces, max_size=30), st.sampled_from([CSV, TSV, SEMICOLON]), st.integers(1, 9))
@example(["a", '"', "b", ",", "a", "\n"], CSV, 3)
@example(["\n", '"', "\n", '"', ",", "a"], CSV, 1)
def test_any_text_gives_the_rows_of_a_strict_reader_or_is_refused(tmp_path, body, dialect, block):
    dialect = dialect.model_copy(update={"header": ("x", "y")})
    text = "".join(body)
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
