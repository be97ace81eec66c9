"""The parts of the click families against naive versions; their contract: test_contract.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from architectures import FAMILIES, SIZES, architecture
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from recscale.models.click import with_target
from recscale.models.contract import build as contract_build
from recscale.models.dlrm import BLOCK
from recscale.models.history import Histories, HistoryEncoder

CPU = torch.device("cpu")
every = pytest.mark.parametrize("name", SIZES)


def build(*given: Any) -> Any:
    """`contract.build`, whatever family comes of it."""
    return contract_build(*given)


@pytest.mark.parametrize("dense", [True, False])
@every
def test_a_value_is_learnt_without_another_one_beside_it(name, dense, data):
    """One column's vectors away from zero, all others' at zero: the logit follows it, so that a
    small log teaches what a column says by itself. Products of embedded pairs alone are zero."""
    config = architecture(name)
    facts = data if dense else data.model_copy(update={"dense": ()})
    torch.manual_seed(0)
    model = build(config, facts, "cpu").eval()
    zero = torch.zeros(3, config.set_dim)
    one = torch.randn(3, config.set_dim)
    one_set = torch.stack([one, *[zero] * (config.vectors(facts) - 1)], dim=1)
    sets = [one_set] * config.multi_embedding
    with torch.no_grad():
        told = model.hidden(torch.zeros(3, len(facts.dense)), sets)
    assert (told[0] - told[1]).abs().max() > 1e-4


def test_a_capped_table_has_that_many_rows(data):
    for name in FAMILIES.values():
        capped = architecture(name, embedding_rows=7)
        for place, parameter in build(capped, data, "meta").named_parameters():
            if "embedding" in place:
                assert parameter.shape[0] <= 7


def test_dlrms_interaction_is_the_dot_product_of_every_pair(data):
    model = build(architecture("dlrm"), data)
    n = len(data.tables) + 2
    x = torch.randn(3, n, 8)
    naive = [[float(x[b, i] @ x[b, j]) for i in range(n) for j in range(i)] for b in range(3)]
    torch.testing.assert_close(model.dots(x), torch.tensor(naive), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("samples", [1, 3, BLOCK, 2 * BLOCK + 1])
def test_dlrms_interaction_has_the_gradient_of_every_pair(data, samples):
    """d/dx_i of sum over pairs of g_ij x_i . x_j is sum_j g_ij x_j, by a double loop."""
    model = build(architecture("dlrm"), data)
    n = len(data.tables) + 2
    x = torch.randn(samples, n, 8).double().requires_grad_()
    dots = model.dots(x)
    g = torch.randn(dots.shape).double()
    dots.backward(g)
    naive, rows = torch.zeros(samples, n, 8).double(), x.detach()
    pair = 0
    for i in range(n):
        for j in range(i):
            naive[:, i] += g[:, pair, None] * rows[:, j]
            naive[:, j] += g[:, pair, None] * rows[:, i]
            pair += 1
    torch.testing.assert_close(x.grad, naive)


def test_dlrms_interaction_under_autocast_is_in_its_type(data):
    model = build(architecture("dlrm"), data)
    x = torch.randn(5, len(data.tables) + 2, 8, requires_grad=True)
    full = model.dots(x)
    full.sum().backward()
    exact = x.grad
    x.grad = None
    with torch.autocast("cpu", torch.bfloat16):
        half = model.dots(x)
    half.sum().backward()
    assert half.dtype == torch.bfloat16 and x.grad.dtype == torch.float32
    torch.testing.assert_close(half.float(), full, rtol=3e-2, atol=3e-2)
    torch.testing.assert_close(x.grad, exact, rtol=3e-2, atol=5e-2)


@pytest.mark.parametrize("rank", [None, 3])
def test_a_cross_layer_multiplies_every_feature_with_every_other(rank, data):
    """x_0[i] (sum_j W[i, j] x_l[j] + b[i]) + x_l[i], by a double loop."""
    net = build(architecture("dcnv2", cross_rank=rank), data).cross[0].double()
    x0 = torch.randn(net.layers[0](torch.zeros(1, _width(net)).double()).shape[1]).double()
    naive = x0.tolist()
    for layer in net.layers:
        last = layer[-1] if rank else layer
        weight = (last.weight @ layer[0].weight if rank else layer.weight).tolist()
        bias = last.bias.tolist()
        naive = [
            float(x0[i]) * (sum(weight[i][j] * naive[j] for j in range(len(naive))) + bias[i])
            + naive[i]
            for i in range(len(naive))
        ]
    torch.testing.assert_close(net(x0[None])[0], torch.tensor(naive).double())


def encoder_of(dim: int, width: int, depth: int, length: int, **values: Any) -> HistoryEncoder:
    sizes = dict(sequence_width=width, sequence_depth=depth, sequence_length=length)
    return HistoryEncoder(architecture("dlrm", embedding_dim=dim, **sizes, **values), CPU)


def _width(net) -> int:
    return next(net.parameters()).shape[-1]


def test_wukongs_machine_is_x_xt_y(data):
    layer = build(architecture("wukong"), data).stacks[0][0].double()
    n = layer.compress.in_features
    x, y = torch.randn(2, n, 8).double(), layer.compress.weight.T
    naive = [
        [
            [sum(float(x[b, i] @ x[b, j] * y[j, c]) for j in range(n)) for c in range(y.shape[1])]
            for i in range(n)
        ]
        for b in range(2)
    ]
    torch.testing.assert_close(layer.machine(x), torch.tensor(naive).double())


def test_wukongs_layer_compresses_over_vectors_and_keeps_what_enters(data):
    """With a silent factorisation-machine block, a layer is LN(W_L X beside 0, plus W_R X)."""
    layer = build(architecture("wukong"), data).stacks[0][0]
    with torch.no_grad():
        layer.block[-1].weight.zero_()
        layer.block[-1].bias.zero_()
        x = torch.randn(2, layer.compress.in_features, 8)
        linear = torch.einsum("li,bid->bld", layer.linear.weight, x)
        passed = torch.einsum("oi,bid->bod", layer.residual.weight, x)
        expected = torch.cat([torch.zeros(2, 4, 8), linear], dim=1) + passed
        expected = torch.nn.functional.layer_norm(expected, (8,))
        torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_sets_of_a_multi_embedding_interact_among_themselves_only(data):
    """No dot product of a vector of one set with a vector of another enters DLRM's over-arch."""
    model = build(architecture("dlrm", multi_embedding=2), data)
    seen = []
    model.over_arch.register_forward_hook(lambda _, given, out: seen.append(given[0]))
    n, dense = len(data.tables) + 1, torch.randn(3, len(data.dense))
    sets = [torch.randn(3, n, 4) for _ in range(2)]
    model.interact(dense, sets)
    bottom = model.bottom(dense).split(4, dim=1)
    dots = [model.dots(torch.cat([s, b[:, None]], 1)) for s, b in zip(sets, bottom, strict=True)]
    torch.testing.assert_close(seen[0], torch.cat([*bottom, *dots], dim=1))


