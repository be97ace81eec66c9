"""Rows that cannot be used: counted by reason, shown by an example, and refused when too many."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from recscale.data.clock import FORMS
from recscale.data.dialects import RAGGED
from recscale.data.layout import DataError
from recscale.data.plain import example, plain
from recscale.data.timetext import AMBIGUOUS
from recscale.spec import EventsData, PublishedData, positive_column

NULL_USER, NULL_ITEM = "user missing", "item missing"
BAD_TIME, OTHER_UNIT = "time unreadable", "time of another unit than most"
BAD_LABEL, NO_NUMBER = "label not 0 or 1", "no number to compare"
COPY = "copy of another row"


def bad_label(name: str) -> str:
    """The reason, of one of several labels by its name."""
    return f"label {name} not 0 or 1" if name else BAD_LABEL


NAMED = 3
"""Files that a sentence names."""


def ragged_warnings(lines: Counter[Path], remedy: str = "correct them") -> list[str]:
    """A sentence that names the files with lines of another number of fields, and counts them."""
    if not lines:
        return []
    told = [f"{file}: {n:,}" for file, n in lines.most_common(NAMED)]
    more = [f"{len(lines) - NAMED:,} more files"] if len(lines) > NAMED else []
    return [
        "lines with another number of fields than the file's others are left out: "
        f"{', '.join(told + more)}; {remedy}"
    ]


class Dropped:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._examples: dict[str, tuple[Path, str]] = {}

    def add(self, reason: str, column: pa.Array, rows: np.ndarray, file: Path) -> None:
        """rows: bool [n], those of the file's column that are dropped for it."""
        lost = int(rows.sum())
        if lost:
            self.counts[reason] += lost
            if reason not in self._examples:
                self._examples[reason] = file, example(plain(column), rows)

    def told(self, reason: str, lost: int, shown: tuple[Path, str] | None = None) -> None:
        """Rows that are known to be lost only when all are read. shown: an example and its file."""
        if lost:
            self.counts[reason] += lost
            if shown:
                self._examples.setdefault(reason, shown)

    def ragged(self, lines: Counter[Path]) -> None:
        """lines: of text files, those with another number of fields, by file."""
        if lines:
            self.told(RAGGED, lines.total(), (next(iter(lines)), ""))

    def _counted(self, path: str) -> str:
        told = []
        for reason, count in self.counts.most_common():
            file, shown = self._examples.get(reason, (None, ""))
            unsaid = file is None or reason in (NULL_USER, NULL_ITEM, RAGGED)
            such = "" if unsaid else f", such as {shown}"
            where = "" if file is None or str(file) == path else f" in {file}"
            told.append(f"{reason}: {count}{such}{where}")
        return ", ".join(told)

    def check(self, data: EventsData | PublishedData, raw_rows: int) -> None:
        """Raises DataError when nothing is left, or more is lost than the spec allows."""
        lost = sum(self.counts.values())
        if lost >= raw_rows:
            counted = self._counted(data.path) or "the files hold no rows"
            raise DataError(
                f"data.path {data.path}: none of the {raw_rows} rows is usable ({counted})"
                f"{self._remedy(data, True)}"
            )
        if lost > data.refuse_above * raw_rows:
            raise DataError(
                f"data.path {data.path}: {lost / raw_rows:.1%} of the {raw_rows} rows would be "
                f"dropped ({self._counted(data.path)}), more than data.refuse_above "
                f"({data.refuse_above:.1%})"
                f"{self._remedy(data, False)}"
            )

    def _remedy(self, data: EventsData | PublishedData, all_lost: bool) -> str:
        """What helps against the commonest reason. To allow more of the loss helps only where the
        rows themselves are bad, not where they are misread."""
        worst = self.counts.most_common(1)[0][0] if self.counts else None
        time = f"data.columns.time {data.columns.time!r}"
        if worst == BAD_TIME:
            if BAD_TIME in self._examples and AMBIGUOUS.match(self._examples[BAD_TIME][1]):
                return f"; say whether {time} is data.time_format: day_first or month_first"
            return f"; in {time} {FORMS}"
        if worst == BAD_LABEL:
            return (
                "; a label is 0 or 1, true or false: for stars, counts or -1 say data.positive, "
                f'such as "{data.columns.label} >= 4" or "{data.columns.label} > 0", in place of '
                "data.columns.label; where nothing stands for no click, write 0"
            )
        bad = [c for c in data.columns.labels if worst == bad_label(c)]
        if bad:
            return (
                f"; each label is 0 or 1, true or false: write 0 in {bad[0]!r} where nothing "
                "stands for none, or leave it out of data.columns.labels"
            )
        if worst == NO_NUMBER:
            return (
                f"; data.positive compares numbers in {positive_column(data)!r}: write 0 where "
                "nothing stands for none, or raise data.refuse_above"
            )
        if worst in (NULL_USER, NULL_ITEM):
            part = "user" if worst == NULL_USER else "item"
            return (
                f"; check data.columns.{part} {getattr(data.columns, part)!r}, or leave the rows "
                "that have none out of the log"
            )
        if worst == RAGGED:
            return (
                "; say the dialect of the lines by data.format: {separator: ..., quote: ..., "
                "header: [...]}, or correct them"
            )
        if worst == OTHER_UNIT:
            return f"; write {time} in one way in all files"
        return "" if all_lost else "; correct the log or data.columns, or raise data.refuse_above"
