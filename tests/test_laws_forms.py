"""Every form: derivatives against finite differences, planted constants found again."""

import numpy as np
import pandas as pd
import pytest

from recscale.laws import LawError, Role, fit
from recscale.laws.choice import CATALOGUE, Kind, build
from recscale.laws.forms import Form
from recscale.laws.nouns import Constant
from recscale.laws.points import check
from recscale.laws.polish import gradient, objective
from recscale.laws.words import answers

CASES = [(name, p) for name, kind in CATALOGUE.items() for p in kind.takes if p <= 3]


def design(name: str, p: int, n: int = 60):
    """n positive points, one planted theta inside the form's bounds, and the form."""
    rng = np.random.default_rng(len(name) + p)
    names = ["N", "D", "U", "V"][:p]
    frame = pd.DataFrame(10 ** rng.uniform(5, 8, (n, p)), columns=pd.Index(names))
    if name == "repeated":
        frame["U"] = frame["D"] / 10 ** rng.uniform(0, 2, n)
    frame["loss"] = rng.uniform(1, 2, n)
    points = check(frame, names, "loss")
    form = build(name, points)
    theta = rng.uniform(0.3, 0.8, (1, len(form.lower)))
    if form.sign < 0:
        theta[:, 0] = 40.0  # a metric stays positive over the whole design
    if name == "repeated":
        theta[:, 5] = 3.0
    return frame, names, points, form, theta


