"""The contract that every model family passes, and the parts against naive versions."""

from __future__ import annotations

import pytest
import torch

from recscale.data.store import Store
from recscale.families import AnyModelConfig
from recscale.models.contract import build, features
from recscale.models.history import HistoryEncoder
from recscale.planner import planned_runs
from recscale.train.sharding import ensure_process_group, shard

CPU = torch.device("cpu")


@pytest.fixture
def configs(small, data) -> list[AnyModelConfig]:
    return list({p.config.model: None for p in planned_runs(small, data)})


def logits(model: AnyModelConfig, store: Store, rows: slice) -> torch.Tensor:
    """The untrained model's logits of some training rows."""
    ensure_process_group()
    torch.manual_seed(0)
    sharded = shard(build(model, store.manifest), 0.01, 0, CPU)
    batch = store.train().read(
        rows.start,
        rows.stop,
        embedding_rows=model.embedding_rows,
        history_length=model.sequence_length,
    )
    with torch.no_grad():
        return sharded(features(batch, store.manifest, CPU))


def test_one_finite_logit_a_sample(configs, store):
    opened = Store.open(store)
    for model in configs:
        out = logits(model, opened, slice(0, 64))
        assert out.shape == (64,)
        assert torch.isfinite(out).all()


def test_a_sample_does_not_depend_on_its_batch(configs, store):
    opened = Store.open(store)
    for model in configs:
        together = logits(model, opened, slice(1000, 1064))
        alone = logits(model, opened, slice(1010, 1013))
        torch.testing.assert_close(together[10:13], alone, rtol=1e-5, atol=1e-6)


def test_every_parameter_is_reached(configs, data, store):
    """Every dense parameter gets a gradient from a batch of rows with histories."""
    opened = Store.open(store)
    ensure_process_group()
    for model in configs:
        sharded = shard(build(model, data), 0.01, 0, CPU)
        batch = opened.train().read(5000, 5500, history_length=model.sequence_length)
        sharded(features(batch, data, CPU)).sum().backward()
        tables = set(sharded.fused_optimizer.params)
        for name, parameter in sharded.named_parameters():
            if name not in tables:
                assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_capped_table_has_that_many_rows(configs, data):
    capped = configs[0].model_copy(update={"embedding_rows": 7})
    for name, parameter in build(capped, data, "meta").named_parameters():
        if "embedding" in name:
            assert parameter.shape[0] <= 7


def test_interaction_is_the_dot_product_of_every_pair(configs, data):
    model = build(configs[0], data)
    n = len(data.tables) + 2
    x = torch.randn(3, n, configs[0].embedding_dim)
    naive = [[float(x[b, i] @ x[b, j]) for i in range(n) for j in range(i)] for b in range(3)]
    dots = torch.bmm(x, x.transpose(1, 2)).flatten(1)
    got = dots.index_select(1, model.get_buffer("pairs"))
    torch.testing.assert_close(got, torch.tensor(naive), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_padding_of_a_history_changes_nothing(depth: int):
    torch.manual_seed(1)
    encoder = HistoryEncoder(dim=4, width=16, depth=depth, length=6, device=CPU)
    items = torch.randn(3, 6, 4)
    lengths = torch.tensor([0, 3, 6])
    clean = items * (torch.arange(6) < lengths[:, None]).unsqueeze(-1)
    pooled = encoder(clean, lengths)
    assert torch.equal(pooled[0], torch.zeros(4))
    alone = encoder(clean[1:2], lengths[1:2])
    torch.testing.assert_close(pooled[1:2], alone)
    if depth:  # what stands in the padding is hidden by the causal mask
        torch.testing.assert_close(encoder(items, lengths)[1], pooled[1])
    else:
        torch.testing.assert_close(pooled[1], clean[1, :3].mean(0))


def test_depth_sees_the_order_of_a_history_and_mean_pooling_does_not():
    torch.manual_seed(1)
    items, lengths = torch.randn(1, 6, 4), torch.tensor([6])
    flipped = items.flip(1)
    mean = HistoryEncoder(4, 16, 0, 6, CPU)
    torch.testing.assert_close(mean(items, lengths), mean(flipped, lengths))
    deep = HistoryEncoder(4, 16, 1, 6, CPU)
    assert not torch.allclose(deep(items, lengths), deep(flipped, lengths), atol=1e-4)
