"""What a sweep file may hold: plain YAML of a bounded size, refused in its own words and soon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from recscale.spec.document import MOST_VALUES
from recscale.specfile import SpecError, load_spec, parse_spec, with_lines

GOOD = """name: x
data: {source: synthetic}
model: {family: dlrm, embedding_dim: [4, 8]}
budget: {flop: 1e16}
"""
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
CHAIN = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 60))
MANY = ", ".join(str(4 * i) for i in range(1, 100_001))


def refused(content: bytes | str, path: Path) -> list[str]:
    """The lines of the refusal, which comes within a second of this process's time."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    begin = time.process_time()
    with pytest.raises(SpecError) as error:
        load_spec(path)
    assert time.process_time() - begin < 1
    return error.value.lines


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (GOOD + "law: {variables: &a [samples, *a]}\n", 5, "holds the alias itself"),
        (GOOD + "train: &t {learning_rate: *t}\n", 5, "holds the alias itself"),
        (GOOD + "train: &t\n  <<: *t\n", 6, "holds the alias itself"),
        (GOOD + BOMB, 5, f"holds {MOST_VALUES:,} in all"),
        (GOOD + CHAIN, 5, "within each other"),
        (GOOD + "law: " + "[" * 100_000, 5, "within each other"),
        (GOOD + "? " * 3000 + "x\n", 5, "within each other"),
        (GOOD + "storage: !!python/name:os.getcwd\n", 5, "!!python/name:os.getcwd means nothing"),
        (GOOD + "storage: !!binary aGVsbG8=\n", 5, "!!binary means nothing here"),
        (GOOD + "train: !!set {a, b}\n", 5, "!!set means nothing here"),
        (GOOD + "train: {seeds: !!int abc}\n", 5, "train.seeds: 'abc': cannot be read as a number"),
        (GOOD + "train: {seeds: !!int ''}\n", 5, "train.seeds: '': cannot be read as a number"),
        (GOOD + f"train: {{seeds: {'9' * 5000}}}\n", 5, "cannot be read as a number"),
        (GOOD + f"train: {{seeds: 0x{'f' * 5000}}}\n", 5, "beyond the largest number"),
        (GOOD + "train: {seeds: 1:30}\n", 5, "'1:30': should be a whole number"),
        (GOOD + "1: x\n", 5, "1: unknown key"),
        (GOOD + "null: x\n", 5, "null: unknown key"),
        (GOOD + "? [a, b]\n: c\n", 5, "a key is a word"),
        (GOOD + "? {a: b}\n: c\n", 5, "a key is a word"),
        (GOOD + '"\\ud800": 1\n', 5, "which no text may hold"),
        (GOOD + "train: {seeds: 1, seeds: 2}\n", 5, "train.seeds: the key stands twice"),
        (GOOD + "storage: a\0b\n", 5, "the character U+0000 may not stand in YAML"),
        (GOOD + 'storage: "a\\0b"\n', 5, "storage: 'a\\x00b': holds U+0000"),
        (GOOD + "---\n" + GOOD, 5, "not YAML: expected a single document"),
        (GOOD + "train: {seeds: 1", 5, "not YAML: while parsing a flow mapping"),
        (GOOD.encode() + b"storage: caf\xe9\n", 5, "the byte 0xe9 is not UTF-8"),
        (GOOD.encode("utf-16"), 1, "the byte 0xff is not UTF-8"),
        (GOOD.replace("[4, 8]", f"[{MANY}]"), 3, "model.embedding_dim: a list of more than 4,987"),
        (GOOD.replace("[4, 8]", f"[{MANY[:14000]}]"), 3, "an axis takes 1,000 at most"),
        (GOOD + "train: {seeds: 100000}\n", 5, "train.seeds: 100000: should be at most 1,000"),
        (GOOD + "train: {eval_points: 10000000}\n", 5, "10000000: should be at most 64"),
        (GOOD.replace("[4, 8]", "1e300"), 3, "1e+300: should be at most 1e+12"),
        (GOOD.replace("family:", "mlp_depth: 1000000000, family:"), 3, "should be at most 1,000"),
    ],
    ids=lambda value: ascii(value)[-42:] if isinstance(value, str | bytes) else None,
)  # fmt: skip
def test_no_text_takes_long_or_ends_in_a_traceback(text, line: int, said: str, tmp_path: Path):
    lines = refused(text, tmp_path / "s.yaml")
    assert len(lines) == 1 and lines[0].startswith(f"{tmp_path}/s.yaml:{line}: "), lines
    assert said in lines[0]


def test_a_sweep_of_too_many_runs_is_refused_with_the_sizes_of_its_axes(tmp_path: Path):
    wide = ", ".join(str(4 * i) for i in range(1, 101))
    text = GOOD.replace("[4, 8]", f"[{wide}], mlp_width: [{wide}]") + "train:\n  seeds: 3\n"
    (said,) = refused(text, tmp_path / "s.yaml")
    assert ":3: model.embedding_dim: 100 of it" in said and "a sweep of 30,000 runs" in said
    assert "model.embedding_dim 100, model.mlp_width 100, train.seeds 3" in said
    axes = text + "search: {strategy: axes}\n"
    assert parse_spec(axes)  # one at a time they are few
    (said,) = refused(axes.replace("seeds: 3", "seeds: 1000"), tmp_path / "s.yaml")
    assert ":6: train.seeds: 1,000 of it" in said
    many = "\n".join(f"  {axis}: [{wide}]" for axis in ("embedding_dim", "mlp_width",
                     "overarch_width", "embedding_rows", "sequence_length"))  # fmt: skip
    text = GOOD.replace("{family: dlrm, embedding_dim: [4, 8]}", f"\n  family: dlrm\n{many}")
    search = "search: {strategy: frontier, target: {flop: 10x}}\n"
    (said,) = refused(text + search, tmp_path / "s.yaml")
    assert "10,000,000,000 candidates" in said and "at most 1,000,000,000" in said


