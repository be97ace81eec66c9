"""Sampled negatives of implicit feedback: items that had been seen, not taken at that moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recscale.spec import Negatives

_ROUNDS = 64
"""Draws before a slot picks among its candidates directly; only a basket that holds nearly
everything ever seen gets there."""


@dataclass(frozen=True)
class Baskets:
    """Events of whole moments, and the items that each user takes in each of the moments."""

    first: int
    """Number of the first of the B events."""
    items: np.ndarray
    """int32 [B]"""
    ends: np.ndarray
    """int64 [B], one past the last event of the row's moment"""
    group: np.ndarray
    """int64 [B], equal for events of one user and moment"""

    @classmethod
    def of(cls, rows: slice, items: np.ndarray, users: np.ndarray, ends: np.ndarray) -> Baskets:
        """Of the events `rows`; items, users [B] theirs."""
        keys = (ends - rows.start) * (int(users.max()) + 1) + users
        _, group = np.unique(keys, return_inverse=True)
        return cls(rows.start, items, ends, group.reshape(-1))


class NegativeSampler:
    """Draws for events in time order.

    Candidates of an event are the items of all events up to the end of its moment, but for those
    that its user takes in that moment. Draws are with replacement. Items and users are codes.
    """

    def __init__(self, items: np.ndarray, n_items: int, spec: Negatives, seed: int):
        """items: int32 [n], of every event in time order."""
        self._items, self._n_items, self._spec, self._seed = items, n_items, spec, seed
        first = np.full(n_items, len(items), np.int64)
        np.minimum.at(first, items, np.arange(len(items)))
        self._by_first = np.argsort(first, kind="stable")  # items in order of appearance
        self._first = first[self._by_first]

    def possible(self, baskets: Baskets) -> np.ndarray:
        """bool [B]: whether the event has any candidate."""
        # a basket may hold an item several times
        taken = np.unique(baskets.group * self._n_items + baskets.items)
        sizes = np.bincount(taken // self._n_items)[baskets.group]
        return np.searchsorted(self._first, baskets.ends) > sizes

    def blank(self, baskets: Baskets) -> np.ndarray:
        """int32 [B, k]: like `draw`, with item 0 in place of every item drawn."""
        there = self.possible(baskets).astype(np.int32) - 1
        return np.repeat(there[:, None], self._spec.per_positive, axis=1)

    def draw(self, baskets: Baskets) -> np.ndarray:
        """int32 [B, k] items, -1 throughout a row without a candidate.

        They depend on the seed and the event's number, not on how events are chunked.
        """
        k, items, ends = self._spec.per_positive, baskets.items, baskets.ends
        group = baskets.group * self._n_items
        taken = np.sort(group + items)
        seen = np.searchsorted(self._first, ends)
        drawn = np.full(len(items) * k, -1, np.int32)
        slots = np.flatnonzero(np.repeat(self.possible(baskets), k))
        for turn in range(_ROUNDS):
            if not len(slots):
                break
            row = slots // k
            uniform = _uniform(slots + baskets.first * k, turn, self._seed)
            if self._spec.distribution == "uniform":
                found = self._by_first[(uniform * seen[row]).astype(np.int64)]
            else:
                found = self._items[(uniform * ends[row]).astype(np.int64)]
            key = group[row] + found
            at = np.minimum(np.searchsorted(taken, key), len(taken) - 1)
            free = taken[at] != key
            drawn[slots[free]] = found[free]
            slots = slots[~free]
        for slot in slots:
            row = slot // k
            basket = items[baskets.group == baskets.group[row]]
            candidates = np.setdiff1d(self._by_first[: seen[row]], basket)
            drawn[slot] = candidates[(slot + baskets.first * k) % len(candidates)]
        return drawn.reshape(-1, k)


def _uniform(slots: np.ndarray, turn: int, seed: int) -> np.ndarray:
    """float64 [n] in [0, 1): a splitmix64 hash of slot, turn and seed."""
    salt = np.random.SeedSequence([seed, turn]).generate_state(1, np.uint64)[0]
    x = slots.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + salt
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
