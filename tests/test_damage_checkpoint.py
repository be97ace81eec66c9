"""Any damage to any file of a checkpoint: it is set aside by name, and the run trained anew."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from harm import harms, put
from test_train import Killed, Mortal, quality

from recscale import states
from recscale.data.store import Store
from recscale.planner import planned_runs
from recscale.run import RunConfig
from recscale.testing.workers import spawn
from recscale.train import checkpoint
from recscale.train.checkpoint import Checkpoints, Source
from recscale.train.host import PlainHost
from recscale.train.loop import _Training, train


@pytest.fixture(scope="module")
def opened(store: Path) -> Store:
    return Store.open(store)


@pytest.fixture
def run(small, data) -> RunConfig:
    return planned_runs(small, data)[0].config


@pytest.fixture
def kept(run, opened, tmp_path) -> Path:
    """The folder of checkpoints of a run that was killed."""
    folder = tmp_path / "kept"
    with pytest.raises(Killed):
        train(run, opened, Mortal(folder, dies_at=5))
    return folder


def numbers(state: dict) -> list[torch.Tensor]:
    return [x.local_shards()[0].tensor if hasattr(x, "local_shards") else x for x in state.values()]


@pytest.fixture
def load(run, opened) -> Callable[[Path], tuple[object, list[str], list[torch.Tensor]]]:
    """Loads as the training does: facts, what was set aside, and the model's numbers."""
    made = _Training(run, opened, PlainHost())

    def one(folder: Path):
        own = [Source(str(folder), run.fingerprint)]
        checkpoints = Checkpoints(own, 60, made.model, made.optimizers)
        with torch.no_grad():
            for x in numbers(made.model.state_dict()):
                x.fill_(7.0)
        facts = checkpoints.load()
        found = [x.clone() for x in numbers(made.model.state_dict())]
        checkpoints.close()
        return facts, checkpoints.set_aside, found

    return one


def test_every_byte_of_a_checkpoint(kept, load, tmp_path):
    truth, aside, sound = load(kept)
    assert truth and not aside and not all(bool((x == 7).all()) for x in sound)
    (step,) = kept.iterdir()
    names = sorted(f.name for f in step.iterdir())
    assert names == [".metadata", "__0_0.distcp", "facts.json"]
    for name in names:
        content, other = (
            (step / name).read_bytes(),
            (step / names[names.index(name) - 1]).read_bytes(),
        )
        for what, harmed in harms(content, other, len(content), few=4):
            case = tmp_path / "case"
            shutil.copytree(kept, case)
            put(case / step.name / name, harmed)
            facts, aside, found = load(case)
            if facts is None:
                gone = name == "facts.json" and harmed is None  # as if it had never been whole
                assert bool(aside) != gone and all(f"{name} is" in told for told in aside), what
                assert all(bool((x == 7).all()) for x in found), "a damaged state was loaded"
                assert states.latest(case) is None and load(case)[1] == []  # once, not for ever
            else:
                assert facts == truth and not aside, (name, what)
                assert all(torch.equal(a, b) for a, b in zip(found, sound, strict=True)), what
            shutil.rmtree(case)


def test_a_run_goes_on_from_the_last_good_checkpoint(run, opened, kept, tmp_path):
    whole, host = quality(train(run, opened, PlainHost())), Mortal(tmp_path / "kept")
    (good,) = kept.iterdir()
    bad = kept / f"step-{10**9:012d}"
    shutil.copytree(good, bad)
    content = (bad / "__0_0.distcp").read_bytes()
    put(bad / "__0_0.distcp", content[:500] + bytes(9) + content[509:])
    resumed = train(run, opened, host)
    assert resumed.resumed == 1 and quality(resumed) == whole
    assert host.told == [f"{bad}/__0_0.distcp is damaged: this checkpoint was set aside"]


def test_a_run_without_a_good_checkpoint_starts_anew_and_says_so(run, opened, kept):
    whole = quality(train(run, opened, PlainHost()))
    (step,) = kept.iterdir()
    put(step / "__0_0.distcp", (step / "__0_0.distcp").read_bytes()[:-1])
    host = Mortal(kept)
    anew = train(run, opened, host)
    assert anew.resumed == 0 and quality(anew) == whole
    assert host.told == [f"{step}/__0_0.distcp is damaged: this checkpoint was set aside"]
    assert {f.name for f in kept.glob("*/damaged.json")} == set()  # gone with the next one


def test_a_checkpoint_of_another_run_is_not_taken(run, opened, kept, tmp_path):
    """Of another seed: the same shapes, and another result in silence."""
    other = run.model_copy(update={"train": run.train.model_copy(update={"seed": 1})})
    whole = quality(train(other, opened, PlainHost()))
    host = Mortal(kept)
    assert quality(train(other, opened, host)) == whole
    assert "facts.json is of another run" in host.told[0]


def test_a_file_on_a_bad_part_of_a_disk_is_damage_and_a_lost_mount_is_not(kept, monkeypatch):
    class Broken:
        def __init__(self, number: int):
            self.number = number

        def open_input_file(self, path: str):
            raise OSError(self.number, os.strerror(self.number), path)

    assert checkpoint._sum_of(Broken(errno.EIO), "x") is None  # type: ignore[arg-type]
    with pytest.raises(OSError, match="denied"):
        checkpoint._sum_of(Broken(errno.EACCES), "x")  # type: ignore[arg-type]


def worker(rank: int, world: int, store: Path, run: RunConfig, folder: Path, out: Path):
    """Dies, has the file of rank 1 damaged, which rank 0 does not read, and trains again."""
    opened = Store.open(store)
    with suppress(Killed):
        train(run, opened, Mortal(folder, 4, rank, world))
    dist.barrier()
    if rank == 0:
        (step,) = folder.iterdir()
        file = step / "__1_0.distcp"
        put(file, file.read_bytes()[:-9] + b"damaged!!")
    dist.barrier()
    host = Mortal(folder, None, rank, world)
    torch.save([[p[1] for p in quality(train(run, opened, host))], host.told], f"{out}.{rank}")


def test_two_workers_agree_on_what_is_damaged(run, store, opened, tmp_path):
    brief = run.train.model_copy(update={"data_fraction": 0.25})
    run, folder = run.model_copy(update={"train": brief}), tmp_path / "two"
    spawn(worker, 2, store, run, folder, tmp_path / "out")
    (found, told), (_, also) = (torch.load(tmp_path / f"out.{r}") for r in (0, 1))
    assert told == also and "__1_0.distcp is damaged: this checkpoint was set aside" in told[0]
    alone = quality(train(run, opened, PlainHost()))
    assert found == pytest.approx([p[1] for p in alone], rel=2e-4)
