"""`recscale new` on logs that say the outcome, or the time, in another way than most."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from layouts import N, World, write

from recscale.cli import main
from recscale.specfile import load_spec


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def drafted(columns: dict) -> str:
    """What `new` says of a log of these columns; the sweep `mine` can be prepared."""
    w = World()
    write("log.csv", {"user": w.user, "item": w.item, "time": w.time} | columns)
    shown = CliRunner().invoke(main, ["new", "mine", "--from", "log.csv"])
    assert shown.exit_code == 0, shown.output
    prepared = CliRunner().invoke(main, ["prepare", "mine.yaml"])
    assert prepared.exit_code == 0, prepared.output
    return shown.output + prepared.output


@pytest.mark.parametrize(
    "name, words",
    [("IsClick", "NY"), ("Klick", ("nein", "ja")), ("opened", ("No", "Yes")), ("label", "ab")],
)
def test_words_for_a_click_are_told_and_what_to_write(name, words):
    said = drafted({name: np.where(World().click, words[1], words[0])})
    assert load_spec("mine.yaml").data.task == "next_item"
    low, high = sorted(words)
    assert f"unsure: {name}: {low!r} or {high!r}; if that says what was clicked, write" in said


def test_two_words_that_no_click_has_are_a_feature():
    assert "write it as 0 and 1" not in drafted({"shop": World().choice("north", "south")})


def test_counted_clicks_are_positives_from_one_on():
    counts = np.random.default_rng(0).poisson(0.2, N)
    said = drafted({"impressions": counts + 3, "clicks": counts})
    assert load_spec("mine.yaml").data.positive == "clicks >= 1"
    assert f"clicks >= 1: {(counts > 0).sum()} of {N} rows" in said
    assert "unsure: a row counts once, whatever it counts" in said


def test_grades_that_never_are_0_are_no_counts():
    drafted({"label": World().stars})
    assert load_spec("mine.yaml").data.task == "next_item"


@pytest.mark.parametrize("form", ["%Y%m%dT%H%M%S", "%Y%m%dT%H%M%SZ", "%Y%m%dT%H%M"])
def test_times_in_the_basic_format_of_iso_are_found(form):
    w = World()
    write("log.csv", {"uid": w.user, "pid": w.item, "when": w.moments(form), "click": w.click})
    shown = CliRunner().invoke(main, ["new", "mine", "--from", "log.csv"])
    assert shown.exit_code == 0 and "ISO text, 20171101 to 201711" in shown.output
    prepared = CliRunner().invoke(main, ["prepare", "mine.yaml"])
    assert "training:   2017-11-01" in prepared.output
    assert "unsure: its name does not say item" in shown.output  # a position, as often as a product


@pytest.mark.parametrize(
    "columns, said",
    [
        ({"click": np.where(World().click, "1", "")}, "click: given in 21.7 % of the rows"),
        (
            {"click_time": np.where(World().click, World().moments("%Y-%m-%d %H:%M:%S"), "")},
            "click_time: given in 21.7 % of the rows; if that says what was clicked, write",
        ),
    ],
)
def test_a_click_that_is_there_or_not_is_told(columns, said):
    assert said in drafted(columns)


def content(name: str, data: bytes) -> str:
    Path(name).write_bytes(data)
    return name


def shards_of_one_header() -> str:
    Path("log").mkdir()
    write("log/0.csv", {"user": [1, 2], "item": [1, 2], "time": [1, 2], "click": [0, 1]})
    write("log/1.csv", {"1": [1, 2], "4": [1, 2], "9": [1, 2], "0": [0, 1]})
    return "log"


def archived() -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("log.csv"))
    return held.getvalue()


LINES = "user;item;time\nu1;i1;2\n"
EST = "user,item,time\n" + "u1,i1,2026-08-01 10:00 EST\nu2,i2,2026-08-01 11:00 EST\n" * 9


@pytest.mark.parametrize(
    "log, said",
    [
        (lambda: content("log.json", b'[{"user": 1, "item": 2}]'), "jq -c '.[]' does it to an"),
        (lambda: content("log.csv", f"sep=;\n{LINES}".encode()), "Excel alone reads; remove it"),
        (lambda: content("log.tar", archived()), "is a tar archive; unpack"),
        (lambda: content("log.tar.gz", gzip.compress(archived())), "is a tar archive; unpack"),
        (lambda: content("log.csv", EST.encode()), "has '2026-08-01 10:00 EST', which is none"),
        (shards_of_one_header, "and log/1.csv has 1, 4, 9, 0: files of one log share their col"),
    ],
)
def test_what_is_no_log_yet_is_refused_with_what_to_do(log, said):
    path = log()
    shown = CliRunner().invoke(main, ["new", "mine", "--from", path])
    assert shown.exit_code == 2 and said in shown.output, shown.output
    assert path in shown.output and len(shown.output.splitlines()) == 1
    assert not Path("mine.yaml").exists()


@pytest.mark.parametrize("name", ["tid", "day_name"])
def test_an_id_or_a_word_is_no_time(name):
    """Nor are users told by what only ends as their ids do."""
    w = World()
    columns = {"user_id": w.user, "item_id": w.item, name: w.category, "paid": w.category % 3}
    Path("log.csv").unlink(missing_ok=True)
    shown = CliRunner().invoke(main, ["new", "mine", "--from", write("log.csv", columns)])
    assert shown.exit_code == 2 and "no column holds times" in shown.output
    assert f"{name!r} has" not in shown.output
