"""The synthetic world of task `next_item`: users who walk among items as a planted teacher says.

Every item has a few items that tend to follow it. A user's next item follows the last one, or one
further back, or is drawn by popularity alone: so width, depth and data all have something to
learn, and the teacher's own probabilities give the Bayes loss of every event.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recscale.data.build import Built, Progress, refuse_large, split_rows
from recscale.data.layout import create_array, open_array, remove_raw
from recscale.data.ranks import interleave, rank_column
from recscale.manifest import Floor
from recscale.spec import SyntheticData

LAGS = {1: 0.4, 2: 0.2, 4: 0.1, 8: 0.05}
"""How far back the event lies that the next one follows -> with which chance; else popularity."""
FOLLOWERS = 6  # items that tend to follow an item, the i-th with weight 1 / i
ZIPF = 1.0  # of the items' popularity
ACTIVITY = 1.0  # sd of the log of a user's events


class Teacher:
    """The chances of the next item; `weights` are those of popularity."""

    def __init__(self, items: int, seed: int):
        rng = np.random.default_rng([seed, 11])
        self.weights = rng.permutation(1 / np.arange(1, items + 1) ** ZIPF)
        self.popularity = self.weights / self.weights.sum()
        self.below = np.cumsum(self.popularity)
        self.followers = rng.integers(0, items, (items, FOLLOWERS))
        share = 1 / np.arange(1, FOLLOWERS + 1)
        self.share = share / share.sum()

    def draw(self, past: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Next items [n] of users with past [n, t], oldest first."""
        n, t = past.shape
        found = np.searchsorted(self.below, rng.random(n) * self.below[-1]).astype(np.int32)
        way, nth = rng.random(n), rng.choice(FOLLOWERS, n, p=self.share)
        top = 0.0
        for lag, chance in LAGS.items():
            here = (way >= top) & (way < top + chance)
            top += chance
            if lag <= t:
                found[here] = self.followers[past[here, t - lag], nth[here]]
        return found

    def probability(self, past: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Chances [n] of items [n] after past [n, t]; a lag beyond the past falls to popularity."""
        t = past.shape[1]
        p = np.zeros(len(item))
        left = 1.0
        for lag, chance in LAGS.items():
            if lag <= t:
                follows = self.followers[past[:, t - lag]] == item[:, None]
                p += chance * (follows * self.share).sum(1)
                left -= chance
        return p + left * self.popularity[item]


def build(data: SyntheticData, folder: Path, progress: Progress) -> Built:
    """Walks all users at once, step by step, then sorts their events in time."""
    refuse_large(data, folder)
    n, rng = data.rows, np.random.default_rng([data.seed, 12])
    teacher = Teacher(data.items, data.seed)
    activity = np.exp(ACTIVITY * rng.standard_normal(data.users))
    sizes = np.sort(rng.multinomial(n, activity / activity.sum()))[::-1]
    sizes = sizes[sizes > 0]
    begin = np.cumsum(sizes) - sizes
    items, chance = np.empty(n, np.int32), np.empty(n)
    for step in range(int(sizes[0])):
        active = int(np.searchsorted(-sizes, -step, side="left"))  # users with more events left
        back = min(step, max(LAGS))
        at = begin[:active, None] + step
        past = items[at - np.arange(back, 0, -1)] if back else np.empty((active, 0), np.int32)
        drawn = teacher.draw(past, rng)
        items[at[:, 0]], chance[at[:, 0]] = drawn, teacher.probability(past, drawn)
        progress(int(np.minimum(sizes, step + 1).sum()), n)
    user = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    clock = rng.integers(0, 1 << 24, n)
    clock = clock[np.lexsort((clock, user))]  # each user's events rise in time
    order = np.argsort(clock, kind="stable")

    create_array(folder, "time", (n,))[:] = clock[order]
    create_array(folder, "label", (n,))[:] = 1
    create_array(folder, "dense", (n, 0))
    create_array(folder, "history_times", (n,))[:] = clock
    create_array(folder, "history_begin", (n,))[:] = begin[user[order]]
    create_array(folder, "history_end", (n,))[:] = order  # the place of the event itself
    history = create_array(folder, "history_items", (n,))
    history[:] = items
    columns = [create_array(folder, f"raw.{name}", (n,), "<i4") for name in ("user", "item")]
    columns[0][:], columns[1][:] = user[order], items[order]
    n_train = split_rows(open_array(folder, "time"), data.holdout.last)
    seen = np.isin(columns[1][n_train:], np.unique(columns[1][:n_train]))
    floor = _floor(chance[order][n_train:][seen], np.bincount(items[order[:n_train]]))
    tables = [
        rank_column("user", columns[0], n_train),
        rank_column("item", columns[1], n_train, more=[history]),
    ]
    interleave(columns, create_array(folder, "ids", (n, 2)))
    remove_raw(folder)
    return Built(
        n_train=n_train,
        tables=tables,
        dense=[],
        history="item",
        raw_rows=n,
        notes={"world": f"planted walks among items, seed {data.seed}"},
        floor=floor,
    )


def _floor(chance: np.ndarray, counts: np.ndarray) -> Floor:
    """Of evaluation events whose item occurs in training; `ne` is over popularity's entropy."""
    loss = float(-np.log(chance).mean())
    share = counts[counts > 0] / counts.sum()
    base = float(-(share * np.log(share)).sum())
    return Floor(log_loss=loss, ne=loss / base, expected_log_loss=loss)
