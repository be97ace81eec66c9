"""Rows a second of preparing a Criteo log, beside pyarrow.csv reading the same file.

    python tests/benchmarks/data_criteo.py [ROWS]

The file has Criteo's layout and the vocabulary sizes of the Kaggle set, values of Zipfian
popularity. CPU time of one thread, the faster of 2 passes of each.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from recscale.data.prepare import prepare
from recscale.spec import CriteoData

VOCABULARY = [1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194, 27,
              14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572]  # fmt: skip


def write(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    columns: list[np.ndarray] = [(rng.random(rows) < 0.25).astype(int).astype(str)]
    for _ in range(13):
        values = rng.integers(-2, 5000, rows).astype(str)
        columns.append(np.where(rng.random(rows) < 0.15, "", values))
    for size in VOCABULARY:
        rank = np.minimum(rng.zipf(1.2, rows), size).astype(np.uint64)
        hashed = rank * np.uint64(2654435761) % np.uint64(2**32)
        texts = np.array([f"{value:08x}" for value in hashed.tolist()])
        columns.append(np.where(rng.random(rows) < 0.05, "", texts))
    table = pa.table({f"c{i}": pa.array(c.tolist()) for i, c in enumerate(columns)})
    options = pacsv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    pacsv.write_csv(table, path, options)


def read_only(path: Path) -> None:
    names = [f"c{i}" for i in range(40)]
    types = {n: pa.int64() if i < 14 else pa.string() for i, n in enumerate(names)}
    with pacsv.open_csv(
        path,
        read_options=pacsv.ReadOptions(column_names=names, block_size=16 << 20),
        parse_options=pacsv.ParseOptions(delimiter="\t"),
        convert_options=pacsv.ConvertOptions(column_types=types),
    ) as reader:
        for _ in reader:
            pass


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        write(path, rows)
        read, prepared = [], []
        for turn in range(2):
            started = time.process_time()
            read_only(path)
            read.append(time.process_time() - started)
            started = time.process_time()
            prepare(CriteoData(source="criteo", path=str(path)), Path(folder) / str(turn))
            prepared.append(time.process_time() - started)
        size = path.stat().st_size
    for name, taken in (("pyarrow.csv reads", read), ("recscale prepares", prepared)):
        best = min(taken)
        print(f"{name}: {rows / best:,.0f} rows a second, {size / best / 1e6:.0f} MB/s")
    print(f"preparing takes {min(prepared) / min(read):.2f} x the CPU time of reading alone")


if __name__ == "__main__":
    main()
