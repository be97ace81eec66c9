"""Which files a log is made of, and that a store is of their content and of nothing else."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from pathlib import Path

import pytest
from data_files import criteo_lines, events_spec, prepared, write_lines

from recscale.data import identity
from recscale.data.files import input_files, partition_keys
from recscale.data.layout import DataError
from recscale.data.prepare import prepare, store_path
from recscale.data.store import Store
from recscale.engine.ready import changes, other_data, ready
from recscale.ledger import Ledger
from recscale.manifest import load_manifest
from recscale.planner.journal import plan_of
from recscale.spec import CriteoData, EventsData
from recscale.specfile import parse_spec

N = 200


def rows(n: int = N, first: int = 1_600_000_000) -> str:
    lines = [f"u{i % 7},i{i % 11},{first + 60 * i}\n" for i in range(n)]
    return "user,item,time\n" + "".join(lines)


def log(path: Path, text: str | None = None) -> EventsData:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(rows() if text is None else text)
    return events_spec(path, task="next_item")


@pytest.fixture
def settled(monkeypatch):
    """Digests are remembered at once, as those of a log that has rested."""
    monkeypatch.setattr(identity, "SETTLED", 0)


def test_a_log_rewritten_in_place_with_equal_size_and_time_is_another_log(tmp_path, settled):
    data = log(tmp_path / "log.csv")
    before = os.stat(data.path)
    first = prepare(data, tmp_path / "stores")
    again = rows().replace("u3,i3", "u4,i3")
    assert len(again) == len(rows())
    time.sleep(0.02)  # a tick of the file system's clock
    Path(data.path).write_text(again)
    os.utime(data.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = prepare(data, tmp_path / "stores")
    assert second != first
    assert Store.open(second).manifest.fingerprint != Store.open(first).manifest.fingerprint
    (warning,) = Store.open(second).manifest.warnings
    assert f"{data.path} changed since it was prepared on 2" in warning
    assert not Store.open(first).manifest.warnings


def test_two_folders_with_files_of_one_name_and_size_share_a_storage(tmp_path):
    one, other = log(tmp_path / "a/log.csv"), log(tmp_path / "b/log.csv", rows(first=1_700_000_000))
    assert os.path.getsize(one.path) == os.path.getsize(other.path)
    stores = [prepared(tmp_path, data) for data in (one, other)]
    assert [int(s.arrays["time"][0]) for s in stores] == [1_600_000_000, 1_700_000_000]
    assert not stores[1].manifest.warnings  # nothing changed: they are two logs


def test_a_moved_log_is_not_prepared_again(tmp_path):
    data = log(tmp_path / "a/log.csv")
    first = prepare(data, tmp_path / "stores")
    shutil.move(tmp_path / "a", tmp_path / "b")
    moved = data.model_copy(update={"path": str(tmp_path / "b/log.csv")})
    calls = []
    assert prepare(moved, tmp_path / "stores", lambda *a: calls.append(a)) == first and not calls


@pytest.mark.parametrize("change", ["rewrite", "append", "remove", "new file"])
def test_a_log_that_changes_while_it_is_prepared_leaves_nothing(tmp_path, change):
    folder = tmp_path / "log"
    log(folder / "1.csv")
    log(folder / "2.csv", rows(first=1_700_000_000))
    done = []

    def meanwhile(*_):
        if not done:
            before = os.stat(folder / "1.csv")
            time.sleep(0.02)
            if change == "rewrite":
                (folder / "1.csv").write_text(rows().replace("u3,i3", "u4,i3"))
                os.utime(folder / "1.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
            elif change == "append":
                with open(folder / "1.csv", "a") as file:
                    file.write("u1,i1,1900000000\n")
            elif change == "remove":
                os.remove(folder / "1.csv")
            else:
                log(folder / "3.csv", rows(first=1_800_000_000))
        done.append(True)

    data = events_spec(folder, task="next_item")
    with pytest.raises(DataError, match="while it was prepared; nothing was kept"):
        prepare(data, tmp_path / "stores", meanwhile)
    assert not list((tmp_path / "stores").glob("events-*"))
    assert not list((tmp_path / "stores").glob(".*.tmp"))


def test_an_unchanged_log_costs_a_few_blocks_and_a_changed_one_is_digested(tmp_path, settled):
    data = log(tmp_path / "log.csv")
    time.sleep(0.02)
    first = store_path(data, tmp_path)
    digested = []
    real = identity.hashlib.file_digest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity.hashlib, "file_digest", lambda *a: digested.append(a) or real(*a))
        assert store_path(data, tmp_path) == first and not digested
        os.utime(data.path)
        assert store_path(data, tmp_path) == first and len(digested) == 1
    (tmp_path / identity.MEMORY).write_text('{"torn')
    assert store_path(data, tmp_path) == first


def test_a_young_file_is_not_trusted_by_its_times(tmp_path):
    data = log(tmp_path / "log.csv")
    store_path(data, tmp_path)
    assert not (tmp_path / identity.MEMORY).exists()


def twice(folder: Path, how: str) -> None:
    file = folder / "day_0.csv"
    if how == "gz":
        (folder / "day_0.csv.gz").write_bytes(gzip.compress(file.read_bytes()))
    elif how == "parquet":
        (folder / "day_0.parquet").write_bytes(b"PAR1")
    elif how == "symlink":
        (folder / "other.csv").symlink_to(file)
    elif how == "hard link":
        os.link(file, folder / "other.csv")
    elif how == "folder":
        (folder / "more").mkdir()
        shutil.move(file, folder / "more")
        (folder / "again").symlink_to(folder / "more")
    elif how == "cycle":
        (folder / "again").symlink_to(folder)
    elif how == "copy":
        shutil.copy(file, folder / "day_1.csv")
    elif how == "packed copy":
        (folder / "day_1.csv.gz").write_bytes(gzip.compress(file.read_bytes()))


@pytest.mark.parametrize(
    "how",
    ["gz", "parquet", "symlink", "hard link", "folder", "cycle", "copy", "packed copy"],
)
def test_rows_counted_twice_are_refused_by_name(tmp_path, how):
    folder = tmp_path / "logs"
    log(folder / "day_0.csv")
    twice(folder, how)
    with pytest.raises(DataError, match="twice.*(narrower glob|keep one)") as refused:
        prepared(tmp_path, events_spec(folder, task="next_item"))
    assert {"folder": "again", "cycle": "again"}.get(how, "day_0.csv") in str(refused.value)


def test_criteo_days_are_not_counted_twice(tmp_path):
    lines = criteo_lines(50)
    write_lines(tmp_path / "day_0", lines)
    write_lines(tmp_path / "day_0.gz", lines)
    with pytest.raises(DataError, match="day_0 and .*day_0.gz have one name"):
        prepared(tmp_path, CriteoData(source="criteo", path=str(tmp_path)))


def test_empty_parts_may_be_alike(tmp_path):
    folder = tmp_path / "log"
    for name in ("part-1.csv", "part-2.csv"):
        log(folder / name, "user,item,time\n")
    for name in ("part-3.csv", "part-4.csv"):
        log(folder / name, "")
    log(folder / "part-5.csv")
    assert prepared(tmp_path, events_spec(folder, task="next_item")).manifest.raw_rows == N


def test_files_stand_in_natural_order_with_their_folders_and_keys(tmp_path):
    for name in ("hour=10/b.csv", "hour=9/z.csv", "hour=9/a%20b=c%2Fd/x.csv", "_tmp/x.csv"):
        log(tmp_path / "parts" / name)
    log(tmp_path / "parts/hour=9/.x.csv.crc")
    (tmp_path / "parts/_SUCCESS").touch()
    for path in (tmp_path / "parts", tmp_path / "parts/hour=*", tmp_path / "parts/**"):
        files = input_files(str(path))
        assert [f.relative_to(tmp_path / "parts").as_posix() for f in files] == [
            "hour=9/a%20b=c%2Fd/x.csv",
            "hour=9/z.csv",
            "hour=10/b.csv",
        ]
        keys = [partition_keys(str(path), f) for f in files]
        assert keys == [{"hour": "9", "a b": "c/d"}, {"hour": "9"}, {"hour": "10"}]


def test_what_is_no_file_is_refused_by_name(tmp_path):
    log(tmp_path / "log/1.csv")
    (tmp_path / "log/2.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="2.csv is no file"):
        input_files(str(tmp_path / "log"))


def test_a_run_says_that_its_data_is_not_that_of_the_last_plan(tmp_path):
    log(tmp_path / "log.csv")
    sweep = parse_spec(f"""
name: mine
storage: {tmp_path}
data: {{source: events, path: {tmp_path}/log.csv, columns: {{user: user, item: item, time: time}}}}
model: {{family: dlrm, embedding_dim: 4, mlp_width: 8}}
train: {{batch_size: 64}}
budget: {{flop: 1e15}}
""")
    first = ready(sweep)
    assert other_data(first) is None
    data = load_manifest(first.store).model_dump(mode="json")
    plan = {"runs": plan_of(first.planned), "spec": sweep.model_dump(mode="json"), "data": data}
    Ledger(first.run_dir).append("plan", **plan)
    assert other_data(ready(sweep)) is None
    log(tmp_path / "log.csv", rows().replace("u3,i3", "u4,i3"))
    second = ready(sweep)
    assert "every run is a new one" in (other_data(second) or "")
    assert changes(second) == (
        [p.run_id for p in second.planned], [p.run_id for p in first.planned]
    )  # fmt: skip
