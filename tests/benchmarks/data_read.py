"""Rows a second of reading a store and of drawing the synthetic world.

    python tests/benchmarks/data_read.py

Compares `Split.read` with slices of the same arrays cast by hand: what its bounds checks, cap and
history gather cost. CPU time of one thread, medians of 7 passes, implementations in turn.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from recscale.data.prepare import prepare
from recscale.data.store import Store
from recscale.spec import SyntheticData

ROWS, BATCH, PASSES = 500_000, 2048, 7


def plain(store: Store) -> Callable[[int, int], None]:
    arrays = store.arrays

    def read(begin: int, end: int) -> None:
        np.array(arrays["dense"][begin:end])
        arrays["ids"][begin:end].astype(np.int64)
        arrays["label"][begin:end].astype(np.float32)

    return read


def seconds(read: Callable[[int, int], object], rows: int) -> float:
    started = time.process_time()
    for begin in range(0, rows, BATCH):
        read(begin, min(begin + BATCH, rows))
    return time.process_time() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        started = time.process_time()
        store = Store.open(prepare(SyntheticData(source="synthetic", rows=ROWS), root))
        drawn = ROWS / (time.process_time() - started)
        train = store.train()
        ways = {
            "numpy slice and cast": plain(store),
            "Split.read": train.read,
            "Split.read, 1,000 rows a table": lambda b, e: train.read(b, e, embedding_rows=1000),
            "Split.read, histories of 20": lambda b, e: train.read(b, e, history_length=20),
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(PASSES):
            for name, read in ways.items():
                taken[name].append(seconds(read, len(train)))
        base = statistics.median(taken["numpy slice and cast"])
        for name, times in taken.items():
            middle = statistics.median(times)
            rate = middle / len(train) * 1e6
            print(f"{name:32} {rate:7.4f} us a row   {middle / base:5.1f} x numpy")
        print(f"{'drawing and storing the world':32} {drawn:,.0f} rows a second")


if __name__ == "__main__":
    main()
