"""What a time is: every form read right, to its own resolution, or refused with the forms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import events_spec, prepared

from recscale.data.prepare import DataError
from recscale.data.sequences import eval_windows, positions

N = 120
NS = 1_574_553_793_442_536_789 + 61_000_000_000 * np.arange(N)
"""Nanoseconds of events a minute apart, the first at 2019-11-24 00:03:13.442536789 UTC."""


def store_of(tmp_path, times, **spec):
    """Of a Parquet log with these times; a list of them is as many files."""
    folder = tmp_path / "log"
    folder.mkdir()
    for i, time in enumerate(times if isinstance(times, list) else [times]):
        n = len(time)
        table = {"user": np.arange(n) % 5, "item": np.arange(n) % 7, "time": time}
        table["row"] = range(i * n, i * n + n)
        pq.write_table(pa.table(table), folder / f"{i}.parquet")
    return prepared(tmp_path, events_spec(folder, task="next_item", **spec))


def texts(form: str, ns=NS) -> pa.Array:
    return pa.array([pd.Timestamp(int(t)).strftime(form) for t in ns])


ISO = "%Y-%m-%d %H:%M:%S"
ZONED = pa.array(NS // 1000, pa.timestamp("us", "America/New_York"))
FORMS = {  # the times as written, the unit of the store, and the key that says how to read them
    "s": (pa.array(NS // 10**9), "s", None),
    "ms": (pa.array(NS // 10**6), "ms", None),
    "us": (pa.array(NS // 10**3), "us", None),
    "ns": (pa.array(NS), "ns", None),
    "uint64": (pa.array((NS // 10**6).astype(np.uint64)), "ms", None),
    "float seconds": (pa.array(NS // 1000 / 1e6), "us", None),
    "float milliseconds": (pa.array((NS // 10**6).astype(float)), "ms", None),
    "decimal": (pa.array([Decimal(int(t)) / 10**9 for t in NS], pa.decimal128(30, 9)), "ns", None),
    "digits": (pa.array([str(t) for t in NS]), "ns", None),
    "point": (pa.array([f" {t // 10**9}.{t % 10**9:09d}" for t in NS.tolist()]), "ns", None),
    "timestamp[s]": (pa.array(NS // 10**9, pa.timestamp("s")), "s", None),
    "timestamp[ns]": (pa.array(NS, pa.timestamp("ns")), "ns", None),
    "zoned": (ZONED, "us", None),
    "dictionary": (ZONED.dictionary_encode(), "us", None),
    "iso": (texts(ISO), "s", None),
    "iso T": (texts("%Y-%m-%dT%H:%M:%S.%fZ"), "us", None),
    "open bandit": (texts("%Y-%m-%d %H:%M:%S.%f+00:00"), "us", None),
    "offset": (texts("%Y-%m-%d %H:%M:%S.%f +0200", NS + 7200 * 10**9), "us", None),
    "REES46": (texts("%Y-%m-%d %H:%M:%S UTC"), "s", None),
    "slashes": (texts("%Y/%m/%d %H:%M:%S"), "s", None),
    "compact": (texts("%Y%m%dT%H%M%S"), "s", None),
    "view": (texts(ISO).cast(pa.string_view()), "s", None),
    "packed": (pa.array([int(t) for t in texts("%Y%m%d%H%M%S").to_pylist()]), "s", None),
    "packed text": (texts("%Y%m%d%H%M%S"), "s", None),
    "day first": (texts("%d/%m/%Y %H:%M:%S"), "s", "day_first"),
    "month first": (texts("%m/%d/%Y %I:%M:%S %p"), "s", "month_first"),
    "MIND": (texts("%-m/%-d/%Y %-I:%M:%S %p"), "s", "%m/%d/%Y %I:%M:%S %p"),
    "Steam": (texts("%B %d, %Y at %H:%M:%S.%f"), "us", "%B %d, %Y at %H:%M:%S.%f"),
    "web server": (texts("%d/%b/%Y:%H:%M:%S +0000"), "s", "%d/%b/%Y:%H:%M:%S %z"),
    "told": (pa.array(NS // 10**6), "ms", "milliseconds"),
}  # fmt: skip
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_to_its_own_resolution(tmp_path, form):
    times, unit, key = FORMS[form]
    store = store_of(tmp_path, times, time_format=key)
    assert store.manifest.time_unit == unit
    assert store.arrays["time"].tolist() == (NS // (10**9 // PER_SECOND[unit])).tolist()
    first = str(np.datetime64(int(NS[0]), "ns").astype(f"datetime64[{unit}]")).replace("T", " ")
    assert store.manifest.time_range_train and store.manifest.time_range_train[0] == first


COARSE = {
    "date32": (lambda d: pa.array(d), None),
    "date64": (lambda d: pa.array(d, pa.date64()), None),
    "20240131": (lambda d: pa.array([int(x.strftime("%Y%m%d")) for x in d]), None),
    "20240131.0": (lambda d: pa.array([float(x.strftime("%Y%m%d")) for x in d]), None),
    "'20240131'": (lambda d: pa.array([x.strftime("%Y%m%d") for x in d]), None),
    "iso": (lambda d: pa.array([x.isoformat() for x in d]), None),
    "2024013100": (lambda d: pa.array([int(x.strftime("%Y%m%d00")) for x in d]), None),
    "202401310000": (lambda d: pa.array([int(x.strftime("%Y%m%d0000")) for x in d]), None),
    "Avazu": (lambda d: pa.array([int(x.strftime("%y%m%d00")) for x in d]), "%y%m%d%H"),
    "ddmmyyyy": (lambda d: pa.array([int(x.strftime("%d%m%Y")) for x in d]), "%d%m%Y"),
}


@pytest.mark.parametrize("form", COARSE)
def test_dates_are_days_of_the_calendar_and_not_of_1970(tmp_path, form):
    days = [(datetime(2008, 12, 20, tzinfo=UTC) + timedelta(days=i)).date() for i in range(N)]
    make, key = COARSE[form]
    store = store_of(tmp_path, make(days), time_format=key)
    assert store.manifest.time_range_train[0] == "2008-12-20 00:00:00"
    assert (np.diff(store.arrays["time"]) == 86_400).all()
    assert "whole days" in store.manifest.notes["clock"] if "ties" in store.manifest.notes else True


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe"])
def test_hours_that_a_zone_has_twice_or_never_are_instants_like_others(tmp_path, zone):
    start = datetime(2024, 10, 1, tzinfo=UTC).timestamp()
    seconds = int(start) + 1800 * np.arange(48 * 200)
    store = store_of(tmp_path, pa.array(seconds, pa.timestamp("s", zone)))
    assert store.arrays["time"].tolist() == seconds.tolist()


def test_the_year_9999_and_times_before_1970_stay_where_they_are(tmp_path):
    whole = [*range(-(10**9), -(10**9) + 100), 253_402_300_799]
    times = pa.array([t * 10**6 + 1 for t in whole], pa.timestamp("us"))
    folder = tmp_path / "int96"
    folder.mkdir()
    table = pa.table({"user": [1] * 101, "item": [i % 7 for i in range(101)], "time": times})
    pq.write_table(table, folder / "log.parquet", use_deprecated_int96_timestamps=True)
    for store in (
        store_of(tmp_path, times),
        prepared(tmp_path, events_spec(folder, task="next_item")),
    ):
        assert store.arrays["time"].tolist() == [t * 10**6 + 1 for t in whole]
        assert store.manifest.time_range_train[0] == "1938-04-24 22:13:20.000001"
        assert store.manifest.time_range_eval[1] == "9999-12-31 23:59:59.000001"


REFUSED = {
    "slashes": (
        pa.array(["03/04/2019"] * 9),
        "'03/04/2019' in .*time 'time' is .*day_first or month_first",
    ),
    "words": (pa.array(["last week"] * 9), "'last week'.*read are: .*ISO text.*strptime"),
    "Avazu": (pa.array([14_102_100, 14_102_101]), "14102100 as a time may mean several.*strptime"),
    "year": (pa.array([2019, 2020, 2021]), "2019 as a time may mean several things"),
    "month": (pa.array([201_901, 201_902]), "201901 as a time"),
    "ddmmyyyy": (pa.array([1_312_019, 2_312_019]), "1312019 as a time"),
    ".NET": (pa.array([637_134_336_000_000_000 + i for i in range(9)]), "637134336000000000 as"),
    "WebKit": (pa.array([13_220_000_000_000_000 + i for i in range(9)]), "13220000000000000 as"),
    "two units": (
        pa.array([1_600_000_000 + i for i in range(5)] + [1_600_000_000_000 + i for i in range(4)]),
        "another unit than most: 4, such as 1600000000000 in .*0.parquet.*write .*time 'time' in",
    ),
    "time of day": (
        pa.array([1, 2], pa.time32("s")),
        "type time32.ms., such as 00:00:01",
    ),
    "duration": (pa.array([1, 2], pa.duration("s")), "values of type duration.s."),
    "bool": (pa.array([True]), "values of type bool, such as True, which are no times"),
    "single": (pa.array(np.float32(1.6e9 + np.arange(9))), "numbers of type float, such as 160"),
    "half": (pa.array(np.arange(3000).astype(np.float16)), "numbers of type halffloat"),
    "Excel": (pa.array(43_000.25 + np.arange(9) / 3), "43000.25 looks like days as Excel counts"),
    "Excel's text": (pa.array(["43000", "43000.5"]), "43000 looks like days .*: seconds$"),
    "Julian": (pa.array(2_459_000.5 + np.arange(9)), "2459000.5 looks like Julian days"),
    "one moment": (
        pa.array([1_600_000_000] * 9),
        r"log: data.columns.time 'time': none of the 9 rows is earlier than",
    ),
    "struct": (pa.array([{"s": 1}]), "values of type struct"),
    "nulls": (pa.nulls(3), "time unreadable: 3, such as null"),
    "NaT": (pa.array([np.iinfo(np.int64).min] * 3), "time unreadable: 3, such as -92233720"),
    "nan": (pa.array([float("nan")] * 3), "time unreadable: 3, such as nan"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_may_be_several_times_or_none_is_refused(tmp_path, form):
    times, sentence = REFUSED[form]
    with pytest.raises(DataError, match=sentence):
        store_of(tmp_path, times)


def test_a_number_may_be_told_to_be_seconds(tmp_path):
    store = store_of(tmp_path, pa.array(20_240_131 + np.arange(N)), time_format="seconds")
    assert store.arrays["time"][0] == 20_240_131
    assert store.manifest.time_range_train[0] == "20240131"  # no date: a clock of its own


def test_a_relative_clock_is_read_in_order_and_told(tmp_path):
    store = store_of(tmp_path, pa.array(31 * np.arange(N)))
    assert store.arrays["time"].tolist() == (31 * np.arange(N)).tolist()
    assert any("data.time_format: seconds" in w for w in store.manifest.warnings)
    (tmp_path / "told").mkdir()
    told = store_of(tmp_path / "told", pa.array(31 * np.arange(N)), time_format="seconds")
    assert not told.manifest.warnings


def test_whole_numbers_of_a_clock_of_steps_are_no_days_of_excel(tmp_path):
    store = store_of(tmp_path, pa.array(43_000 + np.arange(N)))
    assert store.arrays["time"].tolist() == (43_000 + np.arange(N)).tolist()
    assert any("such as 43000, which are taken for" in w for w in store.manifest.warnings)


def test_a_relative_clock_of_months_is_read_too(tmp_path):
    """Yambda's: seconds from its start, by fives, up to 26 million."""
    clock = 5 * np.random.default_rng(0).integers(0, 5_200_000, N)
    store = store_of(tmp_path, pa.array(clock.astype(np.uint32)))
    assert store.arrays["time"].tolist() == sorted(clock.tolist())
    assert any("the log's own clock" in w for w in store.manifest.warnings)


