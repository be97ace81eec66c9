"""Two drivers at once, a driver's process group ended, clocks that are hours off; and a worker
killed in every start of a sweep whose budget holds two of its six runs. Parts of faults.py."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from faults_tally import tally
from faults_witness import counted

import recscale.ledger
from recscale.ledger import Ledger
from recscale.study import Study

DRIVEN = """
name: {name}
data: {{source: synthetic, rows: 40000, users: 500, items: 300}}
model: {{family: dlrm, embedding_dim: [4, 8], mlp_width: 32, sequence_length: 6}}
train: {{data_fraction: 1.0, batch_size: 64, seeds: 2}}
budget: {{flop: 1e15}}
resources: {{checkpoint_s: 0.5, retries: 2}}
storage: {storage}
"""
COUNTING = """
name: {name}
data: {{source: synthetic, rows: 140000, users: 500, items: 300}}
model: {{family: "faults_family:Counting", dim: 8}}
train: {{data_fraction: 1.0, batch_size: 64, seeds: 6}}
budget: {{flop: {flop:g}}}
resources: {{checkpoint_s: 0.5, retries: 2}}
storage: {storage}
"""
TRAINER = """
name: {name}
trainer: "faults_witness:train"
axes: {{hidden: [10, 11, 12, 13, 14, 15], samples: 100000}}
cost: 10 * samples + hidden - hidden
budget: {{flop: {flop:g}}}
resources: {{retries: 2}}
storage: {storage}
"""
LIMIT_S = 900
KILLED_AFTER_S = 1.5
ROUNDS = 2


class Drivers:
    """The command of one sweep, started and ended in many ways."""

    def __init__(self, folder: Path, name: str, text: str, **facts: object):
        self.folder, self.name = folder, name
        self.witness = folder / f"{name}.trained"
        text = text.format(name=name, storage=folder / "runs", **facts)
        (folder / f"{name}.yaml").write_text(text)
        for file in ("faults_witness.py", "faults_family.py"):
            shutil.copy(Path(__file__).with_name(file), folder)
        self.ledger = Ledger(folder / "runs" / name)
        self.pids: set[int] = set()
        self.silent = 0
        """Drivers that ended otherwise than they should, or without a sentence."""

    def start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "recscale.cli", "run", f"{self.name}.yaml"],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | {"FAULTS_WITNESS": str(self.witness)}, start_new_session=True,
        )  # fmt: skip
        self.pids.add(process.pid)
        return process

    def trains(self) -> bool:
        return any(s.samples and not s.over for s in self.ledger.starts())

    def until(self, condition: Callable[[], bool], process: subprocess.Popen[str]) -> bool:
        """Whether it came true before the process ended."""
        begun = time.monotonic()
        while not condition():
            if process.poll() is not None:
                return False
            assert time.monotonic() - begun < LIMIT_S, "nothing happens"
            time.sleep(0.05)
        return True

    def ended(self, process: subprocess.Popen[str], *codes: int) -> str:
        said = process.communicate(timeout=LIMIT_S)[0]
        if process.returncode not in codes or "Traceback" in said:
            print(f"ended with {process.returncode}, not {codes}: {said[-3000:]}")
            self.silent += 1
        return said

    def tally(self, flop_per_sample: float = 0.0) -> Counter[str]:
        study = Study.open(str(self.folder / "runs" / self.name))
        trained, budget = flop_per_sample * counted(self.witness, self.pids), study.spec.budget
        entries = self.ledger.entries()
        found = tally(study.planned, study.attempts, study.starts, entries, budget, trained)
        return found + Counter(silent=self.silent)


def drivers(folder: Path, seed: int, size: float) -> Counter[str]:
    dice, total = random.Random(seed), Counter[str]()
    for i in range(max(1, round(ROUNDS * size))):
        total.update(disturbed(Drivers(folder, f"round{i}", DRIVEN), dice))
    return total


def disturbed(several: Drivers, dice: random.Random) -> Counter[str]:
    """The same command three times at one moment, of which one may drive; then its process group
    is ended, its successor killed, and the last comes to its end."""
    trio = [several.start() for _ in range(3)]
    begun = time.monotonic()
    while sum(p.poll() is not None for p in trio) < 2 and time.monotonic() - begun < LIMIT_S:
        time.sleep(0.1)
    driving = [p for p in trio if p.poll() is None]
    for other in trio:
        if other not in driving:
            said = several.ended(other, 2)
            several.silent += "another driver runs this sweep: process" not in said
    several.silent += len(driving) != 1
    first = driving[0] if driving else several.start()
    if several.until(several.trains, first):
        time.sleep(dice.uniform(0, 3))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGTERM)
    several.ended(first, 130, 0)
    skewed(several.ledger.place, dice)
    second = several.start()
    if several.until(several.trains, second):
        time.sleep(dice.uniform(0, 3))
        second.kill()
        second.communicate()
    skewed(several.ledger.place, dice)
    several.ended(several.start(), 0)
    found = several.tally()
    orders = [e["i"] for e in several.ledger.entries() if e["kind"] == "note"]
    assert len(orders) == 6
    found["silent"] += orders != sorted(orders)
    print(f"  {several.name}: {len(several.ledger.starts())} starts, {dict(found)}", flush=True)
    return found


def skewed(place: str, dice: random.Random) -> None:
    """Notes in the ledger by a clock that is hours off and set back between two of them."""
    ledger, real = Ledger(place), time.time
    for _ in range(3):
        ledger.entries()
        off = dice.uniform(-5, 5) * 3600
        recscale.ledger.time.time = lambda off=off: real() + off  # type: ignore[assignment]
        ledger.append("note", i=len([e for e in ledger.entries() if e["kind"] == "note"]))
    recscale.ledger.time.time = real  # type: ignore[assignment]


def budget(folder: Path, seed: int, size: float) -> Counter[str]:
    """Of a family and of a trainer of one's own, each of which counts what it trains."""
    total = Counter[str]()
    for name, text in (("family", COUNTING), ("trainer", TRAINER)):
        whole, samples = _planned(folder, text)
        short = Drivers(folder, name, text, flop=2.04 * whole)
        total.update(killed_in_every_start(short, whole / samples))
    return total


