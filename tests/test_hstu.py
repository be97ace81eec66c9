"""HSTU against a naive double loop and the published count of its FLOPs."""

from __future__ import annotations

import pytest
import torch
from architectures import architecture
from torch.nn import functional as F
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from recscale.families.hstu import HSTUConfig
from recscale.manifest import Manifest, TableFacts
from recscale.models.hstu import HSTUBlock
from recscale.models.relative import time_bucket
from recscale.models.sequences import Bucket, Sequences

CPU = torch.device("cpu")


def config(**values) -> HSTUConfig:
    return architecture("hstu", **values)


def manifest(items: int, mean_history: float) -> Manifest:
    item = TableFacts(name="item", rows=items + 1, distinct=items)
    return Manifest(
        source="events", task="next_item", fingerprint="", n_train=1, n_eval=1, tables=(item,),
        dense=(), history="item", history_mean_length=mean_history, raw_rows=2,
    )  # fmt: skip


def test_flop_of_the_published_configuration():
    """MLPerf DLRM-v4: S = 4096, d = 512, 4 heads, d_qk = d_v = 128, 3 layers: 180.4 GFLOP of
    attention (backward counted 2.5 x, as it computes the scores anew), 77.3 of U, V, Q, K and
    58.0 of the output, 315.7 together, forward and backward of one sequence, head left out."""
    model = config(sequence_depth=3, sequence_width=512, heads=4, sequence_length=4096)
    flop = model.forward_flop(manifest(1000, 1e9))
    uvqk = 2 * 3 * 4 * 512**2 * 4096 * 3
    out = 2 * 3 * 3 * 512**2 * 4096 * 3
    assert 3 * flop.body * 4096 == uvqk + out
    assert uvqk / 1e9 == pytest.approx(77.3, abs=0.05)
    assert out / 1e9 == pytest.approx(58.0, abs=0.05)
    assert 3.5 * flop.attention * 4096 / 1e9 == pytest.approx(180.4, abs=0.05)
    assert (3 * flop.body + 3.5 * flop.attention) * 4096 / 1e9 == pytest.approx(315.7, abs=0.05)


def naive(block: HSTUBlock, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """One window by the paper's formulas, position by position and head by head."""
    n, d = x.shape
    e = d // block.heads
    u, v, q, k = F.silu((block.norm(x) if block.pre else x) @ block.uvqk.weight.T).chunk(4, dim=1)
    mixed = torch.zeros(n, d)
    for h in range(block.heads):
        part = slice(h * e, (h + 1) * e)
        for i in range(n):
            for j in range(i + 1):
                elapsed = float(time[i] - time[j])
                bucket = min(31, int(torch.tensor(1 + elapsed).double().log2()))
                score = q[i, part] @ k[j, part]
                if block.position_bias is not None:
                    score = score + block.position_bias[i - j]
                if block.time_bias is not None:
                    score = score + block.time_bias[bucket]
                mixed[i, part] += F.silu(score) / block.length * v[j, part]
    a = block.attention_norm(mixed)
    y = block.out(torch.cat([u, a, u * a], dim=1)) + (x if block.residual else 0)
    return y if block.pre else block.norm(y)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("bias", ["both", "position", "none"])
def test_packed_attention_equals_the_double_loop(bias: str, residual: bool, norm: str):
    torch.manual_seed(0)
    values = dict(relative_bias=bias, residual=residual, norm=norm)
    block = HSTUBlock(config(sequence_width=8, sequence_length=6, **values), 0.0, CPU)
    with torch.no_grad():
        for p in block.parameters():
            p.copy_(torch.randn_like(p) * 0.5)
    lengths = [2, 3, 4, 6]
    x = torch.randn(sum(lengths), 8)
    time = torch.cat([torch.randint(0, 10**7, (n,)).sort().values for n in lengths])
    place = torch.tensor([0, 1, 2, 4, 5, 6, 7])  # windows of 3 and 4 positions, padded to 4
    buckets = (Bucket(0, 2, 1, 2, None), Bucket(2, 9, 2, 4, place), Bucket(9, 15, 1, 6, None))
    none = torch.empty(0, dtype=torch.long)
    got = block(x, Sequences(KeyedJaggedTensor.empty(), none, time, none, buckets))
    begin = 0
    for n in lengths:
        part = slice(begin, begin + n)
        torch.testing.assert_close(
            got[part], naive(block, x[part], time[part]), rtol=1e-5, atol=1e-5
        )
        begin += n


def test_time_buckets_double():
    seconds = torch.tensor([-5, 0, 1, 2, 3, 7, 2**20, 2**62])
    assert time_bucket(seconds).tolist() == [0, 0, 1, 1, 2, 3, 20, 31]
