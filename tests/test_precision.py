"""Training in bfloat16: every family learns what it does in float32, and is measured in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from architectures import SEQUENCES, SIZES, architecture

from recscale.data.store import Store
from recscale.run import RunConfig, TrainConfig
from recscale.train.host import PlainHost
from recscale.train.loop import Outcome, train

TRAIN: dict[str, Any] = dict(
    data_fraction=0.12, batch_size=64, epochs=1, dense_rate=3e-3, sparse_rate=0.1, rate_factor=1.0,
    warmup=0.05, eval_points=2, diverge_above=2.0, seed=0,
)  # fmt: skip
SAMPLED = ("decoder", dict(negatives=16, negatives_by="popularity", correction=True))


@pytest.fixture(scope="module")
def clicks(store: Path) -> Store:
    return Store.open(store)


def both(name: str, store: Store, sizes: dict[str, Any], **changes: Any) -> list[Outcome]:
    """The run in float32 and in bfloat16."""
    outcomes = []
    for precision in ("float32", "bfloat16"):
        settings = TrainConfig(**{**TRAIN, **changes, "precision": precision})
        data = store.manifest.fingerprint
        config = RunConfig(data=data, model=architecture(name, **sizes), train=settings)
        outcomes.append(train(config, store, PlainHost()))
    return outcomes


@pytest.mark.parametrize("name, sizes", [*((n, {}) for n in (*SIZES, *SEQUENCES)), SAMPLED])
def test_every_family_learns_the_same_in_bfloat16(name, sizes, clicks, sequence_store):
    single, half = both(name, sequence_store if name in SEQUENCES else clicks, sizes)
    assert half.status == "done"
    assert half.curve[-1].train_loss != single.curve[-1].train_loss
    assert half.curve[-1].train_loss == pytest.approx(single.curve[-1].train_loss, rel=0.03)
    assert half.curve[-1].eval_loss == pytest.approx(single.curve[-1].eval_loss, rel=0.03)


@pytest.mark.parametrize("name", ["dlrm-history", "decoder", "hstu"])
def test_evaluations_are_in_float32_whatever_trains(name, clicks, sequence_store):
    """Rates so small that nothing is learnt: the same weights, measured in the same way."""
    store = sequence_store if name in SEQUENCES else clicks
    single, half = both(name, store, {}, dense_rate=1e-15, sparse_rate=1e-15)
    assert half.curve[-1].train_loss != single.curve[-1].train_loss
    assert half.curve[-1].eval_loss == pytest.approx(single.curve[-1].eval_loss, rel=1e-9)


def test_precision_is_part_of_what_a_run_is(data):
    settings = {p: TrainConfig(**TRAIN, precision=p) for p in ("float32", "bfloat16")}
    ids = {
        p: RunConfig(data=data.fingerprint, model=architecture("dlrm"), train=t).run_id
        for p, t in settings.items()
    }
    unsaid = RunConfig(
        data=data.fingerprint, model=architecture("dlrm"), train=TrainConfig(**TRAIN)
    )
    assert ids["float32"] == unsaid.run_id != ids["bfloat16"]
