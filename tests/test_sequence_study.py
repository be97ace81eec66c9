"""A planted study of decoders: the largest predicted, metrics beside the loss, on the page."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace

import numpy as np
import pytest
from planted_study import record as planted_record

from recscale.advice.advise import advise
from recscale.advice.agreement import beside
from recscale.advice.gains import law_gains
from recscale.advice.hold_out import hold_out
from recscale.advice.options import base_option
from recscale.ledger import Ledger
from recscale.manifest import Manifest, TableFacts
from recscale.planner import Planned, planned_runs
from recscale.report.page import render
from recscale.run import CurvePoint, RunRecord
from recscale.specfile import parse_spec
from recscale.study import Study, plan_entry

SWEEP = """
name: decoders
data: {source: movielens, path: ratings.csv}
model: {family: decoder, sequence_depth: [1, 2, 4], sequence_width: [16, 32, 64, 128]}
train: {data_fraction: [0.1, 0.3, 1.0], batch_size: 256}
law: {hold_out_largest: 2}
budget: {flop: 1e18}
"""
DATA = Manifest(
    source="movielens", task="next_item", fingerprint="planted", n_train=2_000_000, n_eval=50_000,
    tables=(TableFacts(name="item", rows=20_001, distinct=20_000),), dense=(), history="item",
    history_mean_length=90.0, raw_rows=2_050_000,
)  # fmt: skip


WORTH = 3.0  # passes after the first that are worth about as much as fresh data


def loss_of(p: Planned, samples: float) -> float:
    """Repeats count less and less: Muennighoff et al. 2023 (2305.16264), eq. 5."""
    fresh = p.cost.samples / p.config.train.epochs
    again = max(0.0, samples / fresh - 1)
    worth = min(samples, fresh) + fresh * WORTH * (1 - math.exp(-again / WORTH))
    return 4.2 + 30 / p.cost.non_embedding_params**0.35 + 60 / worth**0.3


def record(p: Planned) -> RunRecord:
    """Along a planted law with HR@10 = 1 - loss / 10; over-trained at the end, so that HR@10 is at
    its best in the middle, and worst there for the best model."""
    # the same draws whatever makes an id of them, and whatever fields came later
    later = {"train": {"schedule", "warmup_samples"}}
    fields = p.config.model_dump_json(exclude=later).encode()
    noise = math.exp(0.002 * np.random.default_rng(zlib.crc32(fields)).standard_normal())
    curve = []
    for share in (0.5, 1.0):
        loss = loss_of(p, p.cost.samples * share) * noise
        hr = 1 - loss / 10 if share == 0.5 else loss / 100
        curve.append(
            CurvePoint(
                samples=int(p.cost.samples * share), train_flop=p.cost.train_flop * share,
                time_s=1.0, train_loss=loss, eval_loss=loss, metrics={"eval_hr10": hr},
            )
        )  # fmt: skip
    cold = 0.1 + 0.02 * math.log2(p.cost.non_embedding_params) + 0.01 * math.log2(p.cost.samples)
    return planted_record(
        Planned(p.config, p.cost, p.reason), curve=tuple(curve), probes={"probe_cold5_hr10": cold}
    )


def planted(path, text: str) -> Study:
    spec = parse_spec(text)
    runs = planned_runs(spec, DATA)
    ledger = Ledger(path, name="decoders")
    ledger.append("plan", **plan_entry(spec, DATA, runs))
    for p in runs:
        ledger.record(record(p))
    return Study.of(ledger)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    return planted(tmp_path_factory.mktemp("study"), SWEEP)


def test_the_two_largest_models_are_predicted_by_the_others_alone(study):
    found = hold_out(study)
    assert found is not None and found.law is not None
    sizes = sorted({r.spent.non_embedding_params for r in study.records})
    assert sorted(set(found.runs["non_embedding_params"])) == sizes[-2:]
    assert len(found.runs) == 6 and found.fitted == len(study.records) - 6 == found.law.n
    largest_fitted = np.exp(found.law.points.logx[:, 0].max())
    assert largest_fitted == pytest.approx(sizes[-3])
    assert np.all(found.runs["low"] < found.runs["predicted"])
    assert found.inside >= 5 and found.error < 0.01


def test_a_law_that_fails_beyond_its_runs_is_seen_to(study):
    """The largest models measured far off the law lie outside their intervals."""
    sizes = sorted({r.spent.non_embedding_params for r in study.records})
    worse = tuple(
        r.model_copy(
            update={"curve": tuple(p.model_copy(update={"eval_loss": 9.0}) for p in r.curve)}
        )
        if r.spent.non_embedding_params >= sizes[-2]
        else r
        for r in study.records
    )
    found = hold_out(replace(study, records=worse))
    assert found is not None and found.inside == 0 and found.error > 0.3


def test_slopes_per_doubling_and_agreement_are_those_planted(study):
    hr, cold = beside(study)
    assert (hr.metric, cold.metric) == ("eval_hr10", "probe_cold5_hr10")
    by_variable = {s.variable: s.change for s in cold.slopes}
    assert by_variable == pytest.approx({"non_embedding_params": 0.02, "samples": 0.01})
    # each at its own best they agree, at the end they contradict each other
    assert hr.best > 0.95 and hr.final < -0.99
    assert cold.best is None


def test_the_page_shows_all_of_it(study):
    page = render(study)
    found = hold_out(study)
    assert "The largest models, predicted" in page and "probe_cold5_hr10" in page
    assert f"{found.inside} of 6 inside their 90 % intervals" in page
    assert "per doubling of non_embedding_params" in page


def test_passes_over_the_data_have_a_law_of_their_own(tmp_path):
    """The worth of repeating is found again; advice and the page know the axis."""
    text = SWEEP.replace("batch_size: 256", "batch_size: 256, epochs: [1, 4, 16]")
    text = text.replace("{hold_out_largest: 2}", "{form: repeated}")
    text = text.replace("[1, 2, 4]", "[1, 2]").replace("[16, 32, 64, 128]", "[16, 64]")
    study = planted(tmp_path, text)
    law = study.law()
    assert law.variables == ("non_embedding_params", "samples", "unique_samples")
    ends = law.intervals(0.95).set_index("coefficient")
    assert ends.loc["R_star", "low"] < WORTH < ends.loc["R_star", "high"]
    rates = {r.axis: r.change for r in law_gains(study, law, base_option(study))}
    assert rates["data_fraction"] < rates["epochs"] < 0
    assert "passes over the data" in render(study)
    assert "samples" in advise(study, "2x").sentences()
