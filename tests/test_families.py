"""Several families in one sweep: the plan of all, a law of each, and which is better."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from planted_study import DATA, record
from test_report import Page, words

from recscale.advice.families import compare_pairs, shared_budgets
from recscale.cli import main
from recscale.ledger import Ledger
from recscale.planner import planned_runs
from recscale.report.architectures import sentences
from recscale.report.page import write_report
from recscale.run import LATENCY
from recscale.specfile import SpecError, parse_spec
from recscale.study import Study, law_facts, plan_entry

SWEEP = """
name: several
data: {source: synthetic}
model:
  - {family: dlrm, mlp_width: [16, 64, 256, 1024]}
  - {family: wukong, mlp_width: [16, 50, 116, 649]}
  - {family: dcnv2, mlp_width: [64, 256]}
train: {data_fraction: [0.05, 0.2, 0.6, 1.0], batch_size: 512, seeds: 2}
budget: {flop: 1e18}
"""
E, B, BETA = 0.6, 20.0, 0.4
TERMS = {"dlrm": (3.0, 0.25), "dcnv2": (3.0, 0.25), "wukong": (30.0, 0.45)}
"""Family -> (A, alpha) of A / forward_flop^alpha: wukong is worse when small and scales better."""
NOISE = 2e-4


def ne(family: str, forward: float, samples: float) -> float:
    a, alpha = TERMS[family]
    return E + a / forward**alpha + B / samples**BETA


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("several"))


def trained(path: Path, text: str = SWEEP, noise: float = NOISE, better: float = 0.0) -> Path:
    """The sweep's runs; wukong is better by `better` at every size and amount of data."""
    spec = parse_spec(text)
    planned, rng = planned_runs(spec, DATA), np.random.default_rng(0)
    ledger = Ledger(path, name="several")
    ledger.append("plan", **plan_entry(spec, DATA, planned))
    for p in planned:
        done = record(p)
        value = ne(p.config.model.family, p.cost.forward.total, p.cost.samples)
        value -= better * (p.config.model.family == "wukong")
        value *= float(np.exp(noise * rng.standard_normal()))
        last = done.curve[-1].model_copy(
            update={"eval_loss": value, "metrics": {"eval_ne": value, "eval_auc": 0.7}}
        )
        ledger.record(done.model_copy(update={"curve": (*done.curve[:-1], last)}))
    return path


@pytest.fixture(scope="module")
def study(run_dir: Path) -> Study:
    return Study.open(str(run_dir))


def test_the_plan_is_the_union_of_the_families_plans(study: Study):
    spec = parse_spec(SWEEP)
    alone = [p.run_id for part in spec.parts() for p in planned_runs(part, DATA)]
    assert sorted(alone) == sorted(p.run_id for p in study.planned)
    flop = [p.cost.train_flop for p in study.planned]
    assert flop == sorted(flop)


def test_each_family_has_its_own_law(study: Study):
    facts = law_facts(study)
    assert facts["status"] == "converged" or facts["why"].startswith("open: ")
    for family in ("dlrm", "wukong"):
        law = facts["families"][family]
        assert law["status"] == "converged"
        low, high = law["intervals"]["alpha_forward_flop"]
        assert low <= TERMS[family][1] <= high
        low, high = law["intervals"]["E"]
        assert low <= E <= high
    assert facts["families"]["dcnv2"]["status"] == "underdetermined"  # two sizes only


def test_budgets_that_families_share():
    cheap, mid, expensive = np.array([1e6, 1e8]), np.array([1e7, 1e9]), np.array([1e10, 1e11])
    assert shared_budgets([cheap, mid]) == [1e7, 1e8, 1e9]
    assert shared_budgets([cheap, expensive]) == [1e10, 1e11]  # none: where the expensive begins


def test_families_are_told_apart_where_they_differ(study: Study):
    pair = next(d for d in compare_pairs(study) if d.names == ("dlrm", "wukong"))
    assert pair.exponents is not None
    row = pair.exponents.set_index("coefficient").loc["alpha_forward_flop"]
    assert row["different"] and row["low"] <= 0.25 - 0.45 <= row["high"]
    same = pair.exponents.set_index("coefficient").loc["alpha_samples"]
    assert not same["different"]
    assert pair.matched.settings == 2 * 4  # 256 and 116, 1024 and 649


def test_families_are_compared_at_equal_time_and_latency_on_machines_of_one_kind(tmp_path: Path):
    """Each size at a pace of its own, but for two, a tenth apart; another machine is no match."""
    text = SWEEP.replace("  - {family: dcnv2, mlp_width: [64, 256]}\n", "").replace("seeds: 2", "")
    spec = parse_spec(text)
    planned, pace, losses = planned_runs(spec, DATA), {}, {}
    ledger = Ledger(tmp_path / "timed", name="several")
    ledger.append("plan", **plan_entry(spec, DATA, planned))
    for p in planned:
        family, width = p.config.model.family, p.config.model.model_dump()["mlp_width"]
        if (family, width) in (("dlrm", 1024), ("wukong", 50)):
            seconds = 1e-4 * (1 if family == "dlrm" else 1.1)
        else:
            seconds = pace.setdefault((family, width), 1e-2 * 2 ** len(pace))
        took = p.cost.model_copy(update={"time_s": p.cost.samples * seconds})
        small = p.config.train.data_fraction < 0.1
        machine = "another" if small and family == "dlrm" else "planted"
        # another order than that of the paces: of equal latency are 256 and 116, 12 % apart
        served = {("dlrm", 256): 0.10, ("wukong", 116): 0.112}.get((family, width), seconds * 1e4)
        done = record(p, measured=took, hardware=machine, probes={LATENCY: served})
        losses[family, width, p.config.train.data_fraction] = done.curve[-1].metrics["eval_ne"]
        ledger.record(done)
    (pair,) = compare_pairs(Study.of(ledger))
    each = [losses["wukong", 50, f] - losses["dlrm", 1024, f] for f in (0.2, 0.6, 1.0)]
    assert pair.timed is not None and pair.timed.settings == 3
    assert pair.timed.change == pytest.approx(np.mean(each))
    assert pair.matched is not None and pair.matched.settings == 2 * 4
    gaps = [losses["wukong", 116, f] - losses["dlrm", 256, f] for f in (0.2, 0.6, 1.0)]
    assert pair.served is not None
    # and the two that are of equal time
    assert pair.served.settings == 6
    assert pair.served.change == pytest.approx(np.mean([*gaps, *each]))
    told = " ".join(sentences(Study.of(ledger), [pair]))
    assert "at equal latency of 128 answers and equal data (6 pairs)" in told


