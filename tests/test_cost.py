"""Closed-form costs against the built models and torch's own counter."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from recscale.cost import estimate, eval_schedule, steps
from recscale.data.store import Store
from recscale.families.dlrm import DLRMConfig
from recscale.manifest import Manifest
from recscale.models.contract import build
from recscale.planner import planned_runs
from recscale.spec import SweepSpec

CONFIGS = [
    dict(embedding_dim=4, mlp_width=16, overarch_width=16, mlp_depth=1, sequence_depth=0),
    dict(embedding_dim=8, mlp_width=32, overarch_width=64, mlp_depth=3, sequence_depth=0),
    dict(embedding_dim=16, mlp_width=8, overarch_width=8, mlp_depth=2, sequence_depth=1),
    dict(embedding_dim=8, mlp_width=16, overarch_width=16, mlp_depth=2, sequence_depth=3),
]


def config(**values) -> DLRMConfig:
    depth = values["sequence_depth"]
    return DLRMConfig(
        family="dlrm",
        embedding_rows=values.pop("embedding_rows", None),
        sequence_width=32 if depth else 0,
        sequence_length=values.pop("sequence_length", 6),
        **values,
    )


@pytest.mark.parametrize("values", CONFIGS)
@pytest.mark.parametrize("rows", [None, 50])
def test_parameters_equal_the_built_model(values, rows, data: Manifest):
    model = config(**values, embedding_rows=rows)
    built = build(model, data, "meta")
    in_tables = sum(p.numel() for n, p in built.named_parameters() if "embedding" in n)
    assert model.table_params(data) == in_tables
    dense = model.dense_params(data) + model.head_params(data)
    assert dense == sum(p.numel() for p in built.parameters()) - in_tables


@pytest.mark.parametrize("values", CONFIGS)
def test_dense_flop_equal_torchs_counter(values, data: Manifest):
    """Everything but the tables, counted by torch on the meta device with one sample."""
    model = config(**values)
    built = build(model, data, "meta")
    flop = model.forward_flop(data)
    d, length = model.embedding_dim, model.sequence_length
    meta = torch.device("meta")
    vectors = len(data.tables) + 2
    encoder = built.get_submodule("history_encoder")
    with FlopCounterMode(display=False) as counter:
        encoder(
            torch.empty(1, length, d, device=meta), torch.empty(1, dtype=torch.int, device=meta)
        )
        dense = built.get_submodule("bottom")(torch.empty(1, len(data.dense), device=meta))
        x = torch.empty(1, vectors, d, device=meta)
        dots = torch.bmm(x, x.transpose(1, 2)).flatten(1).index_select(1, built.get_buffer("pairs"))
        built.get_submodule("over_arch")(torch.cat([dense, dots], 1))
    # the counter sees the whole S x S of a causal attention, we count the half that is needed
    assert flop.body + flop.interaction + 2 * flop.attention == counter.get_total_flops()


def test_lookups_are_no_flop_but_bytes(small: SweepSpec, data: Manifest):
    from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

    model = config(**CONFIGS[0])
    tables = build(model, data, "meta").get_submodule("tables").to_empty(device="cpu")
    keys = [t.name for t in data.tables]
    ids = KeyedJaggedTensor(
        keys=keys,
        values=torch.zeros(len(keys), dtype=torch.long),
        lengths=torch.ones(len(keys), dtype=torch.int32),
    )
    with FlopCounterMode(display=False) as counter:
        tables(ids)
    assert counter.get_total_flops() == 0
    train = planned_runs(small, data)[0].config.train
    assert estimate(model, train, data, small.resources).lookup_bytes > 0


def test_training_counts_three_forwards_of_whole_batches(small: SweepSpec, data: Manifest):
    for planned in planned_runs(small, data):
        run, cost = planned.config, planned.cost
        rows = math.floor(run.train.data_fraction * data.n_train)
        assert cost.samples == rows // run.train.batch_size * run.train.batch_size
        assert cost.train_flop == 3 * cost.forward.total * cost.samples


def test_scaling_one_axis_costs_only_what_it_touches(data: Manifest):
    base = config(**CONFIGS[0])
    fewer = base.model_copy(update={"embedding_rows": 50})
    assert fewer.dense_params(data) == base.dense_params(data)
    assert fewer.forward_flop(data) == base.forward_flop(data)
    deeper = config(**{**CONFIGS[0], "sequence_depth": 2})
    assert deeper.table_params(data) == base.table_params(data)
    wider = base.model_copy(update={"overarch_width": 64})
    assert wider.table_params(data) == base.table_params(data)


def test_a_transformer_block_has_12_width_squared_matrix_weights(data: Manifest):
    """Non-embedding N = 12 L d^2 (2311.11351), here per block of the history encoder."""
    one, two = (config(**{**CONFIGS[0], "sequence_depth": n}) for n in (1, 2))
    block = two.dense_params(data) - one.dense_params(data)
    width = 32
    assert block == 12 * width**2 + 13 * width
    body = two.forward_flop(data).body - one.forward_flop(data).body
    assert body == 2 * 12 * width**2 * one.sequence_length


def test_evaluations_end_at_the_last_step():
    assert eval_schedule(100, 4) == [12, 25, 50, 100]
    assert eval_schedule(2, 6) == [1, 2]


def test_epochs_repeat_the_same_whole_batches(small: SweepSpec, data: Manifest, store):
    train = planned_runs(small, data)[0].config.train.model_copy(update={"epochs": 3})
    assert steps(train, data) == 3 * steps(train.model_copy(update={"epochs": 1}), data)
    assert len(Store.open(store).train(train.data_fraction)) >= (
        steps(train, data) // 3 * train.batch_size
    )
