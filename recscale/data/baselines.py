"""What a model must beat to have learnt anything: losses that take counts of the training part.

Each is in nats a sample, over the very samples that a model's `eval_loss` is averaged over: every
evaluation row of a click log; of next items the evaluation events whose item occurs in training,
among as many items as the model scores.

Clicks:

- `constant rate`: every row has the click rate of the training rows.
- `per-item rate`: every row has its item's click rate in training, (k + m p) / (n + m) for k clicks
  in n rows and the constant rate p, so that an item unseen in training has the constant rate. The
  strength m is that of STRENGTHS by which every training row is best predicted from the others.

Next items, in a catalogue of the items that occur in training:

- `uniform`: every item is as likely as any other.
- `popularity`: an item's share of the training events, finite as each has at least one.
- `recent`: a mix of the user's last item, the shares of items among all of the user's events before
  the target, and popularity. The weights are those under which the training events are likeliest,
  each predicted from the user's earlier ones (expectation maximisation). A user without a past gets
  popularity.

Memory: one chunk of rows, and numbers for each item, or for next items for each event (5 bytes).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from recscale.data.layout import CHUNK_ROWS, HISTORY_ITEMS, open_array
from recscale.manifest import Manifest

STRENGTHS = 2.0 ** np.arange(-2, 21)
"""Rows that the constant rate counts for in an item's rate; the last leaves the constant alone."""
FIT_EVENTS = 1 << 18
"""Training events, of evenly spread users, that suffice for the three weights of `recent`."""
ROUNDS = 100  # of expectation maximisation


def with_baselines(folder: str | Path, manifest: Manifest) -> Manifest:
    """The manifest with its baselines. Of several labels each has its own, and those of the whole
    are their means by the labels' weights."""
    if not manifest.labels:
        return manifest.model_copy(update={"baselines": baselines(folder, manifest)})
    columns = open_array(folder, "labels")
    each = [_click(Path(folder), manifest, columns[:, i]) for i in range(columns.shape[1])]
    shares = manifest.label_shares
    whole = {k: sum(s * b[k] for s, b in zip(shares, each, strict=True)) for k in each[0]}
    labels = tuple(
        facts.model_copy(update={"baselines": found})
        for facts, found in zip(manifest.labels, each, strict=True)
    )
    return manifest.model_copy(update={"baselines": whole, "labels": labels})


def baselines(folder: str | Path, manifest: Manifest) -> dict[str, float]:
    """Name -> evaluation loss, nats a sample, of the arrays in `folder`, which `manifest`
    describes; the module's docstring says what each is.

    `per-item rate` only where the data has a table of items, the one that histories are made of.
    Empty where no evaluation sample counts; every loss is finite.
    """
    if manifest.task == "next_item":
        return _next_item(Path(folder), manifest)
    if not manifest.n_eval:
        return {}
    return _click(Path(folder), manifest, open_array(folder, "label"))


class _Clicks(NamedTuple):
    """By item, or of all rows together: float64 [V] each."""

    clicks: np.ndarray
    rows: np.ndarray

    def loss(self, rate: np.ndarray | float) -> float:
        """Mean cross-entropy of rates [V] in (0, 1), nats a row."""
        log, log_not = np.log(rate), np.log1p(-np.asarray(rate))
        nats = self.clicks * log + (self.rows - self.clicks) * log_not
        return -float(nats.sum()) / float(self.rows.sum())


def _click(folder: Path, manifest: Manifest, label: np.ndarray) -> dict[str, float]:
    n = manifest.n_train
    item, size = None, 1
    if manifest.history:
        item, size = _items(folder, manifest), manifest.table(manifest.history).rows
    train = _clicks(label, item, 0, n, size)
    held = _clicks(label, item, n, len(label), size)
    clicks, rows = float(train.clicks.sum()), float(train.rows.sum())
    # a class that training lacks counts as half a row: no rate is 0 or 1
    rate = min(max(clicks, 0.5), rows - 0.5) / rows if rows > 1 else 0.5
    found = {"constant rate": held.loss(rate)}
    if item is not None:
        m = STRENGTHS[int(np.argmin([_left_out(train, rate, m) for m in STRENGTHS]))]
        found["per-item rate"] = held.loss((train.clicks + m * rate) / (train.rows + m))
    return found


