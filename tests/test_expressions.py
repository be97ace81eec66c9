"""The language of conditions and costs: what it says, what it refuses, that it ends."""

from __future__ import annotations

import operator
import os
import time

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from recscale.cli import main
from recscale.laws import LawError
from recscale.laws.expressions import column_words, parse, value_words
from recscale.laws.table import cost_of, select

LONG = "RECSCALE_SLOW" in os.environ
profile = settings(max_examples=5000 if LONG else 100, deadline=None, derandomize=not LONG)

RUNS = pd.DataFrame(
    {
        "N": [1e6, 1e8, np.nan, np.inf],
        "id": [1, 2, 9007199254740993, 4],
        "net": ["dlrm", None, "it's", 'say "x"'],
        "two words": [True, False, True, False],
        "few": pd.array([1, None, 3, 4], "Int64"),
        "at": pd.to_datetime(["2026-01-01", "2026-02-01", None, "2026-03-01"]),
        "kind": pd.Categorical(["a", "b", "a", "b"]),
        "and": [0, 1, 2, 3],
    }
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("N > 1e7", [1]),
        ("id == 9007199254740993", [2]),
        ("id == 9007199254740992", []),
        ("net == 'dlrm'", [0]),
        ('net == \'it\'\'s\' or net == "say ""x"""', [2, 3]),
        ("net != 'dlrm'", [1, 2, 3]),
        ("net != net", [1]),
        ("`two words` and not `and` == 0", [2]),
        ("`two words` == 1", [0, 2]),
        ("1 < id <= 4", [1, 3]),
        ("few >= 3", [2, 3]),
        ("at > '2026-01-15'", [1, 3]),
        ("kind == 'a' and id < 3", [0]),
        ("-2 ** 2 == -4 and 2 ** -1 == .5 and 2 ** 3 ** 2 == 512", [0, 1, 2, 3]),
        ("7 // 2 == 3 and 7 % 4 == 3 and 1 - 1 - 1 == -1 and 8 / 4 / 2 == 1", [0, 1, 2, 3]),
        ("true or false and false", [0, 1, 2, 3]),
        ("(true or false) and NOT True", []),
        ("1 / (id - 1) > 0", [1, 2, 3]),  # a division by 0 is missing
        ("(-id) ** .5 == 1", []),  # and so is what is not real
        ("N * 1e301 > 0", [0]),  # or not finite
    ],
)
def test_what_a_condition_says(text: str, rows: list[int]):
    assert np.flatnonzero(parse(text).truths(RUNS)).tolist() == rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "ends where a value is expected"),
        ("N >", "ends where a value is expected"),
        ("N", "not a condition"),
        ("(N > 1", "the end of the parenthesis of character 1"),
        ("N > 1)", "')' at character 6"),
        ("id + net > 1", "'+' at character 4 takes numbers, not text"),
        ("net > 1", "'>' at character 5 compares text with number"),
        ("id and true", "'and' at character 4 joins conditions"),
        ("loss > 1", "no column 'loss' (character 1)"),
        ("N & true", "'&' at character 3: write 'and'"),
        ("N = 1", "'=' at character 3: write '=='"),
        ("1 < 2 < 3 < 4", "a third comparison"),
        ("N.real > 1", "'.' at character 2 is not understood; allowed are"),
        ("N[0] > 1", "'[' at character 2"),
        ("abs(N) > 1", "'(' at character 4"),
        ("@N > 1", "'@' at character 1"),
        ("1 if N else 2", "'if' at character 3"),
        ("0x10 > 1", "'0x10' at character 1 is no number"),
        ("N > 1j", "'1j' at character 5 is no number"),
        ("1e999 > N", "'1e999' at character 1 is beyond"),
        ("2 ** N > 1", "exponent at character 3 is 1e+08 and 64 is the largest"),
        ("net == 'dlrm", "the ' at character 8 is not closed"),
        ("`two words", "the ` at character 1 is not closed"),
        ("(" * 40 + "1" + ")" * 40, "nested deeper than 30"),
        ("-" * 40 + "1 > 0", "nested deeper than 30"),
        ("not " * 40 + "true", "nested deeper than 30"),
        ("1 ** " * 40 + "1 > 0", "nested deeper than 30"),
        ("1 + " * 400 + "1 > 0", "1605 characters and 1000 are allowed"),
    ],
)
def test_what_it_does_not_say_is_told_with_its_place(text: str, said: str):
    with pytest.raises(LawError) as error:
        parse(text).truths(RUNS)
    assert said in str(error.value)


def test_values_of_several_kinds_and_names_that_stand_twice_are_refused():
    mixed = pd.DataFrame({"x": pd.Series([1, "a", None], dtype=object), "y": [[1], [2], [3]]})
    for text in ("x == 1", "y == 1"):
        with pytest.raises(LawError, match="values of several kinds"):
            parse(text).truths(mixed)
    twice = pd.DataFrame([[1, 2]], columns=pd.Index(["x", "x"]))
    with pytest.raises(LawError, match="2 columns are called 'x'"):
        parse("x == 1").truths(twice)


