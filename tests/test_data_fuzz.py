"""Any log that hypothesis makes up: the store is what a plain reference makes of it, or the log is
refused in a sentence. `RECSCALE_SLOW=1` tries many times as many."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from field_logs import Event, Log, assert_same, expected
from fuzz_logs import COLUMNS, Drawn, logs, write
from hypothesis import HealthCheck, Phase, given, settings

from recscale.data.layout import DataError
from recscale.data.prepare import prepare
from recscale.data.store import Store, shard
from recscale.spec import EventsData

LONG = "RECSCALE_SLOW" in os.environ
profile = settings(
    max_examples=4000 if LONG else 150,
    deadline=None,
    derandomize=not LONG,
    phases=[p for p in Phase if LONG or p is not Phase.shrink],  # minutes, where a test fails
    suppress_health_check=list(HealthCheck),
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
    """Complete rows; copies count once, and labels only where they are asked for."""
    frame = pd.DataFrame(drawn.rows, columns=list(COLUMNS), dtype=object)
    if drawn.task == "next_item":
        frame["label"] = 1
    rows = frame.dropna().drop_duplicates()
    return Log("", [Event(*row) for row in rows.itertuples(index=False)], len(frame))


def unfit(log: Log, task: str) -> bool | None:
    """Whether the log must be refused, None where either will do."""
    if not log.rows:
        return True
    rows = expected(log, 0.1)
    train, last = ([r for r in rows if r.evaluates is e] for e in (False, True))
    if not train or all(r.item == "unseen in training" for r in last):
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
    assert "\n" not in sentence and "arrow" not in sentence.lower(), sentence
    return sentence


@given(logs())
@profile
def test_the_store_is_what_the_reference_makes_of_the_log(drawn: Drawn):
    log = reference(drawn)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "log").mkdir()
        write(drawn, root / "log")
        refused = unfit(log, drawn.task)
        try:
            store = Store.open(prepare(spec(root / "log", drawn), root / "stores"))
        except DataError as error:
            assert refused is not False, said(error)
            return
        assert not refused, "a log that holds nothing to learn or to evaluate was taken"
        assert_same(store, log, in_time=drawn.order == "time")
        check_shards(store)
