"""Storage that others may write to: a link in place of a file is not followed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from planted_study import planted

from recscale.cli import main
from recscale.data.prepare import prepare
from recscale.data.remote import prepared
from recscale.ledger import Ledger
from recscale.report.page import write_report
from recscale.report.spreadsheet import csv_of
from recscale.storage import StorageError, filesystem, write
from recscale.study import Study


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A file elsewhere that nobody may lose."""
    path = tmp_path / "theirs"
    path.write_text("precious")
    return path


def test_a_file_takes_the_place_of_a_link_and_leaves_what_it_points_to(tmp_path, theirs):
    for name in ("out", "out.part"):
        os.symlink(theirs, tmp_path / name)
    write(*filesystem(tmp_path / "out"), b"ours")
    assert not (tmp_path / "out").is_symlink() and (tmp_path / "out").read_text() == "ours"
    assert theirs.read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "out.part", "theirs"]


def test_nothing_is_left_where_a_file_cannot_be_written(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(OSError):
        write(*filesystem(tmp_path / "out"), b"ours")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_ledger_is_not_written_through_a_link(tmp_path, theirs):
    ledger = Ledger(tmp_path / "run")
    ledger.append("session")
    path = next(p for p in (tmp_path / "run").rglob("*") if p.is_file())
    path.unlink()
    path.symlink_to(theirs)
    with pytest.raises(StorageError, match="holds a link where a file belongs .* remove the link"):
        ledger.append("session")
    assert theirs.read_text() == "precious"


def test_reports_and_their_tables_are_not_written_through_links(tmp_path, theirs):
    planted(tmp_path / "run")
    names = ("report.html", "runs.csv", "runs.parquet", "curves.parquet")
    for name in names:
        (tmp_path / "run" / name).symlink_to(theirs)
    write_report(Study.open(str(tmp_path / "run")), str(tmp_path / "run"))
    assert theirs.read_text() == "precious"
    assert not any((tmp_path / "run" / name).is_symlink() for name in names)


def test_a_page_of_a_law_replaces_a_link(tmp_path, theirs):
    D = np.geomspace(1e3, 1e7, 9)
    pd.DataFrame({"D": D, "loss": 2 + 30 * D**-0.5}).to_csv(tmp_path / "runs.csv")
    (tmp_path / "law.html").symlink_to(theirs)
    call = ["fit", str(tmp_path / "runs.csv"), "--variables", "D", "--form", "power", "--report"]
    assert CliRunner().invoke(main, [*call, str(tmp_path / "law.html")]).exit_code == 0
    assert theirs.read_text() == "precious" and "D" in (tmp_path / "law.html").read_text()
    (tmp_path / "folder.html").mkdir()
    result = CliRunner().invoke(main, [*call, str(tmp_path / "folder.html")])
    assert result.exit_code == 2 and "folder.html" in result.output


def test_the_locks_of_prepared_data_are_not_opened_through_links(tmp_path, theirs, small):
    data = small.data.model_copy(update={"rows": 2000})
    store = prepare(data, tmp_path / "stores")
    lock = next((tmp_path / "stores").glob(".*.lock"))
    (store / "manifest.json").unlink()
    lock.unlink()
    lock.symlink_to(theirs)
    with pytest.raises(StorageError, match="holds a link where a file belongs"):
        prepared(data, str(tmp_path / "stores"))
    assert theirs.read_text() == "precious"


FORMULAS = ["=1+1", "+cmd", "-cmd", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1", "a\r=1+1"]


def test_no_cell_or_header_is_a_formula_and_numbers_stay_numbers(tmp_path):
    D = np.geomspace(1e3, 1e7, len(FORMULAS))
    frame = pd.DataFrame({"D": D, "loss": 2 - 30 * D**-0.5, "=name": FORMULAS, "shift": -D})
    frame["held"] = [-1, "-2.5", "plain", None, True, "=", "1+1", ("=x",), 0.5]
    (tmp_path / "runs.csv").write_bytes(csv_of(frame))
    read = pd.read_csv(tmp_path / "runs.csv")
    assert list(read) == ["D", "loss", "'=name", "shift", "held"]
    assert read["'=name"].to_list() == [
        *(f"'{text}".replace("\r", "\n") for text in FORMULAS[:-1]), "a\n=1+1"
    ]  # fmt: skip
    assert np.array_equal(read["shift"], -D) and np.array_equal(read["D"], D)
    assert read["held"].fillna("").to_list() == [
        "-1", "-2.5", "plain", "", "True", "'=", "1+1", "('=x',)", "0.5"
    ]  # fmt: skip
    assert list(frame)[2] == "=name" and frame.loc[0, "=name"] == "=1+1"  # the frame is untouched


def test_the_runs_of_a_report_can_be_fitted_from_their_file(tmp_path):
    planted(tmp_path)
    study = Study.open(str(tmp_path))
    write_report(study, str(tmp_path))
    words = ["--variables", "table_params,dense_params,samples", "--loss", "eval_ne"]
    words += ["--where", "enters_law", "--json"]
    result = CliRunner().invoke(main, ["fit", str(tmp_path / "runs.csv"), *words])
    assert result.exit_code == 0, result.output
    assert f'"n": {study.law().n}' in result.output
