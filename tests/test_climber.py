"""Climber against a naive double loop and a count of its weights by hand."""

from __future__ import annotations

import pytest
import torch
from architectures import architecture
from test_hstu import manifest
from torch.nn import functional as F
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from recscale.families.climber import ClimberConfig, ClimberSpec
from recscale.models.climber import AdaptiveLayer, BitwiseGate, ClimberBlock
from recscale.models.sequences import Bucket, Sequences

CPU = torch.device("cpu")
every = pytest.mark.parametrize("name", ["climber", "climber-three", "climber-one"])
LENGTHS = [2, 3, 4, 6]


def config(name: str, **values) -> ClimberConfig:
    return architecture(name, **values)


def modules(name: str) -> tuple[ClimberBlock, BitwiseGate]:
    torch.manual_seed(0)
    given = config(name, sequence_width=8, sequence_length=6)
    block, gate = ClimberBlock(given, 0.0, CPU), BitwiseGate(given, CPU)
    with torch.no_grad():
        for p in [*block.parameters(), *gate.parameters()]:
            p.copy_(torch.randn_like(p) * 0.5)
    return block, gate


def windows() -> Sequences:
    """Of LENGTHS, packed; those of 3 and 4 positions are padded to 4."""
    place = torch.tensor([0, 1, 2, 4, 5, 6, 7])
    buckets = (Bucket(0, 2, 1, 2, None), Bucket(2, 9, 2, 4, place), Bucket(9, 15, 1, 6, None))
    none = torch.empty(0, dtype=torch.long)
    return Sequences(KeyedJaggedTensor.empty(), none, none, none, buckets)


def naive_layer(layer: AdaptiveLayer, x: torch.Tensor) -> torch.Tensor:
    """One sub-sequence, an event and a past event at a time."""
    (n, d), e = x.shape, x.shape[1] // layer.heads
    q, k, v = layer.qkv(layer.attention_norm(x)).split(d, dim=1)
    mixed = torch.zeros(n, d)
    for h in range(layer.heads):
        part = slice(h * e, (h + 1) * e)
        temperature = e**0.5 * layer.log_temperature[h].exp()
        for i in range(n):
            scores = [q[i, part] @ k[j, part] / temperature for j in range(i + 1)]
            scores = torch.stack([s + layer.position_bias[i - j] for j, s in enumerate(scores)])
            for weight, j in zip(scores.softmax(0), range(i + 1), strict=True):
                mixed[i, part] += weight * v[j, part]
    y = x + layer.out(mixed)
    return y + layer.down(F.gelu(layer.up(layer.ffn_norm(y))))


def naive(block: ClimberBlock, gate: BitwiseGate, x: torch.Tensor) -> torch.Tensor:
    """One window: every N-th event through a layer of its own, then the gate at each event."""
    n, of = gate.n, torch.zeros_like(x)
    for k, layer in enumerate(block.layers):
        assert isinstance(layer, AdaptiveLayer)
        if len(x[k::n]):
            of[k::n] = naive_layer(layer, x[k::n])
    out = torch.zeros_like(x)
    for i in range(len(x)):
        latest = [of[i - k] if i >= k else torch.zeros(x.shape[1]) for k in range(n)]
        opened = torch.sigmoid(gate.gate(torch.cat(latest))).view(n, -1)
        out[i] = sum(g * told for g, told in zip(opened, latest, strict=True))
    return out


@every
def test_packed_sub_sequences_equal_the_double_loop(name: str):
    block, gate = modules(name)
    x, s = torch.randn(sum(LENGTHS), 8), windows()
    with torch.no_grad():
        got = gate(block(x, s), s)
        for part, found in zip(x.split(LENGTHS), got.split(LENGTHS), strict=True):
            torch.testing.assert_close(found, naive(block, gate, part), rtol=1e-5, atol=1e-5)


def test_a_block_keeps_sub_sequences_apart():
    block, _ = modules("climber-three")
    x, s = torch.randn(sum(LENGTHS), 8), windows()
    with torch.no_grad():
        usual, moved = block(x, s), x.clone()
        moved[9] += 1  # the first event of the window of six
        changed = (block(moved, s) != usual).any(1).nonzero().flatten().tolist()
    assert changed == [9, 12]


def test_sizes_by_hand():
    """A block at width 64 with three sub-sequences: 12 d^2 in each, and a gate of (3 d)^2; an event
    meets the weights of one sub-sequence and a third of its past."""
    model = config("climber-three", sequence_depth=2, sequence_width=64, sequence_length=50)
    data = manifest(1000, 1e9)
    matrices = 2 * 3 * 12 * 64 * 64 + 192 * 192
    assert model.non_embedding_params(data) == matrices
    # of each of six layers biases 9 d, norms 4 d, 2 heads and 17 distances; the gate's bias; places
    # and the last norm
    assert model.dense_params(data) == (
        matrices + 6 * (13 * 64 + 2 + 17) + 192 + 50 * 64 + 2 * 64
    )  # fmt: skip
    flop = model.forward_flop(data)
    assert flop.body == 2 * (2 * 12 * 64 * 64 + 192 * 192)
    assert flop.attention == pytest.approx(2 * 2 * 2 * 25 / 3 * 64)  # two blocks, q k^T and v


def test_no_sub_sequence_is_empty():
    with pytest.raises(ValueError, match="subsequences: 9 of the 8 positions of sequence_length"):
        ClimberSpec(family="climber", subsequences=(2, 9), sequence_length=(8, 16))
