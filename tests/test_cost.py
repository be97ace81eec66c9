"""Closed-form costs against the built models and torch's own counter."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from architectures import FAMILIES, SIZES, architecture
from torch.utils.flop_counter import FlopCounterMode

from recscale.cost import estimate, eval_schedule, steps
from recscale.data.store import Store
from recscale.manifest import Manifest, TableFacts
from recscale.models.contract import build
from recscale.models.history import Histories
from recscale.models.names import module_name
from recscale.planner import planned_runs
from recscale.spec import SweepSpec

every = pytest.mark.parametrize("name", SIZES)


@every
def test_dense_flop_equal_torchs_counter(name, data: Manifest):
    """Everything but the tables, counted by torch on the meta device with one sample."""
    model = architecture(name)
    built: Any = build(model, data, "meta")
    flop = model.forward_flop(data)
    d, length = model.set_dim, model.sequence_length
    meta = torch.device("meta")
    vectors = len(data.tables) + bool(length)
    with FlopCounterMode(display=False) as counter:
        for encoder in built.encoders if length else ():
            of = Histories.of(torch.tensor([model.events]), meta)
            encoder(torch.empty(model.events, d, device=meta), of)
        sets = [torch.empty(1, vectors, d, device=meta)] * model.multi_embedding
        built.interact(torch.empty(1, len(data.dense), device=meta), sets)
    # the counter sees the whole S x S of a causal attention, we count the half that is needed
    assert flop.body + flop.interaction + 2 * flop.attention == counter.get_total_flops()


def published(rows: list[int], dense: int) -> Manifest:
    """A data set of tables of these many rows and so many dense features."""
    return Manifest(
        source="criteo",
        task="click",
        fingerprint="published",
        n_train=1,
        n_eval=1,
        tables=tuple(TableFacts(name=f"t{i}", rows=n, distinct=n) for i, n in enumerate(rows)),
        dense=tuple(f"I{i}" for i in range(dense)),
        history=None,
        raw_rows=2,
    )


CRITEO_X1 = 2_086_303  # ids of all tables, padding counted: both published totals imply it
CRITEO_X4 = [
    1446, 39530, 5131, 156656, 3176, 28, 11043, 148913, 12, 4560, 2003, 554, 5, 154564, 18, 17,
    53031, 82, 40955, 157339, 117822, 306, 18, 11882, 630, 5, 44, 6, 27, 37, 72, 99, 122, 41, 220,
    112, 80, 69, 92,
]  # fmt: skip


def test_published_dlrm_on_criteo_x1():
    """BARS: 21,664,241 parameters, embedding 10, MLPs 400-400-400 below and above, batch norm (2 a
    unit, which this DLRM has not) on the six hidden layers."""
    data = published([CRITEO_X1 - 25, *[1] * 25], dense=13)
    model = architecture(
        "dlrm", embedding_dim=10, mlp_width=400, overarch_width=400, mlp_depth=3, sequence_length=0
    )
    batch_norm = 6 * 2 * 400
    assert model.table_params(data) + model.dense_params(data) + batch_norm == 21_664_241


def test_published_dcnv2_on_criteo_x1():
    """BARS: 22,018,021 parameters, three full cross layers beside 500-500-500. Its dense features
    have a vector each: they are tables of one row here."""
    data = published([CRITEO_X1 - 25, *[1] * 25, *[1] * 13], dense=0)
    sizes = dict(embedding_dim=10, cross_layers=3, mlp_width=500, mlp_depth=3, sequence_length=0)
    model = architecture("dcnv2-parallel", **sizes)
    assert model.table_params(data) + model.dense_params(data) == 22_018_021


def test_published_dcnv2_on_criteo_x4():
    """BARS, with every table's rows in its log: 20,382,577 parameters, three full cross layers
    beside five hidden layers of 1000 with batch norm."""
    data = published(CRITEO_X4, dense=0)
    sizes = dict(embedding_dim=16, cross_layers=3, mlp_width=1000, mlp_depth=5, sequence_length=0)
    model = architecture("dcnv2-parallel", **sizes)
    batch_norm = 5 * 2 * 1000
    assert model.table_params(data) + model.dense_params(data) + batch_norm == 20_382_577


def test_wukong_costs_what_its_paper_says(data: Manifest):
    """2403.02545: interaction costs n k d, not n^2 d: doubling k doubles it, and the matrix of dot
    products is nowhere in it."""
    small, twice = (architecture("wukong", layers=1, k=k) for k in (5, 10))
    n = len(data.tables) + 2
    gained = twice.forward_flop(data).interaction - small.forward_flop(data).interaction
    assert gained == 4 * n * 5 * 8


def test_lookups_are_no_flop_but_bytes(small: SweepSpec, data: Manifest):
    from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

    model = architecture("dlrm")
    tables = build(model, data, "meta").get_submodule("tables").to_empty(device="cpu")
    keys = [module_name(t.name) for t in data.tables]
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


@pytest.mark.parametrize("name", FAMILIES.values())
def test_scaling_one_axis_costs_only_what_it_touches(name, data: Manifest):
    base = architecture(name)
    fewer = base.model_copy(update={"embedding_rows": 50})
    assert fewer.dense_params(data) == base.dense_params(data)
    assert fewer.forward_flop(data) == base.forward_flop(data)
    deeper = architecture(name, sequence_depth=2, sequence_width=32)
    assert deeper.table_params(data) == base.table_params(data)
    sets = architecture(name, multi_embedding=2)
    assert sets.table_params(data) == base.table_params(data)
    read = [
        sum(n * m.tables(data)[t].dim for t, n in m.lookups(data).items()) for m in (base, sets)
    ]
    assert read[0] == read[1]


def test_a_transformer_block_has_12_width_squared_matrix_weights(data: Manifest):
    """Non-embedding N = 12 L d^2 (2311.11351), here per block of the history encoder."""
    width = 32
    one, two = (architecture("dlrm", sequence_depth=n, sequence_width=width) for n in (1, 2))
    block = two.dense_params(data) - one.dense_params(data)
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