def test_numbers_among_dates_are_no_times(tmp_path):
    store = store_of(tmp_path, pa.array([*texts(ISO).to_pylist(), "0", "-1"]))
    assert store.manifest.dropped == {"time of another unit than most": 2}
    assert store.manifest.time_range_train[0] == "2019-11-24 00:03:13"


def test_what_cannot_be_read_among_good_times_is_dropped_and_zones_may_mix(tmp_path):
    good = texts(ISO).to_pylist()
    good[0] += "Z"
    store = store_of(tmp_path, pa.array([*good, "03/04/2019", "9999-99-99", None]))
    assert store.manifest.dropped == {"time unreadable": 3}
    assert any("1 times carry a zone and 119 do not" in w for w in store.manifest.warnings)
    (tmp_path / "zero").mkdir()
    store = store_of(tmp_path / "zero", pa.array([0, *(NS // 10**9)]))
    assert store.arrays["time"][0] == 0
    assert any("such as 0, lie near 1970" in w for w in store.manifest.warnings)


def test_files_may_write_one_clock_in_several_ways(tmp_path):
    pieces = [FORMS[name][0] for name in ("s", "timestamp[ns]", "iso", "zoned")]
    store = store_of(tmp_path, pieces)
    assert store.manifest.time_unit == "ns" and len(store.arrays["time"]) == 4 * N
    assert (np.unique(store.arrays["time"] // 10**9) == NS // 10**9).all()


def test_models_are_given_seconds_whatever_the_unit(tmp_path):
    """Buckets of elapsed time are of seconds: 7 s apart is the same in every unit."""
    seconds = 1_600_000_000 + 7 * np.arange(N)
    found = []
    for unit, times in {"s": seconds, "us": seconds * 10**6 + 1, "ns": seconds * 10**9 + 1}.items():
        (tmp_path / unit).mkdir()
        store = store_of(tmp_path / unit, pa.array(times))
        assert store.manifest.time_unit == unit
        found.append(positions(store, eval_windows(store, 8)).time)
        assert (store.seconds(store.arrays["history_times"]) >= 1_600_000_000).all()
    assert (found[0] == found[1]).all() and (found[0] == found[2]).all()


def test_moments_are_told_apart_at_the_clocks_own_resolution(tmp_path):
    """Four events of a user in one second: each is the past of the next."""
    times = 1_600_000_000_000 + 250 * np.arange(N)
    table = {"user": np.zeros(N, int), "item": np.arange(N) % 7, "time": times}
    table["label"] = np.arange(N) % 2
    pq.write_table(pa.table(table), tmp_path / "log.parquet")
    data = events_spec(tmp_path / "log.parquet", columns={"label": "label"})
    store = prepared(tmp_path, data)
    assert store.manifest.time_unit == "ms"
    lengths = store.arrays["history_end"] - store.arrays["history_begin"]
    assert lengths.tolist() == (np.arange(N) // 2).tolist()
    assert "milliseconds" in store.manifest.notes["history"]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_timestamps_of_a_wrong_unit_are_told(tmp_path, unit):
    """pd.to_datetime(seconds) takes them for nanoseconds, fastparquet's int96 for microseconds."""
    store = store_of(tmp_path, pa.array(NS // 10**9, pa.timestamp(unit)))
    (told,) = (w for w in store.manifest.warnings if "first days of 1970" in w)
    assert f"{N} of the timestamps" in told
    (tmp_path / "right").mkdir()
    store = store_of(tmp_path / "right", pa.array(NS // 10**9, pa.timestamp("s")))
    assert not [w for w in store.manifest.warnings if "1970" in w]
