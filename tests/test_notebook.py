"""The door from a notebook: a sweep file planned, a run directory asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from planted_study import DATA, record

import recscale
from recscale.cli import main
from recscale.laws import LawError
from recscale.ledger import Ledger
from recscale.planner import planned_runs
from recscale.specfile import SpecError, parse_spec
from recscale.study import StudyError, plan_entry

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


def test_several_families_are_asked_each(tmp_path: Path):
    """In the words of `recscale ask`."""
    sizes = "embedding_dim: [4, 8, 16], mlp_width: [32, 64, 128]"
    spec = parse_spec(f"""
name: both
data: {{source: synthetic}}
model: [{{family: dlrm, {sizes}}}, {{family: dcnv2, {sizes}}}]
train: {{data_fraction: [0.02, 0.1, 1.0], batch_size: 512}}
budget: {{flop: 1e18}}
""")
    runs = planned_runs(spec, DATA)
    ledger = Ledger(tmp_path / "both")
    ledger.append("plan", **plan_entry(spec, DATA, runs))
    for p in runs:
        ledger.record(record(p))
    told = recscale.open(tmp_path / "both").ask("3x")
    shown = CliRunner().invoke(main, ["ask", str(tmp_path / "both"), "--compute", "3x"])
    assert shown.exit_code == 0 and shown.output.strip() == told.strip()
    assert "dlrm:\n" in told and "dcnv2:\n" in told
    opened = recscale.open(tmp_path / "both")
    assert opened.law("dcnv2").n == opened.law("dlrm").n == len(runs) // 2
    with pytest.raises(LawError, match=r"name one of dlrm, dcnv2, such as law\('dlrm'\)"):
        opened.law()
    with pytest.raises(LawError, match="no family 'wukong'"):
        opened.law("wukong")
