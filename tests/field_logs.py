"""Small logs in published layouts: how they are written, read by a plain reader, and compared.

Nothing here uses the code under test but to open a store: a log is read back by `csv` or `json`.
"""

from __future__ import annotations

import bz2
import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recscale.data.store import Store

NS = 10**9
UNITS = {"s": NS, "ms": 10**6, "us": 10**3, "ns": 1}
UNSEEN = "unseen in training"


class Event(NamedTuple):
    user: Any
    item: Any
    time: int
    """nanoseconds since 1970, UTC"""
    label: int = 1


@dataclass(frozen=True)
class Log:
    """A log on disk, the data section that a user writes for it, and what a plain reader finds."""

    data: str
    """YAML; the key `task` stands in it where it is not click"""
    rows: list[Event]
    """of the file's rows those that have all their parts, copies too, in the order of the file"""
    raw_rows: int
    keys: tuple[str, str] = ("user", "item")
    """tables of the store that hold `Event.user` and `Event.item`"""
    unit: int | None = None
    """what one step of the store's clock is in `Event.time` where that is a place and no time"""
    copies: bool = False
    """whether equal rows count as often as they stand there, as under a clock of days or hours"""


class Layouts(dict[str, Callable[[Path], Any]]):
    """Functions that write a layout into a folder, by name; to be put before each of them."""

    def __call__(self, make: Callable[[Path], Any]) -> Callable[[Path], Any]:
        self[make.__name__] = make
        return make


# -- events, and files of them --------------------------------------------------------------------


def events(n: int = 60, seed: int = 0, start: int = 1_600_000_000, step: int = 61) -> list[Event]:
    """Views of 7 users and 9 items in order of time, some moments shared; no event twice. About a
    third are clicks."""
    rng = np.random.default_rng(seed)
    made, seen, time = [], set(), start
    while len(made) < n - 2:
        time += step * int(rng.random() < 0.7)
        user, item = int(rng.integers(1, 8)), int(rng.zipf(1.4) - 1) % 9 + 1
        if (user, item, time) not in seen:
            seen.add((user, item, time))
            made.append(Event(user, item, time * NS, int(rng.random() < 0.35)))
    # both classes and a known item among the last
    return [*made, *(Event(1 + i, 1, (time + step + i * step) * NS, i) for i in (0, 1))]


def with_copy(of: list[Event]) -> list[Event]:
    """One row once more as it stands, and one more impression beside its click."""
    click = next(e for e in of if e.label)
    return [*of[:20], of[10], click._replace(label=0), *of[20:]]


def by_user(made: list[Event]) -> list[Event]:
    """As MovieLens is sorted: by user and item, so within a second by item."""
    return sorted(made, key=lambda e: (e.user, e.item))