@pytest.mark.parametrize(
    ("depth", "kind"), [(0, "decoder"), (1, "decoder"), (2, "decoder"), (2, "hstu")]
)
def test_histories_beside_a_history_change_nothing(depth: int, kind: str):
    """Encoded together, whatever their lengths and order, as each alone."""
    torch.manual_seed(1)
    encoder = encoder_of(dim=4, width=16, depth=depth, length=6, sequence_encoder=kind)
    lengths = torch.tensor([0, 3, 6, 1, 0, 6, 2, 5, 3])
    items = torch.randn(int(lengths.sum()), 4)
    pooled = encoder(items, Histories.of(lengths, CPU))
    for got, own, n in zip(pooled, items.split(lengths.tolist()), lengths, strict=True):
        if not n:
            assert torch.equal(got, torch.zeros(4))
            continue
        alone = encoder(own, Histories.of(n[None], CPU))
        torch.testing.assert_close(got, alone[0])
        if not depth:
            torch.testing.assert_close(got, own.mean(0))


@pytest.mark.parametrize(("depth", "kind"), [(0, "decoder"), (2, "decoder"), (2, "hstu")])
@pytest.mark.parametrize("lengths", [[0, 0], []])
def test_no_history_at_all_is_encoded(depth: int, kind: str, lengths: list[int]):
    encoder = encoder_of(dim=4, width=16, depth=depth, length=6, sequence_encoder=kind)
    items = torch.zeros(0, 4, requires_grad=True)
    pooled = encoder(items, Histories.of(torch.tensor(lengths, dtype=torch.int32), CPU))
    assert torch.equal(pooled, torch.zeros(len(lengths), 4))
    pooled.sum().backward()
    # DistributedDataParallel waits for the gradient of every parameter
    assert all(p.grad is not None for p in encoder.parameters())