def _clicks(label: np.ndarray, item: np.ndarray | None, begin: int, end: int, size: int) -> _Clicks:
    """Clicks and rows of each of `size` items among rows [begin, end)."""
    found = _Clicks(np.zeros(size), np.zeros(size))
    for at in _chunks(begin, end):
        which = np.zeros(at.stop - at.start, np.int64) if item is None else item[at]
        np.add.at(found.rows, which, 1.0)
        np.add.at(found.clicks, which, label[at].astype(float))
    return found


def _left_out(train: _Clicks, rate: float, strength: float) -> float:
    """Mean cross-entropy of each training row under the other rows' smoothed rate of its item."""
    k, n = train.clicks, train.rows
    nats = np.zeros(len(n))
    for rows, others in ((k, k - 1), (n - k, k)):  # of clicks, of all other rows
        there = rows > 0
        p = (others[there] + strength * rate) / (n[there] - 1 + strength)
        nats[there] += rows[there] * np.log(p if rows is k else 1 - p)
    return -float(nats.sum()) / float(n.sum())


def _next_item(folder: Path, manifest: Manifest) -> dict[str, float]:
    assert manifest.history is not None  # the sequences themselves
    catalogue = manifest.table(manifest.history).rows - 1
    item, n = _items(folder, manifest), manifest.n_train
    counts = _counts(item, 0, n, catalogue)
    targets = _counts(item, n, n + manifest.n_eval, catalogue)
    if not targets.any():
        return {}
    named = targets > 0
    share = counts / counts.sum()
    popularity = -float(targets[named] @ np.log(share[named])) / float(targets.sum())
    begin = open_array(folder, "history_begin")
    users = _Users.of(begin, n, open_array(folder, HISTORY_ITEMS), catalogue)
    found = {"uniform": math.log(catalogue), "popularity": popularity}
    return found | {"recent": _recent(users, counts)}


def _counts(item: np.ndarray, begin: int, end: int, catalogue: int) -> np.ndarray:
    """Rows of each item of the catalogue among rows [begin, end), float64 [catalogue]."""
    found = np.zeros(catalogue + 1)  # the last for items unseen in training
    for at in _chunks(begin, end):
        np.add.at(found, item[at], 1.0)
    return found[:-1]


class _Past(NamedTuple):
    """Events of the catalogue's items, E of them, and what of the same user came before each;
    events of other items are neither targets nor a past."""

    item: np.ndarray
    """int64 [E]"""
    trains: np.ndarray
    """bool [E], whether the event is of the training part"""
    before: np.ndarray
    """int64 [E], earlier events of the user"""
    same: np.ndarray
    """int64 [E], those of them with the same item"""
    last: np.ndarray
    """bool [E], whether the latest of them has the same item"""

    def chances(self, share: np.ndarray) -> np.ndarray:
        """float64 [E, 3]: the target's chance as the last item, among the past, by `share` [E]."""
        return np.stack([self.last, self.same / np.maximum(self.before, 1), share], axis=1)


