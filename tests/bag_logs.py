"""A log whose rows hold a few tags, and its store."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from data_files import events_spec, prepared

from recscale.data.store import Bag, Store

N = 600


def bag_log(seed: int = 0, n: int = N) -> dict[str, list]:
    """Clicks of rows that hold a few tags, sometimes none, null, or with null among them."""
    rng = np.random.default_rng(seed)

    def some() -> list | None:
        kind = rng.random()
        if kind < 0.1:
            return None
        tags = [f"t{int(t)}" for t in np.minimum(rng.zipf(1.4, rng.integers(0, 6)), 30)]
        return [*tags, None, *tags[:1]] if kind < 0.2 else tags

    tags = [some() for _ in range(n)]
    return {
        "user": rng.integers(0, 20, n).tolist(),
        "item": rng.integers(0, 30, n).tolist(),
        "time": (1_600_000_000 + np.arange(n)).tolist(),
        "clicked": rng.integers(0, 2, n).tolist(),
        "tags": tags,
        "amounts": [t and rng.integers(0, 3, len(t)).astype(float).tolist() for t in tags],
    }


def write(folder, log: dict[str, list], tags: pa.DataType | None = None):
    table = pa.table(log)
    if tags:
        table = table.set_column(4, "tags", pa.array(log["tags"], tags))
    pq.write_table(table, folder / "log.parquet")
    return folder / "log.parquet"


def store_of(tmp_path, log, tags: pa.DataType | None = None, **kwargs) -> Store:
    columns = {"label": "clicked", "sparse": ("tags",), **kwargs.pop("columns", {})}
    return prepared(tmp_path, events_spec(write(tmp_path, log, tags), columns=columns, **kwargs))


def read_bags(store: Store, **options) -> list[Bag]:
    """The first bag of every row: training, then evaluation."""
    splits = store.train(), store.eval()
    return [split.read(0, len(split), **options).bags[0] for split in splits]