def test_depth_is_a_causal_transformer_over_each_history():
    """A block against its definition, one history, one position and one head at a time."""
    torch.manual_seed(1)
    encoder = encoder_of(dim=4, width=32, depth=1, length=6).double()
    lengths = torch.tensor([5, 2, 6])
    items = torch.randn(13, 4).double()
    block: Any = encoder.blocks[0]
    naive = []
    for own in items.split(lengths.tolist()):
        n = len(own)
        x = encoder.enter(own) + encoder.position[torch.arange(n - 1, -1, -1)]
        q, k, v = block.qkv(block.attention_norm(x)).view(n, 3, 2, 16).unbind(1)
        mixed = torch.zeros(n, 2, 16).double()
        for i in range(n):
            for h in range(2):
                scores = torch.stack([q[i, h] @ k[j, h] / 4 for j in range(i + 1)])
                mixed[i, h] = scores.softmax(0) @ v[: i + 1, h]
        x = x + block.out(mixed.flatten(1))
        x = x + block.down(torch.nn.functional.gelu(block.up(block.ffn_norm(x))))
        naive.append(encoder.leave(encoder.norm(x).mean(0)))
    torch.testing.assert_close(encoder(items, Histories.of(lengths, CPU)), torch.stack(naive))


def test_depth_sees_the_order_of_a_history_and_mean_pooling_does_not():
    torch.manual_seed(1)
    items, of = torch.randn(6, 4), Histories.of(torch.tensor([6]), CPU)
    flipped = items.flip(0)
    mean = encoder_of(4, 16, 0, 6)
    torch.testing.assert_close(mean(items, of), mean(flipped, of))
    deep = encoder_of(4, 16, 1, 6)
    assert not torch.allclose(deep(items, of), deep(flipped, of), atol=1e-4)


def test_hstus_encoder_is_pointwise_attention_over_each_history():
    """Its block against HSTU's formulas, one history, one position and one head at a time."""
    torch.manual_seed(1)
    encoder = encoder_of(dim=4, width=32, depth=1, length=6, sequence_encoder="hstu").double()
    lengths = torch.tensor([5, 2, 6])
    items = torch.randn(13, 4).double()
    block: Any = encoder.blocks[0]
    torch.nn.init.normal_(block.position_bias)
    naive = []
    for own in items.split(lengths.tolist()):
        n = len(own)
        x = encoder.enter(own) + encoder.position[torch.arange(n - 1, -1, -1)]
        projected = torch.nn.functional.silu(block.uvqk(block.norm(x)))
        u, v, q, k = (part.view(n, 2, 16) for part in projected.chunk(4, dim=1))
        mixed = torch.zeros(n, 2, 16).double()
        for i in range(n):
            for h in range(2):
                for j in range(i + 1):
                    score = q[i, h] @ k[j, h] + block.position_bias[i - j]
                    mixed[i, h] += torch.nn.functional.silu(score) / 6 * v[j, h]
        a = block.attention_norm(mixed.flatten(1))
        x = x + block.out(torch.cat([u.flatten(1), a, u.flatten(1) * a], dim=1))
        naive.append(encoder.leave(encoder.norm(x).mean(0)))
    torch.testing.assert_close(encoder(items, Histories.of(lengths, CPU)), torch.stack(naive))


@pytest.mark.parametrize("kind", ["decoder", "hstu"])
def test_a_target_is_read_where_it_stands_behind_its_history(kind: str):
    """The newest event's output alone, of histories of any lengths, in any order; and the target
    changes it."""
    torch.manual_seed(1)
    values = dict(sequence_encoder=kind, sequence_target=True)
    encoder = encoder_of(dim=4, width=16, depth=2, length=6, **values)
    assert encoder.position.shape == (7, 16)
    lengths = torch.tensor([4, 1, 7, 2])
    items = torch.randn(14, 4)
    pooled = encoder(items, Histories.of(lengths, CPU))
    for got, own in zip(pooled, items.split(lengths.tolist()), strict=True):
        alone = encoder(own, Histories.of(torch.tensor([len(own)]), CPU))[0]
        torch.testing.assert_close(got, alone)
        other = torch.cat([own[:-1], own[-1:] + 1])
        assert (encoder(other, Histories.of(torch.tensor([len(own)]), CPU))[0] != alone).any()


def test_the_rows_item_is_appended_to_every_history():
    history = KeyedJaggedTensor(
        keys=["history"],
        values=torch.tensor([1, 2, 3, 4, 5]),
        lengths=torch.tensor([2, 0, 3], dtype=torch.int32),
    )
    found = with_target(history, torch.tensor([7, 8, 9]))
    assert found.values().tolist() == [1, 2, 7, 8, 3, 4, 5, 9]
    assert found.lengths().tolist() == [3, 1, 4]
    assert found["history"].offsets().tolist() == [0, 3, 4, 8]
    none = KeyedJaggedTensor(keys=["history"], values=torch.zeros(0, dtype=torch.long),
                             lengths=torch.zeros(2, dtype=torch.int32))  # fmt: skip
    assert with_target(none, torch.tensor([7, 8])).values().tolist() == [7, 8]
