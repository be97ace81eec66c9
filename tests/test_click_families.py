"""The interactions of the younger click families against naive loops, and their published sizes;
the contract of all families: test_contract.py."""

from __future__ import annotations

from typing import Any

import torch
from architectures import architecture
from test_cost import CRITEO_X1, published

from recscale.models.contract import build as contract_build

BATCH_NORM = 2
"""Weights a unit, which BARS has in deep networks and these families have not."""
CRITEO = published([CRITEO_X1 - 25, *[1] * 25], dense=13)
"""Criteo_x1: 26 tables, of which the total alone is published, and 13 dense columns."""
ROWS_AND_COLUMNS = CRITEO_X1 + 13
"""What has a first-order weight in BARS."""


def build(*given: Any) -> Any:
    """`contract.build`, whatever family comes of it."""
    return contract_build(*given)


def params(model: Any) -> int:
    return model.table_params(CRITEO) + model.dense_params(CRITEO)


def test_a_dense_column_interacts_as_its_value_times_a_vector(data):
    model = build(architecture("deepfm-sets"), data)
    n, m = 5, len(data.dense)
    assert m > 1
    dense, sets = torch.randn(3, m), [torch.randn(3, n, 4) for _ in range(2)]
    for i, found in enumerate(model.fields(dense, sets)):
        assert torch.equal(found[:, :n], sets[i])
        for b in range(3):
            for c in range(m):
                own = dense[b, c] * model.fields.weight[c, 4 * i : 4 * i + 4]
                torch.testing.assert_close(found[b, n + c], own)


def test_deepfms_pairs_are_the_dot_products_of_every_pair(data):
    model = build(architecture("deepfm"), data)
    x = torch.randn(3, 7, 8).double()
    naive = [sum(float(x[b, i] @ x[b, j]) for i in range(7) for j in range(i)) for b in range(3)]
    torch.testing.assert_close(model.pairs(x), torch.tensor(naive).double())


def test_deepfms_logit_is_first_order_pairs_and_a_deep_network(data):
    """y = b + sum_f a_f . v_f + c sum_{i<j} v_i . v_j + DNN(v), from the weights themselves."""
    model = build(architecture("deepfm"), data)
    dense, vectors = torch.randn(2, len(data.dense)), torch.randn(2, len(data.tables) + 1, 8)
    logits = model.interact(dense, [vectors])
    v = torch.cat([vectors, dense[:, :, None] * model.fields.weight], dim=1)
    n = v.shape[1]
    a = model.output.weight[0, : n * 8].view(n, 8)
    c, deep = model.output.weight[0, n * 8], model.output.weight[0, n * 8 + 1 :]
    for b in range(2):
        first = sum(a[f] @ v[b, f] for f in range(n))
        pairs = sum(v[b, i] @ v[b, j] for i in range(n) for j in range(i))
        expected = model.output.bias[0] + first + c * pairs + deep @ model.deep(v[b].flatten())
        torch.testing.assert_close(logits[b], expected)


def test_published_deepfm_on_criteo_x1():
    """BARS: 23,429,477 parameters, embedding 10, a deep network of 400-400-400 with batch norm. It
    has a first-order weight a row and column; here there is a vector a feature, and a weight of
    the pairs."""
    sizes = dict(embedding_dim=10, mlp_width=400, mlp_depth=3, sequence_length=0)
    model = architecture("deepfm", **sizes)
    first = ROWS_AND_COLUMNS - (39 * 10 + 1)
    assert params(model) + first + 3 * BATCH_NORM * 400 == 23_429_477
