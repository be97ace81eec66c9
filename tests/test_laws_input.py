"""Bad tables: a sentence with the remedy, a listed drop, or "underdetermined"; never a crash."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recscale.laws import LawError, Status, fit


def runs(n=30, seed=0):
    rng = np.random.default_rng(seed)
    N, D = 10 ** rng.uniform(6, 9, n), 10 ** rng.uniform(7, 10, n)
    loss = (1.8 + 400 / N**0.34 + 800 / D**0.28) * np.exp(0.002 * rng.standard_normal(n))
    return pd.DataFrame({"N": N, "D": D, "loss": loss})


def test_missing_column_names_those_there_are():
    with pytest.raises(LawError, match="no column 'M'; the table has N, D, loss"):
        fit(runs(), "additive", ["M", "D"])


def test_text_column_says_convert():
    frame = runs().astype({"N": str})
    with pytest.raises(LawError, match="'N' holds text; convert"):
        fit(frame, "additive", ["N", "D"])


def test_integer_overflow_is_recognised():
    frame = runs()
    frame["C"] = (frame.N.astype("int64") * frame.D.astype("int64")) * 6
    assert (frame.C < 0).any()
    with pytest.raises(LawError, match="wrapped round; compute it in floating point"):
        fit(frame, "power", ["C"])


def test_bad_values_are_dropped_with_a_reason_each():
    frame = runs()
    frame.loc[3, "loss"] = np.nan
    frame.loc[5, "N"] = 0.0
    frame.loc[7, "loss"] = np.inf
    law = fit(frame, "additive", ["N", "D"])
    assert law.n == 27
    reasons = {d["row"]: d["reason"] for d in law.dropped}
    assert "diverged" in reasons[3] and "not finite" in reasons[7]
    assert "power law has no value" in reasons[5]


def test_all_rows_bad_is_an_error_that_lists_why():
    frame = runs()
    frame["depth"] = 0
    with pytest.raises(LawError, match="no usable row: depth is 0"):
        fit(frame, "power", ["depth"])


@pytest.mark.parametrize("column", ["N", "loss"])
def test_a_column_that_spans_more_than_amounts_can_is_refused_and_not_searched_for_long(column):
    frame = runs()
    frame[column] = 10.0 ** np.linspace(-25, 25, len(frame))
    with pytest.raises(LawError, match=f"{column} spans 50 decades, from 1e-25 to 1e.25, where 40"):
        fit(frame, "auto", ["N", "D"])
    frame[column] = 10.0 ** np.linspace(0, 22, len(frame))
    assert fit(frame, "additive", ["N", "D"]).n == len(frame)


def test_copies_are_dropped_and_replicates_kept():
    frame = runs()
    twice = pd.concat([frame, frame.iloc[:4]], ignore_index=True)
    assert fit(twice, "additive", ["N", "D"]).n == 30
    twice["seed"] = np.arange(len(twice))
    assert fit(twice, "additive", ["N", "D"]).n == 34


def test_loss_below_a_stated_floor_is_an_error_and_the_constant_stays_above_it():
    with pytest.raises(LawError, match="below the stated floor 5"):
        fit(runs(), "additive", ["N", "D"], floor=5.0)
    assert fit(runs(), "additive", ["N", "D"], floor=1.79).coefficients["E"] >= 1.79


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: f.assign(N=1e8), "1 distinct value"),
        (lambda f: f.assign(N=np.where(f.N > 3e7, 1e8, 2e8)), "2 distinct values"),
        (lambda f: f.assign(N=1e8 * (1 + 1e-3 * np.arange(len(f)))), "decades"),
        (lambda f: f.assign(D=20 * f.N), "move together"),
        (lambda f: f.assign(loss=2.0), "same loss"),
        (lambda f: f.head(5), "5 different runs"),
    ],
)
def test_points_that_cannot_determine_the_law_say_so(change, reason):
    law = fit(change(runs()), "additive", ["N", "D"])
    assert law.status is Status.UNDERDETERMINED
    assert reason in law.reason
    assert np.isnan(law.intervals()["low"].to_numpy()).all()
    for ask in (law.slopes, law.bootstrap, law.verdicts, lambda: law.predict({"N": 1, "D": 1})):
        with pytest.raises(LawError, match="underdetermined"):
            ask()


@pytest.mark.parametrize("form", ["auto", "gamma", "kaplan"])
def test_few_runs_do_not_stop_the_other_forms(form):
    assert fit(runs(4), form, ["N", "D"]).status is Status.UNDERDETERMINED


def test_questions_off_the_axes_are_refused():
    law = fit(runs(), "additive", ["N", "D"])
    with pytest.raises(LawError, match="the points lack D"):
        law.predict({"N": 1e8})
    with pytest.raises(LawError, match="0 or negative on an axis"):
        law.predict({"N": 0.0, "D": 1e9})
    with pytest.raises(LawError, match="level lies between 0 and 1"):
        law.intervals(95)
    with pytest.raises(LawError, match="by name"):
        law.frontier([1e20], cost=lambda params: params)
    with pytest.raises(LawError, match="budgets are positive"):
        law.frontier([-1.0], cost=lambda N, D: 6 * N * D)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 24),
    st.lists(st.sampled_from([0.0, -1.0, np.nan, np.inf, 1e300, 1e-300]), max_size=6),
    st.sampled_from(["additive", "power"]),
)
def test_no_table_crashes_a_sweep(n, odd, form):
    frame = runs(max(n, 1), seed=n).iloc[:n]
    extra = pd.DataFrame({"N": odd, "D": odd[::-1], "loss": odd})
    frame = pd.concat([frame, extra], ignore_index=True)
    variables = ["N", "D"] if form == "additive" else ["D"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            law = fit(frame, form, variables)
        except LawError:
            return
    assert law.n + len(law.dropped) == len(frame)
    assert (law.status is Status.UNDERDETERMINED) == bool(np.isnan(law.objective))
