"""Events in time order, grouped: what came before a moment for a user or an item."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


class Grouped:
    """Events 0..n-1 in time order, by the code of a group (a user's, an item's).

    Holds one sorted int64 key per event (8 bytes): group * n + event.
    """

    def __init__(self, codes: np.ndarray, events: np.ndarray | None = None, n: int | None = None):
        """codes: int32 [m] group of each event; events: int64 [m] their numbers, ascending, where
        not all of the n events take part."""
        self._n = n if n is not None else len(codes)
        which = np.arange(len(codes)) if events is None else events
        self._keys = codes.astype(np.int64) * self._n + which
        self._keys.sort()

    def before(self, codes: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions [begin, end) of the group's events with a number below `event`; int64 [B]."""
        base = codes.astype(np.int64) * self._n
        return np.searchsorted(self._keys, base), np.searchsorted(self._keys, base + event)

    def events(self) -> np.ndarray:
        """int64 [m]: the event at every position, group after group, in time order inside."""
        return self._keys % self._n

    def event_at(self, positions: np.ndarray) -> np.ndarray:
        return self._keys[positions] % self._n


def moment_chunks(time: np.ndarray, size: int) -> Iterator[slice]:
    """Consecutive rows, about `size` at a time, that never part a moment."""
    begin = 0
    while begin < len(time):
        end = min(begin + size, len(time))
        end = int(np.searchsorted(time, time[end - 1], side="right"))
        yield slice(begin, end)
        begin = end