@pytest.mark.parametrize("text", ["9 ** 9 ** 9", "9**9**9**9", "'a' * 9", "9 ** N ** 9", "D > 1"])
def test_a_cost_ends_at_once_whatever_it_says(text: str):
    began = time.perf_counter()
    with pytest.raises(LawError, match="is not arithmetic on the variables N, D"):
        cost_of(text, ["N", "D"])(N=np.full(10, 1e9), D=np.full(10, 1e9))
    assert time.perf_counter() - began < 1


def test_a_number_too_large_is_missing_and_takes_no_time():
    towers = "(" * 25 + "9" + "** 9)" * 25
    began = time.perf_counter()
    assert np.isnan(cost_of(towers, ["N"])(N=np.ones(100_000))).all()
    assert time.perf_counter() - began < 1


def test_a_cost_counts_its_variables_whatever_they_are_called():
    cost = cost_of("6 * `model size` * D + D ** 2 / 2", ["model size", "D"])
    x = {"model size": np.array([1.0, 2.0]), "D": np.array([[10.0], [20.0]])}
    assert cost(**x).tolist() == [[110, 170], [320, 440]]
    assert cost_of("7", ["D"])(D=np.ones(3)).tolist() == [7, 7, 7]


def test_groups_of_a_table_are_written_as_conditions_that_find_them():
    for name in ("net", "two words", "and", "a`b", "id"):
        for value in ("it's", "both \" and '", "", 3, 2.5, True, "1"):
            frame = pd.DataFrame({name: [value, value], "loss": [1.0, 2.0]})
            text = f"{column_words(name)} == {value_words(value)}"
            assert select(frame, text, "--where").all(), text


def test_the_command_line_refuses_with_a_sentence(tmp_path):
    D = np.geomspace(1e3, 1e7, 12)
    pd.DataFrame({"D": D, "C": 6 * D, "loss": 2 + 30 * D**-0.5}).to_csv(tmp_path / "runs.csv")
    table, power = str(tmp_path / "runs.csv"), ["--variables", "D", "--form", "power"]
    for verb, more in (("fit", []), ("replay", ["--cost", "D", "--target", "D > 1e6"])):
        for option in ("--where", "--cost", "--predict" if verb == "fit" else "--target"):
            for text in ("D.sum() > 1", "9**9**9**9", "D >", "__import__", "D" * 2000):
                words = [verb, table, *power, *more, option, text]
                result = CliRunner().invoke(main, words)
                assert result.exit_code == 2, (words, result.output)
                assert option in result.output and len(result.output) < 700


# Trees of the language, written out and worked out by numpy one operation at a time

VALUES = {"x": np.array([-1.5, 0.0, 2.0, np.nan]), "n": np.array([3, -4, 5, 0])}
FRAME = pd.DataFrame({"x": VALUES["x"], "a b": VALUES["n"]})
numbers = st.one_of(
    st.just(("x", VALUES["x"])),
    st.just(("`a b`", VALUES["n"])),
    st.sampled_from(["0", "1", "2.5", ".5", "1e3", "7"]).map(lambda t: (t, np.float64(t))),
)


def combined(children: st.SearchStrategy) -> st.SearchStrategy:
    signs = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}

    def join(a, sign, b):
        with np.errstate(all="ignore"):
            value = signs[sign](np.asarray(a[1], float), np.asarray(b[1], float))
        return f"({a[0]} {sign} {b[0]})", np.where(np.isfinite(value), value, np.nan)

    return st.builds(join, children, st.sampled_from(sorted(signs)), children) | children.map(
        lambda c: (f"-{c[0]}", -np.asarray(c[1], float))
    )


arithmetic = st.recursive(numbers, combined, max_leaves=8)
SIGNS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
comparisons = st.builds(
    lambda a, s, b: (f"{a[0]} {s} {b[0]}", getattr(operator, SIGNS[s])(a[1], b[1])),
    arithmetic,
    st.sampled_from(sorted(SIGNS)),
    arithmetic,
)
conditions = st.recursive(
    comparisons,
    lambda c: st.one_of(
        st.builds(lambda a, b: (f"({a[0]}) and ({b[0]})", a[1] & b[1]), c, c),
        st.builds(lambda a, b: (f"({a[0]}) or ({b[0]})", a[1] | b[1]), c, c),
        c.map(lambda a: (f"not ({a[0]})", ~np.asarray(a[1]))),
    ),
    max_leaves=4,
)


@given(conditions)
@profile
def test_a_condition_is_what_numpy_makes_of_its_parts(condition):
    text, expected = condition
    if len(text) <= 1000:
        assert parse(text).truths(FRAME).tolist() == np.broadcast_to(expected, 4).tolist()


tokens = st.sampled_from(
    [
        *"+-*/%<>()'\"`.,[]{}@&|!=~^#:;\\ \n\t\0",
        "**",
        "//",
        "==",
        "!=",
        "<=",
        ">=",
        "and",
        "or",
        "not",
    ]
    + ["x", "`a b`", "n", "1", "1e9", "1e999", ".5", "'t'", "true", "False", "in", "if", "lambda"]
    + ["é", "日", "\u202e", "x.y", "f(x)", "__class__", "9" * 30]
)


@given(st.lists(tokens, max_size=30).map(" ".join) | st.text(max_size=60))
@profile
def test_any_text_is_a_condition_or_a_sentence(text: str):
    try:
        assert parse(text).truths(FRAME).dtype == bool
    except LawError as error:
        assert str(error) and len(str(error)) < 400 and "\n" not in str(error).replace(text, "")
