"""Everything that can befall a sweep, and whether anything is lost, doubled, silent or overspent.

    python tests/benchmarks/faults.py [--seed 0] [--only kills drivers budget damage] [--size 1.0]

Four parts, one after the other, each with Rays of its own on this machine:

`kills` (faults_kills.py): workers, Train's controller, drivers and whole nodes killed -9, a node
reclaimed with notice, one added and removed, with one worker a run and with groups that Ray
resizes; beside the same sweep undisturbed.
`drivers` (faults_drivers.py): three drivers at once, a driver's process group ended by SIGTERM and
its successor killed -9, and entries by clocks that are hours off.
`budget` (faults_drivers.py): a budget of two runs whose worker is killed in every start, of a
family and of a trainer that themselves count what they train on.
`damage` (faults_damage.py): files of the store, of checkpoints and of the ledger flipped, cut,
emptied, removed or swapped between a kill and the next start; beside the same sweep undisturbed.

Printed of each, and in all, what `faults_tally.py` counts; ends with status 1 unless all are 0.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from faults_damage import damage
from faults_drivers import budget, drivers
from faults_kills import kills
from faults_tally import FAULTS

PARTS = {"kills": kills, "drivers": drivers, "budget": budget, "damage": damage}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--size", type=float, default=1.0, help="share of the faults to make")
    chosen = parser.parse_args()
    os.environ["RAY_AUTH_MODE"] = "disabled"
    total = Counter[str]()
    for name in chosen.only:
        folder, begun = Path(tempfile.mkdtemp(prefix="recscale-faults-")), time.monotonic()
        try:
            found = PARTS[name](folder, chosen.seed, chosen.size)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print(f"{name}: {words(found)} in {time.monotonic() - begun:.0f} s", flush=True)
        total.update(found)
    print(f"in all: {words(total)}")
    return int(total.total() > 0)


def words(found: Counter[str]) -> str:
    return ", ".join(f"{found[what]} {what}" for what in FAULTS)


if __name__ == "__main__":
    sys.exit(main())
