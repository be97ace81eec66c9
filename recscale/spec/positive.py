"""`positive: "rating >= 4"`: which rows of a log are positives, as one comparison."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recscale.words import shown

OPERATORS: dict[str, Callable[[Any, float], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_FORM = re.compile(
    r"""\s*(?: `(?P<ticked>[^`]+)` | "(?P<quoted>[^"]+)" | '(?P<single>[^']+)'
             | (?P<bare>[^\s<>=!]+) )
        \s* (?P<operator> >=|<=|!=|==|=|>|< )
        \s* (?P<number> [+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? ) \s*""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Comparison:
    column: str
    operator: str
    number: float

    @classmethod
    def of(cls, text: str) -> Comparison:
        """Of `rating >= 4`; a column's name with blanks stands in backticks or quotes, and a
        single `=` is `==`. Raises ValueError for anything else."""
        found = _FORM.fullmatch(text)
        if not found:
            raise ValueError(
                f"{shown(text)} is no comparison of a column with a number; write "
                "rating >= 4, or `watch time` > 30 (with one of >= > <= < == !=)"
            )
        names = found["ticked"], found["quoted"], found["single"], found["bare"]
        sign = "==" if found["operator"] == "=" else found["operator"]
        return cls(next(n for n in names if n), sign, float(found["number"]))

    def __call__(self, values: Any) -> Any:
        """bool [n] of float64 [n]."""
        return OPERATORS[self.operator](values, self.number)

    def __str__(self) -> str:
        return f"{self.column} {self.operator} {self.number:.15g}"
