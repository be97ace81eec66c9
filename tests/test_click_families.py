"""The interactions of the younger click families against naive loops, and their published sizes;
the contract of all families: test_contract.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from architectures import architecture
from test_cost import CRITEO_X1, published

from recscale.families.adrec import AdRecSpec
from recscale.families.autoint import AutoIntSpec
from recscale.families.rankmixer import RankMixerSpec
from recscale.models.contract import build as contract_build
from recscale.models.rankmixer import mix

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


@pytest.mark.parametrize("name", ["autoint", "autoint-alone", "autoint-same-width"])
def test_autoints_layer_is_attention_of_every_feature_to_every_other(name, data):
    """Section 4.4, a feature, a head and a pair at a time."""
    torch.manual_seed(0)
    layer = build(architecture(name), data).stacks[0][0].double()
    n, heads, (out, wide) = 6, layer.heads, (layer.qkv.out_features // 3, layer.qkv.in_features)
    e, x = out // heads, torch.randn(2, n, layer.qkv.in_features).double()
    q, k, v = (layer.qkv.weight[i * out : (i + 1) * out] for i in range(3))
    for b in range(2):
        for i in range(n):
            mixed = []
            for h in range(heads):
                part = slice(h * e, (h + 1) * e)
                score = [(q[part] @ x[b, i]) @ (k[part] @ x[b, j]) / e**0.5 for j in range(n)]
                share = torch.stack(score).exp() / sum(s.exp() for s in score)
                mixed.append(sum(share[j] * (v[part] @ x[b, j]) for j in range(n)))
            kept = x[b, i] if out == wide else layer.residual.weight @ x[b, i]
            expected = torch.relu(torch.cat(mixed) + kept)
            if name != "autoint-alone":
                expected = torch.nn.functional.layer_norm(expected, (out,))
            torch.testing.assert_close(layer(x)[b, i], expected)


@pytest.mark.parametrize(
    ("heads", "deep", "published"), [(4, (0, 0), 23_364_453), (2, (400, 3), 23_844_454)]
)
def test_published_autoint_on_criteo_x1(heads: int, deep: tuple[int, int], published: int):
    """BARS: AutoInt and, with a deep network of 400-400-400, AutoInt+; embedding 10, three layers
    of width 256 with LayerNorm, and a first-order weight a row and column beside them, which the
    paper and this AutoInt have not. BARS gives the deep network an output unit of its own, hence
    a bias, and batch norm."""
    width, depth = deep
    sizes = dict(embedding_dim=10, sequence_length=0, attention_layers=3, attention_width=256)
    model = architecture("autoint", heads=heads, mlp_width=width, mlp_depth=depth, **sizes)
    beside = depth * BATCH_NORM * width + bool(depth)
    assert params(model) + ROWS_AND_COLUMNS + beside == published


def test_heads_that_do_not_divide_a_width_are_refused_or_fewer():
    (said,) = AutoIntSpec(family="autoint", heads=(2, 3)).complaints(CRITEO)
    assert said.startswith("model.heads: 3 heads do not divide attention_width 32;")
    spec = AutoIntSpec(family="autoint", heads=(4,), attention_width=(8,))
    values = {k: v[0] for k, v in spec.axes().items()}
    assert spec.resolve({**values, "attention_width": 6}, CRITEO).heads == 2
    assert spec.resolve({**values, "mlp_depth": 0}, CRITEO).mlp_width == 0


@pytest.mark.parametrize("tokens", [1, 2, 3, 4])
def test_rankmixers_mixing_gives_token_h_the_hth_part_of_every_token(tokens: int):
    part = 5
    x = torch.randn(tokens, 2, tokens * part)
    mixed = mix(x)
    for b in range(2):
        for h in range(tokens):
            for t in range(tokens):
                for i in range(part):
                    assert mixed[h, b, t * part + i] == x[t, b, h * part + i]
    assert torch.equal(mix(mixed), x)  # with as many heads as tokens it is its own inverse


@pytest.mark.parametrize("name", ["rankmixer", "rankmixer-uneven"])
def test_rankmixers_layer_by_loops_over_tokens(name, data):
    """Each token through its own two matrices, norms behind both sums."""
    torch.manual_seed(0)
    tokens, layer = build(architecture(name), data).stacks[0][:2].double()
    n, norm = tokens.tokens, torch.nn.functional.layer_norm
    vectors = torch.randn(2, len(data.tables) + 1 + len(data.dense), 8).double()
    flat, each = vectors.flatten(1), -(-vectors[0].numel() // n)
    begin, entered = 0, []
    for t in range(n):
        size = each - (t >= tokens.longer) * bool(tokens.longer)
        part = flat[:, begin : begin + size]
        entered.append(part @ tokens.enter.weight[t, :size] + tokens.enter.bias[t, 0])
        begin += size
    assert begin == flat.shape[1]
    x = torch.stack(entered)
    torch.testing.assert_close(tokens(vectors), x)
    d = x.shape[2]
    s = norm(mix(x) + x, (d,))
    for t in range(n):
        hidden = torch.nn.functional.gelu(s[t] @ layer.up.weight[t] + layer.up.bias[t, 0])
        out = hidden @ layer.down.weight[t] + layer.down.bias[t, 0]
        torch.testing.assert_close(layer(x)[t], norm(out + s[t], (d,)))


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize(("width", "tokens", "layers"), [(768, 16, 2), (1536, 32, 2)])
def test_rankmixer_grows_as_its_paper_says(width: int, tokens: int, layers: int, k: int):
    """About 2 k L T D^2 parameters and 4 k L T D^2 FLOPs a sample, the way in and out apart."""
    sizes = dict(token_width=width, tokens=tokens, layers=layers, expansion=k, sequence_length=0)
    model = architecture("rankmixer", embedding_dim=16, **sizes)
    none = model.model_copy(update={"layers": 0})
    matrices = 2 * k * layers * tokens * width**2
    small = layers * (tokens * (k + 1) + 4) * width  # biases and norms
    assert model.dense_params(CRITEO) - none.dense_params(CRITEO) == matrices + small
    assert small < 2e-3 * matrices
    flop = model.forward_flop(CRITEO).total - none.forward_flop(CRITEO).total
    assert flop == 2 * matrices


def test_rankmixers_tokens_divide_its_width_and_have_a_number_each():
    spec = RankMixerSpec(family="rankmixer", token_width=(64,), tokens=(16,))
    assert spec.complaints(CRITEO) == []
    values = {k: v[0] for k, v in spec.axes().items()}

    def at(**changes: Any) -> Any:
        return spec.resolve({**values, **changes}, CRITEO)

    assert at(token_width=24).tokens == 8
    few = published([5], dense=0)
    assert spec.resolve({**values, "embedding_dim": 4}, few).tokens == 4
    (said,) = spec.model_copy(update={"embedding_dim": (4, 16)}).complaints(few)
    assert said.startswith("model.tokens: 16 tokens of the 4 numbers")
    (said,) = spec.model_copy(update={"token_width": (64, 40)}).complaints(CRITEO)
    assert said.startswith("model.token_width: 40 is no multiple of 16 tokens")


@pytest.mark.parametrize("name", ["adrec", "adrec-unmasked"])
def test_adrecs_block_attends_to_the_features_before_or_to_all(name, data):
    """A feature, a head and a pair at a time."""
    torch.manual_seed(0)
    block = build(architecture(name), data).stacks[0][0].double()
    n, d, heads, masked = 5, 8, block.heads, name == "adrec"
    e, x = d // heads, torch.randn(2, n, d).double()
    norm = torch.nn.functional.layer_norm
    for b in range(2):
        q, k, v = block.qkv(x[b]).view(n, 3, d).unbind(1)
        for i in range(n):
            seen, mixed = range(i + 1 if masked else n), []
            for h in range(heads):
                part = slice(h * e, (h + 1) * e)
                score = torch.stack([q[i, part] @ k[j, part] / e**0.5 for j in seen])
                share = score.exp() / score.exp().sum()
                mixed.append(sum(share[j] * v[j, part] for j in seen))
            y = norm(x[b, i] + block.out(torch.cat(mixed)), (d,))
            y = norm(y + block.down(torch.relu(block.up(y))), (d,))
            torch.testing.assert_close(block(x)[b, i], y)


def test_adrecs_costs_by_hand():
    """Criteo's 26 tables of dimension 16 and its dense MLP's vector, 27 in all: two blocks of
    attention 4 x 16^2 + 64, feed-forward 8 x 16^2 + 80 and norms 64, MLPs 13-32-16 and 432-32-1."""
    sizes = dict(embedding_dim=16, sequence_length=0, mlp_width=32, mlp_depth=1)
    model = architecture("adrec", **sizes)
    blocks = 2 * (1024 + 64 + 2048 + 80 + 64)
    assert model.dense_params(CRITEO) == blocks + (448 + 528) + (13_856 + 33)
    flop = model.forward_flop(CRITEO)
    assert flop.body == 2 * (2 * 27 * 3072 + 13 * 32 + 32 * 16 + 432 * 32 + 32)
    assert flop.attention == 2 * 2 * 27 * 27 * 16  # the half below the diagonal
    whole = architecture("adrec", **sizes, mask="none").forward_flop(CRITEO)
    assert whole.total - flop.total == flop.attention


def test_heads_that_do_not_divide_a_features_width_are_refused():
    spec = AdRecSpec(family="adrec", embedding_dim=(16, 24), heads=(2, 3))
    (said,) = spec.complaints(CRITEO)
    assert said.startswith("model.heads: 3 heads do not divide embedding_dim 16;")
    sets = AdRecSpec(family="adrec", embedding_dim=(16,), heads=(8,), multi_embedding=(4,))
    (said,) = sets.complaints(CRITEO)
    assert said.startswith("model.heads: 8 heads do not divide embedding_dim 16 in 4 sets")
