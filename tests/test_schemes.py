"""Scaling schemes as directions of a sweep: each pure, and ranked by what it buys."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted_study import DATA, planted
from test_report import Page, words

from recscale.advice.schemes import rankings
from recscale.planner import PlanError, planned_runs
from recscale.report.page import render
from recscale.specfile import SpecError, parse_spec
from recscale.study import Study

SWEEP = """
name: schemes
data: {source: synthetic}
model: {family: dlrm, embedding_dim: 16, embedding_rows: 4000, mlp_width: 64}
train: {data_fraction: [0.1, 1.0], batch_size: 512, seeds: 2}
search: {strategy: schemes, factors: [0.25, 0.5, 1, 2, 4]}
law: {loss: eval_ne}
budget: {flop: 1e18}
"""
MOVED = {
    "rows": {"embedding_rows"},
    "dim": {"embedding_dim"},
    "overarch": {"overarch_width"},
    "mlp": {"mlp_width", "overarch_width"},
    "combined": {"embedding_rows", "embedding_dim", "mlp_width", "overarch_width"},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study.of(planted(tmp_path_factory.mktemp("schemes"), SWEEP, mishaps=False))


def test_each_scheme_moves_its_own_sizes_and_leaves_all_else_at_the_base():
    planned = planned_runs(parse_spec(SWEEP), DATA)
    base = next(p for p in planned if p.reason == "base of every scheme")
    seen: dict[str, set[float]] = {}
    for p in planned:
        if " x " not in p.reason:
            continue
        scheme, factor = p.reason.split(" x ")
        seen.setdefault(scheme, set()).add(float(factor))
        was, now = base.config.model.model_dump(), p.config.model.model_dump()
        if scheme == "data":
            assert now == was and p.config.train.data_fraction == 0.1
            continue
        assert p.config.train.data_fraction == 1.0
        assert {k for k in was if was[k] != now[k]} == MOVED[scheme]
        assert all(now[k] == was[k] * float(factor) for k in MOVED[scheme])
    assert set(seen) == {*MOVED, "data"}
    assert all(seen[s] == {0.25, 0.5, 2, 4} for s in MOVED)
    assert len({p.run_id for p in planned}) == 2 * (1 + 5 * 4 + 1)


def test_each_scheme_pays_in_its_own_coin():
    """Rows cost no FLOPs, MLPs no look-ups, dimensions both (2208.08489)."""
    planned = planned_runs(parse_spec(SWEEP), DATA)
    cost = {p.reason: p.cost for p in planned}
    base = cost["base of every scheme"]
    rows, mlp, dim = cost["rows x 4"], cost["mlp x 4"], cost["dim x 4"]
    assert rows.train_flop == base.train_flop and rows.lookup_bytes == base.lookup_bytes
    assert rows.table_params > base.table_params
    assert mlp.lookup_bytes == base.lookup_bytes and mlp.train_flop > base.train_flop
    assert dim.lookup_bytes > base.lookup_bytes and dim.train_flop > base.train_flop
    assert dim.peak_bytes > base.peak_bytes


def test_the_whole_vocabulary_scales_downwards_only():
    text = SWEEP.replace("embedding_rows: 4000", "embedding_rows: null")
    planned = planned_runs(parse_spec(text), DATA)
    models = [p.config.model.model_dump() for p in planned if p.reason.startswith("rows")]
    rows = {m["embedding_rows"] for m in models}
    assert rows == {5000, 10_000}  # of 20,001


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("mlp_width: 64", "mlp_width: [32, 64]", "give one value"),
        ("strategy: schemes,", "strategy: schemes, schemes: [rows, deep],", "'deep' is no scheme"),
        ("strategy: schemes,", "strategy: grid,", "belong to strategy schemes"),
    ],
)
def test_what_is_no_scheme_sweep_is_refused(old: str, new: str, said: str):
    with pytest.raises(SpecError, match=said):
        parse_spec(SWEEP.replace(old, new).replace("1, 2, 4]", "1, 2]"))


def test_a_scheme_that_leads_to_an_impossible_table_is_refused_before_anything_runs():
    with pytest.raises(PlanError, match="dimension 2 .*multiples of 4"):
        planned_runs(parse_spec(SWEEP.replace("embedding_dim: 16", "embedding_dim: 8")), DATA)


def test_rates_are_those_of_the_planted_law(study: Study):
    """The loss gained from base to largest factor over the doublings of each resource."""
    ne = {p.reason: [r for r in study.records if r.run_id == p.run_id][0] for p in study.planned}
    found = {r.resource: r for r in rankings(study)}
    assert set(found) == {"parameters", "train_flop", "lookup_bytes", "memory_bytes", "usd"}
    for ranking in found.values():
        assert {g.scheme for g in (*ranking.gains, *ranking.free)} == {*MOVED, "data"}
    per_flop = {g.scheme: g for g in found["train_flop"].gains}
    assert [g.scheme for g in found["train_flop"].free] == ["rows"]
    base, top = ne["base of every scheme"], ne["mlp x 4"]
    ratio = top.estimated.train_flop / base.estimated.train_flop
    assert per_flop["mlp"].ratio == pytest.approx(ratio)
    assert per_flop["mlp"].change < 0 and per_flop["mlp"].low < per_flop["mlp"].high
    changes = [g.change for g in found["train_flop"].gains]
    assert changes == sorted(changes)


def test_the_report_ranks_the_schemes_in_words_and_in_a_table(study: Study, tmp_path: Path):
    page = Page(render(study))
    assert not page.open and not page.unclosed
    told = words(page.text)
    assert "Per doubling of parameters," in told and "gains most" in told
    for scheme in MOVED:
        assert scheme in told
    assert "Next to free in training FLOPs" in told
    assert {"scheme-parameters", "scheme-train_flop", "scheme-usd"} <= set(page.figures)
