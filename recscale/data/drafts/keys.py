"""Time, outcome, user and item of a log: the columns that no sweep can do without."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa

from recscale.data.drafts import names
from recscale.data.drafts.clocks import Clock, clock
from recscale.data.drafts.names import strength, words_of
from recscale.data.drafts.profile import FEW, NEARLY_UNIQUE, Profile
from recscale.data.drafts.roles import Guess, Part
from recscale.data.layout import DataError
from recscale.words import listed

ASIN = re.compile(r"B0[0-9A-Z]{8}|\d{9}[\dX]")
"""Amazon's item ids: told from its user ids where a file names neither."""


def find_time(columns: dict[str, Profile]) -> tuple[Guess, Clock]:
    """The column with the finest times, its name deciding between equals."""
    found: list[tuple[tuple[bool, bool, int], Profile, Clock]] = []
    for name, p in columns.items():
        by_name = strength(name, names.TIME)
        outcome = names.OUTCOMES & {*words_of(name)}
        if not by_name and names.is_id(name):
            continue  # its numbers may have the size of unix times by chance
        told = clock(p, by_name >= 4 and not outcome) if p.kind != "empty" else None
        if told and p.filled > 0.5 and not (outcome and p.filled < 1):
            found.append(((told.doubt is None, not told.coarse, by_name), p, told))
    if not found:
        named = [p for n, p in columns.items() if strength(n, names.TIME) >= 4 and p.filled]
        named = [p for p in named if p.kind in ("text", "nested", "list")]
        odd = f"; {named[0].name!r} has {named[0].example[:30]!r}, which is none" if named else ""
        raise DataError(
            "no column holds times (unix times, timestamps, dates or ISO text)"
            f"{odd}; without times "
            "nothing can be evaluated later than it was trained on; add a column of times (one "
            "user a line, oldest item first, is data.source: sequences). The columns are: "
            f"{listed(columns)}"
        )
    _, p, told = max(found, key=lambda f: f[0])
    unsure = told.doubt
    if told.coarse and not unsure:
        unsure = "many events share one moment, and their order within it is arbitrary"
    return Guess("time", p.name, told.words, unsure), told


def find_outcome(columns: dict[str, Profile]) -> tuple[Guess | None, str | None]:
    """The label or the rating, and the comparison that makes positives of a rating."""
    flat = {n: p for n, p in columns.items() if p.kind == "number" and p.filled > 0.5}
    labels = {n: strength(p.said, names.LABEL) for n, p in flat.items() if p.distinct <= 2}
    label = max(labels, key=lambda n: labels[n], default=None)
    ratings = {n: strength(p.said, names.RATING) for n, p in flat.items() if p.distinct > 1}
    rating = max(ratings, key=lambda n: ratings[n], default=None)
    if label is not None and labels[label] >= max(4, ratings[rating] if rating else 0):
        p = flat[label]
        others = sorted(n for n, s in labels.items() if s >= 4 and flat[n].distinct == 2)
        others = [n for n in others if n != label]
        rate = float((p.numbers == p.numbers.max()).mean()) if p.distinct > 1 else None
        doubt = f"{', '.join(others)} could be the label too" if others else None
        if others and all(flat[n].binary for n in (label, *others)):
            doubt = f"{doubt}, or be learnt beside it: labels: [{', '.join([label, *others])}]"
        if rate is None:
            doubt = f"every row looked at has {p.example}; both outcomes are needed"
        if not p.binary:
            above = _at_least(label, p.numbers.max())
            return Guess("positive", label, f"two values, {p.range}", doubt), above
        why = f"0 or 1, {100 * rate:.3g} % are 1" if rate is not None else f"only {p.example}"
        return Guess("label", label, why, doubt), None
    if rating is None or ratings[rating] < 5:
        return _counts(flat)
    p = flat[rating]
    level = _threshold(p.numbers)
    share = float((p.numbers >= level).mean())
    doubt = f"which ratings are positives is your choice; {100 * share:.3g} % are {level:g} or more"
    return Guess("positive", rating, f"ratings, {p.range}", doubt), _at_least(rating, level)


def _counts(columns: dict[str, Profile]) -> tuple[Guess | None, str | None]:
    """Clicks that are counted: rows of several impressions, or of days."""
    counts = {
        n: strength(p.said, names.LABEL)
        for n, p in columns.items()
        if p.distinct > 2 and p.whole and p.numbers.min() == 0
    }
    name = max(counts, key=lambda n: counts[n], default=None)
    if name is None or counts[name] < 5:
        return None, None
    p = columns[name]
    doubt = (
        f"a row counts once, whatever it counts; {100 * float((p.numbers > 0).mean()):.3g} % have "
        "1 or more; a log of single impressions says more"
    )
    return Guess("positive", name, f"counts, {p.range}", doubt), _at_least(name, 1)


