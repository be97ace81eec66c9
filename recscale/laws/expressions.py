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

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from recscale.laws.columns import cells, column
from recscale.laws.nouns import LawError

LONGEST = 1000  # characters
DEEPEST = 30  # parentheses, signs and powers within each other
POWER = 64  # the largest exponent, of either sign
SHOWN = 60  # characters of a refused text that its error repeats

GRAMMAR = (
    "allowed are + - * / // % **, == != < <= > >=, and or not, parentheses, numbers, 'text', true, "
    "false, and columns, in ` ` where a name holds other signs than letters, digits and _"
)
WORDS = {"and", "or", "not", "true", "false"}
NAME = re.compile(r"[^\W\d]\w*")
TOKEN = re.compile(
    r"""\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])
    |(?P<name>[^\W\d]\w*)
    |`(?P<column>(?:[^`]|``)+)`
    |'(?P<single>(?:[^']|'')*)'
    |"(?P<double>(?:[^"]|"")*)"
    |(?P<sign>\*\*|//|==|!=|<=|>=|[-+*/%<>()])
    |(?P<end>\Z))""",
    re.VERBOSE,
)
INSTEAD = {"&": "and", "|": "or", "~": "not", "!": "not", "^": "**", "=": "=="}
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


class ExpressionError(LawError):
    """What is wrong with a text, and where; says nothing of the option it was given for."""


class Token(NamedTuple):
    kind: str
    value: Any
    at: int
    """Its first character, counted from 1."""


class Step(NamedTuple):
    """One step of the stack machine: `value` is a constant, a column, or signs of an operation."""

    kind: str
    value: Any
    at: int


