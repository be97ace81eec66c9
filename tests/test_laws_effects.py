"""Axes kept apart: the value 0 is a step, two values have no exponent, a dead axis is dropped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recscale.laws import LawError, fit
from recscale.laws.choice import contest, settled
from recscale.laws.points import check, query

BASE = {"dim": 8.0, "width": 32.0, "depth": 0.0, "samples": 1e5}
AXES = tuple(BASE)


def loss(r: dict[str, float], step: float = 0.03) -> float:
    depth = step if r["depth"] == 0 else 0.01 / r["depth"] ** 0.5
    return 0.6 + 0.5 / r["dim"] ** 0.6 + 0.8 / r["width"] ** 0.5 + 9 / r["samples"] ** 0.4 + depth


def runs(values: dict[str, list[float]], noise: float = 0.0005, f=loss, seed: int = 0, depth=0.0):
    """One axis at a time round BASE, of this depth, two seeds each."""
    rng, base = np.random.default_rng(seed), {**BASE, "depth": depth}
    points = [base, *({**base, a: v} for a, vs in values.items() for v in vs if v != base[a])]
    rows = [{**r, "loss": f(r) * np.exp(noise * rng.normal())} for r in points for _ in range(2)]
    return pd.DataFrame(rows).assign(seed=lambda t: t.index % 2)


WIDE = {
    "dim": [4, 8, 16, 32],
    "width": [16, 32, 64, 128],
    "depth": [0, 1, 2],
    "samples": [1e4, 3e4, 6e4, 1e5],
}


def test_planted_effects_are_found():
    law = fit(runs(WIDE), "effects", AXES, zeros=AXES, cost="samples")
    assert law.status == "converged"
    assert law.coefficients["alpha_dim"] == pytest.approx(0.6, abs=0.05)
    assert law.coefficients["alpha_samples"] == pytest.approx(0.4, abs=0.05)
    assert law.coefficients["S_depth"] == pytest.approx(0.03, rel=0.1)
    assert "alpha_depth" not in law.coefficients  # two values above 0 tell no exponent
    there = {"dim": [32, 8], "width": [128, 32], "depth": [2, 0], "samples": [1e5, 1e5]}
    true = [loss(dict(zip(AXES, r, strict=True))) for r in zip(*there.values(), strict=True)]
    told = law.predict(there)
    assert told["mean"].to_numpy() == pytest.approx(true, rel=0.01)
    assert (told["low"].to_numpy() <= true).all() and (true <= told["high"].to_numpy()).all()


@pytest.mark.parametrize("depths", [[0, 1], [0, 2, 4], [1, 2], [0, 1, 2, 4], [1, 2, 4]])
def test_any_values_of_an_axis_have_an_effect(depths: list[float]):
    law = fit(runs({**WIDE, "depth": depths}, depth=depths[0]), "effects", AXES, zeros=AXES)
    least, most = min(depths), max(depths)
    gain = law.change({**BASE, "depth": least}, {**BASE, "depth": most})
    true = loss({**BASE, "depth": most}) - loss({**BASE, "depth": least})
    assert gain["change"].iloc[0] == pytest.approx(true, abs=0.003)


def test_an_axis_without_effect_is_dropped_and_saturated():
    def flat(r: dict[str, float]) -> float:
        return loss({**r, "width": 32.0})

    for seed in range(5):
        law = fit(runs(WIDE, f=flat, seed=seed), "effects", AXES, zeros=AXES)
        assert law.status == "converged", law.reason
        verdict = law.verdicts().set_index("variable").loc["width", "verdict"]
        assert verdict != "power-law"


def test_without_zeros_rows_at_0_are_left_out_as_ever():
    frame = runs(WIDE)
    law = fit(frame, "effects", AXES)
    assert law.n == (frame["depth"].to_numpy(float) > 0).sum()
    assert "depth is 0" in law.dropped[0]["reason"]
    with pytest.raises(LawError, match="0 or negative"):
        query(BASE, AXES)


def test_derivatives_are_those_of_the_formula():
    law = fit(runs(WIDE), "effects", AXES, zeros=AXES)
    x, theta = law.points.logx, law.theta[None]
    jac = law.model.evaluate(theta, x)[1]
    for k in range(theta.shape[1]):
        step = np.zeros_like(theta)
        step[0, k] = 1e-6
        up, down = (law.model.evaluate(theta + s, x)[0] for s in (step, -step))
        assert jac[0, k] == pytest.approx((up - down)[0] / 2e-6, abs=1e-6)


def test_one_axis_and_data():
    frame = runs({"dim": WIDE["dim"], "samples": WIDE["samples"]})
    law = fit(frame, "effects", ["dim", "samples"])
    assert law.status == "converged"
    assert fit(frame, "effects", ["dim"], loss="loss").n == len(frame)


def test_five_axes_in_few_runs_take_the_usual_exponent():
    def five(r: dict[str, float]) -> float:
        return loss(r) + 0.3 / r["rows"] ** 0.5

    values = {a: v[:3] for a, v in WIDE.items()} | {"rows": [100.0, 400.0, 1600.0]}
    base = {**BASE, "rows": 400.0}
    points = [base, *({**base, a: v} for a, vs in values.items() for v in vs if v != base[a])]
    law = fit(pd.DataFrame([{**r, "loss": five(r)} for r in points]), "effects", list(base),
              zeros=["depth"])  # fmt: skip
    assert law.status.determined
    assert sum(c.startswith("alpha") for c in law.coefficients) < 4
    rows = law.slopes(base).set_index("variable")
    assert (rows["slope"].to_numpy() < 0).all()


def test_axes_that_move_together_are_said():
    frame = pd.DataFrame({"a": [1, 2, 4, 8, 16.0], "b": [2, 4, 8, 16, 32.0]})
    frame["loss"] = 1 + 1 / frame["a"] + [1e-3, 0, 0, 1e-3, 0]
    law = fit(frame, "effects", ["a", "b"])
    assert law.status == "underdetermined" and "together" in law.reason


def test_what_explains_the_runs_wins_and_the_loser_is_listed():
    """A history block pays and a wider MLP does not: their sum cannot see it."""

    def history(r: dict[str, float]) -> float:
        return loss({**r, "width": 32.0}, step=0.05)

    frame = runs(WIDE, f=history)
    frame["dense"] = 100 * frame["width"] + 5000 * frame["depth"]
    sets = {"axes": (AXES, "effects"), "groups": (("dim", "dense", "samples"), "additive")}
    for names in (sets, dict(reversed(sets.items()))):
        entries = {
            k: (check(frame, v, "loss", zeros=AXES if form == "effects" else ()), form)
            for k, (v, form) in names.items()
        }
        found = contest(entries, 1e-3)
        assert [c.what for c in found] == ["axes", "groups"]
        assert found[0].error < found[1].error
        assert list(found[0].law.choice["chosen"]) == [True, False]


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 2, 3, 4, 8, 16]), min_size=1, max_size=6),
    st.lists(st.sampled_from([0, 8, 16, 64]), min_size=1, max_size=5),
    st.integers(3, 12),
)
def test_no_table_breaks_it(depth: list[int], width: list[int], n: int):
    rng = np.random.default_rng(n)
    frame = pd.DataFrame({"depth": np.resize(depth, n), "width": np.resize(width, n)})
    frame["loss"] = 1 + rng.random(n)
    try:
        law = fit(frame, "effects", ["depth", "width"], zeros=["depth", "width"])
    except LawError:
        return
    if law.status.determined:
        kept = frame.loc[law.points.labels]
        assert np.isfinite(law.predict({v: kept[v] for v in ("depth", "width")})["mean"]).all()


@pytest.mark.parametrize("best", [1, 2, 4, 8])
def test_what_may_harm_has_its_best_where_it_is(best: int):
    """Passes over the data gain and then harm; with the best at the last they only gain."""
    harm = 0.02 / best**1.5
    rows = [
        {"epochs": e, "samples": n, "loss": 0.6 + 9 / n**0.4 + 0.04 / e**0.5 + harm * e}
        for e in (1, 2, 4, 8)
        for n in (1e4, 3e4, 1e5)
    ]
    points = check(pd.DataFrame(rows), ["samples", "epochs"], "loss")
    law = settled(replace(points, harmful=("epochs",)), "effects", 1e-3)
    found = law.value({"epochs": [1, 2, 4, 8], "samples": [1e5] * 4})
    assert 2 ** int(np.argmin(found)) == best
    assert fit(pd.DataFrame(rows), "effects", ["samples", "epochs"]).model.monotone
