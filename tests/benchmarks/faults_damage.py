"""Damages at random the files of a sweep that was killed, and asks whether it was told. A part of
faults.py.

One sweep runs undisturbed. Then the same sweep runs in another folder: its driver is killed -9 in
the middle of a run, a file of its store, of a checkpoint or of its ledger is flipped, cut, emptied,
removed or swapped for another, and the same command is given again. Where it refuses, its own
sentence is followed (remove the store's folder; give the ledger's file the ending `.damaged`), and
the command is given once more. So twelve times, each kind of file in turn; then to the end. Silent
is also damage that neither was told nor left every result that counts as it was.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from faults_tally import tally
from harm import harms, put

from recscale.ledger import Ledger
from recscale.run import RunRecord
from recscale.study import Study

SWEEP = """
name: sweep
data: {{source: synthetic, rows: 60000, users: 500, items: 300}}
model: {{family: dlrm, embedding_dim: [4, 8], mlp_width: [16, 32], sequence_length: 6}}
train: {{data_fraction: [0.5, 1.0], batch_size: 64}}
budget: {{flop: 1e15}}
resources: {{checkpoint_s: 0.2}}
storage: {storage}
"""
LIMIT_S = 900
STRIKES = 12
KINDS = ("checkpoint", "ledger", "store")


class Sweep:
    def __init__(self, folder: Path):
        folder.mkdir()
        self.folder, self.run_dir = folder, folder / "runs" / "sweep"
        (folder / "sweep.yaml").write_text(SWEEP.format(storage=folder / "runs"))
        self.driver: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "recscale.cli", "run", "sweep.yaml"]
        out = subprocess.PIPE
        self.driver = subprocess.Popen(
            command, cwd=self.folder, stdout=out, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip
        return self.driver

    def files(self, kind: str) -> list[Path]:
        if kind == "checkpoint":
            found = self.run_dir.glob("checkpoints/*/step-*/*")
        elif kind == "ledger":
            found = self.run_dir.glob("ledger/*.jsonl")
        else:
            found = self.folder.glob("runs/store/synthetic-*/*")
        return sorted(f for f in found if f.is_file() and f.stat().st_size)

    def written_since(self, moment: float) -> bool:
        """Whether a checkpoint was written."""
        for facts in self.run_dir.glob("checkpoints/*/step-*/facts.json"):
            with contextlib.suppress(FileNotFoundError):
                if facts.stat().st_mtime > moment:
                    return True
        return False

    def done(self) -> dict[str, RunRecord]:
        return {r.run_id: r for r in Ledger(self.run_dir).records() if r.settled}

    def kill(self) -> None:
        """The driver, and with its session all that it started."""
        assert self.driver is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.driver.pid, signal.SIGKILL)
        self.driver.wait()
        assert self.driver.stdout is not None
        self.driver.stdout.close()
        time.sleep(3)  # Ray's processes notice


def follow(output: str) -> bool:
    """Does what a refusal says; whether there was one."""
    if found := re.search(r"remove the folder (\S+?):", output):
        shutil.rmtree(found[1])
    elif found := re.search(r"\.damaged: (mv|touch) (\S+)(?: (\S+?))?;", output):
        if found[1] == "mv":
            Path(found[2]).rename(found[3])
        else:
            Path(found[2]).touch()
    else:
        return False
    return True


class Chaos:
    def __init__(self, sweep: Sweep, seed: int):
        self.sweep, self.random = sweep, random.Random(seed)
        self.told: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()
        self.silent: list[str] = []

    def strike(self, kind: str) -> bool:
        """Starts the sweep, kills it once it has written a checkpoint, and damages a file of the
        kind; False at the sweep's end."""
        sweep, begun = self.sweep, time.time()
        driver = sweep.start()
        while driver.poll() is None:
            assert time.time() - begun < LIMIT_S, "the sweep does not end"
            if sweep.written_since(begun) and self.random.random() < 0.1:
                break
            time.sleep(0.1)
        if driver.poll() is not None:
            return self.ended(driver)
        sweep.kill()
        files = sweep.files(kind)
        if not files:
            return True
        file = self.random.choice(files)
        content, other = file.read_bytes(), self.random.choice(files).read_bytes()
        ways = list(harms(content, other, self.random.randrange(10**6), few=3))
        what, harmed = self.random.choice(ways)
        before = sweep.done()
        put(file, harmed)
        self.struck[kind] += harmed != content
        said = f"{file.relative_to(sweep.folder)}: {what}"
        print(f"  {time.strftime('%H:%M:%S')} {said}, {len(before)} done", flush=True)
        now = set(sweep.done())
        refused = bool(Ledger(sweep.run_dir).damage())
        if not refused and not set(before) <= now:
            self.silent.append(f"{said}: {sorted(set(before) - now)} are gone without a word")
        self.told[kind] += refused
        return True

    def ended(self, driver: subprocess.Popen[str]) -> bool:
        """Whether it goes on: a refusal was followed."""
        assert driver.stdout is not None
        output = driver.stdout.read()
        if driver.returncode == 0:
            return False
        assert driver.returncode == 2 and "Traceback" not in output, output[-3000:]
        assert follow(output), output[-3000:]
        self.told["refusals"] += 1
        print(f"    refused: {output.strip().splitlines()[-2 if 'ending' in output else -1][:160]}")
        return True


def damage(folder: Path, seed: int, size: float) -> Counter[str]:
    strikes = max(len(KINDS), round(STRIKES * size))
    calm = Sweep(folder / "calm")
    out, _ = calm.start().communicate(timeout=LIMIT_S)
    expected = {i: r.final.eval_loss for i, r in calm.done().items() if r.final}
    print(f"  undisturbed: {len(expected)} runs")
    assert expected, out[-3000:]
    sweep = Sweep(folder / "struck")
    chaos, goes_on = Chaos(sweep, seed), True
    for n in range(strikes):
        goes_on = goes_on and chaos.strike(KINDS[n % len(KINDS)])
    while goes_on:
        driver = sweep.start()
        output, _ = driver.communicate(timeout=LIMIT_S)
        if driver.returncode == 0:
            break
        assert driver.returncode == 2 and follow(output), output[-3000:]
        chaos.told["refusals"] += 1
    ledger = Ledger(sweep.run_dir)
    study = Study.open(ledger.home)
    found = tally(
        study.planned, study.attempts, study.starts, ledger.entries(), study.spec.budget,
        expected=expected,
    )  # fmt: skip
    found["silent"] += len(chaos.silent)
    assert sum(chaos.struck.values()) >= strikes / 2, f"struck {chaos.struck} only"
    aside = sum(len(e["found"]) for e in ledger.entries() if e["kind"] == "damage")
    print(
        f"  struck {dict(chaos.struck)}; told {dict(chaos.told)}, {aside} checkpoints set aside; "
        f"{dict(found)}"
    )
    for line in chaos.silent:
        print(f"    {line}")
    return found
