"""Which column of a log plays which part, guessed by names and values, with the reason for each."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions at run time, so no checker sees them.

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recscale.data.drafts import names
from recscale.data.drafts.clocks import clock
from recscale.data.drafts.features import feature_of, find_history, find_weights, lengths_of
from recscale.data.drafts.keys import find_outcome, find_time, find_user_and_item, positives
from recscale.data.drafts.names import strength, words_of
from recscale.data.drafts.profile import Profile, profile
from recscale.data.drafts.roles import Guess, Roles

IS = {"is"}
"""A word of `names.FEATURES` that labels have too."""


SOMETIMES = 0.95
"""Share of the rows up to which a value that is there or not may say what happened."""


def criteo(table: pa.Table) -> Roles | None:
    """The parts of Criteo's columns, where the sample has their layout without names: a label, 13
    integers, 26 hexadecimal ids."""
    if table.num_columns != 40:
        return None
    columns = [profile(n, table[n]) for n in table.column_names]
    hexadecimal = [str(v) for p in columns[14:] for v in p.values[:100].to_pylist()]
    if not (columns[0].binary and all(re.fullmatch(r"[0-9a-fA-F.]{1,10}", v) for v in hexadecimal)):
        return None
    label = Guess(
        "label", columns[0].name, f"0 or 1, {100 * columns[0].numbers.mean():.3g} % are 1"
    )
    dense = [Guess("dense", p.name, "numbers") for p in columns[1:14]]
    sparse = [Guess("sparse", p.name, p.differ) for p in columns[14:]]
    return Roles(
        guesses=(label, *dense, *sparse),
        task="click",
        why_task="as Criteo publishes its logs: a label, 13 integers and 26 ids a line",
        profiles={p.name: p for p in columns},
        rate=float(columns[0].numbers.mean()),
    )


def guess(
    table: pa.Table,
    named: bool = True,
    vectors: Sequence[str] = (),
    partial: Sequence[str] = (),
) -> Roles:
    """The parts of the columns of a sample.

    named: whether the columns' names are the log's own. vectors, partial: columns that were not
        read, as they hold vectors or as some files lack them.
    Raises DataError that names what is missing: a time, a user or an item.
    """
    nameless = [n for n in table.column_names if not n.strip()]
    rows, table = len(table), _one_event_a_row(table.drop_columns(nameless))
    columns = {n: profile(n, table[n]) for n in table.column_names}
    time, told = find_time(columns)
    spoken = names.without_prefix(columns, time.column)
    columns = {n: replace(p, spoken=spoken[n]) for n, p in columns.items()}
    free = {n: p for n, p in columns.items() if n != time.column}
    outcome, positive = find_outcome(free)
    free = {n: p for n, p in free.items() if outcome is None or n != outcome.column}
    user, item = find_user_and_item(free, named)
    free = {n: p for n, p in free.items() if n not in (user.column, item.column)}
    task = "click" if outcome else "next_item"
    history = find_history(free, columns[item.column]) if task == "click" else None
    features = [feature_of(p) for n, p in free.items() if not history or n != history.column]
    weights = find_weights(features, columns)
    features = [g for g in features if g.column not in weights.values()]
    features += [Guess("weights", w, f"weights of {bag}") for bag, w in weights.items()]
    features += [Guess("left out", v, "vectors of numbers, which no part takes") for v in vectors]
    features += [Guess("left out", n, "some of the files lack it") for n in partial]
    features += [Guess("left out", n, "it has no name") for n in nameless]
    keys = [user, item, time, *(g for g in (outcome, history) if g)]
    read = [g.column for g in keys if g is not history]
    lost = 1 - math.prod(columns[n].filled for n in read) * (1 - _copies(table))
    read += [g.column for g in features if g.part == "dense" and task == "click"]
    return Roles(
        guesses=(*keys, *features),
        task=task,
        why_task=_why(outcome),
        unsure_task=None if outcome else _outcomes(columns, features),
        profiles=columns,
        time_format=told.format,
        positive=positive,
        weights=weights,
        events=len(table) / max(1, rows),
        lost=lost,
        rate=positives(columns[outcome.column], positive) if outcome else None,
        nulls=tuple(sorted({w for n in read for w in columns[n].nulls})),
    )


def _one_event_a_row(table: pa.Table) -> pa.Table:
    """Rows that list their items taken apart, as preparing does: every list as long as theirs with
    them. Any other table as it is."""
    lists = [f.name for f in table.schema if pa.types.is_list(f.type)]
    called = {n: strength(n, names.ITEM) for n in table.column_names}
    items = [n for n in lists if called[n] >= names.SURE and not names.HISTORIES & {*words_of(n)}]
    if not items or any(called[n] >= names.SURE for n in called.keys() - lists):
        return table
    item = max(items, key=lambda n: called[n])
    lengths = lengths_of(table[item])
    apart = [n for n in lists if np.array_equal(lengths_of(table[n]), lengths)]
    row = pa.array(np.repeat(np.arange(len(table)), lengths))
    flat = {n: pc.list_flatten(table[n]) if n in apart else table[n].take(row) for n in called}
    return pa.table(flat)


def _copies(table: pa.Table) -> float:
    """Share of the rows that say the same as another one in every column, lists aside."""
    flat = [f.name for f in table.schema if not pa.types.is_nested(f.type)]
    try:
        distinct = len(table.select(flat).group_by(flat).aggregate([]))
    except pa.ArrowNotImplementedError:  # a type that Arrow does not group by
        return 0.0
    return 1 - distinct / len(table)


def _why(outcome: Guess | None) -> str:
    if outcome is None:
        return "no column says what was clicked, so every row is an event"
    return f"{outcome.column} says which rows are positives"


def _outcomes(columns: dict[str, Profile], features: Sequence[Guess]) -> str | None:
    """What a reader should know of columns of two values where none could be taken for a label."""
    told = [g.column for g in features if g.column in columns]  # vectors are not
    rest = [columns[n] for n in told if not names.FEATURES & {*words_of(n)} - IS]
    binary = [p.name for p in rest if p.binary and p.distinct == 2]
    if binary:
        which = ", ".join(binary[:3]) + (" ..." if len(binary) > 3 else "")
        return (
            f"{which}: 0 or 1; if that says what was clicked, give it as columns.label, and task: "
            "click with a click model"
        )
    for p in rest:
        pair = {w.strip().lower() for w in p.words}
        if p.words and (pair in names.YES_NO or strength(p.name, names.LABEL) >= 4):
            return (
                f"{p.name}: {p.words[0]!r} or {p.words[1]!r}; if that says what was clicked, write "
                "it as 0 and 1, give it as columns.label, and task: click with a click model"
            )
    for p in columns.values():
        once = p.distinct == 1 or clock(p, named_time=False)
        if once and 0 < p.filled < SOMETIMES and strength(p.name, names.LABEL) >= 4:
            return (
                f"{p.name}: given in {100 * p.filled:.3g} % of the rows; if that says what was "
                "clicked, write a column of 0 and 1, give it as columns.label, and task: click "
                "with a click model"
            )
    return None
