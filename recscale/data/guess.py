"""Which column of a log plays which part, guessed by names and values, with the reason for each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from recscale.data import names
from recscale.data.layout import DataError
from recscale.data.names import strength, words_of
from recscale.data.profile import Clock, Profile, clock, profile

Part = Literal[
    "user", "item", "time", "label", "positive", "history", "sparse", "dense", "weights", "left out"
]
NEARLY_UNIQUE = 0.9
"""Share of different values above which a column tells one row from another and nothing else."""
FEW = 50
"""Different whole numbers up to which a column without a telling name counts as categories."""
ASIN = re.compile(r"B0[0-9A-Z]{8}|\d{9}[\dX]")
"""Amazon's item ids: told from its user ids where a file names neither."""


@dataclass(frozen=True)
class Guess:
    """The part of one column."""

    part: Part
    column: str
    why: str
    unsure: str | None = None
    """What a reader should check, where the guess is not sure."""


@dataclass(frozen=True)
class Roles:
    """The parts of all columns, those of the key columns first."""

    guesses: tuple[Guess, ...]
    task: Literal["click", "next_item"]
    why_task: str
    profiles: dict[str, Profile]
    time_format: str | None = None
    positive: str | None = None
    weights: dict[str, str] | None = None
    """Bag -> the column of its weights."""
    nulls: tuple[str, ...] = ()
    """Words that stand for missing values in columns of numbers."""

    def of(self, part: Part) -> list[Guess]:
        return [g for g in self.guesses if g.part == part]

    @property
    def unsure(self) -> list[Guess]:
        return [g for g in self.guesses if g.unsure]


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
    sparse = [Guess("sparse", p.name, _differ(p)) for p in columns[14:]]
    return Roles(
        guesses=(label, *dense, *sparse),
        task="click",
        why_task="as Criteo publishes its logs: a label, 13 integers and 26 ids a line",
        profiles={p.name: p for p in columns},
    )


def guess(table: pa.Table, named: bool = True) -> Roles:
    """The parts of the columns of a sample.

    named: whether the columns' names are the log's own.
    Raises DataError that names what is missing: a time, a user or an item.
    """
    columns = {n: profile(n, table[n]) for n in table.column_names}
    time, told = _time(columns)
    free = {n: p for n, p in columns.items() if n != time.column}
    outcome, positive = _outcome(free)
    free = {n: p for n, p in free.items() if outcome is None or n != outcome.column}
    user, item = _user_and_item(free, named)
    free = {n: p for n, p in free.items() if n not in (user.column, item.column)}
    task = "click" if outcome else "next_item"
    history = _history(free, columns[item.column]) if task == "click" else None
    features = [_feature(p, columns) for n, p in free.items() if not history or n != history.column]
    weights = _weights(features, columns)
    features = [g for g in features if g.column not in weights.values()]
    features += [Guess("weights", w, f"weights of {bag}") for bag, w in weights.items()]
    keys = [user, item, time, *(g for g in (outcome, history) if g)]
    numbers = [g.column for g in (*keys, *features) if g.part == "dense"]
    return Roles(
        guesses=(*keys, *features),
        task=task,
        why_task=_why(outcome),
        profiles=columns,
        time_format=told.format,
        positive=positive,
        weights=weights,
        nulls=tuple(sorted({w for n in numbers for w in columns[n].nulls})),
    )


def _why(outcome: Guess | None) -> str:
    if outcome is None:
        return "no column says what was clicked, so every row is an event"
    return f"{outcome.column} says which rows are positives"


def _time(columns: dict[str, Profile]) -> tuple[Guess, Clock]:
    """The column with the finest times, its name deciding between equals."""
    found: list[tuple[tuple[bool, bool, int], Profile, Clock]] = []
    for name, p in columns.items():
        by_name = strength(name, names.TIME)
        outcome = names.OUTCOMES & {*words_of(name)}
        told = clock(p, by_name >= 4 and not outcome) if p.kind != "empty" else None
        if told and p.filled > 0.5 and not (outcome and p.filled < 1):
            found.append(((told.doubt is None, not told.coarse, by_name), p, told))
    if not found:
        raise DataError(
            "no column holds times (unix times, timestamps, dates or ISO text), and without times "
            "nothing can be evaluated later than it was trained on; add a column of times (one "
            "user a line, oldest item first, is data.source: sequences). The columns are: "
            f"{', '.join(columns)}"
        )
    _, p, told = max(found, key=lambda f: f[0])
    unsure = told.doubt
    if told.coarse and not unsure:
        unsure = "many events share one moment, and their order within it is arbitrary"
    return Guess("time", p.name, told.words, unsure), told


