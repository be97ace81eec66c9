"""Noise is of a level of data and robust: one broken cell hides no clean trend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted_study import SWEEP, planted

from recscale.advice.gains import at_all_data, measured_steps, measured_top, measured_turn
from recscale.advice.noise import seed_noise
from recscale.advice.saturated import saturated
from recscale.laws.verdicts import robust_variance
from recscale.study import Study

TREND = {32: 0.9867, 64: 0.9841, 128: 0.9830, 256: 0.9817}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study.of(planted(tmp_path, SWEEP.replace("tune: [1, 3]", "tune: [1]"), mishaps=False))


def told(study: Study, trend: dict[int, float], sd: float, broken: float = 0.0):
    """The study's frame with this trend along mlp_width, seeds that scatter by sd at all of the
    data, and by `broken` at a tenth of it."""
    rng, frame = np.random.default_rng(0), study.frame()
    steady = sd * np.where(frame["seed"] == 0, 1, -1) / np.sqrt(2) * rng.uniform(0.7, 1.3)
    loss = np.array([trend[w] for w in frame["mlp_width"]]) + steady
    tenth = (frame["data_fraction"] == 0.1).to_numpy()
    loss[tenth] = 1.02 + broken * np.where(frame["seed"][tenth] == 0, 1, -1)
    return frame.assign(eval_ne=loss)


def test_a_broken_cell_does_not_set_the_noise(study: Study):
    clean = seed_noise(told(study, TREND, 0.001), "eval_ne")
    broken = seed_noise(told(study, TREND, 0.001, broken=0.032), "eval_ne")
    assert clean and broken
    assert broken.sd < 1.5 * clean.sd
    assert broken.at(1.0) < 1.5 * clean.at(1.0)


def test_a_clean_trend_is_no_noise(study: Study):
    frame = told(study, TREND, 0.001, broken=0.032)
    steps = measured_steps(study, frame, "mlp_width", "eval_ne")
    assert [s.change for s in steps] == pytest.approx([-0.0026, -0.0011, -0.0013], abs=1e-9)
    top = measured_top(study, frame, "mlp_width", "eval_ne")
    assert top and top.high < 0


def test_a_curve_that_ends_is_no_trend(study: Study):
    flat = {32: 0.99, 64: 0.97, 128: 0.9600, 256: 0.9597}
    top = measured_top(study, told(study, flat, 0.001), "mlp_width", "eval_ne")
    assert top and top.high >= 0 and top.start == 128


def test_worse_at_the_top_is_not_grown(study: Study):
    worse = {32: 0.99, 64: 0.97, 128: 0.96, 256: 0.97}
    top = measured_top(study, told(study, worse, 0.001), "mlp_width", "eval_ne")
    assert top and top.low > 0
    assert "mlp_width" not in saturated(study, None)  # the planted trend itself pays


def test_an_unlucky_neighbour_is_no_turn(study: Study):
    """The base is in every step: with bad luck in its seeds it is worse than the value before it,
    and what lies beyond it is not."""
    unlucky = {32: 0.960, 64: 0.966, 128: 0.9601, 256: 0.9599}
    frame = told(study, unlucky, 0.001)
    assert measured_steps(study, frame, "mlp_width", "eval_ne")[0].low > 0
    assert measured_turn(study, frame, "mlp_width", "eval_ne") is None


def test_an_axis_turns_where_all_beyond_is_worse(study: Study):
    worse = {32: 0.963, 64: 0.960, 128: 0.966, 256: 0.9655}
    turn = measured_turn(study, told(study, worse, 0.001), "mlp_width", "eval_ne")
    assert turn and turn.most == 64 and (turn.worse.start, turn.worse.end) == (64, 128)
    paying = told(study, TREND, 0.001)
    assert measured_turn(study, paying, "mlp_width", "eval_ne") is None


def paying_with_data(study: Study, sd: float):
    """One block costs .004 at .02 of the data and gains .02 at all of it."""
    rng, frame = np.random.default_rng(1), study.frame()
    share = np.log(frame["data_fraction"] / 0.02) / np.log(50)
    loss = 0.95 - 0.1 * share + np.where(frame["sequence_depth"] > 0, 0.004 - 0.024 * share, 0.0)
    return frame.assign(eval_ne=loss + sd * rng.standard_normal(len(frame)))


def test_a_step_that_pays_more_with_more_data_is_told_at_all_of_it(tmp_path: Path):
    text = SWEEP.replace("tune: [1, 3]", "tune: [1]").replace("strategy: axes", "strategy: grid")
    text = text.replace("[4, 8, 16, 32]", "4").replace("[32, 64, 128, 256]", "[32, 64]")
    study = Study.of(planted(tmp_path, text, mishaps=False))
    step = measured_steps(study, paying_with_data(study, 0.001), "sequence_depth", "eval_ne")[0]
    assert step.data == 1.0 and step.settings == 2 * 4
    assert step.change == pytest.approx(-0.02, abs=0.002)
    assert step.low < -0.02 < step.high < 0
    # what does not change with the data is the mean of all settings, of one block and two
    flat = measured_steps(study, paying_with_data(study, 0.001), "sequence_depth", "eval_ne")[1]
    assert flat.data is None and flat.low < 0 < flat.high


def test_a_step_is_seldom_told_at_all_data_by_chance():
    rng, told_so = np.random.default_rng(2), 0
    fractions = np.tile([0.02, 0.1, 0.4, 1.0], 2)
    for _ in range(400):
        pairs = pd.DataFrame({"data_fraction": fractions, "mean_a": 0.0})
        told_so += at_all_data(pairs.assign(mean_b=rng.standard_normal(8)), None) is not None
    assert told_so / 400 == pytest.approx(0.1, abs=0.05)


def test_robust_variance_is_the_pooled_one_of_clean_cells():
    rng = np.random.default_rng(0)
    var = rng.chisquare(1, 4000)
    assert robust_variance(var, np.ones(4000)) == pytest.approx(1, abs=0.12)
    two = np.array([1.0, 2.0]), np.ones(2)
    assert robust_variance(*two) == pytest.approx(1.5)
