"""Rows of one moment: no order that a model could learn, and no event lost as a copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import events_spec, prepared, stored_order

from recscale.data.dropped import COPY
from recscale.data.layout import DataError, present

START = 1_600_000_000


def write(path: Path, **columns) -> Path:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def sorted_within_seconds(n: int = 20_000) -> dict[str, np.ndarray]:
    """Items drawn at random, twenty a second of one user, sorted within the second as MovieLens and
    Amazon have them."""
    item = np.random.default_rng(0).integers(0, 200, n)
    user, time = np.arange(n) // 400, START + np.arange(n) // 20
    return {"user": user, "item": item[np.lexsort((item, time))], "time": time}


def test_a_log_sorted_by_item_within_a_second_shows_no_order(tmp_path):
    log = sorted_within_seconds()
    data = events_spec(write(tmp_path / "log.parquet", **log), task="next_item", refuse_above=0.3)
    order = stored_order(data)
    item, time = log["item"][order], log["time"][order]
    assert (np.diff(time) >= 0).all()
    same = (time[1:] == time[:-1]) & (item[1:] != item[:-1])
    assert same.sum() > 15_000
    rises = item[1:][same] > item[:-1][same]
    assert abs(rises.mean() - 0.5) < 3 / np.sqrt(len(rises))
    # nor has an item a place of its own within ties: first in some, last in others
    first = np.flatnonzero(np.diff(time, prepend=0))
    ends = np.append(first[1:], len(time))
    places = np.concatenate([np.linspace(0, 1, e - f) for f, e in zip(first, ends, strict=True)])
    means = np.array([places[item == i].mean() for i in range(200)])
    assert means.std() < 0.06  # .33 if fixed; 0.3 / sqrt(100 events of an item) if not
    notes = prepared(tmp_path, data).manifest.notes
    assert "20,000 of the 20,000" not in notes["ties"] and "arbitrary" in notes["ties"]
    assert "with one of the same user" in notes["ties"]


def test_neither_files_nor_their_order_nor_item_numbers_have_a_say(tmp_path):
    log = sorted_within_seconds(2000)
    log["label"] = np.random.default_rng(1).integers(0, 2, 2000)
    shuffled = np.random.default_rng(2).permutation(2000)
    places = []
    for name, rows in (("one", np.arange(2000)), ("other", shuffled)):
        for i, part in enumerate(np.array_split(rows, 3 if name == "other" else 1)):
            write(tmp_path / name / f"{i}.parquet", **{k: v[part] for k, v in log.items()})
        data = events_spec(tmp_path / name, columns={"label": "label"}, refuse_above=0.3)
        places.append(prepared(tmp_path / f"{name}.out", data))
    one, other = places
    assert one.manifest == other.manifest
    for name in present(one.path):
        assert (one.arrays[name] == other.arrays[name]).all(), name


def test_an_impression_and_its_click_are_both_kept(tmp_path):
    n = 200
    user, item, time = np.arange(n) % 9, np.arange(n) % 7, START + np.arange(n)
    twice = np.repeat(np.arange(n), 2)  # every row again, with a click every tenth time
    label = np.zeros(2 * n, int)
    label[1::20] = 1
    path = write(
        tmp_path / "log.parquet", user=user[twice], item=item[twice], time=time[twice], label=label
    )
    store = prepared(tmp_path, events_spec(path, columns={"label": "label"}, refuse_above=0.5))
    assert store.arrays["label"].sum() == label.sum() == 20
    # the impressions that no click follows stand there twice, equal in all columns
    assert store.manifest.dropped == {"copy of another row": n - 20}


@pytest.mark.parametrize("column", ["price", "event_id", "tags"])
def test_rows_that_differ_in_a_column_that_is_not_read_are_no_copies(tmp_path, column):
    n = 100
    twice = np.repeat(np.arange(n), 2)
    other = {
        "price": pa.array(np.arange(2 * n) / 4),
        "event_id": pa.array([f"e{i}" for i in range(2 * n)]),
        "tags": pa.array([["a"] * (i % 2) for i in range(2 * n)]),
    }[column]
    log = {"user": twice % 9, "item": twice % 7, "time": START + twice, column: other}
    path = write(tmp_path / "log.parquet", **log)
    store = prepared(tmp_path, events_spec(path, task="next_item"))
    assert len(store.arrays["time"]) == 2 * n and not store.manifest.dropped
    log.pop(column)
    path = write(tmp_path / "log.parquet", **log)
    store = prepared(tmp_path, events_spec(path, task="next_item", refuse_above=0.5))
    assert store.manifest.dropped == {"copy of another row": n}


def test_ratings_on_one_side_of_the_comparison_are_no_copies(tmp_path):
    """Nor are amounts that only a float32 takes for equal."""
    n = 200
    twice = np.repeat(np.arange(n), 2)
    log = {"user": twice % 9, "item": twice % 7, "time": START + twice}
    log["stars"] = np.where(twice % 3 == 0, 1, 4 + np.arange(2 * n) % 2)
    log["amount"] = 16_777_216 + np.where(twice % 3 == 0, np.arange(2 * n) % 2, 0)
    data = events_spec(
        write(tmp_path / "log.parquet", **log),
        positive="stars >= 4",
        columns={"dense": ("amount",)},
    )
    assert not prepared(tmp_path, data).manifest.dropped


def test_copies_are_found_across_files_of_other_types(tmp_path):
    n = 100
    log = {"user": np.arange(n), "item": np.arange(n) % 7, "time": START + np.arange(n)}
    write(tmp_path / "log" / "0.parquet", **log, note=np.arange(n))
    log = {name: values.astype(float) for name, values in log.items()}
    write(tmp_path / "log" / "1.parquet", **log, note=np.arange(n) + (np.arange(n) % 4 == 0.0))
    data = events_spec(tmp_path / "log", task="next_item", refuse_above=0.5)
    assert prepared(tmp_path, data).manifest.dropped == {"copy of another row": 75}


@pytest.mark.parametrize("step", [1, 86_400])
def test_two_files_of_the_same_rows_are_refused_by_name(tmp_path, step):
    rng = np.random.default_rng(0)
    n = 60
    log = {
        "user": rng.integers(0, 9, n),
        "item": rng.integers(0, 7, n),
        "time": START + step * rng.integers(0, 30, n),
        "note": rng.integers(0, 9, n),
    }
    write(tmp_path / "log" / "a.parquet", **log)
    order = rng.permutation(n)
    write(tmp_path / "log" / "b.parquet", **{k: v[order].astype(float) for k, v in log.items()})
    data = events_spec(tmp_path / "log", task="next_item", refuse_above=0.9)
    with pytest.raises(DataError, match="a.parquet and .*b.parquet hold the same rows"):
        prepared(tmp_path, data)
    write(tmp_path / "log" / "b.parquet", **{**log, "note": log["note"] + (np.arange(n) == 7)})
    store = prepared(tmp_path, data.model_copy(update={"refuse_above": 0.5}))
    told = [w for w in store.manifest.warnings if "of the 120 rows repeat another one" in w]
    assert len(told) == (step > 1) and store.manifest.dropped.get(COPY, 0) == (step == 1) * 59


def test_equal_values_of_one_list_are_no_copies(tmp_path):
    items = [[1, 1, 2]] * 2 + [[3, 4, 4, 4]] * 40
    columns = {"user": [5, 5, *range(40)], "time": [START, START, *range(START + 1, START + 41)]}
    path = write(tmp_path / "log.parquet", item=pa.array(items), **columns)
    store = prepared(tmp_path, events_spec(path, task="next_item"))
    assert store.manifest.dropped == {COPY: 3} and len(store.arrays["time"]) == 163


@pytest.mark.parametrize(("step", "name"), [(86_400, "days"), (3600, "hours")])
def test_a_coarse_clock_drops_no_click(tmp_path, step, name):
    n = 400
    rows = np.arange(n) // 2  # two equal clicks an hour
    path = write(
        tmp_path / "log.parquet",
        user=rows % 9,
        item=rows % 7,
        time=START + step * (rows // 4),
        label=rows % 3 == 0,
    )
    store = prepared(tmp_path, events_spec(path, columns={"label": "label"}))
    assert len(store.arrays["label"]) == n and not store.manifest.dropped
    assert f"whole {name} apart" in store.manifest.notes["clock"]
    assert "no row is dropped" in store.manifest.notes["clock"]
    history = store.arrays["history_end"] - store.arrays["history_begin"]
    assert history.max() > 0


def test_baskets_may_hold_an_item_twice(tmp_path):
    """Two purchases of one item at one moment: two positives, whose negatives are neither."""
    n = 300
    rows = np.arange(n) // 2
    path = write(
        tmp_path / "log.parquet",
        user=rows % 5,
        item=rows % 3,
        time=START + rows,
        amount=np.arange(n),
    )
    store = prepared(tmp_path, events_spec(path))
    label, ids, time = (store.arrays[k] for k in ("label", "ids", "time"))
    assert label.sum() == n
    for moment in np.unique(time)[5:20]:
        here = time == moment
        taken = set(ids[here & (label == 1), 1])
        assert len(taken) == 1 and not taken & set(ids[here & (label == 0), 1])
        assert (here & (label == 0)).sum() == 8


@pytest.mark.parametrize("step", [1, 86_400])
@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_small_files_are_copies_too(tmp_path, n, step):
    """Of equal bytes at any size; in another format from three rows on, below which two rows may
    be two events where the clock is coarse."""
    log, few = tmp_path / "log", np.arange(n)
    rest = np.arange(90)
    write(log / "a.parquet", user=rest % 9, item=rest % 7, time=START + step * (rest // 3))
    tiny = {"user": few % 9, "item": few % 7, "time": START + step * (few + 99)}
    write(log / "b.parquet", **tiny)
    lines = [",".join(map(str, row)) for row in zip(*tiny.values(), strict=True)]
    data = events_spec(log, task="next_item", holdout={"last": 0.5})
    (log / "c.csv").write_text("\n".join(["user,item,time", *reversed(lines), ""]))
    if n < 3:
        store = prepared(tmp_path, data)
        assert store.manifest.dropped == ({COPY: n} if step == 1 else {})
    else:
        with pytest.raises(DataError, match="b.parquet and .*c.csv hold the same rows"):
            prepared(tmp_path, data)
    (log / "c.csv").rename(tmp_path / "c.csv")
    (log / "copy.parquet").write_bytes((log / "b.parquet").read_bytes())
    with pytest.raises(DataError, match="b.parquet and .*copy.parquet hold the same rows"):
        prepared(tmp_path, data)


@pytest.mark.parametrize("other", ["a row number", "a constant", "another order of columns"])
def test_a_file_with_a_column_more_is_a_copy_too(tmp_path, other):
    n = 40
    columns = {"user": np.arange(n) % 7, "item": np.arange(n) % 5, "time": START + np.arange(n)}
    columns |= {"price": np.arange(n) % 3}
    write(tmp_path / "log" / "a.parquet", **columns)
    more = {"a row number": {"row": np.arange(n)}, "a constant": {"version": np.ones(n, int)}}
    turned = dict(reversed(columns.items()))
    write(tmp_path / "log" / "b.parquet", **turned | more.get(other, {}))
    data = events_spec(tmp_path / "log", task="next_item", refuse_above=0.9)
    with pytest.raises(DataError, match=r"a\.parquet and .*b\.parquet hold the same rows"):
        prepared(tmp_path, data)
    # where a column of both tells them apart they are two logs
    write(tmp_path / "log" / "b.parquet", **turned | {"price": np.arange(n) % 3 + 3})
    assert not prepared(tmp_path, data).manifest.dropped


def test_many_rows_that_differ_only_in_what_is_not_read_are_told(tmp_path):
    n = 40
    columns = {"user": np.arange(n) % 7, "item": np.arange(n) % 5, "time": START + np.arange(n)}
    write(tmp_path / "log" / "a.parquet", **columns, row=np.arange(n))
    half = {name: values[: n // 2] for name, values in columns.items()}
    write(tmp_path / "log" / "b.parquet", **half, row=np.arange(n // 2) + 1000)
    manifest = prepared(tmp_path, events_spec(tmp_path / "log", task="next_item")).manifest
    told = [w for w in manifest.warnings if "differ only in columns that are not" in w]
    assert told and told[0].startswith("20 of the 60 rows")