def positives(outcome: Profile, positive: str | None) -> float:
    """Share of the rows with an outcome that are positives."""
    least = 1.0 if positive is None else float(positive.rpartition(">=")[2])
    return float((outcome.numbers >= least).mean())


def _at_least(column: str, level: float) -> str:
    """As `data.positive` takes it."""
    quoted = column if re.fullmatch(r"[A-Za-z_]\w*", column) else f"`{column}`"
    return f"{quoted} >= {level:g}"


def _threshold(ratings: np.ndarray) -> float:
    """Four fifths of the scale where that parts the ratings, else their median."""
    top = ratings.max()
    scale = next((s for s in (5, 10, 100) if 0.5 * s < top <= s), None)
    levels = np.unique(ratings)[1:]  # the lowest would make every rating a positive
    wanted = 0.8 * scale if scale else np.median(ratings)
    if not 0.05 < (ratings >= wanted).mean() < 0.95:
        wanted = np.median(ratings)
    return float(levels[min(np.searchsorted(levels, wanted), len(levels) - 1)])


def find_user_and_item(columns: dict[str, Profile], named: bool) -> tuple[Guess, Guess]:
    ids = {n: p for n, p in columns.items() if _can_be_id(p)}
    # Google Analytics' users are such as 1026932858.6827688, in text
    written = {n: p for n, p in columns.items() if p.kind == "number" and p.type == "string"}
    sure = {n: p for n, p in written.items() if strength(n, names.USER) >= names.SURE}
    user = _named(ids, names.USER, "user") or _named(sure, names.USER, "user")
    item = _named(
        {n: p for n, p in ids.items() if not user or n != user.column}, names.ITEM, "item"
    )
    if not named or not (user or item):
        user, item = _by_place(ids, columns)
    if user is None:
        assert item is not None
        others = {n: p for n, p in ids.items() if n != item.column}
        user = _stand_in(others) or _unnamed("user", others, ids[item.column])
    if user is None:
        raise DataError(
            "no column tells who acted: none is called like a user, visitor, customer or session; "
            "add one, or rename the column that says it to user_id. The columns are: "
            f"{listed(columns)}"
        )
    if item is None:
        others = {n: p for n, p in ids.items() if n != user.column}
        item = _unnamed("item", others, columns[user.column])
    if item is None:
        raise DataError(
            "no column tells what was shown or taken: none is called like an item, product, movie "
            f"or ad, with a value a row{_unfit_items(columns)}; rename the column that says it to "
            f"item_id. The columns are: {listed(columns)}"
        )
    return user, item


def _unnamed(part: Part, ids: dict[str, Profile], other: Profile) -> Guess | None:
    """Where the other part has a telling name and this one has none: the id that differs most, of
    those whose names say no property, outcome or amount; an item may be the id of one (city_id)."""
    able = [n for n in _come_back(ids, 2) if _meets(ids[n], other)]
    foreign = names.FEATURES | names.OUTCOMES | names.AMOUNTS | names.EVENTS
    said = {n: {*words_of(ids[n].said)} for n in able}
    if part == "user":  # such as uuid; what has few values is no one's name
        able = [n for n in able if ids[n].distinct > FEW or ids[n].rows <= FEW]
        able = [n for n in able if any(word.endswith("id") for word in said[n])]
        fit = [n for n in able if not foreign & said[n]]
    else:
        others = {*names.STAND_INS, *names.USER} - {*names.ITEM}
        able = [n for n in able if not others & said[n]]
        fit = [n for n in able if not foreign - {*names.FEATURES} & said[n]]
        fit = [n for n in fit if "id" in said[n] or not names.FEATURES & said[n]]
    if not fit:
        return None
    name = max(fit, key=lambda n: ids[n].distinct)
    doubt = f"its name does not say {part}; guessed by its values alone"
    return Guess(part, name, ids[name].differ, doubt)


def _come_back(ids: dict[str, Profile], least: int) -> list[str]:
    """Ids with more than `least` values, most of which come more than once; neither amounts below
    0 nor times that are 0 where there is none."""
    able = [n for n, p in ids.items() if p.share < NEARLY_UNIQUE or p.rows <= FEW]
    able = [n for n in able if ids[n].distinct > least or ids[n].rows <= FEW]
    return [n for n in able if ids[n].kind != "number" or not _is_amount(ids[n].numbers)]


