"""Every Arrow type at every column: read as meant, or one sentence that names column and type."""

from __future__ import annotations

import uuid
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from data_files import column, events_spec, prepared

from recscale.data.layout import DataError

N = 70
VALUES = (np.arange(N) * 3 % 7).tolist()
WHOLE = pa.array(VALUES, pa.int64())
TEXT = WHOLE.cast(pa.string())
DAYS = pa.array([date(2020, 1, 1) + timedelta(days=v) for v in VALUES])
UNITS = ("s", "ms", "us", "ns")


def decimals(kind: pa.DataType) -> pa.Array:
    return pa.array([Decimal(v) for v in VALUES], kind)


NUMBERS = {
    **{str(k): WHOLE.cast(k) for k in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
    **{str(k): WHOLE.cast(k) for k in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())},
    **{str(k): WHOLE.cast(k) for k in (pa.float16(), pa.float32(), pa.float64())},
    "decimal32": decimals(pa.decimal32(5, 1)),
    "decimal64": decimals(pa.decimal64(12, 2)),
    "decimal128": decimals(pa.decimal128(20, 0)),
    "decimal256": decimals(pa.decimal256(50, 3)),
    "string": TEXT,
    "large_string": TEXT.cast(pa.large_string()),
    "string_view": TEXT.cast(pa.string_view()),
    "binary": TEXT.cast(pa.binary()),
    "large_binary": TEXT.cast(pa.large_binary()),
    "binary_view": TEXT.cast(pa.binary_view()),
    "json": TEXT.cast(pa.json_()),
    "dictionary of text": TEXT.dictionary_encode(),
    "dictionary of numbers": WHOLE.dictionary_encode(),
    "dictionary of views": pa.DictionaryArray.from_arrays(
        pa.array(VALUES, pa.int8()), pa.array([str(i) for i in range(7)], pa.string_view())
    ),
    "run ends": pc.run_end_encode(WHOLE),
}
TIMES = {
    "date32": DAYS,
    "date64": DAYS.cast(pa.date64()),
    **{f"timestamp {u}": DAYS.cast(pa.timestamp(u)) for u in UNITS},
    **{f"zoned {u}": DAYS.cast(pa.timestamp(u)).cast(pa.timestamp(u, "Asia/Tokyo")) for u in UNITS},
}
IDS = {
    "uuid": pa.array([uuid.UUID(int=v << 99).bytes for v in VALUES], pa.uuid()),
    "fixed_size_binary": pa.array([bytes([v, 200, 32]) for v in VALUES], pa.binary(3)),
    "time32": WHOLE.cast(pa.int32()).cast(pa.time32("ms")),
    "time64": WHOLE.cast(pa.time64("ns")),
}
LISTS = {
    "list": pa.array([[v] for v in VALUES]),
    "large_list": pa.array([[v] for v in VALUES], pa.large_list(pa.int64())),
    "fixed_size_list": pa.array([[v] for v in VALUES], pa.list_(pa.int64(), 1)),
    "list_view": pa.array([[v] for v in VALUES], pa.list_view(pa.int64())),
}
OTHERS = {
    **{f"duration {u}": WHOLE.cast(pa.duration(u)) for u in UNITS},
    "interval": pa.array([pa.MonthDayNano([1, 2, v]) for v in VALUES]),
    "struct": pa.array([{"a": v} for v in VALUES]),
    "map": pa.array([[("a", v)] for v in VALUES], pa.map_(pa.string(), pa.int64())),
    "union": pa.UnionArray.from_dense(
        pa.array([0] * N, pa.int8()), pa.array(range(N), pa.int32()), [WHOLE, TEXT]
    ),
}
BOOL = {"bool": pa.array([v % 2 == 0 for v in VALUES])}
EVERY = {**NUMBERS, **TIMES, **IDS, **LISTS, **OTHERS, **BOOL}
READ = {  # role -> the types that it reads
    "user": {**NUMBERS, **TIMES, **IDS, **BOOL},
    "item": {**NUMBERS, **TIMES, **IDS, **BOOL},
    "sparse": {**NUMBERS, **TIMES, **IDS, **BOOL},
    "domain": {**NUMBERS, **TIMES, **IDS, **BOOL},
    "time": {**NUMBERS, **TIMES},
    "dense": {**NUMBERS, **BOOL},
    "label": {**NUMBERS, **BOOL},
    "positive": {**NUMBERS, **BOOL},
}
ELSEWHERE = {"sparse": LISTS, "item": LISTS}  # lists there are bags and rows of several events


def write(folder: Path, name: str, values: pa.Array) -> Path:
    """Parquet where it holds the type, Arrow IPC where not."""
    here = np.arange(N)
    log = {"user": here % 5, "item": here % 3, "time": 1_600_000_000 + here, "label": here % 2}
    table = pa.table({**log, name: values})
    try:
        pq.write_table(table, folder / "log.parquet")
    except pa.ArrowNotImplementedError:
        with pa.ipc.new_file(folder / "log.arrow", table.schema) as file:
            file.write_table(table)
        return folder / "log.arrow"
    return folder / "log.parquet"


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("role", READ)
def test_a_type_is_read_as_meant_or_refused_by_name(tmp_path, role, kind):
    if kind in ELSEWHERE.get(role, {}):
        pytest.skip("lists have tests of their own")
    name = role if role in ("user", "item", "time", "label") else "x"
    path = write(tmp_path, name, EVERY[kind])
    clicks = role not in ("positive", "domain")
    columns: dict = {"label": "label"} if clicks else {}
    columns |= {role: ("x",)} if role in ("sparse", "dense") else {}
    columns |= {role: "x"} if role == "domain" else {}
    data = events_spec(
        path,
        columns=columns,
        task="next_item" if role == "domain" else "click",
        positive="x >= 4" if role == "positive" else None,
        refuse_above=0.9,
        holdout={"last": 0.3},
    )
    if kind not in READ[role]:
        part = "data.positive" if role == "positive" else f"data.columns.{role}"
        with pytest.raises(DataError) as caught:
            prepared(tmp_path, data)
        sentence = str(caught.value)
        assert f"log.{path.suffix[1:]}: {part} {name!r} holds values of type " in sentence
        assert ", such as " in sentence and "\n" not in sentence
        return
    if role == "positive" and kind == "bool":
        data = data.model_copy(update={"positive": "x == 1"})
    store = prepared(tmp_path, data)
    distinct = 2 if kind == "bool" else 7
    if role in ("user", "item", "sparse"):
        assert len(np.unique(column(store, name))) == distinct
    elif role == "domain":
        assert len(np.unique(store.arrays["history_domains"])) == distinct
    elif role == "dense":
        assert len(np.unique(store.arrays["dense"])) == distinct
    elif role == "time":
        assert len(np.unique(store.arrays["time"])) == distinct
        if kind in TIMES:
            assert str(store.manifest.time_range_train[0]).startswith("2020-01-01 00:00:00")
    elif role == "label":
        kept = [v for v in VALUES if v < 2] if kind != "bool" else [v % 2 == 0 for v in VALUES]
        assert store.arrays["label"].tolist() == kept
    else:
        truth = [v >= 4 for v in VALUES] if kind != "bool" else [v % 2 == 0 for v in VALUES]
        assert store.arrays["label"].tolist() == truth
