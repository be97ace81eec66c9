"""Any log that hypothesis makes up: the store is what a plain reference makes of it, or the log is
refused in a sentence. `RECSCALE_SLOW=1` tries many times as many."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest
from field_logs import NS, Event, Log, assert_same, expected
from fuzz_logs import COLUMNS, Drawn, alike, logs, write
from fuzz_types import EXTENSIONS, LEAVES, column, types
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from recscale.data.layout import DataError
from recscale.data.prepare import prepare
from recscale.data.store import Store, shard
from recscale.spec import EventsData

LONG = "RECSCALE_SLOW" in os.environ
profile = settings(
    max_examples=4000 if LONG else 80,
    deadline=None,
    derandomize=not LONG,
    phases=[p for p in Phase if LONG or p is not Phase.shrink],  # minutes, where a test fails
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def spec(folder: Path, drawn: Drawn) -> EventsData:
    columns = {"user": "user", "item": "item", "time": "time"}
    columns |= {"label": "label"} if drawn.task == "click" else {}
    return EventsData.model_validate(
        {
            "source": "events",
            "path": str(folder),
            "task": drawn.task,
            "order": drawn.order,
            "refuse_above": 0.9,
            "columns": columns,
        }
    )


def reference(drawn: Drawn) -> Log:
    """Complete rows, labels only where they are asked for; copies count once, but under a clock of
    whole hours two equal rows may be two events."""
    frame = pd.DataFrame(drawn.rows, columns=list(COLUMNS), dtype=object)
    if drawn.task == "next_item":
        frame["label"] = 1
    rows = [Event(*row) for row in frame.dropna().itertuples(index=False)]
    hours = {(row.time - rows[0].time) % (3600 * NS) for row in rows} == {0}
    return Log("", rows, len(frame), copies=hours)


def unfit(log: Log, task: str) -> bool | None:
    """Whether the log must be refused, None where either will do."""
    if not log.rows:
        return True
    rows = expected(log, 0.1)
    train, last = ([r for r in rows if r.evaluates is e] for e in (False, True))
    if not train or all(r.item == "unseen in training" for r in last):
        return True
    if task == "next_item" and len({r.item for r in train}) < 2:
        return True
    classes = [{r.label for r in part} for part in (train, last)]
    if task == "click" and (len(classes[1]) == 1 or len(classes[0] | classes[1]) == 1):
        return True
    return None if task == "click" and len(classes[0]) == 1 else False


def check_shards(store: Store) -> None:
    """Workers read each row once, in order, however many they are."""
    rows = store.train()
    whole = rows.read(0, len(rows), history_length=3)
    for world in (2, 3):
        parts = [
            rows.read(*shard(0, len(rows), rank, world), history_length=3) for rank in range(world)
        ]
        for name, of_all in vars(whole).items():
            together = np.concatenate([getattr(part, name) for part in parts])
            assert np.array_equal(together, of_all), name


def said(error: BaseException) -> str:
    """The sentence of a refusal, fit for a user."""
    sentence = str(error)
    assert "\n" not in sentence and len(sentence) < 700, sentence
    assert not re.search("pyarrow|Traceback|utf8_", sentence), sentence
    return sentence


@contextmanager
def prepared(drawn: Drawn) -> Iterator[Store]:
    """The store of the drawn log, while it is on disk. Raises DataError."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "log").mkdir()
        write(drawn, root / "log")
        yield Store.open(prepare(spec(root / "log", drawn), root / "stores"))


@given(logs())
@profile
def test_the_store_is_what_the_reference_makes_of_the_log(drawn: Drawn):
    assume(not alike(drawn))
    log = reference(drawn)
    refused = unfit(log, drawn.task)
    again = prepared(replace(drawn, shards=drawn.others))
    try:
        with prepared(drawn) as store:
            assert not refused, "a log that holds nothing to learn or to evaluate was taken"
            assert_same(store, log, in_time=drawn.order == "time")
            check_shards(store)
    except DataError as error:
        assert refused is not False, said(error)
        with pytest.raises(DataError), again:
            pass
    else:
        with again as other:
            same = other.manifest.fingerprint == store.manifest.fingerprint
            assert same, "other files or types of the same rows give another store"


ROLES = ("user", "item", "time", "label", "domain", "history", "sparse", "dense", "weights", "none")


def typed(kind: pa.DataType, role: str, path: Path, rows: int = 40) -> EventsData:
    """A log in Parquet, or Arrow where Parquet has no such type, with one column of the type. Its
    last rows are alike but for that column."""
    numbers = [min(n, rows - 2) for n in range(rows)]
    log = {
        "who": pa.array([f"u{n % 4}" for n in numbers]),
        "what": pa.array([f"i{n % 5}" for n in numbers]),
        "at": pa.array([1_700_000_000 + n for n in numbers]),
        "hit": pa.array([n % 3 % 2 for n in numbers]),
        "bag": pa.array([[n % 3, 7] for n in numbers]),
        "odd": column(kind, rows),
    }
    try:
        pq.write_table(pa.table(log), path.with_suffix(".parquet"))
    except (pa.ArrowException, OSError, TypeError):
        path.with_suffix(".parquet").unlink(missing_ok=True)
        with ipc.new_file(path.with_suffix(".arrow"), pa.table(log).schema) as file:
            file.write_table(pa.table(log))
    columns: dict[str, object] = {"user": "who", "item": "what", "time": "at", "label": "hit"}
    task = "next_item" if role == "domain" else "click"
    if role in ("sparse", "dense"):
        columns[role] = ["odd"]
    elif role == "weights":
        columns |= {"sparse": ["bag"], "weights": {"bag": "odd"}}
    elif role != "none":
        columns[role] = "odd"
    if task == "next_item":
        del columns["label"]
    return EventsData.model_validate(
        {"source": "events", "path": str(path.parent), "task": task, "columns": columns}
    )


def check_typed(kind: pa.DataType, role: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "log").mkdir()
        try:
            data = typed(kind, role, Path(folder) / "log" / "part")
        except (pa.ArrowException, TypeError):
            return  # a type that pyarrow itself can neither build nor write
        try:
            store = Store.open(prepare(data, Path(folder) / "stores"))
        except DataError as error:
            sentence = said(error)
            assert "part." in sentence or "rows" in sentence, sentence
            assert not list((Path(folder) / "stores").glob("*/")), "half a store"
            return
        assert store.manifest.raw_rows == 40
        assert np.isfinite(store.arrays["dense"]).all()


@pytest.mark.parametrize("role", ROLES)
def test_every_type_is_read_or_refused_in_a_sentence(role: str):
    for kind in (*LEAVES, *EXTENSIONS):
        check_typed(kind, role)


@given(types, st.sampled_from(ROLES))
@profile
def test_types_within_types(kind: pa.DataType, role: str):
    check_typed(kind, role)
