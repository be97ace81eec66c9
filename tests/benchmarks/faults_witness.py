"""Counts what it is trained on, in the file of `FAULTS_WITNESS`, by itself: what the ledger says is
compared with that."""

from __future__ import annotations

import os
import time
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
    with open(os.environ["FAULTS_WITNESS"], "a") as file:
        file.write(f"{samples}\n")


def counted(path: Path) -> int:
    return sum(map(int, path.read_text().split())) if path.exists() else 0