def _meets(one: Profile, other: Profile) -> bool:
    """Whether values of both come in many pairs: a user has several items, and an item several
    users, where a session has one user, and a user's property one value."""
    if len(one.values) != len(other.values):
        return True
    pairs = pa.table({"one": one.values, "other": other.values})
    found = len(pairs.group_by(["one", "other"]).aggregate([]))
    return found > 1.1 * max(one.distinct, other.distinct)


def _is_amount(numbers: np.ndarray) -> bool:
    return bool(numbers.min() < 0 or (numbers == 0).mean() > 0.5)


def _unfit_items(columns: dict[str, Profile]) -> str:
    """Why columns that are called like an item cannot be it."""
    called = [p for n, p in columns.items() if strength(n, names.ITEM) >= names.SURE]
    told = [
        f"{p.name} has lists" if listing else f"{100 * p.filled:.0f} % have {p.name}"
        for p in called
        if (listing := p.kind in ("list", "nested")) or p.filled <= 0.5
    ]
    if not told:
        return ""
    return f" ({listed(told)}; of lists of what was shown and clicked write a row an item)"


def _can_be_id(p: Profile) -> bool:
    """Text or whole numbers that come back, and are more than a yes or no."""
    if p.decimal_commas:
        return False
    return p.kind in ("text", "number") and (p.kind == "text" or p.whole) and p.filled > 0.5 and (
        p.distinct > 2 or (p.distinct == 2 and not p.binary)
    ) and not p.counts_rows  # fmt: skip


def _named(ids: dict[str, Profile], words: dict[str, int], part: Part) -> Guess | None:
    """The column whose name says most surely that it is the part."""
    by_name = {n: strength(n, words) for n in ids if not _is_outcome(ids[n])}
    name = max(by_name, key=lambda n: (by_name[n], ids[n].distinct), default=None)
    if name is None or by_name[name] < 3:
        return None
    p, doubt = ids[name], None
    if by_name[name] < names.SURE:
        doubt = f"its name does not say {part}; the best that there is"
    elif p.share > NEARLY_UNIQUE and p.rows > FEW:
        doubt = f"nearly every row has a {part} of its own"
    return Guess(part, name, f"by its name; {p.differ}", doubt)


def _is_outcome(p: Profile) -> bool:
    """Whether it is of what happened, as my_watched_episodes, and no id as click_article_id."""
    said = {*words_of(p.name)}
    return p.kind == "number" and bool(names.OUTCOMES & said) and "id" not in said


def _stand_in(ids: dict[str, Profile]) -> Guess | None:
    """What may take a user's place: a session or device, else the property of users that differs
    most."""
    for words, least in ((names.STAND_INS, 2), (names.USER, 1)):
        by_name = {n: strength(n, words) for n in ids}
        fit = [n for n in ids if by_name[n] >= least and ids[n].share < NEARLY_UNIQUE]
        if words is names.STAND_INS:  # a device of six kinds is no one's
            fit = [n for n in fit if ids[n].distinct > FEW or ids[n].rows <= FEW]
        if fit:
            name = max(fit, key=lambda n: (by_name[n], ids[n].distinct))
            doubt = (
                "no column is called like a user; rows with one value of this count as one user's, "
                "and histories are made of them; a column with an id a user would be better"
            )
            return Guess("user", name, f"stands in for the user; {ids[name].differ}", doubt)
    return None


def _by_place(ids: dict[str, Profile], columns: dict[str, Profile]) -> tuple[Guess | None, ...]:
    """User and item where no name tells: logs of the field begin with the user, and of the other
    ids the item differs most."""
    able = _come_back(ids, max(2, len(columns)))
    if len(able) < 2:
        raise DataError(
            "no column is called like a user or an item, and no two have values of ids that come "
            "back; rename the two columns to user_id and item_id. The columns are: "
            f"{listed(columns)}"
        )
    coded = [n for n in able if _share_of_asins(ids[n]) > 0.9]
    user = next((n for n in able if n not in coded), able[0])
    others = [n for n in able if n != user]
    item = coded[0] if coded and coded[0] != user else max(others, key=lambda n: ids[n].distinct)
    doubt = "guessed by place and values alone"
    return (
        Guess("user", user, ids[user].differ, doubt),
        Guess("item", item, ids[item].differ, doubt),
    )


def _share_of_asins(p: Profile) -> float:
    texts = [str(v) for v in p.values[:1000].to_pylist()] if p.kind == "text" else []
    return float(np.mean([bool(ASIN.fullmatch(t)) for t in texts])) if texts else 0.0
