"""What an id is: one value in any type, file or spelling of a number, and no two values one."""

from __future__ import annotations

import decimal
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from data_files import column, events_spec, prepared

from recscale.data.ids import Coder
from recscale.data.prepare import DataError

N = 240


def store_of(tmp_path, users: list[pa.Array], **spec):
    """Of one Parquet file an array, each a piece of a log in which user follows user."""
    folder = tmp_path / "log"
    folder.mkdir()
    for i, user in enumerate(users):
        n = len(user)
        time = pa.array(1_600_000_000 + i + 10 * np.arange(n))
        table = pa.table({"user": user, "item": pa.array(np.arange(n) % 7), "time": time})
        pq.write_table(table, folder / f"{i}.parquet")
    return prepared(tmp_path, events_spec(folder, task="next_item", **spec))


def users(store) -> int:
    return len(np.unique(store.arrays["history_begin"]))


def numbers(shift: int = 0) -> np.ndarray:
    return 12_345_678_901 + shift + np.arange(N) % 20


def test_one_user_is_one_whatever_type_holds_the_number(tmp_path):
    plain = numbers()
    as_decimal = pa.array([decimal.Decimal(int(x)) for x in plain], pa.decimal128(20, 2))
    texts = pa.array([str(x) for x in plain])
    pieces = [
        pa.array(plain),
        pa.array(plain.astype(float)),
        pa.array(plain.astype(np.uint64)),
        as_decimal,
        texts,
        texts.cast(pa.large_string()),
        texts.cast(pa.string_view()),
        texts.dictionary_encode(),
        pa.array(plain).dictionary_encode(),
        pa.array([f"{x}.0" for x in plain]),
        pc.binary_join_element_wise(" ", texts, ""),
    ]
    store = store_of(tmp_path, pieces)
    assert users(store) == 20
    assert [w for w in store.manifest.warnings if "blanks around" in w]


@pytest.mark.parametrize(
    "texts",
    [
        ("17", "17.0"),
        ("13085.0", "13085"),
        ("1.2e+10", "12000000000."),
        ("1.e+11", "100000000000"),
        ("1.2345678E7", "12345678"),
    ],
)
def test_texts_of_one_whole_number_are_one_id_where_all_are_numbers(texts):
    coder = Coder(whole=True)
    codes = np.concatenate([coder(pa.array([text, "5"]))[0] for text in texts])
    assert len(np.unique(coder.settle("user").codes[codes])) == 2
    coder(pa.array(["abc"]))  # now they are names, such as versions of a program
    settled = coder.settle("user")
    assert len(np.unique(settled.codes[codes])) == 3
    told = [w for w in settled.warnings if "a decimal point" in w]
    assert bool(told) == any(text.endswith(".0") for text in texts)


def test_words_for_nothing_and_lists_in_text_are_told():
    users, tags = Coder(whole=True), Coder(whole=False)
    users(pa.array(["u1", "NULL", "nan", "\\N", "nancy"]))
    tags(pa.array(["[1, 2]", "[]", "[3]"]))
    (told,) = users.settle("user").warnings
    assert told.startswith("user: 'NULL', 'nan', '\\\\N' counts as a value like others")
    (told,) = tags.settle("tags").warnings
    assert "such as '[1, 2]' are lists written as text" in told


@pytest.mark.parametrize("whole", [True, False])
def test_accents_composed_and_decomposed_are_two_ids_and_that_is_told(whole):
    coder = Coder(whole=whole)
    coder(pa.array(["M\u00fcller", "Mu\u0308ller", "e\u0301", "Muller", "\u0391"]))
    settled = coder.settle("user")
    assert len(settled.hashes) == 5
    (told,) = settled.warnings
    assert told.startswith("user: 1 values stand both with composed accents and with decomposed")


def test_a_uuid_in_bytes_and_written_out_is_one(tmp_path):
    ids = [uuid.UUID(int=(i + 200) << 120 | 0x20) for i in range(20)]
    pieces = [
        pa.array([ids[i % 20].bytes for i in range(N)], pa.binary(16)),
        pa.array([str(ids[i % 20]) for i in range(N)]),
        pa.array([ids[i % 20].hex.upper() for i in range(N)]),
    ]
    assert users(store_of(tmp_path, pieces)) == 20


