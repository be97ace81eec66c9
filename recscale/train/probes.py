"""The five hard tasks of 2311.11351 as probes of a trained next-item model, and how long it takes
to answer.

Each task is measured on a fixed sample of the evaluation targets, the same for every run of a
sweep, by ranking the whole catalogue. A result is a dict of columns `probe_<what>_<metric>`; the
metrics are the loss (nats), HR@10 and NDCG@10.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from recscale.data.layout import HISTORY_ITEMS, HISTORY_TIMES
from recscale.data.sequences import Positions
from recscale.data.store import Store
from recscale.run import SERVED
from recscale.train.latency import fastest
from recscale.train.ranking import Places, gain, hit, places

TARGETS = 1000  # sampled, for the probes that change what is read
BATCH = 128  # contexts at once
GROUPS = 4  # popularity groups of the long tail, with equal shares of the training events
COLD = (5, 10, 20, 50)  # events of history that a cold-start user is left with
SHARES = (0.1, 0.3, 0.5)  # of the history that is deleted or replaced
AHEAD = 10  # items that a trajectory goes on

Answer = Callable[[Positions], torch.Tensor]
"""The model's scores [n, V] at the scored positions of a batch."""
Found = dict[str, float | None]


class Contexts(NamedTuple):
    """What a model reads before each of n targets."""

    items: list[np.ndarray]
    """int64 [length], oldest first, each of 1 to S"""
    times: list[np.ndarray]
    target: np.ndarray
    """int64 [n]"""
    event: np.ndarray
    """int64 [n], place of the target in the store"""
    user: np.ndarray
    """int64 [n], place of the user's first event"""


