"""Users' events as sequences: what a next-item model reads, and which positions count as samples.

Every event is a target once, predicted from the events of the same user before it; a user's first
from a start token. A user's events are cut into windows of at most S positions. Training is a
stream of all targets, window after window in a shuffled order, and a batch is the next B targets:
so samples, steps and shares of workers are known before anything is read. Where a batch or a
worker's share begins inside a window, the window's earlier positions come along as context,
unscored: what is learnt does not depend on where the cuts lie.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from recscale.data.layout import HISTORY_ITEMS, HISTORY_TIMES
from recscale.data.store import Split, Store


class Windows(NamedTuple):
    """W pieces of users' sequences; places count in the store's `history_items`."""

    begin: np.ndarray
    """int64 [W], place of the first position's target"""
    length: np.ndarray
    """int64 [W], positions"""
    user: np.ndarray
    """int64 [W], place of the user's first event"""
    scored: np.ndarray
    """int64 [W], how many of the last positions are targets; the others are context"""

    def take(self, which: np.ndarray | slice) -> Windows:
        return Windows(*(part[which] for part in self))


class Positions(NamedTuple):
    """T positions of W windows, shortest window first, as flat arrays."""

    item: np.ndarray
    """int64 [T], the event before the target; the start token at a user's first event"""
    target: np.ndarray
    """int64 [T]"""
    time: np.ndarray
    """int64 [T], seconds, of `item`; of the user's first event for the start token"""
    lengths: np.ndarray
    """int64 [W], ascending"""
    scored: np.ndarray
    """int64 [n], the positions that are targets"""
    event: np.ndarray
    """int64 [T], place of the target in the store"""
    user: np.ndarray
    """int64 [T], place of the user's first event"""


def positions(store: Store, windows: Windows) -> Positions:
    """Reads windows; the start token is the id after the item table's last."""
    windows = windows.take(np.argsort(windows.length, kind="stable"))
    lengths = windows.length
    offsets = np.cumsum(lengths) - lengths
    within = np.arange(lengths.sum()) - np.repeat(offsets, lengths)
    event = np.repeat(windows.begin, lengths) + within
    user = np.repeat(windows.user, lengths)
    first = event == user
    before = np.where(first, event, event - 1)
    items, times = store.arrays[HISTORY_ITEMS], store.arrays[HISTORY_TIMES]
    item = np.where(first, store.history_rows, items[before])
    scored = within >= np.repeat(lengths - windows.scored, lengths)
    return Positions(
        item=item.astype(np.int64),
        target=items[event].astype(np.int64),
        time=store.seconds(times[before]),
        lengths=lengths,
        scored=np.flatnonzero(scored),
        event=event,
        user=user,
    )


def users_of(rows: Split) -> tuple[np.ndarray, np.ndarray]:
    """Users with rows in a split, as places of their first events, and how many rows each has."""
    begin = rows.store.arrays["history_begin"][rows.begin : rows.end]
    return np.unique(begin, return_counts=True)


class TrainStream:
    """The targets of a training split in the order in which they are learnt."""

    def __init__(self, rows: Split, length: int, seed: int, nested: bool = False):
        """length: positions of a window, S. nested: the first pass is that over all training rows,
        as far as the split goes; see `nested_windows`."""
        self._rows, self._length, self._seed, self._nested = rows, length, seed, nested
        self._epoch = -1

    def __len__(self) -> int:
        """Targets: the rows of the split."""
        return len(self._rows)

    def windows(self, epoch: int, begin: int, end: int) -> Windows:
        """The windows that hold targets [begin, end) of an epoch, cut and scored accordingly.
        Each epoch has an order of its own."""
        if epoch != self._epoch:
            self._ordered = self._order(epoch)
            self._ends = np.cumsum(self._ordered.length)
            self._epoch = epoch
        first, last = np.searchsorted(self._ends, [begin, end - 1], side="right")
        cut = self._ordered.take(slice(first, last + 1))
        ends = self._ends[first : last + 1]
        starts = ends - cut.length
        length = np.minimum(ends, end) - starts
        scored = np.minimum(ends, end) - np.maximum(starts, begin)
        return Windows(cut.begin, length, cut.user, scored)

    def reach(self, epoch: int, end: int) -> int:
        """The store's first rows among which the targets before the `end`-th of an epoch, and of
        the epochs before it, were drawn: what they hold is all that a model can know by then."""
        rows = self._rows
        if not self._nested:
            return len(rows)
        places = edges(rows.store.manifest.n_train, rows.store.manifest.order)
        return next(edge for edge in places if edge >= (end if epoch == 0 else len(rows)))

    def blocks(self, epoch: int, begin: int, end: int) -> list[tuple[int, int, int]]:
        """(first row, behind the last, targets): the ranges of the store's rows of which targets
        [begin, end) of an epoch are random draws, and how many they are of each."""
        if not self._nested or epoch:
            return [(0, len(self._rows), end - begin)]
        places = [0, *edges(self._rows.store.manifest.n_train, self._rows.store.manifest.order)]
        found = ((a, b, min(b, end) - max(a, begin)) for a, b in itertools.pairwise(places))
        return [(a, b, n) for a, b, n in found if n > 0]

    def _order(self, epoch: int) -> Windows:
        if self._nested and epoch == 0:
            return nested_windows(self._rows.store, self._length, self._seed)
        users, events = users_of(self._rows)
        windows = _pieces(users, np.zeros_like(events), events, self._length)
        rng = np.random.default_rng([self._seed, epoch])
        return windows.take(rng.permutation(len(windows.length)))