def _outcome(columns: dict[str, Profile]) -> tuple[Guess | None, str | None]:
    """The label or the rating, and the comparison that makes positives of a rating."""
    flat = {n: p for n, p in columns.items() if p.kind == "number" and p.filled > 0.5}
    labels = {n: strength(n, names.LABEL) for n, p in flat.items() if p.distinct <= 2}
    label = max(labels, key=lambda n: labels[n], default=None)
    if label is not None and labels[label] >= 4:
        p = flat[label]
        others = sorted(n for n, s in labels.items() if s >= 4 and n != label)
        rate = float((p.numbers == p.numbers.max()).mean()) if p.distinct > 1 else None
        doubt = f"{', '.join(others)} could be the label too" if others else None
        if rate is None:
            doubt = f"every row looked at has {p.example}; both outcomes are needed"
        if not p.binary:
            above = f"{label} >= {p.numbers.max():g}"
            return Guess("positive", label, f"two values, {p.range}", doubt), above
        why = f"0 or 1, {100 * rate:.3g} % are 1" if rate is not None else f"only {p.example}"
        return Guess("label", label, why, doubt), None
    ratings = {n: strength(n, names.RATING) for n, p in flat.items() if p.distinct > 1}
    rating = max(ratings, key=lambda n: ratings[n], default=None)
    if rating is None or ratings[rating] < 5:
        return None, None
    p = flat[rating]
    level = _threshold(p.numbers)
    share = float((p.numbers >= level).mean())
    quoted = rating if re.fullmatch(r"[A-Za-z_]\w*", rating) else f"`{rating}`"
    doubt = f"which ratings are positives is your choice; {100 * share:.3g} % are {level:g} or more"
    return Guess("positive", rating, f"ratings, {p.range}", doubt), f"{quoted} >= {level:g}"


def _threshold(ratings: np.ndarray) -> float:
    """Four fifths of the scale where that parts the ratings, else their middle one."""
    top = ratings.max()
    scale = next((s for s in (5, 10, 100) if 0.5 * s < top <= s), top)
    levels = np.unique(ratings)[1:]  # the lowest would make every rating a positive
    wanted = 0.8 * scale if scale in (5, 10, 100) else np.median(ratings)
    return float(levels[min(np.searchsorted(levels, wanted), len(levels) - 1)])


def _user_and_item(columns: dict[str, Profile], named: bool) -> tuple[Guess, Guess]:
    ids = {n: p for n, p in columns.items() if _can_be_id(p)}
    user = _named(ids, names.USER, "user")
    item = _named(
        {n: p for n, p in ids.items() if not user or n != user.column}, names.ITEM, "item"
    )
    if not named or not (user or item):
        user, item = _by_place(ids, columns)
    if user is None:
        assert item is not None
        user = _stand_in({n: p for n, p in ids.items() if n != item.column})
    if user is None:
        raise DataError(
            "no column tells who acted: none is called like a user, visitor, customer or session; "
            "add one, or rename the column that says it to user_id. The columns are: "
            f"{', '.join(columns)}"
        )
    if item is None:
        raise DataError(
            "no column tells what was shown or taken: none is called like an item, product, movie "
            "or ad, with a value a row; rename the column that says it to item_id. The columns "
            f"are: {', '.join(columns)}"
        )
    return user, item


def _can_be_id(p: Profile) -> bool:
    """Text or whole numbers that come back, and are more than a yes or no."""
    return p.kind in ("text", "number") and (p.kind == "text" or p.whole) and p.filled > 0.5 and (
        p.distinct > 2 or (p.distinct == 2 and not p.binary)
    ) and not p.counts_rows  # fmt: skip


def _named(ids: dict[str, Profile], words: dict[str, int], part: Part) -> Guess | None:
    """The column whose name says most surely that it is the part."""
    by_name = {n: strength(n, words) for n in ids}
    name = max(by_name, key=lambda n: (by_name[n], ids[n].distinct), default=None)
    if name is None or by_name[name] < 3:
        return None
    p, doubt = ids[name], None
    if by_name[name] < names.SURE:
        doubt = f"its name does not say {part}; the best that there is"
    elif p.share > NEARLY_UNIQUE and p.rows > FEW:
        doubt = f"nearly every row has a {part} of its own"
    return Guess(part, name, f"by its name; {_differ(p)}", doubt)


def _stand_in(ids: dict[str, Profile]) -> Guess | None:
    """What may take a user's place: a session or device, else the property of users that differs
    most."""
    for words, least in ((names.STAND_INS, 2), (names.USER, 1)):
        by_name = {n: strength(n, words) for n in ids}
        fit = [n for n in ids if by_name[n] >= least and ids[n].share < NEARLY_UNIQUE]
        if fit:
            name = max(fit, key=lambda n: (by_name[n], ids[n].distinct))
            doubt = (
                "no column is called like a user; rows with one value of this count as one user's, "
                "and histories are made of them; a column with an id a user would be better"
            )
            return Guess("user", name, f"stands in for the user; {_differ(ids[name])}", doubt)
    return None


