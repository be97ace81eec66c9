"""What sequence families promise beyond the contract of test_contract.py."""

from __future__ import annotations

import pytest
import torch
from architectures import SEQUENCES, architecture
from built import Built
from torch.utils.flop_counter import FlopCounterMode
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from recscale.families.decoder import DecoderSpec
from recscale.models.contract import build
from recscale.models.dropout import Dropout
from recscale.models.sequences import Bucket, Sequences

every = pytest.mark.parametrize("name", SEQUENCES)


@every
def test_parameters_equal_the_built_model(name, sequence_store):
    model, data = architecture(name), sequence_store.manifest
    built = dict(build(model, data, "meta").named_parameters())
    table = sum(p.numel() for n, p in built.items() if "embeddings" in n)
    weights = [p for n, p in built.items() if "blocks" in n and p.dim() == 2]
    head = built["head"].numel() if "head" in built else 0
    assert model.table_params(data) == table
    assert model.non_embedding_params(data) == sum(p.numel() for p in weights)
    assert model.head_params(data) == head
    assert model.dense_params(data) == sum(p.numel() for p in built.values()) - table - head


@every
def test_flop_equal_torchs_counter(name, sequence_store):
    """One full window on the meta device: body and head exactly, attention once its causal half
    is doubled."""
    model = architecture(name, sequence_depth=3, sequence_length=6)
    built, n = build(model, sequence_store.manifest, "meta"), model.sequence_length
    none = torch.empty(0, dtype=torch.long, device="meta")
    time = torch.empty(n, dtype=torch.long, device="meta")
    window = Sequences(KeyedJaggedTensor.empty(), none, time, none, (Bucket(0, n, 1, n, None),))
    with FlopCounterMode(display=False) as counter:
        x = torch.empty(n, model.sequence_width, device="meta")
        for block in built.get_submodule("blocks").children():
            x = block(x, window)
        items = torch.empty(
            model.catalogue(sequence_store.manifest), model.sequence_width, device="meta"
        )
        torch.matmul(x, items.T)
    flop = model.forward_flop(sequence_store.manifest)
    assert model.mean_keys(sequence_store.manifest) == n / 2
    assert n * (flop.body + 2 * flop.attention + flop.head) == counter.get_total_flops()


@every
def test_a_sample_depends_on_its_users_past_alone(name, sequence_store):
    """Alone, in another batch, or with the later positions gone: the same logits."""
    built = Built(architecture(name), sequence_store).loud()
    with torch.no_grad():
        together, logits = built.logits(built.stream.windows(0, 0, 100))
        assert torch.isfinite(logits).all() and len(set(together.lengths.tolist())) > 3
        got = dict(zip(together.event[together.scored].tolist(), logits, strict=True))
        for i in (0, 7, 40, 99):
            alone, one = built.logits(built.stream.windows(0, i, i + 1))
            same = got[int(alone.event[alone.scored][0])]
            torch.testing.assert_close(one[0], same, rtol=1e-5, atol=1e-5)


@every
def test_a_tied_output_layer_moves_every_item(name, sequence_store):
    built = Built(architecture(name), sequence_store)
    before = built.table().clone()
    _, logits = built.logits(built.stream.windows(0, 0, 400))
    logits.logsumexp(1).sum().backward()
    moved = (built.table() != before).any(1)[: built.config.catalogue(sequence_store.manifest)]
    # else the inputs move theirs
    assert moved.all() if built.config.tied else moved.any()


def test_layer_wise_dropout_falls_from_the_lowest_block_to_the_highest(sequence_store):
    model = architecture("decoder", sequence_depth=4, dropout=0.4, dropout_top=0.1)
    built = build(model, sequence_store.manifest, "meta")
    drops = [m for m in built.get_submodule("blocks").modules() if isinstance(m, Dropout)]
    rates = [drop.below / 65536 for drop in drops[:: len(drops) // 4]]
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0.1], abs=1e-5)


def test_heads_follow_the_width_unless_swept():
    spec = DecoderSpec(family="decoder", sequence_width=(64, 128, 48))
    values = {"sequence_depth": 2, "heads": None, "sequence_length": 50, "negatives": None}
    heads = [spec.shape({**values, "sequence_width": w})["heads"] for w in (16, 48, 64, 128)]
    assert heads == [1, 1, 2, 4]
    with pytest.raises(ValueError, match="do not divide"):
        DecoderSpec(family="decoder", sequence_width=(64,), heads=(3,))


def test_sampled_items_replace_the_catalogue_in_the_cost(sequence_store):
    full = architecture("decoder").forward_flop(sequence_store.manifest)
    model = architecture("decoder", negatives=9, negatives_by="uniform", correction=True)
    assert model.forward_flop(sequence_store.manifest).head == 2 * 16 * 10
    assert model.forward_flop(sequence_store.manifest).body == full.body
