"""Counts what it is trained on, in the file of `FAULTS_WITNESS`, by itself: what the ledger says is
compared with that."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

STEP = 1000  # samples
STEP_S = 0.05


def train(config: dict[str, Any], report: Any, checkpoint_dir: str) -> None:
    """Sleeps, counts, and goes on from where it was."""
    state, n = Path(checkpoint_dir, "samples"), config["samples"]
    at = int(state.read_text()) if state.exists() else 0
    while at < n:
        at += STEP
        if "recscale-try-" not in checkpoint_dir:  # before anything is spent it is tried there
            count(STEP)
        time.sleep(STEP_S)
        if at % (10 * STEP) == 0 or at >= n:
            part = state.with_suffix(".part")
            part.write_text(str(at))
            part.rename(state)
            report(samples=at, loss=1 + at**-0.5)


def count(samples: int) -> None:
    """Before they are trained on."""
    if where := os.environ.get("FAULTS_WITNESS"):
        with open(where, "a") as file:
            file.write(f"{os.getpid()} {samples}\n")


def counted(path: Path, drivers: Collection[int]) -> int:
    """Samples, but for those that drivers, by their process ids, have tried a family with."""
    lines = path.read_text().splitlines() if path.exists() else []
    each = (map(int, line.split()) for line in lines)
    return sum(samples for pid, samples in each if pid not in drivers)
