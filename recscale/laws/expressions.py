"""The one language in which users write conditions and costs: `outlier5 == 0 and C > 1e21`.

    condition   a or b, a and b, not a, ( )
    comparison  == != < <= > >=, also 1e6 < N < 1e9
    arithmetic  + - * / // % **, ( )
    values      12, 1e9, 'text', true, false, a column; `two words` where its name has other signs

Nothing here is Python: a text becomes steps for a small stack machine over columns, which knows no
attribute, call or index. Its length, depth and powers are limited, and numbers are doubles, so that
a text can neither run for ever nor fill memory. What is no finite real number (a division by 0, a
root of a negative number) is missing, as a cell may be, and no comparison but != holds for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recscale.laws.columns import cells, column
from recscale.laws.grammar import NAME, WORDS, ExpressionError, Step, steps_of
from recscale.words import shown

POWER = 64  # the largest exponent, of either sign

COMPARE: dict[str, Callable[..., Any]] = {
    "==": np.equal, "!=": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater,
    ">=": np.greater_equal,
}  # fmt: skip
ARITHMETIC: dict[str, Callable[..., Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "//": np.floor_divide,
    "%": np.mod, "**": np.power,
}  # fmt: skip


Columns = Mapping[str, Any] | pd.DataFrame
"""Name -> values; arrays that broadcast, or a frame."""


@dataclass(frozen=True)
class Expression:
    """A text that was read; `steps` leave its value on top of an empty stack."""

    steps: tuple[Step, ...]

    def over(self, columns: Columns) -> np.ndarray:
        """Its value for each row: numbers (NaN where missing), truths or texts.

        Args:
            columns: see `Columns`.

        Raises:
            ExpressionError: an unknown column, one that holds several kinds of values, text where
                a number belongs, too large a power.
        """
        stack: list[np.ndarray] = []
        with np.errstate(all="ignore"):
            for step in self.steps:
                n = len(step.value) + 1 if step.kind == "compare" else TAKES.get(step.kind, 0)
                taken = [stack.pop() for _ in range(n)][::-1]
                stack.append(_run(step, taken, columns))
        return stack[0]

    def truths(self, frame: pd.DataFrame) -> np.ndarray:
        """Whether it holds for each row of a frame, (n,)."""
        value = self.over(frame)
        if value.dtype != bool:
            raise ExpressionError("it is not a condition such as x > 0")
        return np.broadcast_to(value, len(frame))

    def numbers(self, columns: Columns) -> np.ndarray:
        """Its value for each row as doubles, NaN where missing."""
        value = self.over(columns)
        if value.dtype == bool or value.dtype == object:
            raise ExpressionError("it is no arithmetic: it gives no number")
        return value.astype(float)


TAKES = {"arithmetic": 2, "and": 2, "or": 2, "not": 1, "minus": 1, "plus": 1}


def parse(text: str) -> Expression:
    """Reads a text of the language above.

    Raises:
        ExpressionError: what was met, at which character, and what is allowed.

    Example:
        >>> frame = pd.DataFrame({"N": [1e6, 1e8], "net": ["dlrm", "dcnv2"], "two words": [0, 1]})
        >>> parse("N > 1e7 and net != 'dlrm' or not `two words` == 1").truths(frame).tolist()
        [True, True]
        >>> parse("6 * N ** 2 / 1e12").numbers(frame).tolist()
        [6.0, 60000.0]
    """
    return Expression(steps_of(text))


def column_words(name: Any) -> str:
    """A column's name as this language writes it."""
    text = str(name)
    plain = NAME.fullmatch(text) and text.lower() not in WORDS
    return text if plain else "`" + text.replace("`", "``") + "`"


def value_words(value: Any) -> str:
    """A cell's value as this language writes it: a number, a truth, or text in quotes."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, int | float | np.number):
        return f"{value}"
    return "'" + str(value).replace("'", "''") + "'"


def _run(step: Step, taken: list[np.ndarray], columns: Columns) -> np.ndarray:
    if step.kind == "column":
        return _column(step, columns)
    if step.kind == "text":
        return np.array(step.value, object)
    if step.kind in ("number", "truth"):
        return np.asarray(step.value)
    if step.kind == "compare":
        pairs = zip(step.value, taken[:-1], taken[1:], strict=True)
        return np.logical_and.reduce(np.broadcast_arrays(*(_holds(step, *p) for p in pairs)))
    if step.kind in ("and", "or", "not"):
        for value in taken:
            if value.dtype != bool:
                raise ExpressionError(
                    f"{step.kind!r} at character {step.at} joins conditions such as x > 0, not "
                    f"{_kind(value)}s"
                )
        return {"and": np.logical_and, "or": np.logical_or, "not": np.logical_not}[step.kind](
            *taken
        )
    for value in taken:
        if value.dtype == object:
            raise ExpressionError(f"{step.value!r} at character {step.at} takes numbers, not text")
    numbers = [value.astype(float) for value in taken]
    if step.kind != "arithmetic":
        return -numbers[0] if step.kind == "minus" else numbers[0]
    if step.value == "**" and np.any(np.abs(numbers[1]) > POWER):
        raise ExpressionError(
            f"the exponent at character {step.at} is {np.nanmax(np.abs(numbers[1])):.3g} and "
            f"{POWER} is the largest"
        )
    value = ARITHMETIC[step.value](*numbers)
    return np.where(np.isfinite(value), value, np.nan)


def _holds(step: Step, sign: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A comparison for each row; text is compared as text, truths as 0 and 1."""
    if (a.dtype == object) != (b.dtype == object):
        raise ExpressionError(
            f"{sign!r} at character {step.at} compares {_kind(a)} with {_kind(b)}; a text stands "
            "in quotes, a number without"
        )
    if a.dtype != object:
        return np.asarray(COMPARE[sign](a, b))
    a, b = np.broadcast_arrays(a, b)
    known = ~(pd.isna(a) | pd.isna(b))
    out = np.full(a.shape, sign == "!=")
    out[known] = COMPARE[sign](a[known].astype(str), b[known].astype(str))
    return out


def _kind(value: np.ndarray) -> str:
    return "text" if value.dtype == object else "truth" if value.dtype == bool else "number"


def _column(step: Step, columns: Columns) -> np.ndarray:
    """The values of a column; of a frame as `cells` gives them, with what is not finite missing."""
    name = step.value
    if name not in map(str, columns):
        raise ExpressionError(f"there is no column {shown(name)} (character {step.at})")
    if isinstance(columns, pd.DataFrame):
        values = cells(name, column(columns, name))
    else:
        values = np.asarray(columns[name])
    return np.where(np.isfinite(values), values, np.nan) if values.dtype.kind == "f" else values
