"""Closed forms of every family against its network, on data of any columns at any point of its
axes."""

from __future__ import annotations

import typing
from typing import Literal

import numpy as np
import pytest

from recscale.families import FAMILIES, ModelConfig
from recscale.manifest import Manifest, TableFacts
from recscale.models.counting import Subject, count

DRAWS = 8
COUNTS = {"cross_rank": [None, 1, 5], "heads": [1, 2, 4], "overarch_width": [None, 7],
          "multi_embedding": [1, 1, 2], "sequence_depth": [0, 1, 2], "embedding_dim": [8, 16],
          "embedding_rows": [None, 3], "token_width": [8, 24], "tokens": [2, 8],
          "attention_width": [8, 12], "mlp_depth": [1, 2], "layers": [1, 3],
          "attention_layers": [1, 3], "sequence_width": [16, 24],
          "negatives": [None, 2]}  # fmt: skip
"""Values of the axes that go together; others are drawn from 1 to 9."""


def manifest(rng: np.random.Generator, task: str) -> Manifest:
    """Some columns, plain ones and bags, dense ones or none, histories or none."""

    def table(name: str, bag: bool = False) -> TableFacts:
        rows = int(rng.integers(6, 40))
        mean = float(rng.integers(1, 5)) if bag else 1.0
        return TableFacts(name=name, rows=rows, distinct=rows - 1, bag=bag, mean_length=mean,
                          weighted=bag and bool(rng.integers(2)))  # fmt: skip

    if task == "next_item":
        tables, dense = [table("item")], ()
    else:
        tables = [table("item"), *(table(f"t{i}") for i in range(rng.integers(0, 4)))]
        tables += [table(f"bag{i}", True) for i in range(rng.integers(0, 3))]
        dense = tuple(f"d{i}" for i in range(rng.integers(0, 4)))
    history = "item" if task == "next_item" or rng.integers(2) else None
    return Manifest(
        source="events", task=task, fingerprint="f", n_train=9, n_eval=9, tables=tuple(tables),
        dense=dense, history=history, history_mean_length=1e6, raw_rows=18,
    )  # fmt: skip


def drawn(rng: np.random.Generator, family: str, data: Manifest) -> ModelConfig:
    """A point of its axes, with any value of its options."""
    entry, given = FAMILIES[family].spec, {}
    for name, field in entry.model_fields.items():
        kind = field.annotation
        if isinstance(field.default, tuple):
            value = rng.choice(COUNTS.get(name, np.arange(1, 10)))
            given[name] = None if value is None else int(value)
        elif typing.get_origin(kind) is Literal and name != "family":
            given[name] = str(rng.choice(typing.get_args(kind)))
        elif kind is bool:
            given[name] = bool(rng.integers(2))
    if data.history is None:
        given["sequence_depth"] = 0
    if data.task == "next_item" and "sequence_depth" in given:
        given["sequence_depth"] += 1
    if "subsequences" in given:  # of equal length: what pads shorter ones is no cost of the model
        given["sequence_length"] *= given["subsequences"]
    if family == "two_tower":
        given["negatives"] = given["negatives"] or 0
    spec = entry.model_validate({"family": family, **given})
    return spec.resolve({k: v[0] for k, v in spec.axes().items()}, data)


@pytest.mark.parametrize("seed", range(DRAWS))
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_said_is_what_is_built(family: str, seed: int):
    rng = np.random.default_rng([seed, list(FAMILIES).index(family)])
    data = manifest(rng, FAMILIES[family].spec.task)
    model = drawn(rng, family, data)
    found, flop = count(Subject.of(model), data), model.forward_flop(data)
    assert model.tables(data) == found.tables, model
    assert model.dense_params(data) + model.head_params(data) == found.dense_params, model
    # the counter sees the half of a causal attention that we leave out, and no sampled item is the
    # target, which is scored beside them
    whole = flop.body + flop.interaction + flop.head + 2 * flop.attention
    if model.option("negatives", None):
        whole -= 2 * model.option("sequence_width", 0)
    assert found.flop == pytest.approx(whole, rel=1e-12), model
    assert model.activations(data) > 0 and all(n >= 0 for n in model.lookups(data).values())