@dataclass(frozen=True)
class Expression:
    """A text that was read; `steps` leave its value on top of an empty stack."""

    text: str
    steps: tuple[Step, ...]

    @property
    def columns(self) -> set[str]:
        return {s.value for s in self.steps if s.kind == "column"}

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
        >>> parse("N.sum() > 1")
        Traceback (most recent call last):
        recscale.laws.expressions.ExpressionError: '.' at character 2 is not understood; ...
    """
    if len(text) > LONGEST:
        raise ExpressionError(f"it has {len(text)} characters and {LONGEST} are allowed")
    return Expression(text, tuple(_Parser(_tokens(text)).whole()))


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


def shortened(text: str) -> str:
    """A text as an error repeats it: quoted, and cut where it is long."""
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")


def _tokens(text: str) -> list[Token]:
    out, at = [], 0
    while True:
        match = TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(_unread(text, at))
        kind = match.lastgroup or ""
        value, start = match[kind], match.start(kind) + 1
        at = match.end()
        if kind == "end":
            return [*out, Token("end", "its end", len(text) + 1)]
        quote = {"single": "'", "double": '"', "column": "`"}.get(kind)
        if quote:
            value, start = value.replace(2 * quote, quote), start - 1
            kind = "column" if kind == "column" else "text"
        elif kind == "name":
            kind = "word" if value.lower() in WORDS else "column"
            value = value.lower() if kind == "word" else value
        elif kind == "number":
            value = _literal(value, start)
        out.append(Token(kind, value, start))


def _unread(text: str, at: int) -> str:
    at += len(text[at:]) - len(text[at:].lstrip())
    sign = text[at]
    if sign in INSTEAD:
        return f"{sign!r} at character {at + 1}: write {INSTEAD[sign]!r}"
    if sign in "'\"`":
        return f"the {sign} at character {at + 1} is not closed"
    if sign.isdigit() or (sign == "." and text[at + 1 : at + 2].isdigit()):
        found = re.match(r"[\w.]+", text[at:])
        return f"{shortened(found[0] if found else sign)} at character {at + 1} is no number"
    return f"{sign!r} at character {at + 1} is not understood; {GRAMMAR}"


def _literal(text: str, at: int) -> int | float:
    """Whole numbers stay whole, so that large ids compare exactly."""
    value = int(text) if text.isdecimal() and len(text) < 19 else float(text)
    if not np.isfinite(value):
        raise ExpressionError(f"{shortened(text)} at character {at} is beyond 1e308")
    return value


class _Parser:
    """Recursive descent, one method a level of precedence; each returns the steps it read."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.place, self.depth = tokens, 0, 0

    def whole(self) -> list[Step]:
        steps = self.either()
        if self.next.kind != "end":
            raise self.unexpected("an operation or the end")
        return steps

    @property
    def next(self) -> Token:
        return self.tokens[self.place]

    def take(self, *values: str) -> Token | None:
        token = self.next
        if token.kind in ("sign", "word") and token.value in values:
            self.place += 1
            return token
        return None

    def unexpected(self, wanted: str) -> ExpressionError:
        token = self.next
        if token.kind == "end":
            return ExpressionError(f"it ends where {wanted} is expected")
        return ExpressionError(
            f"{shortened(str(token.value))} at character {token.at} stands where {wanted} is "
            f"expected; {GRAMMAR}"
        )

    def deeper(self, read: Callable[[], list[Step]]) -> list[Step]:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ExpressionError(
                f"at character {self.next.at} it is nested deeper than {DEEPEST} levels"
            )
        steps = read()
        self.depth -= 1
        return steps

    def either(self) -> list[Step]:
        return self.joined(self.both, "or")

    def both(self) -> list[Step]:
        return self.joined(self.negated, "and")

    def joined(self, read: Callable[[], list[Step]], word: str) -> list[Step]:
        steps = read()
        while token := self.take(word):
            steps += [*read(), Step(word, word, token.at)]
        return steps

    def negated(self) -> list[Step]:
        if token := self.take("not"):
            return [*self.deeper(self.negated), Step("not", "not", token.at)]
        return self.compared()

    def compared(self) -> list[Step]:
        steps, signs = self.sum(), []
        while token := self.take(*COMPARE):
            signs.append(token)
            if len(signs) > 2:
                raise ExpressionError(
                    f"at character {token.at} a third comparison follows; join them by 'and'"
                )
            steps += self.sum()
        if signs:
            steps.append(Step("compare", tuple(t.value for t in signs), signs[0].at))
        return steps

    def sum(self) -> list[Step]:
        return self.operated(self.product, "+", "-")

    def product(self) -> list[Step]:
        return self.operated(self.signed, "*", "/", "//", "%")

    def operated(self, read: Callable[[], list[Step]], *signs: str) -> list[Step]:
        steps = read()
        while token := self.take(*signs):
            steps += [*read(), Step("arithmetic", token.value, token.at)]
        return steps

    def signed(self) -> list[Step]:
        if token := self.take("-", "+"):
            kind = "minus" if token.value == "-" else "plus"
            return [*self.deeper(self.signed), Step(kind, token.value, token.at)]
        return self.raised()

    def raised(self) -> list[Step]:
        steps = self.atom()
        if token := self.take("**"):
            steps += [*self.deeper(self.signed), Step("arithmetic", "**", token.at)]
        return steps

    def atom(self) -> list[Step]:
        token = self.next
        if self.take("("):
            steps = self.deeper(self.either)
            if not self.take(")"):
                raise self.unexpected(f"the end of the parenthesis of character {token.at}")
            return steps
        if token.kind in ("number", "text", "column"):
            self.place += 1
            return [Step(token.kind, token.value, token.at)]
        if self.take("true", "false"):
            return [Step("truth", token.value == "true", token.at)]
        raise self.unexpected("a value")


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
        raise ExpressionError(f"there is no column {shortened(name)} (character {step.at})")
    if isinstance(columns, pd.DataFrame):
        values = cells(name, column(columns, name))
    else:
        values = np.asarray(columns[name])
    return np.where(np.isfinite(values), values, np.nan) if values.dtype.kind == "f" else values
