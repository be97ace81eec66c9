"""Criteo's layout, on files made here."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from data_files import criteo_lines, write_lines

from recscale.data import criteo
from recscale.data.prepare import DataError, prepare
from recscale.data.store import Store
from recscale.spec import CriteoData


def prepared(tmp_path, path, **kwargs) -> Store:
    data = CriteoData(source="criteo", path=str(path), **kwargs)
    return Store.open(prepare(data, tmp_path / "stores"))


def test_every_value_is_where_the_line_has_it(tmp_path):
    lines = criteo_lines(500)
    store = prepared(tmp_path, write_lines(tmp_path / "train.txt", lines))
    fields = [line.split("\t") for line in lines]
    batch = store.train().read(0, store.manifest.n_train)
    n = store.manifest.n_train
    assert batch.label.tolist() == [float(f[0]) for f in fields[:n]]
    dense = [[np.log1p(max(0, int(x or 0))) for x in f[1:14]] for f in fields[:n]]
    assert np.allclose(batch.dense, dense, atol=1e-6)
    for i in range(26):
        values = [f[14 + i] or "00000000" for f in fields]
        counts = Counter(values[:n])
        ranks = sorted(counts, key=lambda v: (-counts[v], int(v, 16)))
        expected = [ranks.index(v) if v in counts else len(ranks) for v in values]
        assert store.arrays["ids"][:, i].tolist() == expected
    assert len(batch.history) == 0 and store.manifest.history is None
    assert store.manifest.n_train + store.manifest.n_eval == 500


def test_gzipped_days_follow_each_other_in_numeric_order(tmp_path):
    days = tmp_path / "days"
    days.mkdir()
    whole = {day: criteo_lines(60, seed=day) for day in (0, 2, 10)}
    for day, lines in whole.items():
        write_lines(days / f"day_{day}.gz", lines)
    for path in (days, days / "day_*.gz"):
        store = prepared(tmp_path, path)
        label = store.arrays["label"].tolist()
        assert label == [int(line[0]) for day in (0, 2, 10) for line in whole[day]]
        clock = store.arrays["time"]
        assert (np.diff(clock) > 0).all() and set(clock // criteo.DAY) == {0, 2, 10}


def test_bad_lines_are_counted_by_reason_and_dropped(tmp_path):
    lines = criteo_lines(400)
    lines[10] = "1\t2\t3"
    lines[20] = lines[20].replace(lines[20].split("\t")[20], "not hex!", 1)
    lines[30] = "\t".join(["1", "x", *lines[30].split("\t")[2:]])
    lines[40] = "\t".join(["7", *lines[40].split("\t")[1:]])
    store = prepared(tmp_path, write_lines(tmp_path / "train.txt", lines))
    assert store.manifest.raw_rows == 400 and len(store.arrays["label"]) == 396
    assert store.manifest.dropped == {"line without 40 fields": 1, "field of another type": 3}
    (warning,) = store.manifest.warnings
    assert f"are left out: {tmp_path / 'train.txt'}: 1; correct them" in warning


def test_a_test_file_without_labels_is_refused_with_the_layout(tmp_path):
    lines = [line.split("\t", 1)[1] for line in criteo_lines(50)]
    with pytest.raises(DataError, match="have 39 tab-separated fields, .*40: the label"):
        prepared(tmp_path, write_lines(tmp_path / "test.txt", lines))


def test_a_torn_archive_and_a_test_set_beside_the_log_are_refused_by_name(tmp_path):
    path = write_lines(tmp_path / "log/day_0.gz", criteo_lines(400))
    write_lines(tmp_path / "log/test.txt", [x.split("\t", 1)[1] for x in criteo_lines(9, seed=1)])
    with pytest.raises(DataError, match="test.txt: its lines have 39"):
        prepared(tmp_path, path.parent)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="day_0.gz: cannot be read"):
        prepared(tmp_path, path)


def test_a_path_without_files_says_what_to_give(tmp_path):
    with pytest.raises(DataError, match="no file there .* glob"):
        prepared(tmp_path, tmp_path / "day_*")


def test_rare_values_share_ids_below_max_ids(tmp_path):
    path = write_lines(tmp_path / "train.txt", criteo_lines(600))
    free, capped = prepared(tmp_path, path), prepared(tmp_path, path, max_ids=4)
    for i, facts in enumerate(capped.manifest.tables):
        if free.manifest.tables[i].distinct <= 4:
            continue
        assert facts.rows == 5 and facts.distinct == free.manifest.tables[i].distinct
        assert 0 < facts.collision_rate <= 1
        before, after = free.arrays["ids"][:, i], capped.arrays["ids"][:, i]
        frequent, unseen = before < 4, before == free.table_rows[i] - 1
        assert np.array_equal(after[frequent], before[frequent])
        assert (after[unseen] == 4).all() and (after[~unseen] < 4).all()
        assert facts.unseen_rate == free.manifest.tables[i].unseen_rate


def test_blocks_and_chunks_do_not_change_the_store(tmp_path, monkeypatch):
    path = write_lines(tmp_path / "train.txt", criteo_lines(900))
    whole = prepared(tmp_path, path).manifest
    monkeypatch.setattr(criteo, "BLOCK_BYTES", 7000)
    monkeypatch.setattr("recscale.data.ranks.CHUNK_ROWS", 64)
    data = CriteoData(source="criteo", path=str(path))
    pieces = Store.open(prepare(data, tmp_path / "pieces")).manifest
    assert pieces == whole
