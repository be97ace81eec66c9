"""The copy of a state that a checkpoint is written from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_train import Killed, Mortal, quality
from torch.profiler import ProfilerActivity, profile

from recscale.data.store import Store
from recscale.planner.fixed import planned_runs
from recscale.run import RunConfig
from recscale.train import staging
from recscale.train.checkpoint import Checkpoints
from recscale.train.loop import _Training, train
from recscale.train.staging import available, copied, fits, tensors


@pytest.fixture(scope="module")
def opened(store: Path) -> Store:
    return Store.open(store)


@pytest.fixture
def run(small, data) -> RunConfig:
    return planned_runs(small, data)[-1].config


def state_of(run: RunConfig, store: Store, folder: Path) -> dict[str, Any]:
    training = _Training(run, store, Mortal(folder))
    training._step(0)
    assert isinstance(training.checkpoints, Checkpoints)
    return training.checkpoints._state()


def size(state: Any) -> int:
    return sum(t.numel() * t.element_size() for t in tensors(state))


def test_no_more_is_copied_than_the_state_has(run, opened, tmp_path):
    """As the allocator counts it: fbgemm's tables are views of one storage."""
    state = state_of(run, opened, tmp_path)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        copied(state)
    assert seen.profiler and seen.profiler.kineto_results
    events = seen.profiler.kineto_results.events()
    taken = [e.nbytes() for e in events if e.name() == "[memory]"]
    assert size(state) <= sum(n for n in taken if n > 0) < 1.01 * size(state)


def test_the_copy_is_equal_and_apart(run, opened, tmp_path):
    state = state_of(run, opened, tmp_path)
    copy = copied(state)
    assert _names(copy) == _names(state)
    mine, others = list(tensors(state)), list(tensors(copy))
    assert len(mine) == len(others) > 10 and size(copy) == size(state)
    held = {t.untyped_storage().data_ptr() for t in mine}
    for a, b in zip(mine, others, strict=True):
        assert torch.equal(a, b)
        assert b.untyped_storage().data_ptr() not in held
        assert b.untyped_storage().nbytes() == b.numel() * b.element_size()


def _names(state: Any) -> Any:
    return {k: _names(v) for k, v in state.items()} if isinstance(state, dict) else type(state)


def test_where_memory_is_short_training_waits_for_the_write(run, opened, tmp_path, monkeypatch):
    """A container with no byte to spare: the same checkpoints, the same resume."""
    whole = quality(train(run, opened, Mortal(tmp_path / "whole")))
    for name in ("limit", "used"):
        (tmp_path / name).write_text("1000000\n")
    monkeypatch.setattr(staging, "CGROUPS", ((tmp_path / "limit", tmp_path / "used"),))
    assert available() == 0 and not fits({"one": torch.zeros(1)}) and fits({"none": 0})
    with pytest.raises(Killed):
        train(run, opened, Mortal(tmp_path / "short", dies_at=2))
    resumed = train(run, opened, Mortal(tmp_path / "short"))
    assert resumed.resumed == 1 and quality(resumed) == whole


@pytest.mark.parametrize("limit", ["max", "", None])
def test_memory_without_a_container_is_the_machines(tmp_path, monkeypatch, limit):
    if limit is not None:
        (tmp_path / "limit").write_text(limit)
    monkeypatch.setattr(staging, "CGROUPS", ((tmp_path / "limit", tmp_path / "used"),))
    assert 1e6 < available() < float("inf")
    monkeypatch.setattr(staging, "MEMINFO", tmp_path / "absent")
    assert available() == float("inf")
