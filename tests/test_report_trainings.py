"""The report of a sweep whose runs are points of trainings."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted_study import DATA, record

from recscale.ledger import Ledger
from recscale.planner import planned_runs
from recscale.planner.fixed import Planned, increments
from recscale.report.findings import find
from recscale.report.page import render
from recscale.report.trainings import section
from recscale.run import RunRecord
from recscale.specfile import parse_spec
from recscale.study import Study, plan_entry

SWEEP = """
name: trainings
data: {source: synthetic}
model: {family: dlrm, embedding_dim: [4, 8, 16], mlp_width: [32, 64, 128]}
train: {data_fraction: [0.05, 0.1, 0.2, 0.5, 1.0], batch_size: 512, schedule: anytime}
law: {variables: [table_params, dense_params, samples]}
budget: {flop: 1e15}
"""


def point(run: Planned, step: Planned) -> RunRecord:
    return record(run, trajectory=run.place.trajectory, measured=step.cost, whole=run.cost)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    ledger: Ledger = Ledger(tmp_path_factory.mktemp("trainings"), name="trainings")
    spec = parse_spec(SWEEP)
    planned = planned_runs(spec, DATA)
    ledger.append("plan", **plan_entry(spec, DATA, planned))
    steps = {p.run_id: p for p in increments(planned)}
    for p in planned:
        ledger.record(point(p, steps[p.run_id]))
    return Study.of(ledger)


def test_the_law_counts_points_of_one_training_once(study: Study):
    law = study.law()
    assert law.points.runs == 9 and law.n == 45
    assert 9 <= law.independent <= 45


def test_the_report_tells_what_the_trainings_cost_and_need(study: Study):
    found = section(find(study))
    assert found is not None and found["of"] == 9
    first = found["sentences"][0]
    assert first.startswith("These 45 points are of 9 trainings")
    together = sum(r.spent.train_flop for r in study.records)
    apart = sum(r.trained.train_flop for r in study.records)
    assert f"{apart / together:.2g} times that" in first and apart > 1.8 * together
    assert len(found["needs"]) == 9 and all(len(row) == 4 for row in found["needs"])
    assert all(int(row[1]) == 5 for row in found["rows"])
    drawn = found["plots"]["trainings"]["data"]
    assert sum(t["mode"] == "lines" for t in drawn) == sum(t["mode"] == "markers" for t in drawn)
    page = render(study)
    assert "Points of one training" in page and "9 of 9 trainings" in page


def test_a_sweep_of_separate_runs_has_no_such_section(tmp_path: Path):
    ledger = Ledger(tmp_path, name="apart")
    spec = parse_spec(SWEEP.replace(", schedule: anytime", ""))
    planned = planned_runs(spec, DATA)
    ledger.append("plan", **plan_entry(spec, DATA, planned))
    for p in planned:
        ledger.record(record(p))
    assert section(find(Study.of(ledger))) is None
