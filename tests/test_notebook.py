"""The door from a notebook: a sweep file planned, a run directory asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import recscale
from recscale.specfile import SpecError
from recscale.study import StudyError

TRAINER = """
name: mine
command: [python, -c, "print(1)", "{hidden}", "{samples}"]
axes: {hidden: [16, 64, 256], samples: [1e3, 1e4, 1e5]}
cost: 6 * hidden * samples
budget: {flop: 1e9}
"""


def test_a_sweep_is_planned_as_a_frame(sweep_file: Callable[..., Path]):
    sweep = recscale.load(sweep_file(TRAINER))
    plan = sweep.plan()
    assert len(plan) == 9 and plan["train_flop"].is_monotonic_increasing
    assert {"run_id", "hidden", "samples", "usd", "done"} <= {*plan} and set(plan["done"]) == {
        False
    }
    search = TRAINER + "search: {strategy: frontier, target: {flop: 100x}}\n"
    assert 0 < len(recscale.load(sweep_file(search)).plan()) < 9
    with pytest.raises(SpecError):
        recscale.load(sweep_file("name: x"))


def test_runs_are_asked(tmp_path: Path):
    ledger = recscale.Ledger(tmp_path)
    for h in (16, 64, 256):
        for n in (1e3, 1e4, 1e5):
            ledger.record(axes={"hidden": h}, samples=n, cost="6 * hidden * samples",
                          loss=0.3 + h**-0.5 + 10 * n**-0.5)  # fmt: skip
    runs = recscale.open(tmp_path)
    assert "9 of 9 runs done" in repr(runs) and len(runs.frame()) == 9
    law = runs.law()
    assert law.coefficients["alpha_hidden"] == pytest.approx(0.5, abs=0.02)
    assert str(law) == law.summary() and "\nalpha_hidden " in law.summary()
    assert "hidden" in runs.ask("10x")
    with pytest.raises(StudyError):
        recscale.open(tmp_path / "nothing")
    assert {"load", "open"} <= set(dir(recscale)) & set(recscale.__all__)
