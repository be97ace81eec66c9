"""Any damage to any file of a store is read right or named; it is never trained on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from data_files import event_log, events_spec
from harm import harms, put

from recscale.data import checksums
from recscale.data.checksums import seal
from recscale.data.contract import refuse_outside
from recscale.data.layout import DataError, Mapped, array_path, mapped, open_array, present
from recscale.data.prepare import prepare
from recscale.data.remote import fetched
from recscale.data.store import Store, StoreError
from recscale.manifest import MANIFEST, load_sealed, sealed
from recscale.spec import EventsData, SyntheticData

BLOCK = 512
VOUCHERS = {"checksums.npy", MANIFEST}


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    """So that a small store has many."""
    patch = pytest.MonkeyPatch()
    patch.setattr(checksums, "BLOCK", BLOCK)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A store with all kinds of arrays."""
    folder = tmp_path_factory.mktemp("world")
    event_log(folder / "log.parquet", 400)
    return prepare(log_of(folder), folder / "stores")


def log_of(folder: Path) -> EventsData:
    return events_spec(
        folder / "log.parquet", columns={"sparse": ["country", "maker"], "dense": ["price"]}
    )


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """One that differs in a single row's amount, of equal shapes."""
    folder = tmp_path_factory.mktemp("other")
    event_log(folder / "log.parquet", 400, seed=1)
    return prepare(log_of(folder), folder / "stores")


def values(path: Path) -> list[np.ndarray]:
    """All that a training reads of a store, in pieces, some of it twice."""
    store = Store.open(path)
    found = []
    for rows in (store.train(), store.eval()):
        for begin in [*range(0, len(rows), 97), 0]:
            batch = rows.read(begin, min(begin + 97, len(rows)), history_length=5)
            found += [batch.dense, batch.ids, batch.label, batch.history, batch.history_lengths]
    return found


def test_every_byte_of_a_store(world: Path, other: Path, tmp_path):
    """Read in pieces, block by block, by a process that has read the sound one before."""
    truth, copy = values(world), tmp_path / world.name
    shutil.copytree(world, copy)
    unread = {"time.npy"}  # by training, whatever its state
    for file in sorted(world.iterdir()):
        content, strange = file.read_bytes(), (other / file.name).read_bytes()
        for what, harmed in harms(content, strange, seed=len(content), few=12):
            put(copy / file.name, harmed)
            try:
                found = values(copy)
            except StoreError as error:
                named = file.name in VOUCHERS or f"{copy}/{file.name}" in str(error)
                assert named and "prepare" in str(error), (file.name, what, str(error))
            else:
                same = all(np.array_equal(a, b) for a, b in zip(found, truth, strict=True))
                assert same, (file.name, what)
                assert harmed == content or file.name in {*unread, *VOUCHERS}, what
            put(copy / file.name, content)
    assert all(np.array_equal(a, b) for a, b in zip(values(copy), truth, strict=True))


