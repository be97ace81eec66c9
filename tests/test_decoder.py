"""The decoder against the paper's sizes and a transformer of torch's own layers."""

from __future__ import annotations

import pytest
import torch
from architectures import architecture
from built import Built
from torch import nn
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from recscale.models.contract import build
from recscale.models.decoder import DecoderBlock
from recscale.models.sequences import Bucket, Sequences

PAPER = [  # 2311.11351: layers, width, heads, non-embedding parameters
    (2, 64, 2, 98_304),
    (4, 128, 4, 786_432),
    (8, 128, 4, 1_572_864),
    (12, 256, 8, 9_437_184),
    (24, 512, 8, 75_497_472),
    (48, 1200, 24, 829_440_000),
]
NAMES = {  # torch's names of a layer's weights -> ours
    "self_attn.in_proj_": "qkv.",
    "self_attn.out_proj.": "out.",
    "linear1.": "up.",
    "linear2.": "down.",
    "norm1.": "attention_norm.",
    "norm2.": "ffn_norm.",
}


@pytest.mark.parametrize(("depth", "width", "heads", "n"), PAPER)
def test_sizes_of_the_paper(depth, width, heads, n, sequence_store):
    """12 L d^2, from the weights of the built blocks; nothing is allocated."""
    model = architecture(
        "decoder", sequence_depth=depth, sequence_width=width, heads=heads, sequence_length=50
    )
    built = build(model, sequence_store.manifest, "meta")
    weights = [p for name, p in built.named_parameters() if "blocks" in name and p.dim() == 2]
    assert (
        model.non_embedding_params(sequence_store.manifest) == n == sum(p.numel() for p in weights)
    )


def torch_transformer(built: Built) -> nn.TransformerEncoder:
    """The same stack of torch's own layers, with the same weights."""
    model = built.config
    d, pre = model.sequence_width, model.norm == "pre"  # type: ignore[attr-defined]
    layer = nn.TransformerEncoderLayer(
        d, model.heads, 4 * d, 0.0, "gelu", batch_first=True, norm_first=pre
    )
    final = nn.LayerNorm(d) if pre else None
    whole = nn.TransformerEncoder(layer, model.sequence_depth, final, enable_nested_tensor=False)
    ours = built.model.state_dict()
    state = {
        f"layers.{i}.{theirs}{part}": ours[f"blocks.{i}.{mine}{part}"]
        for i in range(model.sequence_depth)
        for theirs, mine in NAMES.items()
        for part in ("weight", "bias")
    }
    if pre:
        state |= {f"norm.{part}": ours[f"norm.{part}"] for part in ("weight", "bias")}
    whole.load_state_dict(state)
    return whole.eval()


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_packed_logits_equal_those_of_torchs_layers_on_padded_sequences(norm, sequence_store):
    built = Built(architecture("decoder", norm=norm, heads=4), sequence_store).loud()
    windows = built.stream.windows(0, 0, 200)
    with torch.no_grad():
        p, ours = built.logits(windows._replace(scored=windows.length))
        longest, n = int(p.lengths.max()), len(p.lengths)
        there = torch.arange(longest) < torch.from_numpy(p.lengths)[:, None]
        ids = torch.zeros(n, longest, dtype=torch.long)
        ids[there] = torch.from_numpy(p.item)
        state, table = built.model.state_dict(), built.table()
        x = table[ids] + state["position"][:longest]
        if norm == "post":
            x = nn.functional.layer_norm(x, x.shape[-1:], state["norm.weight"], state["norm.bias"])
        causal = nn.Transformer.generate_square_subsequent_mask(longest)
        padding = torch.where(there, 0.0, -torch.inf)
        out = torch_transformer(built)(x, mask=causal, src_key_padding_mask=padding)
    theirs = out[there] @ table[: built.config.catalogue(sequence_store.manifest)].T
    assert len(set(p.lengths.tolist())) > 3
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("bias", ["both", "position", "none"])
def test_biased_attention_equals_the_double_loop(bias: str, residual: bool, norm: str):
    """Two windows of 3 and 4 positions, padded to 4, a head and a pair at a time."""
    torch.manual_seed(0)
    values = dict(relative_bias=bias, residual=residual, norm=norm, sequence_width=8)
    block = DecoderBlock(architecture("decoder", **values), 0.0, torch.device("cpu"))
    with torch.no_grad():
        for p in block.parameters():
            p.copy_(torch.randn_like(p) * 0.5)
    x, time = torch.randn(7, 8), torch.randint(0, 10**7, (7,))
    time[:3], time[3:] = time[:3].sort().values, time[3:].sort().values
    place, none = torch.tensor([0, 1, 2, 4, 5, 6, 7]), torch.empty(0, dtype=torch.long)
    buckets = (Bucket(0, 7, 2, 4, place),)
    got = block(x, Sequences(KeyedJaggedTensor.empty(), none, time, none, buckets))

    def around(layer, norms, x):
        y = layer(norms(x) if norm == "pre" else x) + (x if residual else 0)
        return y if norm == "pre" else norms(y)

    def attention(x):
        heads, e = block.heads, 8 // block.heads
        q, k, v = block.qkv(x).view(-1, 3, heads, e).unbind(1)
        mixed = torch.zeros(len(x), heads, e)
        for h in range(heads):
            for i in range(len(x)):
                scores = []
                for j in range(i + 1):
                    score = q[i, h] @ k[j, h] / e**0.5
                    if block.position_bias is not None:
                        score = score + block.position_bias[i - j]
                    if block.time_bias is not None:
                        elapsed = 1 + (when[i] - when[j]).double()
                        score = score + block.time_bias[min(31, int(elapsed.log2()))]
                    scores.append(score)
                mixed[i, h] = torch.stack(scores).softmax(0) @ v[: i + 1, h]
        return block.out(mixed.flatten(1))

    for part in (slice(0, 3), slice(3, 7)):
        when = time[part]
        y = around(attention, block.attention_norm, x[part])
        y = around(block.feed_forward, block.ffn_norm, y)
        torch.testing.assert_close(got[part], y, rtol=1e-5, atol=1e-5)