class Probe:
    """One store's probes; `length` is the model's S."""

    def __init__(self, store: Store, share: np.ndarray, length: int, answer: Answer):
        """share: each item's share of the training events [V]."""
        self.store, self.share, self.length, self.answer = store, share, length, answer
        self.items = store.arrays[HISTORY_ITEMS]
        self.times = store.arrays[HISTORY_TIMES]
        begin = store.arrays["history_begin"]
        n = store.manifest.n_train
        # a user's evaluation events are the last ones of the sequence
        users, held = np.unique(begin[n:], return_counts=True)
        every, all_events = np.unique(begin, return_counts=True)
        ends = users + all_events[np.searchsorted(every, users)]
        self.first, self.users, self.ends = ends - held, users, ends

    def run(self, names: tuple[str, ...]) -> Found:
        found: Found = {}
        for name in names:
            found |= getattr(self, name)()
        return {f"probe_{k}": v for k, v in found.items()}

    def long_tail(self) -> Found:
        """Targets by the popularity of their item in training: group 1 the hottest."""
        contexts = self._sampled(self.length, 4 * TARGETS)
        loss, where = self._measure(contexts)
        group = popularity_groups(self.share)[contexts.target]
        found: Found = {}
        for g in range(GROUPS):
            found |= _metrics(f"tail{g + 1}", loss[group == g], where[group == g])
        return found

    def cold_start(self) -> Found:
        """The history truncated to its last k events; k above the model's S is left out."""
        found: Found = {}
        for k in COLD:
            if k <= self.length:
                found |= _metrics(f"cold{k}", *self._measure(self._sampled(k)))
        return found

    def robustness(self) -> Found:
        """A share of the history deleted, or replaced by items drawn uniformly; at least one event
        is left. `lost` is the share of the clean NDCG@10 that it costs."""
        contexts = self._sampled(self.length)
        clean = _metrics("clean", *self._measure(contexts))
        found: Found = dict(clean)
        for share in SHARES:
            for way in ("delete", "replace"):
                name = f"{way}{100 * share:.0f}"
                harmed = self._harmed(contexts, share, way)
                found |= _metrics(name, *self._measure(harmed))
                whole, left = clean["clean_ndcg10"], found[f"{name}_ndcg10"]
                known = bool(whole) and left is not None
                found[f"{name}_lost"] = 1 - left / whole if known else None  # type: ignore
        return found

    def trajectory(self) -> Found:
        """1 to 10 items ahead: the model's own first choice is fed back as the next event. Of
        users with as many events to evaluate; times stand still while it goes on."""
        enough = np.flatnonzero(self.ends - self.first >= AHEAD)
        enough = _some(enough, TARGETS)
        contexts = self._contexts(self.first[enough], self.users[enough], self.length)
        found: Found = {}
        for ahead in range(AHEAD):
            target = self.items[contexts.event + ahead].astype(np.int64)
            scores = self._scores(contexts)
            known = target < len(self.share)
            found |= _metrics(
                f"ahead{ahead + 1}", *_of(scores[torch.from_numpy(known)], target[known])
            )
            choice = scores.argmax(1).numpy()
            n = self.length
            contexts = contexts._replace(
                items=[np.r_[x, c][-n:] for x, c in zip(contexts.items, choice, strict=True)],
                times=[np.r_[t, t[-1]][-n:] for t in contexts.times],
            )
        return found

    def transfer(self) -> Found:
        """Targets whose domain the user has met before (inside), and those of a domain that is
        new to the user (outside)."""
        domains = self.store.arrays["history_domains"]
        contexts = self._sampled(self.length, 4 * TARGETS)
        loss, where = self._measure(contexts)
        met = np.array(
            [domains[e] in domains[u:e] for u, e in zip(contexts.user, contexts.event, strict=True)]
        )
        inside, outside = met.astype(bool), ~met.astype(bool)
        return {
            **_metrics("inside", loss[inside], where[inside]),
            **_metrics("outside", loss[outside], where[outside]),
        }

    def latency(self) -> Found:
        """Seconds until SERVED users' histories, of S events where they have them, are scored
        against the whole catalogue."""
        found = self._sampled(self.length, SERVED)
        some = np.resize(np.arange(len(found.event)), SERVED)
        contexts = Contexts(
            [found.items[i] for i in some],
            [found.times[i] for i in some],
            *(part[some] for part in found[2:]),
        )
        return {"latency_s": fastest(lambda: self._scores(contexts))}

    def _sampled(self, keep: int, count: int = TARGETS) -> Contexts:
        """Contexts of the last `keep` events before a fixed sample of targets in the catalogue
        that have a past."""
        sizes = self.ends - self.first
        user = np.repeat(self.users, sizes)
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        event = np.repeat(self.first, sizes) + within
        fit = np.flatnonzero((self.items[event] < len(self.share)) & (event > user))
        chosen = _some(fit, count)
        return self._contexts(event[chosen], user[chosen], keep)

    def _contexts(self, event: np.ndarray, user: np.ndarray, keep: int) -> Contexts:
        begin = np.maximum(user, event - keep)
        pairs = list(zip(begin, event, strict=True))
        start = np.array([self.store.history_rows])  # for a user without a past
        return Contexts(
            [self.items[a:b].astype(np.int64) if b > a else start for a, b in pairs],
            [self.store.seconds(self.times[a : max(b, a + 1)]) for a, b in pairs],
            self.items[event].astype(np.int64),
            event,
            user,
        )

    def _harmed(self, contexts: Contexts, share: float, way: str) -> Contexts:
        rng = np.random.default_rng(0)
        items, times = [], []
        for item, time in zip(contexts.items, contexts.times, strict=True):
            chosen = rng.random(len(item)) < share
            if way == "replace":
                strangers = rng.integers(0, len(self.share), len(item))
                items.append(np.where(chosen, strangers, item))
                times.append(time)
                continue
            chosen[-1] &= not chosen.all()
            items.append(item[~chosen])
            times.append(time[~chosen])
        return contexts._replace(items=items, times=times)

    def _measure(self, contexts: Contexts) -> tuple[np.ndarray, np.ndarray]:
        return _of(self._scores(contexts), contexts.target)

    def _scores(self, contexts: Contexts) -> torch.Tensor:
        """[n, V]"""
        order = np.argsort([len(x) for x in contexts.items], kind="stable")
        scores = torch.empty(len(order), len(self.share))
        for begin in range(0, len(order), BATCH):
            some = order[begin : begin + BATCH]
            lengths = np.array([len(contexts.items[i]) for i in some])
            item = np.concatenate([contexts.items[i] for i in some])
            last = np.cumsum(lengths) - 1
            target = np.zeros(len(item), np.int64)
            batch = Positions(
                item, target, np.concatenate([contexts.times[i] for i in some]), lengths, last,
                target, target,
            )  # fmt: skip
            scores[torch.from_numpy(some)] = self.answer(batch).float().cpu()
        return scores


def popularity_groups(share: np.ndarray) -> np.ndarray:
    """int64 [V], 0 for the hottest items: groups with equal shares of the training events."""
    order = np.argsort(-share, kind="stable")
    middle = np.cumsum(share[order]) - share[order] / 2
    group = np.empty(len(share), np.int64)
    group[order] = np.minimum((middle * GROUPS).astype(int), GROUPS - 1)
    return group


def _some(which: np.ndarray, count: int) -> np.ndarray:
    """A fixed sample, in order."""
    if len(which) <= count:
        return which
    return np.sort(np.random.default_rng(0).choice(which, count, replace=False))


def _of(scores: torch.Tensor, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Losses [n] and `Places` [n, 2]."""
    truth = torch.from_numpy(target)
    loss = F.cross_entropy(scores, truth, reduction="none")
    return loss.numpy(), torch.stack(places(scores, truth, None), dim=1).numpy()


def _metrics(name: str, loss: np.ndarray, where: np.ndarray) -> Found:
    if not len(where):
        return {f"{name}_{m}": None for m in ("loss", "hr10", "ndcg10")}
    at = Places(*torch.from_numpy(where).unbind(1))
    return {
        f"{name}_loss": float(loss.mean(dtype=float)),
        f"{name}_hr10": float(hit(at, 10).mean()),
        f"{name}_ndcg10": float(gain(at, 10).mean()),
    }
