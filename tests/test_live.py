"""The page of a sweep that runs: made by a thread when there is news, marked while the sweep lives,
and never in the driver's way."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from unittest.mock import patch

import pytest
from planted_study import DATA, SWEEP, planted, record

from recscale.ledger import Ledger
from recscale.planner import planned_runs
from recscale.report import live
from recscale.report.live import EVERY_S, SIGN_S, LivePage
from recscale.specfile import parse_spec
from recscale.study import Study, plan_entry

FEW = SWEEP.replace("[4, 8, 16, 32]", "[8, 16]").replace("seeds: 2", "seeds: 1")

N = len(planned_runs(parse_spec(FEW), DATA))


class Sweep:
    """A ledger to which runs are added, and a clock that is set by hand."""

    def __init__(self, folder: Path):
        self.folder, self.clock, self.said = folder, 0.0, []
        spec = parse_spec(FEW)
        self.runs = list(planned_runs(spec, DATA))
        self.ledger = Ledger(folder)
        self.ledger.append("plan", **plan_entry(spec, DATA, self.runs))
        self.page = LivePage(str(folder), self.said.append, now=lambda: self.clock)

    def end(self, n: int) -> None:
        for p in self.runs[:n]:
            self.ledger.record(record(p))
        self.runs = self.runs[n:]

    def look(self) -> str:
        self.page.update(Study.of(self.ledger))
        if self.page.thread:
            self.page.thread.join()
        return self.html()

    def html(self) -> str:
        path = self.folder / "report.html"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path)


def test_it_is_there_before_the_first_run_ends_and_says_that_it_lives(sweep: Sweep):
    html = sweep.look()
    assert f'data-live="{EVERY_S}"' in html and f"0 of {N} runs done" in html
    assert not sweep.said


def test_it_is_made_when_runs_have_ended_and_not_before_a_minute_is_over(sweep: Sweep):
    sweep.look()
    sweep.end(2)
    sweep.clock = EVERY_S / 2
    assert f"0 of {N} runs done" in sweep.look()
    sweep.clock = EVERY_S + 1
    assert f"2 of {N} runs done" in sweep.look()


def test_without_news_nothing_is_fitted_and_a_sign_of_life_is_left(sweep: Sweep):
    sweep.look()
    with patch.object(live, "pages", side_effect=AssertionError):
        sweep.clock = EVERY_S + 1
        before = sweep.page.written_at
        sweep.look()
        assert sweep.page.written_at == before
        sweep.clock = SIGN_S + 1
        sweep.look()
        assert sweep.page.written_at == sweep.clock
    assert not sweep.said


def test_making_it_takes_a_tenth_of_the_time_at_most(sweep: Sweep):
    def slow(study: Study) -> dict[str, str]:
        sweep.clock += 30
        return {"report.html": "<body>"}

    with patch.object(live, "pages", slow):
        sweep.look()
    assert sweep.page.due >= 30 + 30 / 0.1


def test_the_driver_does_not_wait_for_it(sweep: Sweep):
    gate = threading.Event()
    with patch.object(live, "pages", lambda _: gate.wait() and {} or {}):
        began = time.monotonic()
        sweep.page.update(Study.of(sweep.ledger))
        sweep.clock = 1e6
        sweep.page.update(Study.of(sweep.ledger))  # one at a time
        assert time.monotonic() - began < 5
        gate.set()
        assert sweep.page.thread is not None
        sweep.page.thread.join()


@pytest.mark.parametrize("where", ["pages", "write_all"])
def test_trouble_is_said_once_and_ends_nothing(sweep: Sweep, where: str):
    with patch.object(live, where, side_effect=OSError("no room")):
        for _ in range(3):
            sweep.look()
            sweep.clock += 1e4
            sweep.end(1)
    assert sweep.said == ["the page was not written: no room"]
    assert f"3 of {N} runs done" in sweep.look()  # once there is room again


def test_the_end_is_the_page_of_the_report(sweep: Sweep):
    with sweep.page:
        sweep.end(N)
        study = Study.of(sweep.ledger)
        sweep.page.finish(study)
        final = sweep.html()
    assert final == live.pages(study)["report.html"] == sweep.html()
    assert "data-live" not in final


def test_a_page_that_is_late_does_not_follow_the_last(sweep: Sweep):
    gate, real = threading.Event(), live.pages
    with patch.object(live, "pages", lambda study: gate.wait() and real(study)):
        sweep.page.update(Study.of(sweep.ledger))
    sweep.end(N)
    with sweep.page:
        sweep.page.finish(Study.of(sweep.ledger))
    gate.set()
    assert f"{N} of {N} runs done" in sweep.look()


def test_a_sweep_that_is_stopped_leaves_a_page_that_says_so(sweep: Sweep):
    with sweep.page:
        sweep.look()
    assert 'data-stopped="1"' in sweep.html() and "data-live" not in sweep.html()


def test_a_study_without_news_keeps_its_law(tmp_path: Path):
    ledger = planted(tmp_path, mishaps=False)
    first = Study.of(ledger)
    law = first.law()
    again = Study.of(ledger, before=first)
    assert again.laws()[0].law is first.laws()[0].law and again.law() is law
    ledger.record(record(first.planned[0]))  # a repeat: nothing new
    assert Study.of(ledger, before=again).law() is law
    run = planned_runs(parse_spec(SWEEP.replace("tune: [1, 3]", "tune: [1, 2]")), DATA)[-1]
    ledger.append("plan", **plan_entry(first.spec, DATA, [*first.planned, run]))
    ledger.record(record(run))
    assert Study.of(ledger, before=again).law() is not law
