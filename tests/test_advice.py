"""`ask` finds the planted optimum, says what it costs and how far out it lies, refuses nonsense."""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted_study import DATA, SWEEP, planted, planted_ne, record
from test_report import Page

from recscale.advice import advise
from recscale.advice.advise import advise_on, grounds
from recscale.advice.headlines import headlines, sentence
from recscale.advice.options import option, space
from recscale.advice.runs import best_so_far
from recscale.cost import estimate
from recscale.laws import LawError, Status
from recscale.laws.choice import Contender
from recscale.report.page import render
from recscale.study import Study
from recscale.words import number, span


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study.of(planted(tmp_path_factory.mktemp("planted")))


@pytest.fixture(scope="module")
def facts(study: Study) -> dict:
    return advise(study, "10x").facts()


def true_optimum(study: Study, budget: float, rows: float) -> tuple[dict, float]:
    """The architecture and loss that the planted law itself finds best at a budget."""
    best: tuple[float, dict] = (math.inf, {})
    for model in space(study, 10).models:
        flop = 3 * option(study, model, 512).cost.forward.total
        samples = min(budget / flop // 512 * 512, rows // 512 * 512)
        if samples:
            loss = planted_ne(option(study, model, int(samples)).cost)
            best = min(best, (loss, model.model_dump()), key=lambda b: b[0])
    return best[1], best[0]


@pytest.mark.parametrize(("answer", "times"), [("answer", 1), ("with_more_data", 4)])
def test_the_planted_optimum_is_found_within_one_grid_step(
    study: Study, facts: dict, answer: str, times: int
):
    model, loss = true_optimum(study, facts["budget_flop"], times * DATA.n_train)
    found = facts[answer]["model"]
    for axis in ("embedding_dim", "mlp_width"):
        assert abs(math.log2(found[axis] / model[axis])) <= 1, axis
    assert planted_ne(option_of(study, facts[answer])) == pytest.approx(loss, rel=0.005)


def option_of(study: Study, answer: dict):
    models = [m for m in space(study, 10).models if m.model_dump() == answer["model"]]
    return option(study, models[0], answer["samples"]).cost


def test_the_intervals_cover_the_planted_loss_and_gain(study: Study, facts: dict):
    for answer in (facts["answer"], facts["with_more_data"]):
        predicted, true = answer["predicted"], planted_ne(option_of(study, answer))
        assert predicted["low"] <= true <= predicted["high"]
        gain, gained = answer["gain"], facts["best_run"]["eval_ne"] - true
        assert gain["low"] - 1e-3 <= gained <= gain["high"] + 1e-3
        assert gain["low"] < gain["mean"] < gain["high"]
        # the two ends share their law: the gain is known better than the level
        assert gain["high"] - gain["low"] < predicted["high"] - predicted["low"]


def test_the_budget_is_never_crossed(facts: dict):
    assert facts["answer"]["train_flop"] <= facts["budget_flop"]
    more = facts["with_more_data"]["train_flop"]
    assert 0.95 * facts["budget_flop"] < more <= facts["budget_flop"]


@pytest.mark.parametrize("beyond", [0, 1, 2, 4])
def test_no_axis_grows_beyond_what_was_asked(study: Study, beyond: int):
    for compute in ("3x", "10x", "1000x"):
        facts = advise(study, compute, beyond).facts()
        for answer in (facts["answer"], facts["with_more_data"] or facts["answer"]):
            assert answer["model"]["embedding_dim"] <= 32 * 2**beyond
            assert answer["model"]["mlp_width"] <= 256 * 2**beyond
            assert answer["data_fraction"] <= 2**beyond


def test_costs_are_those_of_the_closed_forms(study: Study, facts: dict):
    answer = facts["answer"]
    model = next(m for m in space(study, 10).models if m.model_dump() == answer["model"])
    run = study.planned[0].config.train
    exact = estimate(model, run, DATA, study.spec.resources)
    assert answer["table_params"] == exact.table_params
    assert answer["dense_params"] == exact.dense_params
    assert answer["train_flop"] == 3 * exact.forward.total * answer["samples"]
    assert answer["usd"] > 0 and answer["gpu_hours"] == 0 and answer["time_s"] > 0


def test_the_data_at_hand_comes_first_and_more_is_said_with_what_it_lacks(study: Study):
    advice = advise(study, "10x")
    facts = advice.facts()
    first, more = facts["answer"], facts["with_more_data"]
    assert first["samples"] <= DATA.n_train and first["data_fraction"] <= 1
    assert more["rows_needed"] > facts["rows_at_hand"] == DATA.n_train
    assert more["predicted"]["mean"] <= first["predicted"]["mean"]
    text = advice.sentences()
    assert text.index("data at hand") < text.index("With more data")


def test_how_far_it_extrapolates_is_said_per_variable(facts: dict):
    beyond = facts["answer"]["decades_beyond"]
    assert set(beyond) == {"table_params", "dense_params", "samples"}
    assert beyond["samples"] == 0
    assert facts["with_more_data"]["decades_beyond"]["samples"] == pytest.approx(
        math.log10(facts["with_more_data"]["samples"] / 999_936), abs=1e-3
    )


def test_the_bottleneck_axis_and_the_rates_follow_the_planted_law(study: Study, facts: dict):
    rates = {r["axis"]: r for r in facts["rates"]}
    assert set(rates) == {"embedding_dim", "mlp_width", "sequence_depth", "data_fraction"}
    largest = max(study.planned, key=lambda p: p.cost.train_flop)
    doubled = option(study, largest.config.model, 2 * largest.cost.samples)
    true = planted_ne(doubled.cost) - planted_ne(largest.cost)
    data = rates["data_fraction"]["per_doubling"]
    assert data["low"] <= data["mean"] <= data["high"] < 0
    assert data["mean"] == pytest.approx(true, rel=0.05)
    # embedding columns cost next to no FLOPs and still gain
    assert facts["bottleneck"] == "embedding_dim"


def test_flops_and_multiples_are_the_same_question(study: Study, facts: dict):
    again = advise(study, f"{facts['budget_flop']!r}").facts()
    assert again["answer"] == facts["answer"]
    assert advise(study, "34T").facts()["budget_flop"] == pytest.approx(3.4e13)


def test_facts_are_json_and_sentences_name_the_answer(study: Study, facts: dict):
    json.dumps(facts, allow_nan=False)
    text = advise(study, "10x").sentences()
    for key in ("embedding_dim", "mlp_width", "sequence_depth"):
        assert f"{key} {facts['answer']['model'][key]}" in text
    assert "extrapolates" in text and "$" in text


@pytest.mark.parametrize(
    "compute", ["", "lots", "-3x", "0x", "nan", "infx", "1e999", "10xx", "10", "1e40"]
)
def test_nonsense_compute_is_refused_in_a_sentence(study: Study, compute: str):
    with pytest.raises(ValueError, match="--compute") as refused:
        advise(study, compute)
    assert not isinstance(refused.value, LawError)


def test_without_a_law_the_answer_is_what_to_run(tmp_path: Path):
    few = SWEEP.replace("[4, 8, 16, 32]", "16").replace("[32, 64, 128, 256]", "64")
    advice = advise(Study.of(planted(tmp_path, few)), "10x")
    facts = advice.facts()
    assert facts["answer"] is None and not facts["promised"]
    assert "distinct value" in facts["doubts"][0]
    assert facts["run_to_know"]["train_flop"] > 0
    assert "To know, run" in advice.sentences()


def planted_as(monkeypatch: pytest.MonkeyPatch, path: Path, terms: dict, noise: float, text=SWEEP):
    monkeypatch.setattr("planted_study.TERMS", terms)
    monkeypatch.setattr("planted_study.NOISE", noise)
    return Study.of(planted(path, text, mishaps=False))


def test_a_gain_within_the_noise_is_not_promised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Nothing but data pays, there is no more of it, and runs scatter by a percent."""
    study = planted_as(monkeypatch, tmp_path, {"samples": (9.0, 0.36)}, 0.01)
    advice = advise(study, "10x")
    facts = advice.facts()
    assert not facts["promised"] and facts["doubts"]
    text = advice.sentences()
    assert "no gain is promised" in text and "Predicted no worse" in text and "To know, run" in text
    assert "no gain is promised" in advice.headline()


def test_a_saturated_axis_is_not_grown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    terms = {"table_params": (6.0, 0.35), "samples": (9.0, 0.36)}
    study = planted_as(monkeypatch, tmp_path, terms, 0.0004)
    for compute in ("10x", "100x"):
        facts = advise(study, compute).facts()
        assert "mlp_width" in facts["saturated"]
        # of sizes within noise of one another the smallest
        assert facts["answer"]["model"]["mlp_width"] <= 64
        assert facts["bottleneck"] == "embedding_dim"


def test_one_factor_of_the_rates_is_said_with_the_cost_of_a_round(study: Study, tmp_path: Path):
    assert advise(study, "10x").facts()["tuning_flop"] is None
    one = advise(Study.of(planted(tmp_path, SWEEP.replace("tune: [1, 3]", "tune: [1]"))), "10x")
    facts = one.facts()
    assert facts["tuning_flop"] == pytest.approx(3 * facts["answer"]["train_flop"])
    assert "learning rates at one factor only" in one.sentences()


def test_one_seed_asks_for_a_second_where_nothing_is_promised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    text = SWEEP.replace("seeds: 2", "seeds: 1")
    study = planted_as(monkeypatch, tmp_path, {"samples": (9.0, 0.36)}, 0.01, text)
    facts = advise(study, "10x").facts()
    assert not facts["promised"]
    assert facts["run_to_know"]["run"].startswith("another seed of")


OPEN = SWEEP[: SWEEP.index("law:")] + SWEEP[SWEEP.index("budget:") :]


def by_axes(monkeypatch: pytest.MonkeyPatch, path: Path, text: str, loss) -> Study:
    """A study whose losses depend on the axes of each run."""

    def measured(p, **changes):
        done = record(p, **changes)
        rng = np.random.default_rng(zlib.crc32(p.run_id.encode()))
        ne = loss(p.config.model, p.config.train, p.cost) * float(np.exp(5e-4 * rng.normal()))
        last = done.curve[-1].model_copy(
            update={"eval_loss": 0.56 * ne, "metrics": {"eval_ne": ne}}
        )
        return done.model_copy(update={"curve": (*done.curve[:-1], last)})

    monkeypatch.setattr("planted_study.record", measured)
    return Study.of(planted(path, text, mishaps=False))


def test_a_block_that_pays_is_told_from_a_width_that_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Both are dense parameters, and their sum sees neither."""

    def loss(model, train, cost) -> float:
        block = {0: 0.03, 1: 0.01, 2: 0.0}[model.sequence_depth]
        return 0.7 + 0.1 / model.embedding_dim**0.5 + 9 / cost.samples**0.36 + block

    study = by_axes(monkeypatch, tmp_path, OPEN.replace("tune: [1, 3]", "tune: [1]"), loss)
    first, *rest = study.laws()
    assert first.what == "axes apart" and "sequence_depth" in first.law.variables
    assert [c.what for c in rest] == ["groups"]
    facts = advise(study, "10x").facts()
    assert facts["answer"]["model"]["sequence_depth"] >= 2
    assert facts["answer"]["model"]["mlp_width"] <= 256  # never grown
    assert "mlp_width" in facts["saturated"]


def test_of_laws_supported_alike_one_at_no_bound_is_believed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """The law of axes has more constants than these runs show and predicts 3 % better by luck."""
    monkeypatch.setattr("planted_study.NOISE", 0.001)
    text = OPEN.replace("[0, 1, 2]", "1").replace("tune: [1, 3]", "tune: [1]")
    study = Study.of(planted(tmp_path, text, mishaps=False))
    first, second = study.laws()
    assert second.law.status is Status.BOUND_HIT and second.error < first.error
    assert first.law.status is Status.CONVERGED
    advice = advise(study, "10x")
    assert advice.promised and advice.best
    gained = advice.best_loss - planted_ne(advice.best.option.cost)
    assert advice.best.gain.low <= gained <= advice.best.gain.high


def test_laws_that_the_runs_support_alike_and_that_advise_otherwise_are_both_said(
    monkeypatch: pytest.MonkeyPatch, study: Study, tmp_path: Path
):
    """By the one dense parameters pay, by the other tables alone."""
    terms = {"table_params": (6.0, 0.35), "dense_params": (1e-9, 0.38), "samples": (9.0, 0.36)}
    other = planted_as(monkeypatch, tmp_path, terms, 0.0004).law()
    known = replace(grounds(study), saturated={}, most={})
    law = known.law
    assert law is not None
    advice, none = (
        advise_on(
            replace(known, contenders=(Contender("a", law, 0.01), Contender("b", other, error))),
            "10x",
        )
        for error in (0.014, 0.016)
    )
    assert not none.others
    ((name, said),) = advice.others
    assert advice.best and said.option.model != advice.best.option.model
    values = {v: said.option.values()[v] for v in other.variables}
    row = other.predict(values, 0.9).iloc[0]
    assert (said.loss, said.low, said.high) == (row["mean"], row["low"], row["high"])
    text = advice.sentences()
    assert f"By the law of {name}, which the runs support about as well: " in text
    assert span(said.loss, said.low, said.high) in text
    facts = advice.facts()["other_laws"]
    assert [f["model"] for f in facts] == [said.option.model.model_dump()]


def test_passes_are_advised_as_many_as_pay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Two passes gain, four learn the rows by heart."""

    def loss(model, train, cost) -> float:
        passes = {1: 0.02, 2: 0.0, 4: 0.03}[train.epochs]
        rows = cost.samples / train.epochs
        return 0.7 + 0.1 / model.embedding_dim**0.5 + 9 / rows**0.36 + passes

    text = OPEN.replace("[32, 64, 128, 256]", "64").replace("[0, 1, 2]", "0")
    text = text.replace("  batch_size", "  epochs: [1, 2, 4]\n  batch_size")
    study = by_axes(monkeypatch, tmp_path, text, loss)
    for compute in ("3x", "10x", "100x"):
        assert advise(study, compute).facts()["answer"]["epochs"] == 2


def test_the_same_number_wherever_it_is_shown(study: Study):
    advice = advise(study, "10x")
    text = headlines(study)[0]
    best = advice.best
    assert best and text == sentence(advice)
    assert span(best.loss, best.low, best.high) in text
    assert span(best.loss, best.low, best.high) in advice.sentences()
    assert text in Page(render(study)).text


def test_rows_at_hand_are_taken_as_far_as_the_budget_buys_the_best_run_more_of_them(
    tmp_path: Path,
):
    """A sweep on small parts of a log: two doublings of its largest would leave most of the rows,
    and of the compute, behind."""
    text = SWEEP.replace("[0.02, 0.1, 0.4, 1.0]", "[0.005, 0.01, 0.02, 0.04]")
    study = Study.of(planted(tmp_path, text, mishaps=False))
    whole = DATA.n_train // 512 * 512
    for compute in ("10x", "100x"):
        advice = advise(study, compute)
        facts, best = advice.facts(), advice.best
        assert best is not None
        run, _ = best_so_far(study)
        bought = facts["budget_flop"] / run.trained.train_flop * run.trained.samples
        assert 4 * 0.04 * whole < best.rows <= min(whole, bought)
        true = planted_ne(best.option.cost)
        assert facts["promised"] and facts["best_run"]["eval_ne"] - true > 0
    # rows that are not there are asked for within the stated doublings alone
    assert facts["with_more_data"] is None


def test_compute_that_is_not_spent_is_said_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Nothing but data pays and all of it was tried: more compute buys nothing here."""
    study = planted_as(monkeypatch, tmp_path, {"samples": (9.0, 0.36)}, 0.0004)
    advice = advise(study, "100x")
    best = advice.best
    assert best and best.option.cost.train_flop < 0.5 * advice.budget_flop
    share = 100 * best.option.cost.train_flop / advice.budget_flop
    assert f"That is {share:.2g} % of the compute asked for: " in advice.sentences()
    # no axis is said to stand at an edge that it was never let up to
    assert set(best.at_edge).isdisjoint(advice.saturated)


def test_an_answer_that_loses_to_a_baseline_says_so(tmp_path: Path):
    study = Study.of(planted(tmp_path, SWEEP, mishaps=False))
    assert not advise(study, "10x").unbeaten and "baseline" not in advise(study, "10x").sentences()
    low = study.data.model_copy(update={"baselines": {"per-item rate": 0.3}})
    study = replace(study, data=low)
    advice = advise(study, "10x")
    ne = low.baselines_in("eval_ne")["per-item rate"]
    assert advice.best and advice.best.loss > ne
    assert advice.facts()["unbeaten_baselines"] == {"per-item rate": pytest.approx(ne)}
    words = f"predicted no better than the baseline per-item rate ({number(ne)})"
    assert words in advice.sentences() and words in advice.headline()


def test_a_law_of_runs_that_lost_to_a_baseline_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def beaten(p, **changes):
        worse = {} if p.config.train.data_fraction == 1 else {"per-item rate": 0.3}
        return record(p, worse_than=worse, **changes)

    monkeypatch.setattr("planted_study.record", beaten)
    text = SWEEP.replace("loss: eval_ne}", "loss: eval_ne, below_baseline: true}")
    advice = advise(Study.of(planted(tmp_path, text, mishaps=False)), "10x")
    assert "runs lost to a baseline (per-item rate)" in advice.lost
    assert f"In the law {advice.lost}: " in advice.sentences()


def test_a_law_without_data_moves_no_run_to_less_or_more_of_it(tmp_path: Path):
    text = SWEEP.replace("[table_params, dense_params, samples]", "[table_params, dense_params]")
    one = Study.of(planted(tmp_path, text.replace("[0.02, 0.1, 0.4, 1.0]", "0.5")))
    whole = DATA.n_train // 2 // 512 * 512
    for compute in ("0.3x", "1x", "10x"):
        found = advise(one, compute).facts()
        assert found["answer"]["samples"] == whole
        assert found["answer"]["train_flop"] <= found["budget_flop"]
    with pytest.raises(ValueError, match="the sweep's data once"):
        advise(one, "1e8")