def _planned(folder: Path, text: str) -> tuple[float, int]:
    """(FLOPs, samples) of each run of a sweep."""
    from recscale.engine.ready import ready
    from recscale.specfile import load_spec

    probe = Drivers(folder, "probe", text, flop=1e15)
    before = Path.cwd()
    os.chdir(folder)
    try:
        planned = ready(load_spec(f"{probe.name}.yaml")).planned
    finally:
        os.chdir(before)
    (cost,) = {(p.cost.train_flop, p.cost.samples) for p in planned}
    return cost


def killed_in_every_start(short: Drivers, flop_per_sample: float) -> Counter[str]:
    """Two drivers whose workers are killed a moment after they have begun to train, in every start;
    and one that is left alone."""
    begun: dict[str, float] = {}
    killed: set[str] = set()
    for life in range(3):
        driver = short.start()
        while driver.poll() is None:
            now = time.monotonic()
            pids = {e["start"]: e["pid"] for e in short.ledger.entries() if e["kind"] == "start"}
            for s in short.ledger.starts() if life < 2 else ():
                if s.origin is None or s.over or s.id in killed:
                    continue
                if now - begun.setdefault(s.id, now) > KILLED_AFTER_S:
                    killed.add(s.id)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pids[s.id], signal.SIGKILL)
            time.sleep(0.02)
        short.ended(driver, 1, 3, 0)
    found = short.tally(flop_per_sample)
    study = Study.open(short.ledger.home)
    assert len(killed) > 2, "no worker was killed"
    trained = flop_per_sample * counted(short.witness, short.pids)
    assert trained > 0, "nothing was counted"
    print(
        f"  {short.name}: {len(killed)} of {len(study.starts)} starts killed; trained "
        f"{trained:.3g}, the ledger says {study.spent.flop:.3g} of {study.spec.budget.flop:.3g} "
        f"FLOP; {study.count('done')} of {len(study.planned)} runs done, {dict(found)}",
        flush=True,
    )
    return found
