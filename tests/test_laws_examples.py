"""The examples of the public functions run as printed, and importing them stays light."""

import doctest
import importlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from recscale.laws import fit


@pytest.mark.parametrize("name", ["fit", "law", "compare", "table", "expressions"])
def test_documented_examples_run(name):
    module = importlib.import_module(f"recscale.laws.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0


def test_laws_import_neither_torch_nor_ray():
    code = "import sys, recscale.laws; print([m for m in ('torch', 'ray') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_least_squares_is_the_least_squares():
    from scipy.optimize import least_squares

    rng = np.random.default_rng(0)
    x = np.geomspace(1e3, 1e7, 30)
    y = (2 + 30 * x**-0.4) * np.exp(0.01 * rng.standard_normal(30))
    law = fit(pd.DataFrame({"D": x, "loss": y}), "power", ["D"], objective="squares")

    def residuals(t):
        return np.log(t[0] + t[1] * x ** -t[2]) - np.log(y)

    best = least_squares(residuals, [2, 30, 0.4], xtol=1e-14, ftol=1e-14, gtol=1e-14)
    assert law.objective == pytest.approx(best.cost, rel=1e-9)
    assert list(law.coefficients.values()) == pytest.approx(best.x, rel=1e-4)


def test_weights_say_how_much_each_run_counts():
    x = np.geomspace(1e3, 1e7, 24)
    frame = pd.DataFrame({"D": x, "loss": 2 + 30 * x**-0.4, "w": 1.0})
    frame.loc[::4, "loss"] *= 1.1
    frame.loc[::4, "w"] = 1e-9
    law = fit(frame, "power", ["D"], objective="squares", weights="w")
    assert law.coefficients["beta"] == pytest.approx(0.4, abs=1e-4)


def test_a_huge_delta_is_least_squares_and_a_small_one_shrugs_outliers_off():
    x = np.geomspace(1e3, 1e7, 24)
    frame = pd.DataFrame({"D": x, "loss": 2 + 30 * x**-0.4})
    frame.loc[3, "loss"] *= 1.3
    robust = fit(frame, "power", ["D"], delta=1e-4)
    assert robust.coefficients["beta"] == pytest.approx(0.4, abs=1e-3)
    squares = fit(frame, "power", ["D"], objective="squares")
    wide = fit(frame, "power", ["D"], delta=100.0)
    assert wide.coefficients == pytest.approx(squares.coefficients, rel=1e-6)
