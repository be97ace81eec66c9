"""Two laws side by side, and the older estimates of the frontier beside the law's."""

import numpy as np
import pandas as pd
import pytest

from recscale.laws import LawError, compare, fit


def two(gap=0.06, noise=0.001, ratio=1.0, seed=0):
    """Two architectures over the same data sizes and seeds; exponents differ by `gap`."""
    rng = np.random.default_rng(seed)
    rows = []
    for D in np.geomspace(1e4, 1e8, 10):
        for s in range(3):
            for net, loss in (
                ("dlrm", 0.4 + 3 * D**-0.3),
                ("hstu", ratio * (0.4 + (3 if gap == 0 else 7) * D ** -(0.3 + gap))),
            ):
                rows.append((net, D, s, loss * np.exp(noise * rng.standard_normal())))
    return pd.DataFrame(rows, columns=pd.Index(["net", "D", "seed", "loss"]))


def test_a_planted_difference_of_exponents_is_found():
    both = compare(two(gap=0.1), "net", ["D"], form="power", seed="seed")
    row = both.exponents().set_index("coefficient").loc["beta"]
    assert row.low < -0.1 < row.high and row.different and row.p < 0.01


def test_equal_laws_are_not_called_different():
    hits = []
    for seed in range(8):
        both = compare(two(gap=0.0, noise=0.003, seed=seed), "net", ["D"], form="power")
        hits += both.exponents()["different"].tolist()
    assert np.mean(hits) < 0.3


def test_runs_are_paired_over_seeds():
    both = compare(two(gap=0.0, ratio=0.99), "net", ["D"], form="power", seed="seed")
    answer = both.paired()
    assert answer["pairs"] == 30
    assert answer["ratio"] == pytest.approx(1 / 0.99, rel=0.002)
    assert answer["p"] < 0.01
    same = compare(two(gap=0.0), "net", ["D"], form="power", seed="seed").paired()
    assert same["p"] > 0.01


def test_crossing_and_the_better_side_of_it():
    both = compare(two(gap=0.06, noise=1e-4), "net", ["D"], form="power")
    crossing = both.crossings(1e4, 1e9, cost=lambda D: D)
    true = (7 / 3) ** (1 / 0.06)  # 3 D^-.3 = 7 D^-.36
    assert crossing["budget"].to_list() == [pytest.approx(true, rel=0.3)]
    assert crossing.loc[0, "better_before"] == "dlrm"
    table = both.better([1e4, 1e8], cost=lambda D: D)
    assert table["better"].to_list() == ["dlrm", "hstu"]
    assert table.loc[0, "probability"] > 0.95 and table.loc[1, "probability"] < 0.05


def test_a_family_that_is_better_in_every_pairing_is_surely_better_at_a_budget():
    """What neither could be given, a size far below those tried on data that does not exist, is
    not weighed: it hid a difference of six deviations behind a probability of .58."""
    rng = np.random.default_rng(5)
    rows = [
        (net, f, s, 0.80 + gap + 0.1 * (f / 1e4) ** -0.2 + 0.05 * (s / 1e5) ** -0.4
         + 0.004 * rng.standard_normal())
        for net, gap in (("dlrm", 0.03), ("dcnv2", 0.0))
        for f in (5e3, 1e4, 2e4, 4e4)
        for s in (1e5, 2e5, 4e5)
        for _ in range(2)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=pd.Index(["net", "forward", "samples", "loss"]))

    def flop(forward, samples):
        return 3 * forward * samples

    both = compare(frame, "net", ["forward", "samples"], most={"samples": 4e5})
    budget = flop(4e4, 4e5)
    table = both.better([budget / 10, budget], flop)
    assert table["better"].to_list() == ["dcnv2", "dcnv2"]
    assert table["probability"].to_numpy(float).min() > 0.95
    assert both.crossings(budget / 10, 10 * budget, flop).empty
    sought = both.sought(both.first)
    assert sought["samples"] == (pytest.approx(1e5 / 4), pytest.approx(4e5))
    assert sought["forward"] == (pytest.approx(5e3 / 4), pytest.approx(16e4))
    with pytest.raises(LawError, match="ask for more"):
        both.better([1.0], flop)


def test_compare_needs_two_values_and_determined_laws():
    frame = two()
    with pytest.raises(LawError, match="exactly two"):
        compare(frame.assign(net="dlrm"), "net", ["D"], form="power")
    with pytest.raises(LawError, match="net = hstu"):
        compare(frame.query("net == 'dlrm' or D < 2e4"), "net", ["D"], form="power")


def isoflop_runs(centre=1.0):
    """Seven sizes at each of five budgets, `centre` times the best size in the middle."""
    rows = []
    for C in np.geomspace(1e17, 1e21, 5):
        best = (0.34 * 400 / (0.28 * 800)) ** (1 / 0.62) * (C / 6) ** (0.28 / 0.62)
        for factor in np.geomspace(1 / 6, 6, 7):
            N = centre * best * factor
            rows.append((N, C / 6 / N))
    frame = pd.DataFrame(rows, columns=pd.Index(["N", "D"]))
    frame["loss"] = 1.8 + 400 / frame.N**0.34 + 800 / frame.D**0.28
    return frame


def flops(N, D):
    return 6 * N * D


def test_isoflop_parabolas_agree_when_centred_and_say_so_when_not():
    near = fit(isoflop_runs(), "additive").isoflop(flops)
    assert near["label"].to_list() == 5 * ["centred"]
    assert np.abs(near["decades_off"]).max() < 0.1
    far = fit(isoflop_runs(centre=3.0), "additive").isoflop(flops)
    assert all(label.startswith("biased") for label in far["label"])
    assert np.abs(far["decades_off"]).max() > np.abs(near["decades_off"]).max()


def test_isoflop_needs_runs_of_equal_cost():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"N": 10 ** rng.uniform(6, 12, 20), "D": 10 ** rng.uniform(7, 13, 20)})
    frame["loss"] = 1.8 + 400 / frame.N**0.34 + 800 / frame.D**0.28
    with pytest.raises(LawError, match="runs of equal cost"):
        fit(frame, "additive").isoflop(flops)


def test_envelope_is_the_runs_no_cheaper_run_beats():
    frame = isoflop_runs()
    table = fit(frame, "additive").envelope(flops)
    assert table["loss"].is_monotonic_decreasing and table["cost"].is_monotonic_increasing
    for _, row in table.iterrows():
        cheaper = frame[flops(frame.N, frame.D) < row.cost * (1 - 1e-9)]
        assert (cheaper.loss > row.loss).all()
    assert table["label"].str.contains("biased").all()
