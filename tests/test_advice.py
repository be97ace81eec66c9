"""`ask` finds the planted optimum, says what it costs and how far out it lies, refuses nonsense."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from planted_study import DATA, SWEEP, planted, planted_ne

from recscale.advice import advise
from recscale.advice.options import option, space
from recscale.cost import estimate
from recscale.laws import LawError
from recscale.study import Study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study.of(planted(tmp_path_factory.mktemp("planted")))


@pytest.fixture(scope="module")
def facts(study: Study) -> dict:
    return advise(study, "10x").facts()


def true_optimum(study: Study, budget: float, rows: float = math.inf) -> tuple[dict, float]:
    """The architecture and loss that the planted law itself finds best at a budget."""
    best: tuple[float, dict] = (math.inf, {})
    for model in space(study, 10).models:
        flop = 3 * option(study, model, 512).cost.forward.total
        samples = min(budget / flop // 512 * 512, rows // 512 * 512)
        if samples:
            loss = planted_ne(option(study, model, int(samples)).cost)
            best = min(best, (loss, model.model_dump()), key=lambda b: b[0])
    return best[1], best[0]


def test_the_planted_optimum_is_found_within_one_grid_step(study: Study, facts: dict):
    model, loss = true_optimum(study, facts["budget_flop"])
    found = facts["answer"]["model"]
    for axis in ("embedding_dim", "mlp_width"):
        assert abs(math.log2(found[axis] / model[axis])) <= 1, axis
    assert planted_ne(option_of(study, facts["answer"])) == pytest.approx(loss, rel=0.005)


def option_of(study: Study, answer: dict):
    models = [m for m in space(study, 10).models if m.model_dump() == answer["model"]]
    return option(study, models[0], answer["samples"]).cost


def test_the_interval_covers_the_planted_loss(study: Study, facts: dict):
    for answer in (facts["answer"], facts["with_data_at_hand"]):
        predicted = answer["predicted"]
        assert predicted["low"] <= planted_ne(option_of(study, answer)) <= predicted["high"]


def test_the_budget_is_spent_and_never_crossed(facts: dict):
    assert 0.95 * facts["budget_flop"] < facts["answer"]["train_flop"] <= facts["budget_flop"]


def test_costs_are_those_of_the_closed_forms(study: Study, facts: dict):
    answer = facts["answer"]
    model = next(m for m in space(study, 10).models if m.model_dump() == answer["model"])
    run = study.planned[0].config.train
    exact = estimate(model, run, DATA, study.spec.resources)
    assert answer["table_params"] == exact.table_params
    assert answer["dense_params"] == exact.dense_params
    assert answer["train_flop"] == 3 * exact.forward.total * answer["samples"]
    assert answer["usd"] > 0 and answer["gpu_hours"] == 0 and answer["time_s"] > 0


def test_more_data_than_there_is_is_said_with_the_best_answer_without_it(study: Study):
    advice = advise(study, "10x")
    facts = advice.facts()
    assert facts["answer"]["rows_needed"] > facts["rows_at_hand"] == DATA.n_train
    there = facts["with_data_at_hand"]
    assert there["samples"] <= DATA.n_train and there["data_fraction"] <= 1
    assert there["predicted"]["mean"] >= facts["answer"]["predicted"]["mean"]
    assert "data at hand" in advice.sentences()


def test_how_far_it_extrapolates_is_said_per_variable(facts: dict):
    beyond = facts["answer"]["decades_beyond"]
    assert set(beyond) == {"table_params", "dense_params", "samples"}
    assert beyond["samples"] == pytest.approx(
        math.log10(facts["answer"]["samples"] / 999_936), abs=1e-3
    )


def test_the_starved_axis_and_the_rates_follow_the_planted_law(study: Study, facts: dict):
    rates = {r["axis"]: r for r in facts["rates"]}
    assert set(rates) == {"embedding_dim", "mlp_width", "sequence_depth", "data_fraction"}
    largest = max(study.planned, key=lambda p: p.cost.train_flop)
    doubled = option(study, largest.config.model, 2 * largest.cost.samples)
    true = planted_ne(doubled.cost) - planted_ne(largest.cost)
    data = rates["data_fraction"]["per_doubling"]
    assert data["low"] <= data["mean"] <= data["high"] < 0
    assert data["mean"] == pytest.approx(true, rel=0.05)
    # embedding columns cost next to no FLOPs and still gain
    assert facts["starved"] == "embedding_dim"


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


def test_without_a_law_there_is_no_advice(tmp_path: Path):
    few = SWEEP.replace("[4, 8, 16, 32]", "16").replace("[32, 64, 128, 256]", "64")
    study = Study.of(planted(tmp_path, few))
    with pytest.raises(LawError, match="distinct value"):
        advise(study, "10x")