def test_a_file_larger_than_any_sweep_is_not_read(tmp_path: Path):
    (said,) = refused(b"#" * (2 << 20), tmp_path / "s.yaml")
    assert "larger than 1.0 MB" in said
    (tmp_path / "folder").mkdir()
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        load_spec(tmp_path / "folder")


def test_merge_keys_dates_and_numbers_as_text_are_plain_values():
    spec = parse_spec(
        GOOD.replace("name: x", "name: 2026-01-01")
        + "law: {<<: {form: auto, hold_out_largest: 1}, below_baseline: true, form: power}\n"
    )
    assert spec.name == "2026-01-01"
    assert (spec.law.form, spec.law.hold_out_largest) == ("power", 1) and spec.law.below_baseline
    weights = "columns: {user: u, item: i, time: t, sparse: ['2019'], weights: {2019: w}}"
    log = f"{{source: events, path: x, {weights}}}"
    assert parse_spec(GOOD.replace("{source: synthetic}", log)).data.columns.weights == {  # type: ignore[union-attr]
        "2019": "w"
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("source: synthetic", "source:", "data.source: null is not a source"),
        ("name: x", "name: 3", "name: 3: should be text; put it in quotes"),
        ("name: x", f"name: {'x' * 300}", "100 at most"),
        ("name: x", "name: store", "prepared data lies in a folder of this name"),
        ("{family: dlrm, embedding_dim: [4, 8]}", "[]", "model: a sweep needs at least one family"),
        ("[4, 8]", "{a: 1}", "model.embedding_dim: a mapping: should be a whole number"),
        ("{flop: 1e16}", "", "budget: null: should be a mapping; write {usd: 10}, or {flop: "),
        ("{flop: 1e16}", "{flop: .nan}", "budget.flop: nan: should be a finite number"),
        ("{flop: 1e16}", "{flop: -1}", "budget.flop: -1: should be above 0"),
        ("{flop: 1e16}", "{}", "budget: needs a limit; give at least one of flop"),
        ("budget", "resources: {elastic: [1]}\nbudget", "elastic: should be [least, most]"),
        ("budget", "law: {variables: samples}\nbudget",
         "law.variables: 'samples': should be a list, in brackets"),
        ("budget", "search: {strategy: axes, base: {mlp_width: x}}\nbudget",
         "search.base.mlp_width: 'x': should be a number"),
        ("budget", "probes: [robustness, robustness]\nbudget", "'robustness' stands twice"),
        ("budget", "probes: [latency, long_tail]\nbudget",
         "probes: long_tail belong to models of task next_item"),
        ("budget", "train: {learning_rate: {dense: 2e11}}\nbudget", "should be at most 10,000"),
    ],
)  # fmt: skip
def test_refusals_are_in_the_words_of_the_file(old: str, new: str, said: str):
    assert GOOD.count(old) == 1
    with pytest.raises(SpecError) as error:
        parse_spec(GOOD.replace(old, new), "s.yaml")
    assert len(error.value.lines) == 1, error.value.lines
    assert said in error.value.lines[0]


def test_one_complaint_where_several_kinds_of_values_may_stand():
    log = "{source: events, path: x, columns: {user: u, item: i, time: t}, format: %s}"
    for value, said in (
        ("csw", "data.format: 'csw': should be 'auto', 'csv', 'tsv', 'parquet', 'arrow', 'jsonl' or"
         " 'delta' or a mapping"),
        ("{separator: ''}", "data.format.separator: '': should be one character or several"),
        ("{header: 3}", "data.format.header: 3: should be true or false or a list, in brackets"),
        ("{seperator: x}", "data.format.seperator: unknown key; did you mean 'separator'?"),
    ):  # fmt: skip
        with pytest.raises(SpecError) as error:
            parse_spec(GOOD.replace("{source: synthetic}", log % value), "s.yaml")
        assert len(error.value.lines) == 1 and said in error.value.lines[0], error.value.lines
    with pytest.raises(SpecError, match="strptime pattern"):
        parse_spec(GOOD.replace("{source: synthetic}", log % "auto, time_format: '%d %d'"))


def test_sentences_of_later_checks_get_their_lines(tmp_path: Path):
    path = tmp_path / "s.yaml"
    path.write_text(GOOD + "train:\n  data_fraction: [0.5,\n    0.6]\n")
    said = with_lines(
        path,
        "train.data_fraction[1]: too small\nmodel.mlp_width: x\nno key: at all\ndata has no rows\n"
        "law: nothing\ndata.path nowhere: no file",
    )
    assert said.splitlines() == [
        f"{path}:7: train.data_fraction[1]: too small",
        f"{path}:3: model.mlp_width: x",
        "no key: at all",
        "data has no rows",
        "law: nothing",
        f"{path}:2: data.path nowhere: no file",
    ]
