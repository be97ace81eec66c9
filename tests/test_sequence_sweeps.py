"""Sweeps of sequence models: their axes, their rules, and what is refused."""

from __future__ import annotations

import pytest

from recscale.manifest import Manifest, TableFacts
from recscale.planner import PlanError, planned_runs
from recscale.specfile import SpecError, parse_spec

SEQUENCES = """
name: passes
data: {source: movielens, path: ratings.csv}
model: {family: decoder, sequence_width: [32, 64], sequence_length: 8}
train:
  data_fraction: [0.5, 1.0]
  epochs: [1, 3]
  batch_size: 64
  learning_rate: {dense: 1e-2, sparse: 1e-1, width: 32}
  sgd_after: 0.8
probes: [cold_start]
law: {form: repeated}
budget: {flop: 1e15}
"""


def sequence_facts() -> Manifest:
    item = TableFacts(name="item", rows=101, distinct=100)
    return Manifest(
        source="movielens", task="next_item", fingerprint="x", n_train=1000, n_eval=100,
        tables=(item,), dense=(), history="item", history_mean_length=20.0, raw_rows=1100,
    )  # fmt: skip


def test_passes_are_an_axis_and_rates_follow_the_width():
    spec = parse_spec(SEQUENCES)
    planned = planned_runs(spec, sequence_facts())
    assert len(planned) == 8
    for p in planned:
        train, width = p.config.train, p.config.model.sequence_width
        per_pass = int(1000 * train.data_fraction) // 64 * 64
        assert p.cost.samples == train.epochs * per_pass
        assert train.dense_rate == 1e-2 * 32 / width and train.sparse_rate == 1e-1 * 32 / width
        assert train.probes == ("cold_start",) and train.sgd_after == 0.8
    assert len({p.run_id for p in planned}) == 8
    assert spec.law_variables == ("non_embedding_params", "samples", "unique_samples")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("family: decoder", "family: dlrm"), "data.task click"),
        (("[cold_start]", "[transfer]"), "data.columns.domain"),
        (("sequence_width: [32, 64]", "sequence_width: [32, 64], heads: 5"), "do not divide"),
        (("source: movielens", "source: movie"), "'movielens', 'amazon', 'sequences'"),
        (("path: ratings.csv}", "path: x, holdout: {leave_one_out: 3}}"), "leave_one_out"),
    ],
)
def test_sequence_sweeps_that_cannot_run_are_refused(change, words):
    with pytest.raises(SpecError, match=words):
        parse_spec(SEQUENCES.replace(*change))


def test_more_negatives_than_items_are_refused():
    spec = parse_spec(SEQUENCES.replace("sequence_length: 8", "sequence_length: 8, negatives: 200"))
    with pytest.raises(PlanError, match="model.negatives: 200 of a catalogue of 100"):
        planned_runs(spec, sequence_facts())
