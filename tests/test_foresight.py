"""What planned runs are expected to tell, and the change that tells more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recscale.laws.choice import build
from recscale.laws.inference import belief_of
from recscale.laws.modes import Sample
from recscale.laws.points import check
from recscale.planner import increments, planned_runs
from recscale.planner.changes import changes
from recscale.planner.foresight import LEVEL, expected_half, foresee
from recscale.planner.typical import DEPARTURE, typical
from recscale.report.terminal import foresight_line
from recscale.specfile import parse_spec

GRID = """
name: grid
data: {source: synthetic, rows: 20000, users: 500, items: 300}
model: {family: dlrm, embedding_dim: DIMS, mlp_width: 16}
train: {data_fraction: FRACTIONS, batch_size: 256}
budget: {flop: 1e15}
"""


def spec_of(dims: str, fractions: str, more: str = ""):
    return parse_spec(GRID.replace("DIMS", dims).replace("FRACTIONS", fractions) + more)


@pytest.fixture(scope="module")
def points():
    n, d = (a.ravel() for a in np.meshgrid(np.geomspace(1e4, 1e6, 5), np.geomspace(1e5, 1e7, 5)))
    return check(pd.DataFrame({"N": n, "D": d, "loss": 1 + 1 / n}), ["N", "D"], "loss")


def test_the_expected_interval_is_that_of_planted_laws(points):
    """Of exact laws with other constants, and their own noise: within a factor of two."""
    at, halves = points.logx.max(0)[None] + np.log(3), []
    rng = np.random.default_rng(5)
    for e, a, b in (0.5, 0.3, 0.4), (0.7, 0.45, 0.3), (0.6, 0.4, 0.25):
        x = points.logx - points.logx.min(0)
        y = e + (1 - e) * (np.exp(-a * x[:, 0]) + np.exp(-b * x[:, 1])) / 2
        y = y * np.exp(0.005 * rng.standard_normal(len(y)))
        sample = Sample(points.logx, np.log(y), np.zeros(points.n), np.argsort(points.rank))
        known = replace(points, y=y)
        _, low, high = belief_of(build("additive", known), sample).interval(at, LEVEL)
        halves.append(np.log(high / low)[0] / 2)
    expected = expected_half("additive", points, at)
    assert 0.5 < expected / np.exp(np.mean(np.log(halves))) < 2
    assert expected_half("additive", points, at, departing=True) > 1.2 * expected


def test_more_points_leave_the_imagined_losses_of_the_others(points):
    """So that two sweeps of which one holds the other are compared on the same chance."""
    more = np.concatenate([points.logx, points.logx[:3], points.logx + 0.3])
    few, many = typical(points.logx, 1, departing=True), typical(more, 1, departing=True)
    wander = np.log(many[: points.n] / few)
    law = np.log(typical(more, 1)[: points.n] / typical(points.logx, 1))
    _, share = DEPARTURE
    assert np.abs(wander - law).max() < 0.2 * share * np.ptp(np.log(few)) + 1e-9


def test_the_least_expensive_change_makes_a_law(data):
    spec = spec_of("[4, 8, 16]", "[0.25, 1.0]")
    spec = spec.model_copy(
        update={"law": spec.law.model_copy(update={"variables": ("table_params", "samples")})}
    )
    planned = planned_runs(spec, data)
    ahead = foresee(spec, data, planned)
    assert ahead and ahead.half is None and ahead.change
    assert (ahead.change.key, ahead.change.value) == ("train.data_fraction", "[0.062, 0.25, 1]")
    assert ahead.change.new == 3
    whole = sum(p.cost.train_flop for p in increments(ahead.change.runs))
    assert ahead.change.flop == pytest.approx(whole - sum(p.cost.train_flop for p in planned))
    line = foresight_line(ahead, "dlrm", "eval_ne")
    assert "the least expensive change that gives a law: train.data_fraction" in line

    mended = spec_of("[4, 8, 16]", ahead.change.value)
    mended = mended.model_copy(update={"law": spec.law})
    ahead = foresee(mended, data, planned_runs(mended, data))
    assert ahead and ahead.half and ahead.larger == ("table_params", "samples")
    line = foresight_line(ahead, "dlrm", "eval_ne")
    assert "eval_ne of a run 3.2 times the largest in table_params and samples" in line


def test_changes_keep_every_run_and_come_by_price(data):
    spec = spec_of("[4, 8, 16]", "[0.25, 1.0]", "search: {strategy: axes}")
    planned = planned_runs(spec, data)
    found = changes(spec, data, planned, swept=True)
    assert {c.key for c in found} == {"model.embedding_dim", "train.data_fraction", "train.seeds"}
    for change in found:
        assert [p.run_id for p in change.runs[: len(planned)]] == [p.run_id for p in planned]
        assert len(change.runs) == len(planned) + change.new
    assert [c.flop for c in found] == sorted(c.flop for c in found)
    assert [c.value for c in found if c.key == "model.embedding_dim"] == ["[4, 8, 16, 32]"]
