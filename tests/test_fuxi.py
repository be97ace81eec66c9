"""FuXi-alpha against a naive double loop and a count of its weights by hand."""

from __future__ import annotations

import pytest
import torch
from architectures import architecture
from test_hstu import manifest
from torch.nn import functional as F
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from recscale.families.fuxi import FuXiConfig
from recscale.models.fuxi import FuXiBlock
from recscale.models.sequences import Bucket, Sequences

CPU = torch.device("cpu")
every = pytest.mark.parametrize("name", ["fuxi", "fuxi-wide", "fuxi-semantic"])
LENGTHS = [2, 3, 4, 6]


def config(name: str, **values) -> FuXiConfig:
    return architecture(name, **values)


def block(name: str) -> FuXiBlock:
    torch.manual_seed(0)
    made = FuXiBlock(config(name, sequence_width=8, sequence_length=6), 0.0, CPU)
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(torch.randn_like(p) * 0.5)
    return made


def answer(made: FuXiBlock, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """Of windows of LENGTHS, packed."""
    place = torch.tensor([0, 1, 2, 4, 5, 6, 7])  # windows of 3 and 4 positions, padded to 4
    buckets = (Bucket(0, 2, 1, 2, None), Bucket(2, 9, 2, 4, place), Bucket(9, 15, 1, 6, None))
    none = torch.empty(0, dtype=torch.long)
    return made(x, Sequences(KeyedJaggedTensor.empty(), none, time, none, buckets))


def times() -> torch.Tensor:
    return torch.cat([torch.randint(0, 10**7, (n,)).sort().values for n in LENGTHS])


def rms(x: torch.Tensor) -> torch.Tensor:
    return x / (x.square().mean() + 1e-6).sqrt()


def naive(made: FuXiBlock, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """One window, a position, a channel and a past event at a time."""
    (n, d), heads, channels = x.shape, made.heads, made.channels
    e = d // heads
    projected = torch.stack([F.silu(made.uvqk.weight @ rms(row)) for row in x])
    u, v, q, k = projected.split([channels * d, d, d, d], dim=1)
    out = torch.zeros(n, d)
    for i in range(n):
        found = torch.zeros(channels, d)
        for j in range(i + 1):
            for h in range(heads):
                part = slice(h * e, (h + 1) * e)
                found[0, part] += F.silu(q[i, part] @ k[j, part]) / made.length * v[j, part]
            if channels > 1:
                found[1] += made.position[i - j] * v[j]
            if channels > 2:
                elapsed = 1 + float(time[i] - time[j])
                found[2] += made.elapsed[min(31, int(torch.tensor(elapsed).double().log2()))] * v[j]
        y = x[i] + made.out(u[i] * rms(found.flatten()))
        z = rms(y)
        out[i] = y + made.down(F.silu(made.gate(z)) * made.up(z))
    return out


@every
def test_packed_attention_equals_the_double_loop(name: str):
    made = block(name)
    x, time = torch.randn(sum(LENGTHS), 8), times()
    with torch.no_grad():
        got = answer(made, x, time)
        for part, n, when in zip(x.split(LENGTHS), got.split(LENGTHS), time.split(LENGTHS),
                                 strict=True):  # fmt: skip
            torch.testing.assert_close(n, naive(made, part, when), rtol=1e-5, atol=1e-5)


@every
def test_the_time_channel_alone_reads_times_and_only_what_lies_between(name: str):
    made, x, time = block(name), torch.randn(sum(LENGTHS), 8), times()
    with torch.no_grad():
        usual = answer(made, x, time)
        assert torch.equal(answer(made, x, time + 12345), usual)
        assert torch.equal(answer(made, x, 100 * time), usual) == (name != "fuxi")


def test_sizes_by_hand():
    """A block at width 64 with three channels: to a gate of 3 d and to V, Q and K, 64 x 384; from
    the channels, 192 x 64; three matrices of the second stage, 64 x 64: 12 d^2 in all, as a
    decoder's."""
    model = config("fuxi", sequence_depth=1, sequence_width=64, sequence_length=50)
    data = manifest(1000, 1e9)
    matrices = 64 * 384 + 192 * 64 + 3 * 64 * 64
    assert model.non_embedding_params(data) == matrices == 12 * 64**2
    # the first stage's bias, the position's 50 and the time's 32 weights; places and the last norm
    assert model.dense_params(data) == matrices + 64 + 50 + 32 + 50 * 64 + 2 * 64
    flop = model.forward_flop(data)
    assert flop.body == 2 * matrices
    assert flop.attention == 2 * 4 * 25 * 64  # q k^T and three mixes of v, over 25 events
    wide = config("fuxi-wide", sequence_depth=1, sequence_width=64, expansion=4)
    assert wide.non_embedding_params(data) == (2 * 2 + 3 + 3 * 4) * 64**2
