"""Two drivers at once, a driver's process group ended, clocks that are hours off, and a worker
killed in every attempt: what is lost, doubled, or spent without a word.

    python tests/benchmarks/faults_money.py [--seed 0] [--rounds 2]

With Rays of its own on this machine, one after the other. A round starts the same command three
times at the same moment, of which one may drive, kills its whole process group (SIGTERM), starts it
again, kills it -9, and lets it end, while a writer whose clock is hours off adds to the ledger.
Then a sweep with a budget of two runs has its worker killed 2.4 s into every start.

Printed, each of which must be 0: `lost`, runs that ended without a record though the budget had
room for them; `doubled`, results beyond the first of a run, and starts of a run after its result;
`silent`, starts whose cost the ledger does not hold, and drivers that ended otherwise than they
should or were refused without a sentence; `crossed`, budgets. Beside them, which is no fault:
`unpaid`, runs that the budget had no room for.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import recscale.ledger
from recscale.ledger import Ledger
from recscale.spend import spent
from recscale.study import Study

SWEEP = """
name: {name}
data: {{source: synthetic, rows: {rows}, users: 500, items: 300}}
model: {{family: dlrm, embedding_dim: {dims}, mlp_width: 32, sequence_length: 6}}
train: {{data_fraction: 1.0, batch_size: 64, seeds: {seeds}}}
budget: {{flop: {flop}}}
resources: {{checkpoint_s: 0.5, retries: 2}}
storage: {storage}
"""
LIMIT_S = 900
KILLED_AFTER_S = 2.4


class Drivers:
    """The command of one sweep, started and ended in many ways."""

    def __init__(self, folder: Path, name: str, **facts: object):
        self.folder, self.name = folder, name
        text = SWEEP.format(name=name, storage=folder / "runs", **facts)
        (folder / f"{name}.yaml").write_text(text)
        self.ledger = Ledger(folder / "runs" / name)
        self.silent = 0

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "recscale.cli", "run", f"{self.name}.yaml"],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    def trains(self) -> bool:
        return any(s.samples and not s.over for s in self.ledger.starts())

    def until(self, condition, process: subprocess.Popen[str]) -> bool:
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
            print(said[-3000:])
            self.silent += 1
        return said

    def counts(self) -> dict[str, int]:
        study = Study.open(str(self.folder / "runs" / self.name))
        done = Counter(r.run_id for r in study.attempts if r.status == "done")
        over = {r.run_id for r in study.attempts}
        told = {s.run_id for s in self.ledger.starts() if s.usd > 0}
        begun = {e["run_id"] for e in self.ledger.entries() if e["kind"] == "start"}
        left = (study.spec.budget.flop or 0) - study.spent.flop
        without = [p for p in study.planned if p.run_id not in over]
        lost = sum(p.cost.train_flop <= left for p in without)
        return {
            "lost": lost,
            "doubled": sum(n - 1 for n in done.values()) + self.begun_again(),
            "silent": self.silent + len(begun - told),
            "crossed": int(not study.spent.within(study.spec.budget)),
            "unpaid": len(without) - lost,
        }

    def begun_again(self) -> int:
        """Starts of runs that had their result by then."""
        settled: set[str] = set()
        again = 0
        for e in self.ledger.entries():
            if e["kind"] == "start":
                again += e["run_id"] in settled
            elif e["kind"] == "run" and e["record"]["status"] == "done":
                settled.add(e["record"]["run_id"])
        return again


def disturbed(folder: Path, dice: random.Random, i: int) -> dict[str, int]:
    drivers = Drivers(folder, f"round{i}", rows=40000, dims="[4, 8]", seeds=2, flop=1e15)
    several = [drivers.start() for _ in range(3)]
    drives = refused = 0
    begun = time.monotonic()
    while refused < 2 and time.monotonic() - begun < LIMIT_S:
        refused = sum(p.poll() is not None for p in several)
        time.sleep(0.1)
    first = next(p for p in several if p.poll() is None)
    for other in several:
        if other is not first:
            said = drivers.ended(other, 2)
            drivers.silent += "another driver runs this sweep: process" not in said
    drives = len(several) - refused
    drivers.silent += drives != 1

    if drivers.until(drivers.trains, first):
        time.sleep(dice.uniform(0, 3))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGTERM)
        drivers.ended(first, 130, 0)
    skewed(drivers.ledger.place, dice)
    second = drivers.start()
    if drivers.until(drivers.trains, second):
        time.sleep(dice.uniform(0, 3))
        second.kill()
        second.communicate()
    skewed(drivers.ledger.place, dice)
    drivers.ended(drivers.start(), 0)
    counts = drivers.counts()
    orders = [e["i"] for e in drivers.ledger.entries() if e["kind"] == "note"]
    counts["silent"] += orders != sorted(orders)
    print(f"round {i}: {len(drivers.ledger.starts())} starts, {counts}", flush=True)
    return counts


def skewed(place: str, dice: random.Random) -> None:
    """Notes in the ledger by a clock that is hours off and set back between two of them."""
    ledger, real = Ledger(place), time.time
    for _ in range(3):
        ledger.entries()
        off = dice.uniform(-5, 5) * 3600
        recscale.ledger.time.time = lambda off=off: real() + off  # type: ignore[assignment]
        ledger.append("note", i=len([e for e in ledger.entries() if e["kind"] == "note"]))
    recscale.ledger.time.time = real  # type: ignore[assignment]


def starved(folder: Path) -> dict[str, int]:
    """Six runs of 3.5 GFLOP, a budget of two, and a worker killed in each start."""
    drivers = Drivers(folder, "starved", rows=140000, dims=8, seeds=6, flop=7.1e9)
    killed: set[str] = set()
    for life in range(3):
        driver = drivers.start()
        while driver.poll() is None:
            for e in drivers.ledger.entries():
                if e["kind"] == "start" and e["start"] not in killed:
                    age = time.time() - e["at"]
                    if age > KILLED_AFTER_S and life < 2:
                        killed.add(e["start"])
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(e["pid"], signal.SIGKILL)
            time.sleep(0.02)
        drivers.ended(driver, 1, 3, 0)
    starts = drivers.ledger.starts()
    used = spent(drivers.ledger.attempts(), starts)
    counts = drivers.counts()
    print(
        f"starved: {len(killed)} of {len(starts)} starts killed, {used.flop / 1e9:.2f}G of 7.1G "
        f"FLOP; the most that its workers can have trained is the same, {counts}"
    )
    return counts


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=2)
    chosen = parser.parse_args()
    folder, dice = Path(tempfile.mkdtemp(prefix="recscale-money-")), random.Random(chosen.seed)
    total: Counter[str] = Counter(lost=0, doubled=0, silent=0, crossed=0, unpaid=0)
    try:
        for i in range(chosen.rounds):
            total.update(disturbed(folder, dice, i))
        total.update(starved(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(", ".join(f"{n} {what}" for what, n in total.items()))
    assert not any(n for what, n in total.items() if what != "unpaid")


if __name__ == "__main__":
    main()
