"""States at rest that are harmed, and the room that they may take."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from test_anytime import SWEEP
from test_resting import rested
from test_train import Mortal, quality

from recscale.crc import KEY, with_crc
from recscale.data.store import Store
from recscale.engine.rests import folder, make_room, missing, right
from recscale.planner import Planned, planned_runs
from recscale.specfile import parse_spec
from recscale.spend import Resting
from recscale.train.host import PlainHost
from recscale.train.loop import train


@pytest.fixture(scope="module")
def opened(store: Path) -> Store:
    return Store.open(store)


@pytest.fixture(scope="module")
def runs(data) -> list[Planned]:
    spec = parse_spec(SWEEP.replace("[4, 8]", "4"))
    return planned_runs(spec, data)


@pytest.fixture(scope="module")
def sound(runs, opened, tmp_path_factory) -> Path:
    """A run directory in which the second of three runs has left the training."""
    run_dir = tmp_path_factory.mktemp("run")
    place = Path(folder(str(run_dir), runs[1].place.trajectory))
    train(runs[1].config, opened, Mortal(place))
    return run_dir


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def changed(path: Path, **facts: object) -> None:
    """Facts that vouch for themselves."""
    old = {k: v for k, v in json.loads(path.read_text()).items() if k != KEY}
    path.write_text(json.dumps(with_crc({**old, **facts})))


HARMS = {
    "gone": (shutil.rmtree, "is gone"),
    "facts cut": (lambda s: cut(s / "facts.json"), "facts.json is damaged"),
    "data cut": (lambda s: cut(s / "__0_0.distcp"), "__0_0.distcp is cut"),
    "data gone": (lambda s: (s / "__0_0.distcp").unlink(), "__0_0.distcp is missing"),
    "other version": (
        lambda s: changed(s / "facts.json", recscale="0.0.1"),
        "facts.json is of recscale 0.0.1",
    ),
    "of another": (
        lambda s: changed(s / "facts.json", run="other"),
        "facts.json is of another run",
    ),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_state_that_cannot_be_gone_on_with_is_said_and_trained_again(
    harm, sound, runs, opened, tmp_path
):
    run_dir = tmp_path / "run"
    shutil.copytree(sound, run_dir)
    (state,) = run_dir.glob("checkpoints/*/step-*")
    told, last = [rested(runs[1])], runs[2]
    assert missing(str(run_dir), [last], told).said == ()
    do, words = HARMS[harm]
    do(state)
    found = missing(str(run_dir), [last], told)
    (said,) = found.said
    assert words in said and str(state.parent) in said
    assert f"{last.run_id} will be trained again from the start" in said
    assert Resting(right(told, found)).of(last.place, last.cost.samples) == 0
    assert missing(str(run_dir), [runs[0]], told).said == ()  # which it does not concern
    if harm == "data cut":
        host = Mortal(state.parent)
        outcome = train(last.config, opened, host)
        assert outcome.before.samples == 0 and "was set aside" in host.told[0]
        assert quality(outcome) == quality(train(last.config, opened, PlainHost()))


def test_more_than_was_told_is_no_news(sound, runs):
    """The worker died between writing a state and telling of it."""
    less = rested(runs[1], kept=runs[0].cost.samples)
    found = missing(str(sound), [runs[2]], [less])
    assert found.said == ()
    at = Resting(right([less], found)).of(runs[2].place, runs[2].cost.samples)
    assert at == runs[1].cost.samples


def test_room_is_made_by_what_costs_least_to_train_again(sound, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(sound, run_dir)
    (place,) = (run_dir / "checkpoints").iterdir()
    (state,) = place.iterdir()
    size = sum(f.stat().st_size for f in state.iterdir())
    curve = json.loads((state / "facts.json").read_text())["curve"]
    for name, times in (("expensive", 3.0), ("cheap", 0.5)):
        other = place.parent / name / state.name
        shutil.copytree(state, other)
        flop = curve[-1]["train_flop"] * times
        changed(
            other / "facts.json", run=name, curve=[*curve[:-1], {**curve[-1], "train_flop": flop}]
        )
    assert make_room(str(run_dir), 4 * size) == []
    assert make_room(str(run_dir), 2.5 * size) == ["cheap"]
    assert make_room(str(run_dir), 1.5 * size) == [place.name]
    assert {p.name for p in (run_dir / "checkpoints").glob("*/step-*")} == {state.name}
    under_way = place.parent / "expensive" / state.name
    changed(under_way / "facts.json", ended=False)
    assert make_room(str(run_dir), 0) == []  # a run goes on with it
