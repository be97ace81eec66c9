"""A key that stands where none of its name may stand is told where it belongs."""

from __future__ import annotations

import pytest

from recscale.reference import every_key
from recscale.spec.schema import kinds_of, places_of
from recscale.specfile import SpecError, parse_spec

SWEEP = """\
name: misplaced
data: {source: events, path: x, columns: {user: u, item: i, time: t, labels: [a, b]}}
model: {family: dlrm, embedding_dim: 4}
budget: {flop: 1e9}
"""
MODEL = "{family: dlrm, embedding_dim: 4}"


def told(text: str) -> list[str]:
    with pytest.raises(SpecError) as refused:
        parse_spec(text)
    return refused.value.lines


@pytest.mark.parametrize(
    "key, said",
    [
        ("label_weights: {a: 2}", "it belongs at data.label_weights"),
        ("embedding_dim: 8", "it belongs at model.embedding_dim"),
        ("batch_size: 8", "it belongs at train.batch_size"),
        ("tune: [1, 3]", "it belongs at train.learning_rate.tune"),
        ("labels: [a, b]", "it belongs at data.columns.labels"),
        ("usd: 3", "it belongs at search.target.usd or budget.usd"),
        ("modle: 3", "did you mean 'model'?"),
        ("subsequences: 2", "it belongs at model.subsequences, of family climber"),
        ("foo: 2", "allowed: name, data, model"),
    ],
)
def test_at_the_top_of_the_file(key, said):
    (line,) = told(f"{SWEEP}{key}\n")
    assert line.startswith(f"sweep:5: {key.partition(':')[0]}: unknown key; {said}")


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("path: x", "path: x, label: a", "data.label: unknown key; it belongs at data.columns.lab"),
        ("time: t", "time: t, task: click", "data.columns.task: unknown key; it belongs at data.t"),
        ("path: x", "path: x, users: 3", "data.users: unknown key; source synthetic has it; al"),
        (MODEL, "{family: dlrm, layers: 3}", "model.layers: unknown key; family wukong, rankmixer"),
        (MODEL, "{family: dlrm, embeding_dim: 3}", "did you mean 'embedding_dim'?"),
        (MODEL, "[{family: dlrm, layers: 3}, {family: wukong}]",
         "model[0].layers: unknown key; family wukong, rankmixer, adrec has it; allowed: fam"),
    ],
)  # fmt: skip
def test_within_a_mapping(old, new, said):
    (line,) = told(SWEEP.replace(old, new))
    assert said in line


def test_every_key_of_the_file_is_found_by_its_name():
    """Against the reference, which walks the file by itself."""
    kinds = {kind for top in ("data", "model") for kind in kinds_of(top)}
    for key in every_key():
        parts = [p for p in key.path.split(".") if not {*p.split("|")} & kinds and ":" not in p]
        assert ".".join(parts) in places_of(parts[-1]), key.path