def test_the_laws_cross_where_they_were_planted_to(study: Study):
    """Along frontiers that spend a budget as suits each: found here by brute force."""
    pair = next(d for d in compare_pairs(study) if d.names == ("dlrm", "wukong"))

    def best(family: str, budget: float) -> float:
        forward = np.geomspace(1e2, 1e9, 4000)
        return min(ne(family, f, budget / 3 / f) for f in forward)

    budgets = np.geomspace(1e8, 1e17, 200)
    gap = np.array([best("wukong", c) - best("dlrm", c) for c in budgets])
    assert gap[0] > 0 > gap[-1]
    planted = budgets[np.flatnonzero(gap < 0)[0]]
    assert pair.crossings is not None and pair.better is not None
    assert pair.crossings["better_after"].tolist() == ["wukong"]
    assert pair.crossings["budget"].iloc[0] == pytest.approx(planted, rel=0.6)
    ahead = pair.better.iloc[-1]
    assert ahead["better"] == "wukong" and ahead["probability"] < 0.1


def test_a_family_that_wins_every_pairing_is_better_with_near_certainty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Six to seven deviations at every size tried, and neither can be built at sizes where the
    laws would say otherwise."""
    monkeypatch.setitem(TERMS, "wukong", TERMS["dlrm"])
    text = SWEEP.replace("  - {family: dcnv2, mlp_width: [64, 256]}\n", "")
    few = text.replace("[0.05, 0.2, 0.6, 1.0]", "[0.05, 0.2, 0.6]")
    study = Study.open(str(trained(tmp_path, few, noise=0.005, better=0.03)))
    (pair,) = compare_pairs(study)
    assert pair.better is not None
    assert set(pair.better["better"]) == {"wukong"}
    sure = np.abs(pair.better["probability"].to_numpy() - 0.5) + 0.5
    assert sure.min() > 0.95, pair.better
    spent = max(r.spent.train_flop for r in study.records)
    assert pair.better["budget"].to_numpy(float).max() >= spent


def test_the_report_compares_the_families_and_links_their_pages(study: Study, run_dir: Path):
    paths = {Path(p).name: Path(p) for p in write_report(study, str(run_dir))}
    page = Page(paths["report.html"].read_text())
    assert not page.open and not page.unclosed
    told = words(page.by_id["answer"])
    assert "Exponents, dlrm minus wukong" in told and "FLOPs per sample" in told
    assert "wukong is better (probability" in told
    assert "dcnv2" in told and "cannot be compared" in told
    links = {a["href"] for t, a in page.tags if t == "a"}
    assert links == {"report-dlrm.html", "report-wukong.html", "report-dcnv2.html"}
    assert links <= set(paths)
    assert {"families", "sizes"} <= set(page.figures)
    own = Page(paths["report-dlrm.html"].read_text())
    assert "axis-mlp_width" in own.figures and "wukong" not in own.text


def test_ask_answers_for_each_family_and_says_which(run_dir: Path):
    asked = CliRunner().invoke(main, ["ask", str(run_dir), "--compute", "10x"])
    assert asked.exit_code == 0, asked.output
    for family in ("dlrm:", "wukong:", "dcnv2:"):
        assert family in asked.output
    assert "probability" in asked.output
    facts = json.loads(CliRunner().invoke(main, ["ask", str(run_dir), "--json"]).output)
    assert set(facts["families"]) == {"dlrm", "wukong", "dcnv2"}
    assert facts["families"]["wukong"]["answer"]["predicted"]["mean"] > 0
    assert facts["families"]["dcnv2"]["answer"] is None
    assert "distinct values" in facts["families"]["dcnv2"]["doubts"][0]
    status = CliRunner().invoke(main, ["status", str(run_dir), "--json"])
    assert set(json.loads(status.output)["law"]["families"]) == set(facts["families"])


def test_a_search_along_the_frontier_takes_one_family_at_a_time():
    search = "search: {strategy: frontier, target: {flop: 10x}}\n"
    with pytest.raises(SpecError, match="one family at a time"):
        parse_spec(SWEEP + search)


def test_a_family_stands_once_and_its_mistakes_have_their_lines():
    with pytest.raises(SpecError, match="model: the family dlrm stands twice"):
        parse_spec(SWEEP.replace("dcnv2", "dlrm"))
    with pytest.raises(SpecError, match=r":7: model\[2\].cross_layer: .* mean 'cross_layers'"):
        parse_spec(SWEEP.replace("dcnv2, mlp_width", "dcnv2, cross_layer: 2, mlp_width"))


def test_several_families_have_no_law_in_common(study: Study):
    with pytest.raises(ValueError, match="each part"):
        study.law()
