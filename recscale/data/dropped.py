"""Rows that cannot be used: counted by reason, shown by an example, and refused when too many."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa

from recscale.data.clock import FORMS
from recscale.data.dialects import RAGGED
from recscale.data.layout import DataError
from recscale.data.plain import example, plain
from recscale.data.timetext import AMBIGUOUS
from recscale.spec import EventsData, PublishedData

NULL_USER, NULL_ITEM = "user missing", "item missing"
BAD_TIME, OTHER_UNIT = "time unreadable", "time of another unit than most"
BAD_LABEL, NO_NUMBER = "label not 0 or 1", "no number to compare"
COPY = "copy of another row"


class Dropped:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, reason: str, column: pa.Array, rows: np.ndarray) -> None:
        """rows: bool [n], those of the column that are dropped for it."""
        lost = int(rows.sum())
        if lost:
            self.counts[reason] += lost
            self._examples.setdefault(reason, example(plain(column), rows))

    def told(self, reason: str, lost: int, shown: str | None = None) -> None:
        """Rows that are known to be lost only when all are read."""
        if lost:
            self.counts[reason] += lost
            if shown:
                self._examples.setdefault(reason, shown)

    def __str__(self) -> str:
        missing = (NULL_USER, NULL_ITEM)
        return ", ".join(
            f"{reason}: {count}"
            + (
                f", such as {self._examples[reason]}"
                if reason in self._examples and reason not in missing
                else ""
            )
            for reason, count in self.counts.most_common()
        )

    def check(self, data: EventsData | PublishedData, raw_rows: int) -> None:
        """Raises DataError when nothing is left, or more is lost than the spec allows."""
        lost = sum(self.counts.values())
        if lost >= raw_rows:
            raise DataError(
                f"data.path {data.path}: none of the {raw_rows} rows is usable "
                f"({str(self) or 'the files hold no rows'}){self._remedy(data, True)}"
            )
        if lost > data.refuse_above * raw_rows:
            raise DataError(
                f"data.path {data.path}: {lost / raw_rows:.1%} of the {raw_rows} rows would be "
                f"dropped ({self}), more than data.refuse_above ({data.refuse_above:.1%})"
                f"{self._remedy(data, False)}"
            )

    def _remedy(self, data: EventsData | PublishedData, all_lost: bool) -> str:
        """What helps against the commonest reason. To allow more of the loss helps only where the
        rows themselves are bad, not where they are misread."""
        worst = self.counts.most_common(1)[0][0] if self.counts else None
        if worst == BAD_TIME:
            ambiguous = AMBIGUOUS.match(self._examples.get(BAD_TIME, ""))
            if ambiguous:
                return "; say data.time_format: day_first or month_first"
            return f"; {FORMS}"
        if worst == BAD_LABEL:
            return (
                "; a label is 0 or 1, true or false: for stars, counts or -1 say data.positive, "
                f'such as "{data.columns.label} >= 4" or "{data.columns.label} > 0", in place of '
                "data.columns.label; where nothing stands for no click, write 0"
            )
        if worst == NO_NUMBER:
            return "; write 0 where nothing stands for none, or raise data.refuse_above"
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
            return "; write the column in one way in all files"
        return "" if all_lost else "; correct the log or data.columns, or raise data.refuse_above"
