"""What a sweep file may say, and how wrong ones are refused."""

from __future__ import annotations

import pytest

from recscale.specfile import SpecError, dump_spec, expand, parse_spec

GOOD = """
name: x
data: {source: synthetic}
model: {family: dlrm, embedding_dim: [4, 8]}
budget: {flop: 1e16}
"""


def errors(text: str) -> list[str]:
    with pytest.raises(SpecError) as refused:
        parse_spec(text, "s.yaml")
    return refused.value.lines


def test_a_scalar_is_fixed_and_a_list_is_an_axis():
    spec = parse_spec(GOOD + "train: {data_fraction: 0.5, batch_size: 1e3}\n")
    assert spec.axes()["embedding_dim"] == (4, 8)
    assert spec.axes()["data_fraction"] == (0.5,)
    assert spec.train.batch_size == 1000
    assert spec.budget.flop == 1e16


def test_a_sweep_survives_being_written_and_read():
    spec = parse_spec(GOOD)
    assert parse_spec(dump_spec(spec)) == spec


def test_every_error_is_reported_at_once_with_its_line():
    lines = errors(
        """name: x
data:
  source: synthetic
  rows: 20
model:
  family: dlrm
  embedding_dims: [4, 8]
  embedding_dim: [4, 0]
  mlp_width: wide
train:
  data_fraction: [0.1, 1.5]
  seeds: true
  learning_rate: {dens: 1e-3}
budget: {}
"""
    )
    told = {line.split(": ")[1]: line for line in lines}
    assert set(told) == {
        "data.rows",
        "model.embedding_dims",
        "model.embedding_dim[1]",
        "model.mlp_width",
        "train.data_fraction[1]",
        "train.seeds",
        "train.learning_rate.dens",
        "budget",
    }
    assert told["model.embedding_dims"].startswith("s.yaml:7: ")
    assert "did you mean 'embedding_dim'?" in told["model.embedding_dims"]
    assert "did you mean 'dense'?" in told["train.learning_rate.dens"]
    assert told["train.data_fraction[1]"].startswith("s.yaml:11: ")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (GOOD.replace("synthetic", "kafka"), "data.source"),
        (GOOD.replace("dlrm", "dlrn"), "model.family"),
        (GOOD.replace("[4, 8]", "[]"), "model.embedding_dim"),
        (GOOD.replace("[4, 8]", "[4, 4]"), "model.embedding_dim"),
        (GOOD.replace("name: x", "name: ../x"), "name"),
        (GOOD.replace("1e16", "-1"), "budget.flop"),
        (GOOD.replace("1e16", ".nan"), "budget.flop"),
        (GOOD + "train: {batch_size: 2}\nresources: {workers: 3}\n", "batch_size"),
        (GOOD + "train: {batch_size: 2}\nresources: {elastic: [1, 3]}\n", "batch_size"),
        (GOOD + "resources: {workers: 2, elastic: [1, 2]}\n", "resources"),
        (GOOD + "resources: {elastic: [3, 1]}\n", "resources"),
        (GOOD + "resources: {elastic: [0, 1]}\n", "resources.elastic[0]"),
        (GOOD + "search: {strategy: axes, base: {embedding_dim: 5}}\n", "search.base"),
        (GOOD + "search: {base: {embedding_dim: 4}}\n", "search"),
        (GOOD + "name: y\n", "name"),
        ("- a\n- b\n", "mapping"),
        ("a: [1", "not YAML"),
        ("", "mapping"),
    ],
)
def test_bad_input_names_the_key(text: str, key: str):
    assert any(key in line for line in errors(text))


def test_storage_variables_are_expanded_or_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOGS", "/somewhere")
    assert expand("$LOGS/log.parquet", "data.path") == "/somewhere/log.parquet"
    monkeypatch.delenv("LOGS")
    with pytest.raises(SpecError, match="LOGS"):
        expand("${LOGS}/log.parquet", "data.path")
