"""Metrics where more is better: growth as a logarithm, a power or towards a ceiling."""

import numpy as np
import pandas as pd
import pytest

from recscale.laws import ScalingLaw, Status, fit
from recscale.laws.choice import CATALOGUE

GROWTHS = {
    "logarithm": lambda x: 0.01 * np.log(x / 5e3),
    "slow logarithm": lambda x: 0.002 * np.log(x / 9.9e3),  # nearly 0 at the smallest run
    "power": lambda x: 0.002 * x**0.2,
    "steep power": lambda x: 1e-7 * x**0.9,
    "ceiling": lambda x: 0.4 - 3 * x**-0.3,
    "near its ceiling": lambda x: 0.91 - 0.4 * (x / 1e4) ** -1.2,
    "logistic in log x": lambda x: 0.3 / (1 + (x / 1e6) ** -0.5),
}


def runs(truth, n: int = 8, seed: int = 0) -> pd.DataFrame:
    x = np.geomspace(1e4, 3e7, n)
    noise = 0.01 * np.random.default_rng(seed).normal(size=n)
    return pd.DataFrame({"D": x, "ndcg": truth(x) * np.exp(noise)})


def ends(law: ScalingLaw, at: dict) -> list[np.ndarray]:
    """Mean, low and high of the predictions at some points."""
    told = law.predict(at)
    return [told[c].to_numpy() for c in ("mean", "low", "high")]


@pytest.mark.parametrize("name", GROWTHS)
def test_a_rising_metric_is_predicted_at_its_runs_and_a_little_beyond(name):
    truth = GROWTHS[name]
    law = fit(runs(truth), "auto", ["D"], "ndcg")
    mean, low, high = ends(law, {"D": [3e7, 9e7]})
    assert mean[0] == pytest.approx(truth(3e7), rel=0.03)
    assert mean[1] == pytest.approx(truth(9e7), rel=0.15)
    assert (low > 0.5 * mean).all() and (high < 2 * mean).all()


@pytest.mark.parametrize("form", [f for f, k in CATALOGUE.items() if k.sign < 0])
@pytest.mark.parametrize("name", GROWTHS)
def test_every_form_predicts_at_its_own_largest_run_what_it_fits_there(form, name):
    frame = runs(GROWTHS[name], 12)
    law = fit(frame, form, ["D"], "ndcg")
    if law.status is not Status.CONVERGED:
        assert law.reason
        return
    (mean,), (low,), (high,) = ends(law, {"D": 3e7})
    measured = frame["ndcg"].to_numpy()[-1]
    assert low < measured < high
    # a form that cannot bend so is corrected towards the runs, and none is led away from both
    least, most = sorted([float(law.value({"D": 3e7})[0]), measured])
    assert 0.97 * least < mean < 1.08 * most


def test_two_variables_of_a_rising_metric():
    rng = np.random.default_rng(3)
    n, d = 10 ** rng.uniform(4, 7, 40), 10 ** rng.uniform(5, 8, 40)

    def truth(n, d):
        return 0.3 - 2 * n**-0.4 - 5 * d**-0.3

    metric = truth(n, d) * np.exp(0.01 * rng.normal(size=40))
    law = fit(pd.DataFrame({"N": n, "D": d, "ndcg": metric}), "auto", ["N", "D"], "ndcg")
    (mean,), (low,), (high,) = ends(law, {"N": 1e7, "D": 3e8})
    assert mean == pytest.approx(truth(1e7, 3e8), rel=0.03)
    assert low < truth(1e7, 3e8) < high
