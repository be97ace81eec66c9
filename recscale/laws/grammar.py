"""The language of `expressions`: from a text to the steps of a stack machine, or what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from recscale.laws.nouns import LawError
from recscale.words import shown

LONGEST = 1000  # characters
DEEPEST = 30  # parentheses, signs and powers within each other

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
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")


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


def steps_of(text: str) -> tuple[Step, ...]:
    """The steps that leave the value of a text on an empty stack. Raises ExpressionError."""
    if len(text) > LONGEST:
        raise ExpressionError(f"it has {len(text)} characters and {LONGEST} are allowed")
    return tuple(_Parser(_tokens(text)).whole())


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
        return f"{shown(found[0] if found else sign)} at character {at + 1} is no number"
    return f"{sign!r} at character {at + 1} is not understood; {GRAMMAR}"


def _literal(text: str, at: int) -> int | float:
    """Whole numbers stay whole, so that large ids compare exactly."""
    value = int(text) if text.isdecimal() and len(text) < 19 else float(text)
    if not np.isfinite(value):
        raise ExpressionError(f"{shown(text)} at character {at} is beyond 1e308")
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
            f"{shown(str(token.value))} at character {token.at} stands where {wanted} is "
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
        while token := self.take(*COMPARISONS):
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
