"""A column of any type that pyarrow has, with values in it."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

AT = datetime(2024, 1, 31, 12, 30, 7)


TEXTS = ["", " ", "7", "7.0", "007", "NA", "2024-01-31", "20240131", "x\ny", "ü"]


LEAVES: dict[pa.DataType, Any] = {
    pa.null(): lambda n: None,
    pa.bool_(): lambda n: bool(n % 2),
    **{t: lambda n: n % 100 for t in (pa.int8(), pa.int16(), pa.uint8(), pa.uint16())},
    **{t: lambda n: 1_700_000_000 + n for t in (pa.int32(), pa.uint32(), pa.int64())},
    pa.uint64(): lambda n: 2**64 - 1 - n,
    pa.float16(): lambda n: [1.0, float("nan"), float("inf"), 0.5][n % 4],
    pa.float32(): lambda n: [1.0, float("nan"), -float("inf"), 1.7e9][n % 4],
    pa.float64(): lambda n: [1e300, float("nan"), 1.7e9 + n, -0.0][n % 4],
    **{t: lambda n: Decimal(n) for t in (pa.decimal32(6, 1), pa.decimal64(12, 2))},
    **{t: lambda n: Decimal(n * 10**15) for t in (pa.decimal128(38, 3), pa.decimal256(60, 3))},
    **{t: lambda n: TEXTS[n % 10] for t in (pa.string(), pa.large_string(), pa.string_view())},
    **{
        t: lambda n: bytes([200, n % 3]) for t in (pa.binary(), pa.large_binary(), pa.binary_view())
    },
    pa.binary(16): lambda n: bytes(15) + bytes([n % 256]),
    **{t: lambda n: date(1 + n * 97 % 9999, 2, 3) for t in (pa.date32(), pa.date64())},
    **{t: lambda n: time(n % 24, 5, 6) for t in (pa.time32("s"), pa.time64("us"), pa.time64("ns"))},
    **{pa.duration(u): lambda n: timedelta(seconds=n) for u in ("s", "ms", "us", "ns")},
    **{
        pa.timestamp(u, zone): lambda n: AT + timedelta(seconds=n)
        for u in ("s", "ms", "us", "ns")
        for zone in (None, "UTC", "Europe/Berlin")
    },
    pa.month_day_nano_interval(): lambda n: pa.MonthDayNano([n, n, n]),
}
EXTENSIONS = (pa.uuid(), pa.json_(), pa.bool8())

types = st.recursive(
    st.sampled_from([*LEAVES, *EXTENSIONS]),
    lambda inner: st.one_of(
        st.builds(pa.list_, inner),
        st.builds(pa.large_list, inner),
        st.builds(pa.list_view, inner),
        st.builds(lambda t: pa.list_(t, 2), inner),
        st.builds(lambda t: pa.struct([("a", t), ("b", pa.int32())]), inner),
        st.builds(lambda t: pa.map_(pa.string(), t), inner),
        st.builds(lambda t: pa.dictionary(pa.int16(), t), inner),
        st.builds(lambda t: pa.run_end_encoded(pa.int32(), t), inner),
    ),
    max_leaves=2,
)


def column(kind: pa.DataType, n: int, nulls: bool = True) -> pa.Array:
    """n values of the type, some of them null where `nulls`. Raises pa.ArrowException or TypeError
    for a type that pyarrow cannot build."""
    mask = pa.array([nulls and i % 11 == 5 for i in range(n)])
    if kind in LEAVES:
        value = LEAVES[kind]
        given = [None if lost.as_py() else value(i) for i, lost in enumerate(mask)]
        return pa.array(given, kind)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, column(kind.storage_type, n, nulls))
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(
            pa.array([i % 3 for i in range(n)], kind.index_type), column(kind.value_type, 3, nulls)
        )
    if pa.types.is_run_end_encoded(kind):
        ends = pa.array(range(2, n + 2, 2), pa.int32())
        return pa.RunEndEncodedArray.from_arrays(ends, column(kind.value_type, len(ends), nulls))[
            :n
        ]
    if pa.types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        return pa.StructArray.from_arrays([column(f.type, n, nulls) for f in fields], fields=fields)
    if pa.types.is_map(kind):
        keys, items = column(kind.key_type, 2 * n, False), column(kind.item_type, 2 * n, nulls)
        return pa.MapArray.from_arrays(pa.array(range(0, 2 * n + 1, 2), pa.int32()), keys, items)
    inner = column(kind.value_type, 2 * n, nulls)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(inner, 2)
    starts = [2 * i for i in range(n + 1)]
    if pa.types.is_list_view(kind):
        sizes = pa.array([i % 3 for i in range(n)], pa.int32())
        return pa.ListViewArray.from_arrays(pa.array(starts[:-1], pa.int32()), sizes, inner)
    if pa.types.is_large_list(kind):
        return pa.LargeListArray.from_arrays(pa.array(starts, pa.int64()), inner)
    return pa.ListArray.from_arrays(pa.array(starts, pa.int32()), inner)
