"""The decoder against the paper's sizes, torch's own layers and its own closed forms."""

from __future__ import annotations

import pytest
import torch
from data_files import events_spec, prepared, sequence_log
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from recscale.data.sequences import TrainStream, Windows, positions
from recscale.data.store import Store
from recscale.families.decoder import DecoderConfig, DecoderSpec
from recscale.families.hstu import HSTUConfig
from recscale.families.sequence import SequenceConfig
from recscale.models.contract import build
from recscale.models.sequences import Bucket, Sequences, sequences
from recscale.train.sharding import ensure_process_group, shard

CPU = torch.device("cpu")
PAPER = [  # 2311.11351: layers, width, heads, non-embedding parameters
    (2, 64, 2, 98_304),
    (4, 128, 4, 786_432),
    (8, 128, 4, 1_572_864),
    (12, 256, 8, 9_437_184),
    (24, 512, 8, 75_497_472),
    (48, 1200, 24, 829_440_000),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    folder = tmp_path_factory.mktemp("decoder")
    sequence_log(folder / "log.parquet")
    data = events_spec(folder / "log.parquet", task="next_item", refuse_above=0.3)
    return prepared(folder, data)


def config(**values) -> DecoderConfig:
    usual = dict(sequence_depth=2, sequence_width=16, heads=2, sequence_length=8, tied=True)
    usual |= dict(dropout=0.0, dropout_top=0.0, norm="pre", negatives=None, negatives_by=None)
    usual |= dict(correction=None, filter_seen=False)
    return DecoderConfig(family="decoder", **{**usual, **values})


def batch(store: Store, windows: Windows, model: SequenceConfig):
    every = torch.arange(model.catalogue(store.manifest)).numpy()
    return sequences(positions(store, windows), every, CPU)


def logits(sharded, store: Store, windows: Windows, model) -> torch.Tensor:
    with torch.no_grad():
        hidden, candidates = sharded(batch(store, windows, model))
    return hidden @ candidates.T


def trained_looking(model: DecoderConfig, store: Store):
    """Built and sharded, with weights large enough for every layer to matter."""
    ensure_process_group()
    torch.manual_seed(3)
    sharded = shard(build(model, store.manifest), 0.01, 0, CPU)
    with torch.no_grad():
        for name, p in sharded.named_parameters():
            if "items" not in name:
                p.copy_(torch.randn_like(p) * 0.3 + ("norm.weight" in name))
    return sharded.eval()


@pytest.mark.parametrize(("depth", "width", "heads", "n"), PAPER)
def test_sizes_of_the_paper(depth, width, heads, n, store):
    """12 L d^2, from the weights of the built blocks; nothing is allocated."""
    model = config(sequence_depth=depth, sequence_width=width, heads=heads, sequence_length=50)
    built = build(model, store.manifest, "meta")
    weights = [p for name, p in built.named_parameters() if "blocks" in name and p.dim() == 2]
    assert model.non_embedding_params(store.manifest) == n == sum(p.numel() for p in weights)
    dense = sum(p.numel() for name, p in built.named_parameters() if "embeddings" not in name)
    assert model.dense_params(store.manifest) == dense


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_equal_the_built_model(tied, store):
    model = config(tied=tied)
    built = dict(build(model, store.manifest, "meta").named_parameters())
    table = sum(p.numel() for n, p in built.items() if "embeddings" in n)
    data = store.manifest
    assert model.table_params(data) == table
    assert model.dense_params(data) + model.head_params(data) == (
        sum(p.numel() for p in built.values()) - table
    )
    assert (model.head_params(data) == 0) == tied


def meta_window(model: SequenceConfig) -> Sequences:
    """One full window on the meta device, as the blocks see it."""
    n = model.sequence_length
    time = torch.empty(n, dtype=torch.long, device="meta")
    none = torch.empty(0, dtype=torch.long, device="meta")
    ids = KeyedJaggedTensor.empty()
    return Sequences(ids, none, time, none, (Bucket(0, n, 1, n, None),))


@pytest.mark.parametrize("family", [DecoderConfig, HSTUConfig])
def test_flop_equal_torchs_counter(family, store):
    """One full window: body and head exactly, attention once its causal half is doubled."""
    model = config(sequence_depth=3, sequence_length=6)
    if family is HSTUConfig:
        values = model.model_dump(exclude={"family", "norm"})
        model = HSTUConfig(family="hstu", **values)
    built, n = build(model, store.manifest, "meta"), model.sequence_length
    window = meta_window(model)
    with FlopCounterMode(display=False) as counter:
        x = torch.empty(n, model.sequence_width, device="meta")
        for block in built.get_submodule("blocks").children():
            x = block(x, window)
        items = torch.empty(model.catalogue(store.manifest), model.sequence_width, device="meta")
        torch.matmul(x, items.T)
    flop = model.forward_flop(store.manifest)
    assert model.mean_keys(store.manifest) == n / 2
    assert n * (flop.body + 2 * flop.attention + flop.head) == counter.get_total_flops()


def torch_transformer(sharded, model: DecoderConfig) -> nn.TransformerEncoder:
    """The same stack of torch's own layers, with the same weights."""
    d = model.sequence_width
    layer = nn.TransformerEncoderLayer(
        d, model.heads, 4 * d, 0.0, "gelu", batch_first=True, norm_first=model.norm == "pre"
    )
    final = nn.LayerNorm(d) if model.norm == "pre" else None
    whole = nn.TransformerEncoder(layer, model.sequence_depth, final, enable_nested_tensor=False)
    ours = {n.removeprefix("_dmp_wrapped_module.module."): p for n, p in sharded.named_parameters()}
    names = {
        "self_attn.in_proj_weight": "qkv.weight",
        "self_attn.in_proj_bias": "qkv.bias",
        "self_attn.out_proj.weight": "out.weight",
        "self_attn.out_proj.bias": "out.bias",
        "linear1.weight": "up.weight",
        "linear1.bias": "up.bias",
        "linear2.weight": "down.weight",
        "linear2.bias": "down.bias",
        "norm1.weight": "attention_norm.weight",
        "norm1.bias": "attention_norm.bias",
        "norm2.weight": "ffn_norm.weight",
        "norm2.bias": "ffn_norm.bias",
    }
    state = {
        f"layers.{i}.{theirs}": ours[f"blocks.{i}.{mine}"]
        for i in range(model.sequence_depth)
        for theirs, mine in names.items()
    }
    if final is not None:
        state |= {f"norm.{x}": ours[f"norm.{x}"] for x in ("weight", "bias")}
    whole.load_state_dict(state)
    return whole.eval()


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_packed_logits_equal_those_of_torchs_layers_on_padded_sequences(norm, store):
    model = config(norm=norm, heads=4)
    sharded = trained_looking(model, store)
    windows = TrainStream(store.train(), model.sequence_length, 0).windows(0, 0, 200)
    windows = windows._replace(scored=windows.length)
    p = positions(store, windows)
    ours = logits(sharded, store, windows, model)
    values = {k.split(".")[-2]: v for k, v in sharded.state_dict().items() if "embeddings" in k}
    table = values["item"].local_shards()[0].tensor
    state = {k.removeprefix("module."): v for k, v in sharded.state_dict().items()}
    whole = torch_transformer(sharded, model)
    longest, n = int(p.lengths.max()), len(p.lengths)
    room = torch.zeros(n, longest, dtype=torch.long)
    mask = torch.arange(longest) < torch.from_numpy(p.lengths)[:, None]
    room[mask] = torch.from_numpy(p.item)
    x = table[room] + state["position"][:longest]
    if norm == "post":
        x = nn.functional.layer_norm(x, x.shape[-1:], state["norm.weight"], state["norm.bias"])
    causal = nn.Transformer.generate_square_subsequent_mask(longest)
    out = whole(x, mask=causal, src_key_padding_mask=torch.where(mask, 0.0, -torch.inf))
    theirs = out[mask] @ table[: model.catalogue(store.manifest)].T
    assert len(set(p.lengths.tolist())) > 3
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_sample_depends_on_its_users_past_alone(store):
    """Alone, in another batch, or with the later positions gone: the same logits."""
    model = config()
    sharded = trained_looking(model, store)
    stream = TrainStream(store.train(), model.sequence_length, 0)
    together = positions(store, stream.windows(0, 0, 100))
    got = dict(
        zip(
            together.event[together.scored].tolist(),
            logits(sharded, store, stream.windows(0, 0, 100), model),
            strict=True,
        )
    )
    for i in (0, 7, 40, 99):
        one = stream.windows(0, i, i + 1)
        p = positions(store, one)
        alone = logits(sharded, store, one, model)[0]
        torch.testing.assert_close(alone, got[int(p.event[p.scored][0])], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_every_parameter_learns(tied, store):
    model = config(tied=tied)
    ensure_process_group()
    torch.manual_seed(0)
    sharded = shard(build(model, store.manifest), 0.01, 0, CPU)
    before = {k: v.local_shards()[0].tensor.clone() for k, v in sharded.state_dict().items()
              if "embeddings" in k}  # fmt: skip
    windows = TrainStream(store.train(), model.sequence_length, 0).windows(0, 0, 400)
    hidden, candidates = sharded(batch(store, windows, model))
    (hidden @ candidates.T).logsumexp(1).sum().backward()
    tables = set(sharded.fused_optimizer.params)
    for name, parameter in sharded.named_parameters():
        if name not in tables:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    after = sharded.state_dict()
    for key, table in before.items():
        moved = (after[key].local_shards()[0].tensor != table).any(1)
        n = model.catalogue(store.manifest)
        # tied: the output layer moves every item of the catalogue; else those of the inputs
        assert moved[:n].all() if tied else moved[:n].any()


def test_layer_wise_dropout_falls_from_the_lowest_block_to_the_highest(store):
    model = config(sequence_depth=4, dropout=0.4, dropout_top=0.1)
    rates = [
        block.dropout
        for block in build(model, store.manifest, "meta").get_submodule("blocks").children()
    ]
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0.1])


def test_heads_follow_the_width_unless_swept():
    spec = DecoderSpec(family="decoder", sequence_width=(64, 128, 48))
    values = {"sequence_depth": 2, "heads": None, "sequence_length": 50, "negatives": None}
    heads = [spec.shape({**values, "sequence_width": w})["heads"] for w in (16, 48, 64, 128)]
    assert heads == [1, 1, 2, 4]
    with pytest.raises(ValueError, match="do not divide"):
        DecoderSpec(family="decoder", sequence_width=(64,), heads=(3,))