def _by_place(ids: dict[str, Profile], columns: dict[str, Profile]) -> tuple[Guess | None, ...]:
    """User and item where no name tells: logs of the field begin with the user, and of the other
    ids the item differs most."""
    able = [n for n, p in ids.items() if p.share < NEARLY_UNIQUE or p.rows <= FEW]
    able = [n for n in able if ids[n].distinct > max(2, len(columns)) or ids[n].rows <= FEW]
    if len(able) < 2:
        raise DataError(
            "no column is called like a user or an item, and no two have values of ids that come "
            "back; rename the two columns to user_id and item_id. The columns are: "
            f"{', '.join(columns)}"
        )
    coded = [n for n in able if _share_of_asins(ids[n]) > 0.9]
    user = next((n for n in able if n not in coded), able[0])
    others = [n for n in able if n != user]
    item = coded[0] if coded and coded[0] != user else max(others, key=lambda n: ids[n].distinct)
    doubt = "guessed by place and values alone"
    return (
        Guess("user", user, _differ(ids[user]), doubt),
        Guess("item", item, _differ(ids[item]), doubt),
    )


def _share_of_asins(p: Profile) -> float:
    texts = [str(v) for v in p.values[:1000].to_pylist()] if p.kind == "text" else []
    return float(np.mean([bool(ASIN.fullmatch(t)) for t in texts])) if texts else 0.0


def _differ(p: Profile) -> str:
    return f"{p.distinct:,} different values in {len(p.values):,}"


def _history(columns: dict[str, Profile], item: Profile) -> Guess | None:
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


def _feature(p: Profile, columns: dict[str, Profile]) -> Guess:
    """The part of a column that is neither user, item, time nor label."""
    found = {*words_of(p.name)}
    out = _left_out(p, found)
    if out:
        return out
    if p.kind == "list":
        return Guess("sparse", p.name, f"a bag of {p.distinct:,} different values")
    if p.kind == "text":
        return Guess("sparse", p.name, _differ(p))
    if not p.whole or names.AMOUNTS & found:
        return Guess("dense", p.name, f"numbers, {p.range}")
    if p.distinct <= FEW or names.CODES & found:
        return Guess("sparse", p.name, _differ(p))
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
        why = "lists of numbers with fractions, such as vectors"
        if names.WEIGHTS & found:
            why += "; weights of no bag that is as long"
    elif p.distinct == 1:
        why = f"one value, {p.example[:30]!r}"
    elif p.kind == "moment" or clock(p, bool(strength(p.name, names.TIME) >= 8)):
        why = "another time"
    elif p.counts_rows:
        why = "row numbers"
    elif (p.kind == "text" or p.whole) and p.share > NEARLY_UNIQUE and len(p.values) > FEW:
        why = f"a value of its own in nearly every row ({_differ(p)})"
    elif _says_event(p, found):
        values = ", ".join(str(v) for v in p.values.unique().to_pylist()[:6])
        why = f"what kind of event a row is ({values})"
        doubt = "every kind counts as an event of its user; keep in the file only those that matter"
    elif names.OUTCOMES & found:
        why = "it may be known only after the label, and would tell it"
        doubt = "list it if it is known before"
    return Guess("left out", p.name, why, doubt) if why else None


def _says_event(p: Profile, found: set[str]) -> bool:
    if p.kind not in ("text", "number") or not 2 <= p.distinct <= 12:
        return False
    values = {str(v).lower() for v in p.values.unique().to_pylist()}
    kinds = len(values & names.HAPPENINGS) >= 2
    return kinds or (bool(names.EVENTS & found) and (p.kind == "text" or p.whole))


def _weights(features: Sequence[Guess], columns: dict[str, Profile]) -> dict[str, str]:
    """Bag -> the list of numbers of the same lengths that is called its weights."""
    found: dict[str, str] = {}
    lists = [n for n, p in columns.items() if p.kind == "list"]
    for bag in [g.column for g in features if g.part == "sparse" and g.column in lists]:
        for name in lists:
            stem = [w for w in words_of(name) if w not in names.WEIGHTS]
            if name != bag and stem != words_of(name) and _as_long(columns[bag], columns[name]):
                shared = {*stem} & {*words_of(bag)} or {w.rstrip("s") for w in stem} & {
                    w.rstrip("s") for w in words_of(bag)
                }
                if (shared or not stem) and name not in found.values():
                    found[bag] = name
    return found


def _as_long(bag: Profile, weights: Profile) -> bool:
    """Whether both have lists of the same lengths, and the second holds numbers."""
    import pyarrow.compute as pc

    kind = weights.values.type.value_type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        return False
    if len(bag.values) != len(weights.values):
        return False
    lengths = [getattr(pc, "list_value_length")(p.values) for p in (bag, weights)]  # noqa: B009
    return lengths[0].equals(lengths[1])
