"""The default world: impressions drawn in ticks of a clock, clicked as the planted teacher says.

Rows of one tick share their time, so a history (the user's clicks of strictly earlier ticks) is
fixed while the tick is drawn, and a whole tick is one vectorised step. Every tick has random
streams of its own: the world is a function of the spec alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recscale.data.build import Built, Progress, refuse_large, split_rows
from recscale.data.layout import CHUNK_ROWS, create_array, open_array, remove_raw
from recscale.data.ranks import interleave, rank_column
from recscale.data.teacher import (
    CARDINALITY,
    DENSE,
    DENSE_SD,
    FIELDS,
    RECENT,
    ZIPF,
    Teacher,
    zipf_draw,
)
from recscale.manifest import Floor
from recscale.spec import SyntheticData

RECIPE = 3
"""Of this file and the teacher: another world needs another number."""

TICK_ROWS = (8, 2048)
"""Fewest and most rows of a tick: few enough that histories are fresh, many enough for speed."""
TICKS = 200
"""Ticks of a small world, so that even 1,000 rows have a past."""


def build(data: SyntheticData, folder: Path, progress: Progress) -> Built:
    """Draws the world of `data` into `folder`, about a million rows a second and core."""
    refuse_large(data, folder)
    n, tick = data.rows, tick_rows(data.rows)
    cardinality = {"item": data.items, "user": data.users, **CARDINALITY}
    time = create_array(folder, "time", (n,))
    time[:] = np.arange(n) // tick
    dense = create_array(folder, "dense", (n, DENSE))
    columns = [create_array(folder, f"raw.{name}", (n,), "<i4") for name in FIELDS]
    for begin in range(0, n, tick):
        rows = slice(begin, min(begin + tick, n))
        rng = np.random.default_rng([data.seed, 2, begin // tick])
        size = rows.stop - rows.start
        dense[rows] = np.float32(DENSE_SD) * rng.standard_normal((size, DENSE), np.float32)
        for column, name in zip(columns, FIELDS, strict=True):
            column[rows] = zipf_draw(rng.random(size), cardinality[name], ZIPF[name])
    n_train = split_rows(time, data.holdout.last)
    users = create_array(folder, "raw", (n,), "<i4")  # histories part users that ids may not
    users[:] = columns[FIELDS.index("user")]
    tables = [rank_column(f, c, n_train) for f, c in zip(FIELDS, columns, strict=True)]
    interleave(columns, create_array(folder, "ids", (n, len(FIELDS))))
    teacher = Teacher.planted(data.seed, {t.name: t.rows for t in tables})
    floor = _click(data, folder, teacher, users, n_train, progress)
    remove_raw(folder)
    return Built(
        n_train=n_train,
        tables=tables,
        dense=[f"dense_{i}" for i in range(DENSE)],
        history="item",
        raw_rows=n,
        notes={
            "world": f"planted teacher, seed {data.seed}, {tick} rows a tick of the clock",
            "unseen": "values that never occur in training have no effect in the teacher",
        },
        floor=floor,
    )


def tick_rows(rows: int) -> int:
    return int(np.clip(rows // TICKS, *TICK_ROWS))


class _Recent:
    """The last clicked items of every user, and how many they clicked."""

    def __init__(self, users: int):
        self.items = np.full((users, RECENT), -1, np.int32)  # a ring per user
        self.clicks = np.zeros(users, np.int64)

    def of(self, users: np.ndarray) -> np.ndarray:
        """int32 [B, RECENT], newest first, -1 where there is none."""
        slots = (self.clicks[users, None] - 1 - np.arange(RECENT)) % RECENT
        return self.items[users[:, None], slots]

    def add(self, users: np.ndarray, items: np.ndarray) -> None:
        """Clicks in time order."""
        order = np.argsort(users, kind="stable")
        users, items = users[order], items[order]
        starts = np.flatnonzero(np.diff(users, prepend=-1))
        sizes = np.diff(starts, append=len(users))
        nth = np.arange(len(users)) - np.repeat(starts, sizes)
        # A ring slot written twice in one call must keep the newer click: only the last ones stay.
        kept = nth >= np.repeat(sizes, sizes) - RECENT
        slots = (self.clicks[users[kept]] + nth[kept]) % RECENT
        self.items[users[kept], slots] = items[kept]
        self.clicks[users[starts]] += sizes


def _click(
    data: SyntheticData,
    folder: Path,
    teacher: Teacher,
    users: np.ndarray,
    n_train: int,
    progress: Progress,
) -> Floor:
    """Runs the clock: labels and histories of every row, and the teacher's own loss."""
    n, tick = data.rows, tick_rows(data.rows)
    dense, ids = open_array(folder, "dense"), open_array(folder, "ids")
    label = create_array(folder, "label", (n,))
    history_end = create_array(folder, "history_end", (n,))
    recent, loss = _Recent(data.users), _Loss()
    for begin in range(0, n, tick):
        rows = slice(begin, min(begin + tick, n))
        who, what = users[rows], ids[rows]
        p = teacher.probability(dense[rows], what, recent.of(who))
        clicked = np.random.default_rng([data.seed, 3, begin // tick]).random(len(who)) < p
        label[rows] = clicked
        history_end[rows] = recent.clicks[who]
        if rows.stop > n_train:
            evaluated = slice(max(0, n_train - begin), None)
            loss.add(p[evaluated], clicked[evaluated])
        recent.add(who[clicked], what[clicked, 0])
        if begin // tick % 16 == 0 or rows.stop == n:
            progress(rows.stop, n)
    _write_histories(folder, label, users, ids, recent.clicks)
    return loss.floor()


def _write_histories(
    folder: Path, label: np.ndarray, users: np.ndarray, ids: np.ndarray, clicks: np.ndarray
) -> None:
    """Groups clicked items by user and shifts the rows' counts of clicks to positions."""
    first = np.cumsum(clicks) - clicks  # each user's place among all clicks
    items = create_array(folder, "history_items", (int(clicks.sum()),))
    begin_of = create_array(folder, "history_begin", label.shape)
    end_of = open_array(folder, "history_end", "r+")
    written = first.copy()
    for begin in range(0, len(label), CHUNK_ROWS):
        rows = slice(begin, min(begin + CHUNK_ROWS, len(label)))
        who = users[rows]
        begin_of[rows] = first[who]
        end_of[rows] += first[who]
        clicked = np.flatnonzero(label[rows])
        clicked = clicked[np.argsort(who[clicked], kind="stable")]
        by = who[clicked]
        starts = np.flatnonzero(np.diff(by, prepend=-1))
        sizes = np.diff(starts, append=len(by))
        nth = np.arange(len(by)) - np.repeat(starts, sizes)
        items[written[by] + nth] = ids[rows, 0][clicked]
        written[by[starts]] += sizes


@dataclass
class _Loss:
    """Sums over the evaluation rows."""

    rows: int = 0
    clicks: int = 0
    cross_entropy: float = 0.0
    entropy: float = 0.0

    def add(self, p: np.ndarray, clicked: np.ndarray) -> None:
        click_loss, other_loss = -np.log(p), -np.log1p(-p)
        self.rows += len(p)
        self.clicks += int(clicked.sum())
        self.cross_entropy += float(np.where(clicked, click_loss, other_loss).sum())
        self.entropy += float((p * click_loss + (1 - p) * other_loss).sum())

    def floor(self) -> Floor:
        rate = min(max(self.clicks / self.rows, 1e-9), 1 - 1e-9)
        base = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
        mean = self.cross_entropy / self.rows
        return Floor(
            log_loss=mean, ne=float(mean / base), expected_log_loss=self.entropy / self.rows
        )
