"""What checksums and the contract of ids cost: a share of a run of about 10 s, and of prepare.

    python tests/benchmarks/verification.py [--rows 1000000]

The run is the worst that there is: the smallest click model, so that most of its time is reading,
in a process that has read nothing of the store before. Its reads are then repeated alone, with and
without verification; the difference over the run's time is the first ratio. The second is the time
of checking a new store and of writing its checksums over that of all of prepare, for a log of
events in Parquet (and, for comparison, a synthetic world). CPU seconds, the least of three.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recscale.data import checksums
from recscale.data import prepare as preparing
from recscale.data.prepare import prepare
from recscale.data.store import Store
from recscale.families.dlrm import DLRMConfig
from recscale.run import RunConfig, TrainConfig
from recscale.spec import DataSpec, EventsData, SyntheticData
from recscale.spec.data import Columns
from recscale.train.host import PlainHost
from recscale.train.loop import train

LIMIT_RUN, LIMIT_PREPARE = 0.02, 0.01
BATCH = 256


def least(work: Callable[[], object], times: int = 3) -> float:
    """CPU seconds."""
    found = []
    for _ in range(times):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)


def smallest(store: Store) -> RunConfig:
    model = DLRMConfig(
        family="dlrm", embedding_dim=4, embedding_rows=None, sequence_depth=0, sequence_width=0,
        sequence_length=6, mlp_width=16, overarch_width=16, mlp_depth=1,
    )  # fmt: skip
    training = TrainConfig(
        data_fraction=1.0, batch_size=BATCH, epochs=1, dense_rate=1e-3, sparse_rate=1e-2,
        rate_factor=1.0, warmup=0.0, eval_points=2, diverge_above=1e9, seed=0,
    )  # fmt: skip
    return RunConfig(data=store.manifest.fingerprint, model=model, train=training)


def read_all(path: Path) -> None:
    """The reads of one pass, as a process that has read nothing before."""
    checksums._seen.clear()
    store = Store.open(path)
    for rows, size in ((store.train(), BATCH), (store.eval(), 8192)):
        for begin in range(0, len(rows) - size, size):
            rows.read(begin, begin + size, history_length=6)


def of_a_run(path: Path, rows: int) -> float:
    store = Store.open(path)
    begun = time.process_time()
    train(smallest(store), store, PlainHost())
    took = time.process_time() - begun
    checked = least(lambda: read_all(path))
    with (
        patch.object(checksums.Checked, "_check", lambda self, first, last: None),
        patch.object(checksums.Checked, "rows", lambda self, rows: self._array[rows]),
        patch.object(checksums.Checked, "take", lambda self, at: np.take(self._array, at)),
        patch.object(Store, "within", lambda self, name, ids, rows: ids),
    ):
        plain = least(lambda: read_all(path))
    share = (checked - plain) / took
    print(
        f"a run over {rows:,} rows: {took:.1f} s, its reads {checked:.2f} s, without verification "
        f"{plain:.2f} s: {share:.2%} of the run (limit {LIMIT_RUN:.0%})"
    )
    return share


def of_prepare(data: DataSpec, root: Path, name: str) -> tuple[Path, float]:
    cpu, ended = [0.0], {}
    waited = [0.0]

    def timed(step: str) -> Callable[..., object]:
        work = getattr(preparing, step)

        def wrapped(*args: object) -> object:
            begun, worked = time.perf_counter(), time.thread_time()
            result = work(*args)
            ended[step] = time.perf_counter()
            if step != "with_baselines":
                cpu[0] += time.thread_time() - worked
            if step == "refuse_outside":
                waited[0] += ended[step] - begun
            return result

        return wrapped

    steps = ("seal", "refuse_outside", "with_baselines")
    with contextlib.ExitStack() as patched:
        for step in steps:
            patched.enter_context(patch.object(preparing, step, timed(step)))
        begun, worked = time.perf_counter(), time.process_time()
        path = prepare(data, root)
        took, in_all = time.perf_counter() - begun, time.process_time() - worked
    waited[0] += max(0.0, ended["seal"] - ended["with_baselines"])
    share = waited[0] / took
    print(
        f"prepare of {name}: {took:.1f} s, {waited[0] * 1e3:.0f} ms of them for verification: "
        f"{share:.2%} (limit {LIMIT_PREPARE:.0%}); of CPU seconds {cpu[0] / in_all:.2%}"
    )
    return path, share


def events(folder: Path, n: int) -> EventsData:
    rng = np.random.default_rng(0)
    columns = {
        "user": rng.integers(0, n // 50, n),
        "item": np.minimum(rng.zipf(1.3, n), n // 100),
        "time": 1_600_000_000 + np.sort(rng.integers(0, n, n)),
        "label": rng.integers(0, 2, n),
        "country": rng.integers(0, 50, n),
        "price": rng.random(n),
    }
    pq.write_table(pa.table(columns), folder / "log.parquet")
    named = Columns(
        user="user", item="item", time="time", label="label", sparse=("country",), dense=("price",)
    )
    return EventsData(source="events", path=str(folder / "log.parquet"), columns=named)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _, of_log = of_prepare(events(root, rows), root / "a", f"{rows:,} events")
        world = SyntheticData(source="synthetic", rows=rows)
        path, of_world = of_prepare(world, root / "b", f"a synthetic world of {rows:,} rows")
        of_run = of_a_run(path, rows)
    assert of_run <= LIMIT_RUN and max(of_log, of_world) <= LIMIT_PREPARE


if __name__ == "__main__":
    main()
