"""Whether the files of a log have the columns that the sweep names, and belong together."""

from __future__ import annotations

import difflib
import fnmatch
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from recscale.data.binary import JsonTable
from recscale.data.dialects import TextTable
from recscale.data.layout import DataError
from recscale.data.opened import Partition, Table
from recscale.spec import EventsData, positive_column
from recscale.words import listed, shortened

TOLD = 4
"""Columns that are missing, and columns that are there, named one by one."""
SEPARATORS = (";", "\t", "|", "::", ",", "\x01")
NEAR = 0.6
"""How like a name that is missing another one must be to be guessed: difflib's own ratio."""
NUMBERS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8,}|\d+")
"""What may differ in the names of the parts of one log."""


def check_columns(tables: Sequence[Table], data: EventsData) -> None:
    """Raises DataError with every column that is missing, or by name with a file that is no part
    of the log: its columns do not fit while those of others do."""
    given = [t for t in tables if len(t.schema)]  # the others hold nothing at all
    _share_keys(given, data)
    odd = {t.file: _problems(t, data) for t in given}
    misfits = [t for t in given if odd[t.file]]
    if not misfits:
        _check_kin(given)
        return
    first = misfits[0]
    has = listed(first.schema.names)
    what = f"{first.file}: {_some(odd[first.file], '; ', TOLD)}. The file has: {has}"
    if len(misfits) < len(given):
        fits = next(t.file for t in given if not odd[t.file])
        raise DataError(
            f"{what}; {fits} has them, so it is no part of the same log: "
            f"{_narrower(fits, first.file)}{_dialect_hint(first, data)}"
        )
    raise DataError(what + _dialect_hint(first, data))


def _share_keys(tables: Sequence[Table], data: EventsData) -> None:
    """A key that a line of JSON leaves out is a null, wherever another line has it."""
    lines = [(t, t.table if isinstance(t, Partition) else t) for t in tables]
    lines = [(table, its) for table, its in lines if isinstance(its, JsonTable)]
    wanted = set(_named(data).values())
    left = wanted - {name for table, _ in lines for name in table.schema.names}
    for _, its in lines:
        left -= its.look_for(left)
    known = {f.name: f for _, its in lines for f in its.schema if f.name in wanted}
    for table, its in lines:
        its.schema = pa.schema(
            [*its.schema, *(f for n, f in known.items() if n not in table.schema.names)]
        )


def _some(words: Sequence[str], between: str, most: int) -> str:
    """The first of the words, and how many more there are."""
    more = [f"and {len(words) - most} more"] if len(words) > most else []
    return between.join([*words[:most], *more])


def _problems(table: Table, data: EventsData) -> list[str]:
    present, problems, named = table.schema.names, [], _named(data)
    left = [name for name in present if name not in named.values()]
    for key, name in named.items():
        if name not in present:
            near = [other for other in left if other.lower() == name.lower()]
            near = near or difflib.get_close_matches(name, left, 1, NEAR)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            problems.append(f"{key}: no column '{shortened(name)}'{hint}")
        elif present.count(name) > 1:
            problems.append(
                f"{key}: {present.count(name)} columns are named {name!r}; rename one, or name all "
                "by data.format: {header: [...]} in a file without a header line"
            )
    return problems


def _named(data: EventsData) -> dict[str, str]:
    """Key of the sweep -> the column that it names."""
    named = {f"data.columns.{part}": name for part, name in data.columns.parts.items()}
    compared = positive_column(data)
    return named | ({"data.positive": compared} if compared else {})


def _check_kin(tables: Sequence[Table]) -> None:
    """Files of one log may gain or lose columns with time. Files of different names, each with
    columns that the other lacks, are two kinds of rows (ratings.csv beside tags.csv)."""
    first: dict[frozenset[str], Table] = {}
    names: dict[frozenset[str], set[str]] = defaultdict(set)
    for table in tables:
        if isinstance(table, JsonTable):  # a key that is left out is a null
            continue
        columns = frozenset(table.schema.names)
        first.setdefault(columns, table)
        names[columns].add(NUMBERS.sub("#", table.file.name.lower()))
    for mine, theirs in itertools.combinations(first, 2):
        if mine - theirs and theirs - mine and not names[mine] & names[theirs]:
            one, other = first[mine].file, first[theirs].file
            raise DataError(
                f"{other}: has {min(theirs - mine)!r} and lacks {min(mine - theirs)!r}, {one} the "
                f"other way round, so they are no parts of one log; {_narrower(one, other)}"
            )


def _narrower(file: Path, other: Path) -> str:
    pattern = file.parent / re.sub(r"#+", "*", NUMBERS.sub("#", file.name))
    told = not fnmatch.fnmatch(str(other), str(pattern))
    return f"narrow data.path, for instance to {pattern if told else file}"


def _dialect_hint(table: Table, data: EventsData) -> str:
    """What to try where no column at all was found in a text file."""
    table = table.table if isinstance(table, Partition) else table
    names = table.schema.names
    if not isinstance(table, TextTable) or set(names) & set(_named(data).values()):
        return ""
    found = [s for s in SEPARATORS if s in names[0]] if len(names) == 1 else []
    if found:
        quote = "" if found[0] in ";," else ", quote: null"
        return (
            f". Its first line has no {table.dialect.separator!r} and has {found[0]!r}: say "
            f"data.format: {{separator: {json.dumps(found[0])}{quote}}}"
        )
    if table.dialect.header is not True:  # the names are the sweep's own
        return ""
    return ". Where its first line is a row already, name the columns: data.format: {header: [...]}"
