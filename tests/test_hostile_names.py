"""Texts of others, in a spreadsheet and in a terminal: they are shown and nothing else."""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_study import DATA, SWEEP, record

from recscale.cli import main
from recscale.ledger import Ledger
from recscale.planner import planned_runs
from recscale.report.spreadsheet import RUN, csv_of
from recscale.specfile import parse_spec
from recscale.study import plan_entry
from recscale.words import printable

settings.register_profile("hostile", max_examples=300 if "RECSCALE_SLOW" in os.environ else 60)
hostile = settings.get_profile("hostile")
NASTY = st.text(
    st.one_of(
        st.sampled_from(
            [*RUN, "\r", "\x1b", "\x9b", "\x07", "\u202e", "\u2066", '"', ",", ";", "'"]
        ),
        st.characters(exclude_categories=("Cs",)),
    ),
    max_size=12,
)


def steers(text: str) -> list[str]:
    """Characters that a terminal obeys or that turn the order of letters."""
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cf") and c not in "\n\t"]


@hostile
@given(NASTY)
def test_no_text_steers_the_terminal_and_plain_ones_stay(text: str):
    shown = printable(text)
    assert not steers(shown)
    assert printable(shown) == shown
    if text.isprintable():
        assert shown == text


@hostile
@given(st.lists(NASTY, min_size=1, max_size=4), NASTY)
def test_no_cell_is_run_by_a_spreadsheet(cells: list[str], name: str):
    """Whatever is a number stays one; whatever else begins as a formula does is marked as text."""
    frame = pd.DataFrame({f"{name}x": cells, "loss": range(len(cells))})
    read = list(csv.reader(io.StringIO(csv_of(frame).decode(), newline="")))
    assert len(read) == len(cells) + 1 and all(len(row) == 2 for row in read)
    for row in read:
        for cell in row:
            assert not cell.startswith(RUN) or is_number(cell), repr(cell)
    for cell, row in zip(cells, read[1:], strict=True):
        assert (
            row[0].removeprefix("'").strip()
            == cell.replace("\r\n", "\n").replace("\r", "\n").removeprefix("'").strip()
        )


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


ESCAPES = ("\x1b[2J\x1b[31m", "\x9b31m", "\x1b]0;owned\x07", "a\u202eb", "x\r\rhidden", "[/bold]")


@pytest.mark.parametrize("text", ESCAPES, ids=[ascii(e) for e in ESCAPES])
def test_no_verb_passes_a_ledgers_texts_to_the_terminal(tmp_path: Path, text: str):
    """Names of baselines, what was damaged, reasons, errors."""
    spec = parse_spec(SWEEP)
    runs = planned_runs(spec, DATA)
    data = DATA.model_copy(update={"baselines": {text: 0.3}, "warnings": (text,)})
    for name in ("one", "two"):
        ledger = Ledger(tmp_path / name)
        ledger.append("plan", **plan_entry(spec, data, runs))
        for i, p in enumerate(runs):
            worse = {"worse_than": {text: 0.3}} if i < 3 else {}
            ledger.record(record(p, reason=text, start=name, **worse))
        ledger.append("damage", found=[text])
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    for verb in (["status", one], ["compare", one, two], ["logs", one, f"{text}x"], ["ask", one]):
        done = CliRunner().invoke(main, verb)
        assert done.exit_code in (0, 2), done.output
        assert not steers(done.output) and "Traceback" not in done.output, verb
    assert text in CliRunner().invoke(main, ["status", one]).output or steers(text)