def coarse(made: list[Event], step: int = 86400) -> list[Event]:
    """Times cut to whole steps of seconds, no event twice."""
    cut = (Event(e.user, e.item, e.time // (step * NS) * step * NS) for e in made)
    return list(dict.fromkeys(cut))


PACKED = {".gz": gzip, ".bz2": bz2}


def text_file(path: Path, lines: Iterable[str], end: str = "\n", mark: bytes = b"") -> Path:
    """Lines as UTF-8, packed as the name says; `mark` stands before them."""
    data = mark + "".join(f"{line}{end}" for line in lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = PACKED.get(path.suffix)
    path.write_bytes(packed.compress(data) if packed else data)
    return path


def opened(path: Path) -> Any:
    opener = PACKED[path.suffix].open if path.suffix in PACKED else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def table(
    path: Path, sep: str = ",", names: Sequence[str] | None = None, quoted: bool = True
) -> list[dict[str, str]]:
    """Rows of a delimited file as a strict reader of that dialect finds them."""
    with opened(path) as lines:
        quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        return list(csv.DictReader(lines, names, delimiter=sep, quoting=quoting))


def log(
    data: str,
    rows: Sequence[Mapping[Any, Any]],
    parts: tuple[str, str, str],
    time: Callable[[Any], int],
    label: Callable[[Mapping[Any, Any]], int] = lambda row: 1,
    **rest: Any,
) -> Log:
    """Of rows with named columns; `parts` names those of user, item and time."""
    usable = [row for row in rows if all(row[p] not in ("", None) for p in parts)]
    user, item, at = parts
    read = [Event(r[user], r[item], time(r[at]), label(r)) for r in usable]
    return Log(data, read, len(rows), **rest)


def of_events(path: Path | str, columns: str, rest: str = "") -> str:
    """The data section of a log of task next_item."""
    return f"{{source: events, path: {path}, task: next_item, {rest}columns: {{{columns}}}}}"


def number(unit: str = "s") -> Callable[[Any], int]:
    """Text of a number of seconds, milliseconds, ... -> nanoseconds."""
    return lambda text: int(Decimal(str(text)) * UNITS[unit])


def seconds(e: Event) -> int:
    return e.time // NS


def iso(text: str) -> int:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = int(moment.replace(microsecond=0).timestamp())
    return seconds * NS + moment.microsecond * 1000


def pattern(form: str) -> Callable[[str], int]:
    return lambda text: iso(datetime.strptime(text, form).isoformat())


def utc(event: Event, form: str) -> str:
    """The time of an event as text; %f in milliseconds."""
    moment = datetime.fromtimestamp(event.time // NS, UTC)
    return moment.strftime(form.replace("%f", f"{event.time // 10**6 % 1000:03d}"))


# -- what must hold of the store ------------------------------------------------------------------


class Row(NamedTuple):
    user: Any
    item: Any
    time: int
    label: int
    evaluates: bool
    history: tuple[Any, ...]
    """items of the user's positives of strictly earlier moments, in any order"""


def kept(log: Log) -> list[Event]:
    return log.rows if log.copies else list(dict.fromkeys(log.rows))


def expected(log: Log, last: float, leave_one_out: bool = False) -> list[Row]:
    """The rows of the store in order of time by brute force; raw values not in training are one."""
    rows = sorted(kept(log), key=lambda e: e.time)
    boundary = rows[len(rows) - max(1, round(last * len(rows)))].time
    if leave_one_out:
        of_user = Counter(e.user for e in rows)
        final = {e.user: e for e in rows if of_user[e.user] > 1}
        part = [final.get(e.user) is e for e in rows]
    else:
        part = [e.time >= boundary for e in rows]
    users, items = (
        {e[i] for e, evaluates in zip(rows, part, strict=True) if not evaluates} for i in (0, 1)
    )
    positives = defaultdict(list)
    for e in rows:
        if e.label:
            positives[e.user].append(e)

    def name(item: Any) -> Any:
        return item if item in items else UNSEEN

    return [
        Row(
            e.user if e.user in users else UNSEEN,
            name(e.item),
            e.time,
            e.label,
            evaluates,
            tuple(name(p.item) for p in positives[e.user] if p.time < e.time),
        )
        for e, evaluates in zip(rows, part, strict=True)
    ]


def found(store: Store, log: Log) -> list[Row]:
    """The rows of a store, users and items by their ids."""
    tables = [store.manifest.table(key) for key in log.keys]
    at = [[t.name for t in store.manifest.tables].index(key) for key in log.keys]
    ids = store.arrays["ids"][:, at].tolist()
    arrays, unit = store.arrays, log.unit or UNITS[store.manifest.time_unit]
    has_history = store.manifest.history is not None

    def name(id: int, table: Any) -> Any:
        return UNSEEN if id == table.rows - 1 else id

    rows = []
    for n, (user, item) in enumerate(ids):
        history = ()
        if has_history:
            begin, end = (int(arrays[f"history_{side}"][n]) for side in ("begin", "end"))
            history = arrays["history_items"][begin:end].tolist()
        rows.append(
            Row(
                name(user, tables[0]),
                name(item, tables[1]),
                int(arrays["time"][n]) * unit,
                int(arrays["label"][n]),
                n >= store.manifest.n_train,
                tuple(name(h, tables[1]) for h in history),
            )
        )
    return rows


def named_alike(rows: list[Row]) -> Counter[Any]:
    """The rows as a multiset in which a user or an item goes by what happened to it, so that logs
    are equal when they differ in nothing but the names of users and items. An unseen value stays
    one."""

    def colour(group: Callable[[Row], Any], of: Callable[[Row], Any]) -> dict[Any, int]:
        members = defaultdict(list)
        for row in rows:
            members[group(row)].append(of(row))
        return {g: hash((g == UNSEEN, tuple(sorted(m)))) for g, m in members.items()}

    users = colour(lambda r: r.user, lambda r: (r.time, r.label, r.evaluates))
    items = colour(lambda r: r.item, lambda r: (r.time, r.label, r.evaluates, users[r.user]))
    users = colour(lambda r: r.user, lambda r: (r.time, r.label, r.evaluates, items[r.item]))
    return Counter(
        (
            users[r.user],
            items[r.item],
            r.time,
            r.label,
            r.evaluates,
            tuple(sorted(items.get(h, 0) for h in r.history)),
        )
        for r in rows
    )


def assert_same(
    store: Store, log: Log, leave_one_out: bool = False, in_time: bool = True, last: float = 0.1
) -> None:
    """Counts, times, order, split, labels, ids and histories of a store are those of the log."""
    facts, arrays = store.manifest, store.arrays
    want, have = expected(log, last, leave_one_out), found(store, log)
    assert facts.raw_rows == log.raw_rows
    assert facts.raw_rows - sum(facts.dropped.values()) == len(want)
    assert facts.n_eval == sum(row.evaluates for row in want)
    if in_time and not leave_one_out:
        assert [row.time for row in have] == [row.time for row in want], "not in order of time"
    assert sorted(row.time for row in have) == [row.time for row in want]
    assert named_alike([r._replace(history=()) for r in have]) == named_alike(
        [r._replace(history=()) for r in want]
    )
    if facts.history is not None:
        assert named_alike(have) == named_alike(want), "histories differ"
    for evaluates, rate in ((False, facts.label_rate_train), (True, facts.label_rate_eval)):
        labels = [row.label for row in want if row.evaluates is evaluates]
        assert rate == np.float64(np.mean(labels)) or abs((rate or 0) - np.mean(labels)) < 1e-6
    for key, column in zip(log.keys, ("user", "item"), strict=True):
        at = [t.name for t in facts.tables].index(key)
        times_of = np.bincount(arrays["ids"][: facts.n_train, at], minlength=1)
        assert (np.diff(times_of) <= 0).all(), "ids are ranks by falling frequency"
        values = {getattr(row, column) for row in want if not row.evaluates}
        assert facts.table(key).rows == len(values) + 1


def time_range(rows: list[Row]) -> tuple[str, str]:
    """First and last time of rows, to the second; of a clock of the log's own in seconds."""
    first, last = (pick(row.time for row in rows) // NS for pick in (min, max))
    if last < 10**7:
        return str(first), str(last)
    dates = (datetime.fromtimestamp(t, UTC) for t in (first, last))
    first, last = (f"{date:%Y-%m-%d %H:%M:%S}" for date in dates)
    return first, last