def nested_windows(store: Store, length: int, seed: int) -> Windows:
    """All training targets in an order of which every data fraction is the beginning, so that a
    run over a larger one can go on with a smaller one's.

    Windows end at some places of the store's order, `edges`, and are shuffled between two of them
    alone: all at once would show a fraction the future of its users, and none would fill batches
    with one user. A fraction that ends at an edge is the store's first rows exactly; another one is
    drawn from those up to the next edge.
    """
    begin = store.arrays["history_begin"][: store.manifest.n_train]
    every = np.unique(begin)
    done = np.zeros(len(every), np.int64)
    blocks, top = [], 0
    for nth, edge in enumerate(edges(len(begin), store.manifest.order)):
        users, events = np.unique(begin[top:edge], return_counts=True)
        at = np.searchsorted(every, users)
        block = _pieces(users, done[at], done[at] + events, length)
        done[at] += events
        rng = np.random.default_rng([seed, 0, nth])
        blocks.append(block.take(rng.permutation(len(block.length))))
        top = edge
    return Windows(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def edges(n: int, order: str) -> list[int]:
    """Where windows end in a store of n training rows: at 1, 1/2, 1/4, ... of them in time order,
    where each end cuts users' pasts, and four times as often in hash order, where users are whole.
    """
    often = 4 if order == "hash" else 1
    return sorted({int(n * 2 ** (-k / often)) for k in range(often * n.bit_length())} - {0})


def widened(windows: Windows, length: int) -> Windows:
    """The windows with the user's earlier events as context, where there are some, up to `length`
    positions in all."""
    more = np.minimum(windows.begin - windows.user, np.maximum(0, length - windows.length))
    return Windows(windows.begin - more, windows.length + more, windows.user, windows.scored)


def _pieces(users: np.ndarray, done: np.ndarray, events: np.ndarray, length: int) -> Windows:
    """Each user's events from the `done`-th up to `events` in pieces of `length`."""
    left = events - done
    pieces = -(-left // length)
    nth = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    user = np.repeat(users, pieces)
    size = np.minimum(np.repeat(left, pieces) - nth * length, length)
    return Windows(user + np.repeat(done, pieces) + nth * length, size, user, size)


def eval_windows(store: Store, length: int) -> Windows:
    """Every evaluation event as a target once, with at least half a window of the user's earlier
    events before it, where there are as many; those may lie in the training part."""
    users, targets = users_of(store.eval())
    known, events = users_of(Split(store, 0, store.manifest.n_train))
    at = np.minimum(np.searchsorted(known, users), len(known) - 1)
    before = np.where(known[at] == users, events[at], 0)
    step = max(1, length // 2)
    pieces = -(-targets // step)
    user, before, targets = (np.repeat(x, pieces) for x in (users, before, targets))
    nth = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    first = before + nth * step  # among the user's events
    end = np.minimum(first + step, before + targets)
    begin = np.maximum(0, end - length)
    return Windows(user + begin, end - begin, user, end - first)
