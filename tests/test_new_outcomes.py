"""`recscale new` on logs that say the outcome, or the time, in another way than most."""

from __future__ import annotations

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