def test_versions_stay_apart_and_prices_meet():
    coder = Coder(whole=False)
    coder(pa.array(["1.1", "1.10", "1.0", "1"]))
    assert len(coder.settle("os").hashes) == 4
    coder(pa.array([1.1, 1.0, 2.5]))
    assert len(coder.settle("price").hashes) == 3


def test_leading_zeros_are_another_id_and_that_is_told(tmp_path):
    padded = pa.array([f"{i % 100:05d}" for i in range(N)])
    store = store_of(tmp_path, [padded, pa.array(np.arange(N) % 100)])
    assert users(store) == 200
    (told,) = [w for w in store.manifest.warnings if "leading zeros" in w]
    assert "data.columns.user 'user': 100 values" in told and "'00000' and '0'" in told


def test_uuids_and_other_bytes_are_read_by_their_bytes(tmp_path):
    ids = [uuid.UUID(int=i << 100 | 0x20).bytes for i in range(20)]
    ids[1], ids[2] = b"u1 ".ljust(16), b"u1".ljust(16, b"\0")
    for name, kind in (("fixed", pa.binary(16)), ("uuid", pa.uuid()), ("any", pa.binary())):
        pieces = [pa.array([ids[i % 20] for i in range(N)], kind)]
        (tmp_path / name).mkdir()
        assert users(store_of(tmp_path / name, pieces)) == 20


def test_text_in_another_encoding_is_an_id_too(tmp_path):
    latin = pa.array([f"é{i % 20}".encode("latin-1") for i in range(N)], pa.binary())
    as_text = pa.Array.from_buffers(pa.string(), N, latin.buffers())
    assert users(store_of(tmp_path, [as_text])) == 20


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([1.5, 2.0], "the number 1.5 .type double., and ids are whole numbers"),
        ([2.0**53 + 2], "tells whole numbers apart only up to 9,007,199,254,740,992"),
        ([decimal.Decimal("1.5")], "the number 1.5 .a decimal."),
        ([float("inf")], "the number inf"),
        ([[1, 2]], "values of type list<element: int64>, such as .1, 2., which are no ids"),
        ([{"a": 1}], "values of type struct<a: int64>"),
        (
            [dict.fromkeys(map(str, range(999)), 1)],
            "values of type struct<0: .{30,50}, such as .{50}",
        ),
    ],
)
def test_what_is_no_id_is_refused_by_column_type_and_example(tmp_path, values, sentence):
    with pytest.raises(DataError, match=f"0.parquet: data.columns.user 'user' holds .*{sentence}"):
        store_of(tmp_path, [pa.array(values)])


def test_sparse_values_are_coded_alike(tmp_path):
    n = 200
    for i, kind in enumerate((pa.int32(), pa.float64(), pa.string())):
        log = {
            "user": pa.array(np.arange(n) % 9),
            "item": pa.array(np.arange(n) % 7),
            "time": pa.array(1_600_000_000 + 3 * np.arange(n) + i),
            "hour": pa.array(np.arange(n) % 24).cast(kind),
        }
        pq.write_table(pa.table(log), tmp_path / f"{i}.parquet")
    data = events_spec(tmp_path, columns={"sparse": ("hour",)}, task="next_item")
    store = prepared(tmp_path / "out", data)
    assert store.manifest.table("hour").distinct == 24
    assert len(np.unique(column(store, "hour"))) == 24


@pytest.mark.parametrize("second", [str.upper, lambda text: uuid.UUID(text).hex])
def test_ids_in_two_spellings_are_told(second):
    coder, ids = Coder(whole=True), [str(uuid.UUID(int=i << 70 | 0xABC)) for i in range(40)]
    coder(pa.array([*ids, *map(second, ids)]))
    (told,) = coder.settle("data.columns.user 'u'").warnings
    assert "40 values are written in two ways" in told and second(ids[0]) in told


def test_random_letters_that_meet_by_chance_are_no_spellings():
    coder = Coder(whole=True)
    coder(pa.array([f"{chr(97 + i % 26)}{i}" for i in range(400)] + ["A0", "B1"]))
    assert not coder.settle("data.columns.user 'u'").warnings
