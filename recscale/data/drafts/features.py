"""The parts of all columns but time, user, item and outcome: features, histories, or none."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions at run time, so no checker sees them.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recscale.data.drafts import names
from recscale.data.drafts.clocks import clock
from recscale.data.drafts.names import words_of
from recscale.data.drafts.profile import FEW, NEARLY_UNIQUE, Profile
from recscale.data.drafts.roles import Guess


def find_history(columns: dict[str, Profile], item: Profile) -> Guess | None:
    """The list column that holds items and is called like a past."""
    items = {str(v) for v in item.values.to_pylist()}
    for name, p in columns.items():
        if p.kind == "list" and p.distinct and names.HISTORIES & {*words_of(name)}:
            taken = [str(v) for row in p.values[:1000].to_pylist() for v in row or ()]
            if item.kind == "number":
                items |= {f"{float(v):g}" for v in items}
            known = float(np.mean([v in items for v in taken])) if taken else 0.0
            if known > 0.1:
                doubt = "it must hold only what came before its row"
                return Guess("history", name, f"{100 * known:.0f} % of it are items", doubt)
    return None


def feature_of(p: Profile) -> Guess:
    """The part of a column that is neither user, item, time nor label."""
    found = {*words_of(p.name)}
    out = _left_out(p, found)
    if out:
        return out
    if p.kind == "list":
        return Guess("sparse", p.name, f"a bag of {p.distinct:,} different values")
    if p.kind == "text":
        return Guess("sparse", p.name, p.differ)
    if not p.whole or names.AMOUNTS & found:
        return Guess("dense", p.name, f"numbers, {p.range}")
    if p.distinct <= FEW or names.CODES & found:
        return Guess("sparse", p.name, p.differ)
    doubt = "whole numbers may be amounts or codes; codes belong under sparse"
    return Guess("dense", p.name, f"whole numbers, {p.range}", doubt)


def _left_out(p: Profile, found: set[str]) -> Guess | None:
    """Why a column is of no use, if it is of none."""
    why, doubt = None, None
    if p.kind == "empty":
        why = "no value in the rows looked at"
    elif p.kind == "nested" or (p.kind == "list" and not p.distinct):
        why = f"of type {p.type}, which no part takes"
    elif p.kind == "list" and pa.types.is_floating(p.values.type.value_type):
        why = "lists of numbers with fractions, and weights of no bag that is as long"
    elif p.distinct == 1:
        why = f"one value, {p.example[:30]!r}"
    elif not names.is_id(p.name) and clock(p, named_time=False):
        why = "another time"
    elif p.counts_rows:
        why = "row numbers"
    elif p.decimal_commas:
        why = f"numbers with a decimal comma, {p.example}; written with a point they are dense"
    elif _says_event(p, found):
        found = p.values.unique().to_pylist()[:6]
        values = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in found)
        why = f"what kind of event a row is ({values})"
        doubt = "every kind counts as an event of its user; keep in the file only those that matter"
    elif names.OUTCOMES & {*words_of(p.said)}:
        why = "it may be known only after the label, and would tell it"
        doubt = "list it if it is known before"
    elif _tells_rows_apart(p) and not (p.kind == "number" and names.AMOUNTS & found):
        why = f"a value of its own in nearly every row ({p.differ})"
    return Guess("left out", p.name, why, doubt) if why else None


def _tells_rows_apart(p: Profile) -> bool:
    codes = p.kind == "text" or (p.kind == "number" and p.whole)
    return codes and p.share > NEARLY_UNIQUE and len(p.values) > FEW


def _says_event(p: Profile, found: set[str]) -> bool:
    if p.kind not in ("text", "number") or not 2 <= p.distinct <= 12:
        return False
    values = {str(v).lower() for v in p.values.unique().to_pylist()}
    values |= {v.removesuffix("s") for v in values}
    kinds = len(values & names.HAPPENINGS) >= 2
    return kinds or (bool(names.EVENTS & found) and (p.kind == "text" or p.whole))


def find_weights(features: Sequence[Guess], columns: dict[str, Profile]) -> dict[str, str]:
    """Bag -> the list of numbers of the same lengths that is called its weights."""
    found: dict[str, str] = {}
    lists = [n for n, p in columns.items() if p.kind == "list"]
    for bag in [g.column for g in features if g.part == "sparse" and g.column in lists]:
        for name in lists:
            stem = {w.rstrip("s") for w in words_of(name) if w not in names.WEIGHTS}
            named = names.WEIGHTS & {*words_of(name)}
            of_bag = not stem or stem & {w.rstrip("s") for w in words_of(bag)}
            free = name != bag and name not in found.values()
            if named and of_bag and free and _as_long(columns[bag], columns[name]):
                found[bag] = name
    return found


def _as_long(bag: Profile, weights: Profile) -> bool:
    """Whether both have lists of the same lengths, and the second holds numbers."""
    kind = weights.values.type.value_type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        return False
    return np.array_equal(lengths_of(bag.values), lengths_of(weights.values))


def lengths_of(lists: pa.ChunkedArray | pa.Array) -> np.ndarray:
    return pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
