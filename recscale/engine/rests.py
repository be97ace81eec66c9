"""Trainings at rest: what of them lies on disk, beside what the ledger tells, and how much may."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.fs as pafs

from recscale.planner import Planned
from recscale.spend import Resting, Start, found
from recscale.states import FACTS, checkpoints, facts_of, whole
from recscale.storage import filesystem, guarded, remove

SHOWN = 3  # runs that a sentence names


def folder(run_dir: str, trajectory: str) -> str:
    return f"{run_dir}/checkpoints/{trajectory}"


@dataclass(frozen=True)
class Missing:
    """States that the ledger tells of and that are not there."""

    entries: tuple[dict[str, Any], ...] = ()
    """Facts of the BEATs that put the ledger right; see `recscale.spend.found`."""
    said: tuple[str, ...] = ()
    """A sentence each."""


def missing(run_dir: str, open_runs: Iterable[Planned], starts: Sequence[Start]) -> Missing:
    """Of the trajectories on which open runs lie. Raises StorageError."""
    resting, of = Resting(starts), defaultdict[str, list[Planned]](list)
    for p in open_runs:
        for name in {p.place.trajectory, p.place.trunk} - {p.run_id}:
            of[name].append(p)
    entries, said = [], []
    for name, runs in sorted(of.items()):
        told = resting.states.get(name)
        if not told:
            continue
        place, batch = folder(run_dir, name), runs[0].config.train.batch_size
        fs, root = filesystem(place)
        with guarded(place):
            steps, wrong = whole(fs, root, name)
        there = {s * batch for s in steps}
        if {*told} <= there:
            continue
        entries.append(found(name, max(there, default=0)))
        now = Resting([*starts, *_as_starts(entries[-1:])])
        which = [
            p.run_id
            for p in runs
            if now.of(p.place, p.cost.samples) < resting.of(p.place, p.cost.samples)
        ]
        if not which:  # it had written more than it came to tell
            continue
        lost = ", ".join(f"{n:,}" for n in told if n not in there)
        what = "; ".join(wrong) or f"{place}: the state of {lost} samples is gone"
        begin = f"from {max(there):,} samples on" if there else "from the start"
        more = f" and {len(which) - SHOWN} more" if len(which) > SHOWN else ""
        named = ", ".join(which[:SHOWN]) + more
        said.append(f"{what}: {named} will be trained again {begin}")
    return Missing(tuple(entries), tuple(said))


def right(starts: Sequence[Start], gone: Missing) -> list[Start]:
    """The starts as they are once the ledger is put right."""
    return [*starts, *_as_starts(gone.entries)]


def _as_starts(entries: Iterable[dict[str, Any]]) -> list[Start]:
    names = Start.model_fields
    return [
        Start.model_validate(
            {k: e[k] for k in names if k in e} | {"id": e["start"], "order": 1e300, "signs": 1}
        )
        for e in entries
    ]


@dataclass(frozen=True)
class _State:
    trajectory: str
    path: str
    bytes: int
    flop: float
    """Training FLOPs that it took."""


def make_room(run_dir: str, most: float) -> list[str]:
    """Removes states at rest until all of them take `most` bytes or fewer: those first whose
    training costs least for their bytes. Returns the trajectories that have lost theirs. Raises
    StorageError."""
    place = f"{run_dir}/checkpoints"
    fs, root = filesystem(place)
    lost = []
    with guarded(place):
        states = sorted(_ended(fs, root), key=lambda s: s.flop / max(1, s.bytes))
        used = sum(s.bytes for s in states)
        for state in states:
            if used <= most:
                break
            remove(fs, state.path)
            used -= state.bytes
            lost.append(state.trajectory)
    return lost


def _ended(fs: pafs.FileSystem, root: str) -> Iterable[_State]:
    """The states in which runs that came to their ends have left their trainings."""
    found = fs.get_file_info(pafs.FileSelector(root, allow_not_found=True))
    for info in found:
        name = info.path.rpartition("/")[2]
        for path, files in checkpoints(fs, info.path).items():
            facts, _ = facts_of(fs, path, name, resting=True) if FACTS in files else ({}, "")
            if facts.get("ended") and facts["curve"]:
                flop = facts["curve"][-1]["train_flop"]
                yield _State(name, path, sum(files.values()), flop)