class _Users(NamedTuple):
    """All users' events, one user after the other, oldest first."""

    items: np.ndarray
    """int32 [m]"""
    starts: np.ndarray
    """int64 [U], place of each user's first event, ascending"""
    trained: np.ndarray
    """int32 [U], how many of each user's events are training rows: the first ones"""
    catalogue: int

    @classmethod
    def of(cls, begin: np.ndarray, n_train: int, items: np.ndarray, catalogue: int) -> _Users:
        """begin: [n], the place in `items` [m] of the first event of each row's user."""
        starts, trained = np.zeros(len(items), bool), np.zeros(len(items), np.int32)
        for at in _chunks(0, len(begin)):
            starts[begin[at]] = True
        for at in _chunks(0, n_train):
            np.add.at(trained, begin[at], 1)
        places = np.flatnonzero(starts)
        return cls(items, places, trained[places], catalogue)

    def pasts(self, step: int = 1) -> Iterator[_Past]:
        """Of every `step`-th user, whole users at a time, about CHUNK_ROWS events of all users."""
        edges = np.append(self.starts, len(self.items))
        cuts = np.unique(np.searchsorted(edges, np.arange(0, edges[-1], CHUNK_ROWS)))
        for first, stop in zip(cuts, [*cuts[1:], len(self.starts)], strict=True):
            users = np.arange(-(-first // step) * step, stop, step)
            if len(users):
                yield self._past(users, edges[users], edges[users + 1])

    def _past(self, users: np.ndarray, begin: np.ndarray, end: np.ndarray) -> _Past:
        sizes = end - begin
        nth = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        user = np.repeat(np.arange(len(users)), sizes)
        item = np.asarray(self.items[np.repeat(begin, sizes) + nth], np.int64)
        known = item < self.catalogue
        item, user, nth = item[known], user[known], nth[known]
        trains = nth < np.repeat(self.trained[users], sizes)[known]
        same = np.empty(len(item), np.int64)
        order = np.lexsort((item, user))  # stable: equal items of a user stay oldest first
        same[order] = _places(user[order] * (self.catalogue + 1) + item[order])
        last = np.zeros(len(item), bool)
        last[1:] = (item[1:] == item[:-1]) & (user[1:] == user[:-1])
        return _Past(item, trains, _places(user), same, last)


def _places(groups: np.ndarray) -> np.ndarray:
    """int64 [n]: how many equal values stand before each, of values with equal ones together."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return np.arange(len(groups)) - np.repeat(starts, np.diff(starts, append=len(groups)))


def _recent(users: _Users, counts: np.ndarray) -> float:
    """Mean loss of evaluation events, nats; counts: float64 [V], training events of each item."""
    weights = _weights(users, counts)
    nats, targets, total = 0.0, 0, counts.sum()
    for past in users.pasts():
        share = counts[past.item] / total
        p = np.where(past.before > 0, past.chances(share) @ weights, share)[~past.trains]
        nats, targets = nats - float(np.log(p).sum()), targets + len(p)
    return nats / targets


def _weights(users: _Users, counts: np.ndarray) -> np.ndarray:
    """Weights [3] of `_Past.chances`. One event more for each keeps every weight above 0.

    An event's popularity is that among the others: an item that occurs once in training is to
    that event what an unseen item is to an evaluation event, and no target.
    """
    step = max(1, len(users.items) // FIT_EVENTS)
    kept, others = [np.empty((0, 3))], max(1.0, float(counts.sum()) - 1)
    for past in users.pasts(step):
        chances = past.chances((counts[past.item] - 1) / others)
        kept.append(chances[past.trains & (past.before > 0) & (chances > 0).any(1)])
    chances, weights = np.concatenate(kept), np.full(3, 1 / 3)
    for _ in range(ROUNDS):
        joint = chances * weights
        weights = ((joint / joint.sum(1, keepdims=True)).sum(0) + 1) / (len(chances) + 3)
    return weights


def _items(folder: Path, manifest: Manifest) -> np.ndarray:
    """int32 [n], every row's id in the table that histories are made of."""
    names = [t.name for t in manifest.tables]
    assert manifest.history is not None
    return open_array(folder, "ids")[:, names.index(manifest.history)]


def _chunks(begin: int, end: int) -> Iterator[slice]:
    for at in range(begin, end, CHUNK_ROWS):
        yield slice(at, min(at + CHUNK_ROWS, end))
