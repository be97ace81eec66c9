"""The compute-equivalent gain against curves whose inverse is known."""

from __future__ import annotations

import numpy as np
import pytest

from recscale.advice.equivalent import REACH, gains, grid

BUDGETS = [1e9, 1e10, 1e11]


def power(budgets, scale: float, exponent: float, spread: np.ndarray) -> np.ndarray:
    """Log losses (n, m) of a power law of compute, one scale a draw."""
    return -exponent * (np.log(np.asarray(budgets) / 1e9)[None] - np.log(scale * spread)[:, None])


def test_a_family_that_needs_three_times_the_compute_has_a_gain_of_three():
    spread = np.exp(0.1 * np.random.default_rng(0).standard_normal(2000))
    first = power(BUDGETS, 1.0, 0.1, np.ones(2000))
    found = gains(BUDGETS, first, grid(BUDGETS), power(grid(BUDGETS), 3.0, 0.1, spread))
    assert found["gain"].to_numpy() == pytest.approx(3.0, rel=0.01)
    assert found["low"].to_numpy() == pytest.approx(3 * np.exp(-0.1645), rel=0.03)
    assert found["high"].to_numpy() == pytest.approx(3 * np.exp(0.1645), rel=0.03)


def test_steeper_laws_gain_less_with_every_decade():
    one = np.ones(50)
    other = power(grid(BUDGETS), 3.0, 0.2, one)
    found = gains(BUDGETS, power(BUDGETS, 1.0, 0.1, one), grid(BUDGETS), other)
    assert found["gain"].to_numpy() == pytest.approx([3, 3 * 10**-0.5, 0.3], rel=0.01)


def test_what_is_never_reached_or_always_passed_is_no_number():
    one, floor = np.ones(50), np.full((50, 25), -0.1)
    floor[:, 0] = 0.3
    first = np.log(np.array([[1.1, 0.95, 0.5]])) * one[:, None]
    found = gains(BUDGETS, first, grid(BUDGETS), np.minimum.accumulate(floor, axis=1))
    assert found["gain"].tolist()[2] == np.inf
    assert 0 < found["gain"].tolist()[0] < 1
    above = np.full((50, 3), 2.0)
    assert gains(BUDGETS, above, grid(BUDGETS), floor)["gain"].tolist() == [0, 0, 0]
    nothing = np.full((50, 25), np.inf)
    assert gains(BUDGETS, above, grid(BUDGETS), nothing)["gain"].tolist() == 3 * [np.inf]
    assert grid(BUDGETS)[-1] == pytest.approx(1e11 * REACH)