@pytest.mark.parametrize(("name", "p"), CASES)
def test_derivatives_match_finite_differences(name, p):
    *_, points, form, theta = design(name, p)
    jac = form.evaluate(theta, points.logx)[1][0]
    h = 1e-6
    for i in range(theta.shape[1]):
        step = np.zeros_like(theta)
        step[:, i] = h
        up, down = (form.evaluate(theta + s, points.logx)[0][0] for s in (step, -step))
        assert jac[i] == pytest.approx((up - down) / (2 * h), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("delta", [1e-3, np.inf])
def test_gradient_of_the_objective_matches_finite_differences(delta):
    *_, points, form, theta = design("additive", 2)
    args = (points.logx, np.log(points.y), points.weights, delta)
    for i in range(theta.shape[1]):
        step = np.zeros_like(theta)
        step[:, i] = 1e-6
        up, down = (objective(form, theta + s, *args)[0] for s in (step, -step))
        assert gradient(form, theta, *args)[0, i] == pytest.approx((up - down) / 2e-6, rel=1e-3)


@pytest.mark.parametrize(("name", "p"), CASES)
def test_planted_constants_are_found(name, p):
    frame, names, points, form, theta = design(name, p)
    frame["loss"] = form.evaluate(theta, points.logx)[0][0]
    law = fit(frame, name, names)
    truth = dict(zip(form.names, form.coefficients(theta)[0], strict=True))
    assert law.status == "converged"
    assert law.coefficients == pytest.approx(truth, rel=1e-4)


def test_repeated_data_is_worth_less_by_the_planted_rate():
    rng = np.random.default_rng(0)
    N, U = 10 ** rng.uniform(7, 9, 80), 10 ** rng.uniform(7, 8, 80)
    D = U * 10 ** rng.uniform(0, 1.5, 80)
    worth = U * (1 + 15.4 * -np.expm1(-(D / U - 1) / 15.4))
    loss = 1.9 + 300 / N**0.35 + 500 / worth**0.36
    loss *= np.exp(0.001 * rng.standard_normal(80))
    law = fit(pd.DataFrame({"N": N, "D": D, "U": U, "loss": loss}), "repeated", ["N", "D", "U"])
    assert law.coefficients["R_star"] == pytest.approx(15.4, rel=0.1)


def test_repeated_form_needs_repetition():
    frame, names, *_ = design("additive", 3)
    frame["U"] = frame["D"]
    law = fit(frame, "repeated", names)
    assert law.status == "underdetermined" and "more than once" in law.reason


def test_a_peak_inside_an_axis_is_found():
    depth = np.geomspace(1, 64, 20)
    metric = 0.2 - 0.01 * np.log(depth) - 0.06 / depth**0.9
    law = fit(pd.DataFrame({"depth": depth, "ndcg": metric}), "peaked", ["depth"], "ndcg")
    c = law.coefficients
    best = (c["alpha_depth"] * c["A_depth"] / c["fall_depth"]) ** (1 / c["alpha_depth"])
    assert best == pytest.approx((0.9 * 0.06 / 0.01) ** (1 / 0.9), rel=1e-3)
    top = law.frontier([60.0], cost=lambda depth: depth).iloc[0]
    assert top.depth == pytest.approx(best, rel=1e-3)  # more is allowed and would hurt


def test_auto_takes_the_form_that_predicts_and_shows_the_losers():
    rng = np.random.default_rng(1)
    N, D = 10 ** rng.uniform(6, 9, 80), 10 ** rng.uniform(7, 10, 80)
    noise = np.exp(0.001 * rng.standard_normal(80))
    coupled = 1.7 + ((2e8 / N) ** (0.5 / 0.7) + 4e8 / D) ** 0.7
    frame = pd.DataFrame({"N": N, "D": D, "loss": coupled * noise})
    law = fit(frame, "auto", ["N", "D"])
    assert law.form in ("kaplan", "gamma")  # the same family; additive is far off
    forms = {"additive", "gamma", "bounded", "kaplan"}
    assert law.choice is not None and set(law.choice["form"]) == forms
    errors = dict(zip(law.choice["form"], law.choice["rolling_error"], strict=True))
    assert errors["additive"] > 2 * errors[law.form]
    assert law.choice["chosen"].to_list().count(True) == 1


def test_auto_prefers_fewer_constants_when_they_predict_as_well():
    rng = np.random.default_rng(2)
    N, D = 10 ** rng.uniform(6, 9, 80), 10 ** rng.uniform(7, 10, 80)
    loss = (1.8 + 400 / N**0.34 + 800 / D**0.28) * np.exp(0.003 * rng.standard_normal(80))
    assert fit(pd.DataFrame({"N": N, "D": D, "loss": loss}), "auto", ["N", "D"]).form == "additive"


def test_a_law_that_bends_once_is_found_and_followed_beyond_its_turn():
    x = np.geomspace(1e3, 1e8, 40)
    truth = {"E": 1.2, "A_x": 30.0, "early_x": 0.5, "late_x": 0.15, "turn_x": 1e5, "width_x": 0.5}
    loss = 1.2 + 30 * x**-0.5 * (1 + (x / 1e5) ** 2) ** (0.35 * 0.5)
    frame = pd.DataFrame(
        {"x": x, "loss": loss * np.exp(0.002 * np.random.default_rng(0).normal(size=40))}
    )
    law = fit(frame, "broken", ["x"])
    ends = law.intervals(0.95).set_index("coefficient")
    low, high = (ends[c].astype(float).to_dict() for c in ("low", "high"))
    assert sum(low[k] <= value <= high[k] for k, value in truth.items()) >= 5, ends
    far = pd.DataFrame({"x": [1e9]})
    bent = 1.2 + 30 * 1e9**-0.5 * (1 + 1e8) ** (0.35 * 0.5)
    ahead = [np.asarray(fit(frame, form, ["x"]).value(far)) for form in ("broken", "additive")]
    assert float(abs(ahead[0] - bent)[0]) < 0.01 < float(abs(ahead[1] - bent)[0])


def test_auto_takes_a_rising_form_for_a_metric():
    x = np.geomspace(1e4, 1e8, 24)
    metric = 0.12 - 0.8 * x**-0.3
    law = fit(pd.DataFrame({"N": x, "ndcg": metric}), "auto", ["N"], "ndcg")
    assert law.form == "saturating"
    assert law.coefficients["ceiling"] == pytest.approx(0.12, rel=1e-3)


def test_a_form_refuses_the_wrong_number_of_variables():
    frame, *_ = design("additive", 3)
    with pytest.raises(LawError, match="kaplan.*takes 2 variables"):
        fit(frame, "kaplan", ["N", "D", "U"])
    with pytest.raises(LawError, match="no form 'chinchilla'; use one of auto, power"):
        fit(frame, "chinchilla", ["N", "D"])


class Straight(Form):
    """start - fall log x: a form from outside whose constants bear other names."""

    def __init__(self, variables, centre):
        self.name, self.variables, self.centre, self.single = "straight", variables, centre, (0,)
        self.formula, self.source = f"start - fall log {variables[0]}", "this test"
        self.constants = Constant("start", Role.LIMIT), Constant("fall", Role.SHAPE, variables[0])
        self.lower, self.upper = np.zeros(2), np.full(2, np.inf)

    def evaluate(self, theta, logx):
        z = (logx - self.centre).T
        jac = np.stack([np.ones((len(theta), len(logx))), np.tile(-z, (len(theta), 1))], 1)
        return theta[:, :1] - theta[:, 1:] * z, jac

    def coefficients(self, theta):
        return theta

    def prior(self, y):
        return np.log([np.median(y), np.ptp(y)]), np.array([1.0, 3.0])

    def starts(self, logx, y, weights):
        return np.array([[y.mean(), 0.1 * y.std()]])

    def starts_each(self, logx, y, weights):
        return np.stack([y.mean(1), 0.1 * y.std(1)], 1)[:, None]


def test_a_form_from_outside_is_tried_told_and_chosen(monkeypatch):
    monkeypatch.setitem(CATALOGUE, "straight", Kind((1,), lambda v, c, floor: Straight(v, c)))
    x = np.geomspace(1e3, 1e7, 24)
    noise = 0.002 * np.random.default_rng(0).normal(size=24)
    frame = pd.DataFrame({"D": x, "loss": (3 - 0.1 * np.log(x)) * np.exp(noise)})
    law = fit(frame, "auto", ["D"])
    assert law.form == "straight"
    told = " ".join(answers(law))
    assert "a law" in told and "none in this form" in told
    mean = law.predict({"D": 3e7})["mean"].to_numpy()[0]
    assert mean == pytest.approx(3 - 0.1 * np.log(3e7), rel=0.02)