def test_a_whole_array_is_checked_wherever_it_is_damaged(world: Path, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(world, copy)
    for file in sorted(copy.glob("*.npy")):
        content = file.read_bytes()
        for at in {0, BLOCK, len(content) // 2, len(content) - 1} & set(range(len(content))):
            put(file, content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
            with pytest.raises(StoreError, match="npy"):
                Store.open(copy).verify()
        put(file, content)
    Store.open(copy).verify()


def test_flipped_labels_are_never_learnt(tmp_path):
    path = prepare(SyntheticData(source="synthetic", rows=20_000), tmp_path)
    label = open_array(path, "label", "r+")
    label[1000:9000] ^= 1
    label.flush()
    with pytest.raises(StoreError, match=r"label.npy differs from what was prepared in 1,\d+ to"):
        Store.open(path).train().read(900, 1100)


def test_only_what_is_read_is_checked_and_that_once(world: Path, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(world, copy)
    checked: list[int] = []
    crc32 = checksums.zlib.crc32

    class Counting:
        @staticmethod
        def crc32(data) -> int:
            checked.append(len(data))
            return crc32(data)

    monkeypatch.setattr(checksums, "zlib", Counting)
    Store.open(copy)  # the first block of each array, where its type stands, and the checksums
    checked.clear()
    store = Store.open(copy)
    opened = sum(checked)
    rows = store.train()
    rows.read(len(rows) // 2, len(rows) // 2 + 3)
    assert opened < sum(checked) <= opened + 8 * BLOCK
    for _ in range(2):
        store.verify()
    sizes = [f.stat().st_size for f in copy.glob("*.npy") if f.stem != "checksums"]
    assert sum(checked) <= opened + sum(sizes)
    checked.clear()
    Store.open(copy).verify()  # another run of the same process
    assert sum(checked) == opened


def test_a_file_changed_under_a_process_is_seen_by_its_next_run(world: Path, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(world, copy)
    Store.open(copy).verify()
    ids = open_array(copy, "ids", "r+")
    ids[-1, 0] ^= 1
    ids.flush()
    with pytest.raises(StoreError, match="ids.npy"):
        Store.open(copy).verify()


def resealed(folder: Path, name: str, at: tuple[int, ...], value: int) -> None:
    """Changes a value and makes the checksums anew: no damage, but a store that breaks its word."""
    open_array(folder, name, "r+")[at] = value
    manifest, old = load_sealed(folder)
    (folder / MANIFEST).write_text(sealed(manifest, seal(folder, files_of(folder), old.store)))


def files_of(folder: Path) -> dict[str, Mapped]:
    return {name: mapped(array_path(folder, name)) for name in present(folder)}


@pytest.mark.parametrize(
    ("name", "value"),
    [("ids", 10**6), ("ids", -1), ("history_items", 10**6), ("history_items", -3)],
)
def test_an_id_outside_its_table_is_an_error_that_names_the_file(world, tmp_path, name, value):
    copy = tmp_path / "copy"
    shutil.copytree(world, copy)
    at = (5, 1) if name == "ids" else (open_array(copy, "history_begin")[40],)
    resealed(copy, name, at, value)
    with pytest.raises(
        StoreError, match=rf"{name}.npy holds the id {value}, its table has the rows"
    ):
        values(copy)
    with pytest.raises(DataError, match=rf"{name}.npy: row \d+ holds {value}, which lies outside"):
        refuse_outside(copy, files_of(copy), load_sealed(copy)[0])


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [("label", (3,), 2), ("history_end", (7,), 10**9), ("history_begin", (9,), 10**6)],
)
def test_prepare_keeps_no_store_that_breaks_its_word(world, tmp_path, name, at, value):
    copy = tmp_path / "copy"
    shutil.copytree(world, copy)
    refuse_outside(copy, files_of(copy), load_sealed(copy)[0])
    resealed(copy, name, at, value)
    with pytest.raises(DataError, match=f"{name}.npy: row {at[0]} holds {value}"):
        refuse_outside(copy, files_of(copy), load_sealed(copy)[0])


def test_a_store_in_the_place_of_another_is_not_taken(tmp_path):
    one, two = (SyntheticData(source="synthetic", rows=1000, seed=s) for s in (0, 1))
    first, second = prepare(one, tmp_path), prepare(two, tmp_path)
    shutil.rmtree(first)
    shutil.copytree(second, first)
    with pytest.raises(StoreError, match=f"{first} holds the store {second.name}"):
        prepare(one, tmp_path)


def test_a_store_without_checksums_is_prepared_again(tmp_path):
    """The layout before them has another name, so that nothing of it is read."""
    data = SyntheticData(source="synthetic", rows=1000)
    path = prepare(data, tmp_path)
    manifest, _ = load_sealed(path)
    old = manifest.model_copy(update={"version": 1}).model_dump_json()
    (path / MANIFEST).write_text(old)
    with pytest.raises(StoreError, match="layout 1, this version reads layout 2"):
        prepare(data, tmp_path)


def test_a_damaged_copy_of_a_store_is_copied_anew(tmp_path, monkeypatch):
    from recscale.data.remote import prepared
    from recscale.engine.worker import whole

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data, root = SyntheticData(source="synthetic", rows=1000), "memory://damage-test"
    store = prepared(data, root)
    label = array_path(fetched(store), "label")
    put(label, label.read_bytes()[:-1] + b"\x07")
    with pytest.raises(RuntimeError, match="label.npy differs.*made anew"), whole(store) as path:
        Store.open(path).verify()
    with whole(store) as path:
        Store.open(path).verify()
