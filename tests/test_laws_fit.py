"""Planted laws are recovered, at the global optimum, with a status that can be believed."""

import itertools

import numpy as np
import pandas as pd
import pytest

from recscale.laws import LawError, fit
from recscale.laws.choice import build
from recscale.laws.points import check
from recscale.laws.search import optimum


def planted(n=40, seed=0, noise=0.0, E=1.8, A=400.0, alpha=0.34, B=800.0, beta=0.28):
    """Runs of E + A/N^alpha + B/D^beta with multiplicative noise."""
    rng = np.random.default_rng(seed)
    N, D = 10 ** rng.uniform(6, 9, n), 10 ** rng.uniform(7, 10, n)
    loss = (E + A / N**alpha + B / D**beta) * np.exp(noise * rng.standard_normal(n))
    return pd.DataFrame({"N": N, "D": D, "loss": loss})


def test_additive_law_is_recovered_exactly():
    law = fit(planted(), "additive", ["N", "D"])
    truth = {"E": 1.8, "A_N": 400.0, "A_D": 800.0, "alpha_N": 0.34, "alpha_D": 0.28}
    assert law.status == "converged"
    assert law.coefficients == pytest.approx(truth, rel=1e-6)


def test_power_law_is_recovered_exactly():
    x = np.logspace(3, 7, 9)
    law = fit(pd.DataFrame({"D": x, "loss": 2 + 30 * x**-0.5}), "power", ["D"])
    assert law.coefficients == pytest.approx({"gamma": 2, "alpha": 30, "beta": 0.5}, rel=1e-6)


@pytest.mark.parametrize("p", [3, 4])
def test_several_parameter_groups_are_told_apart(p):
    rng = np.random.default_rng(p)
    names = ["table_params", "dense_params", "samples", "depth"][:p]
    x = pd.DataFrame(10 ** rng.uniform(4, 7, (60, p)), columns=pd.Index(names))
    alpha = dict(zip(names, [0.2, 0.35, 0.5, 0.3], strict=False))
    x["loss"] = 0.4 + sum(3.0 / x[v] ** a for v, a in alpha.items())
    law = fit(x, "additive", names)
    assert law.status == "converged"
    assert {v: law.coefficients[f"alpha_{v}"] for v in names} == pytest.approx(alpha, rel=1e-4)


def test_too_few_runs_are_called_underdetermined_and_refuse_to_predict():
    law = fit(planted(5), "additive", ["N", "D"])
    assert law.status == "underdetermined" and "runs" in law.reason
    assert all(np.isnan(v) for v in law.coefficients.values())
    with pytest.raises(LawError, match="underdetermined"):
        law.predict({"N": 1e9, "D": 1e10})


def test_a_constant_at_zero_is_called_bound_hit():
    x = np.logspace(3, 7, 12)
    law = fit(pd.DataFrame({"D": x, "loss": 5 - 0.25 * np.log(x)}), "power", ["D"])
    assert law.status == "bound_hit" and law.bounds_hit


def test_prediction_holds_the_truth_and_says_how_far_it_reaches():
    law = fit(planted(noise=0.003), "additive", ["N", "D"])
    point = pd.DataFrame({"N": [1e10], "D": [1e11]}, index=["big"])
    answer = law.predict(point, level=0.95).loc["big"]
    truth = 1.8 + 400 / 1e10**0.34 + 800 / 1e11**0.28
    assert answer.low < truth < answer.high
    assert answer.decades == pytest.approx(1.0, abs=0.15)


def test_frontier_agrees_with_the_closed_form():
    law = fit(planted(), "additive", ["N", "D"])
    C = 1e19
    row = law.frontier([C], cost=lambda N, D: 6 * N * D).iloc[0]
    # Hoffmann et al. 2022, eq. 4: N* = G (C / 6)^(beta / (alpha + beta)).
    G = (0.34 * 400 / (0.28 * 800)) ** (1 / 0.62)
    assert pytest.approx(G * (C / 6) ** (0.28 / 0.62), rel=1e-4) == row.N
    assert pytest.approx(C, rel=1e-4) == 6 * row.N * row.D


def test_slopes_are_the_loss_change_of_one_doubling():
    law = fit(planted(noise=0.002), "additive", ["N", "D"])
    at = {"N": 1e8, "D": 1e9}
    table = law.slopes(at).set_index("variable")
    for v, constant, exponent in (("N", 400, 0.34), ("D", 800, 0.28)):
        true = constant / at[v] ** exponent * (2**-exponent - 1)
        assert table.loc[v, "low"] < true < table.loc[v, "high"]


def test_no_start_of_a_brute_force_search_ends_lower():
    from scipy.optimize import minimize

    data = planted(24, seed=3, noise=0.01)
    law = fit(data, "additive", ["N", "D"])
    x, logy = np.log(data[["N", "D"]].to_numpy()), np.log(data.loss.to_numpy())

    def objective(t):
        terms = [np.full(len(x), t[0]), t[1] - t[3] * x[:, 0], t[2] - t[4] * x[:, 1]]
        a = np.abs(np.logaddexp.reduce(terms) - logy)
        return np.where(a < 1e-3, a * a / 2, 1e-3 * (a - 5e-4)).sum()

    starts = itertools.product([-1, 0.5], [0, 10], [0, 10], [0.1, 0.6], [0.1, 0.6])
    ends = [minimize(objective, s, method="BFGS").fun for s in starts]
    assert law.objective <= min(ends) * (1 + 1e-6)


@pytest.mark.parametrize("noise", [1e-4, 0.03])
def test_the_rows_that_are_searched_lead_to_the_minimum_of_all(monkeypatch, noise):
    data = planted(1500, seed=5, noise=noise)
    some = fit(data, "additive", ["N", "D"])
    monkeypatch.setattr("recscale.laws.search.MANY", len(data))
    every = fit(data, "additive", ["N", "D"])
    assert some.objective == pytest.approx(every.objective, rel=1e-9)
    assert some.coefficients == pytest.approx(every.coefficients, rel=1e-5)
    few = data.iloc[np.argsort(data.loss)[:: len(data) // 500]]
    assert abs(some.coefficients["E"] - every.coefficients["E"]) < 1e-3 * abs(
        fit(few, "additive", ["N", "D"]).coefficients["E"] - every.coefficients["E"]
    )


@pytest.mark.parametrize("seed", [1, 5])
def test_a_few_rows_that_differ_from_thousands_are_searched_too(monkeypatch, seed):
    """Of 8,000 rows eight tell the exponent of N and eighty that of D; by their losses not all of
    them stand out."""
    rng, n = np.random.default_rng(seed), 8000
    N, D = np.full(n, 1e6), 10 ** rng.uniform(5, 9, n)
    N[rng.choice(n, 8, replace=False)] = rng.choice([1e5, 1e7, 1e8, 1e9], 8)
    D = np.where(rng.random(n) < 0.99, 1e9, D)
    loss = (1.7 + 400 / N**0.34 + 410 / D**0.28) * np.exp(0.002 * rng.standard_normal(n))
    frame = pd.DataFrame({"N": N, "D": D, "loss": loss})
    form = build("additive", check(frame, ["N", "D"], "loss"))
    data = np.log(np.c_[N, D]), loss, np.ones(n), 1e-3
    some = optimum(form, *data).objective
    monkeypatch.setattr("recscale.laws.search.MANY", n)
    assert some <= optimum(form, *data).objective * (1 + 1e-7)
