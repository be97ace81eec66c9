"""Users' events as windows: every event is a target once, whatever the cuts, and never its own
input."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from data_files import events_spec, prepared, sequence_log

from recscale.data.sequences import TrainStream, Windows, edges, eval_windows, positions
from recscale.data.store import Store

S = 6


@pytest.fixture(scope="module", params=["time", "hash"])
def made(request, tmp_path_factory):
    """A store of either order, and each user's items and times in the log's order."""
    folder = tmp_path_factory.mktemp("sequences")
    events = sequence_log(folder / "log.parquet")
    data = events_spec(
        folder / "log.parquet", task="next_item", order=request.param, refuse_above=0.3
    )
    past = defaultdict(list)
    for user, item, time in events:
        past[user].append((item, time))
    return prepared(folder, data), events, past


def users(store: Store, events) -> dict[int, int]:
    """Place of a user's first event in the store -> the user of the log; the store groups users
    in the order in which they appear."""
    sizes = Counter(user for user, _, _ in events)
    begins = np.unique(store.arrays["history_begin"])
    assert np.diff([*begins, len(events)]).tolist() == list(sizes.values())
    return dict(zip(begins.tolist(), sizes, strict=True))


def names(store: Store, events, who) -> dict[int, int]:
    """Item id -> the item of the log, from the places of each user's events."""
    nth, found = Counter(), {}
    starts = {user: begin for begin, user in who.items()}
    for user, item, _ in events:
        found[int(store.arrays["history_items"][starts[user] + nth[user]])] = item
        nth[user] += 1
    return found


def test_every_position_follows_its_users_past(made):
    store, events, past = made
    who = users(store, events)
    name = names(store, events, who)
    unseen = store.history_rows - 1
    for windows in (
        TrainStream(store.train(), S, 0).windows(0, 0, store.manifest.n_train),
        eval_windows(store, S),
    ):
        p = positions(store, windows)
        for item, target, time, event, user in zip(
            p.item, p.target, p.time, p.event, p.user, strict=True
        ):
            own, nth = past[who[int(user)]], int(event - user)
            assert target == unseen or name[int(target)] == own[nth][0]
            if nth:
                assert item == unseen or name[int(item)] == own[nth - 1][0]
                assert time == own[nth - 1][1]
            else:
                assert item == store.history_rows  # the start token, no item's id


@pytest.mark.parametrize("fraction", [0.3, 1.0])
def test_an_epoch_has_every_training_event_as_target_once(made, fraction):
    store, _, _ = made
    rows = store.train(fraction)
    stream = TrainStream(rows, S, 0)
    assert len(stream) == len(rows)
    for epoch in (0, 1):
        targets: list[int] = []
        for begin in range(0, len(rows), 50):
            p = positions(store, stream.windows(epoch, begin, min(begin + 50, len(rows))))
            assert len(p.scored) == min(50, len(rows) - begin)
            assert p.lengths.max() <= S
            targets += p.event[p.scored].tolist()
        assert len(set(targets)) == len(targets) == len(rows)
    assert not np.array_equal(stream.windows(0, 0, 50).begin, stream.windows(1, 0, 50).begin)


def test_smaller_fractions_are_inside_larger_ones_and_earlier_or_of_fewer_users(made):
    store, _, _ = made

    def targets(fraction: float) -> set[int]:
        n = len(store.train(fraction))
        stream = TrainStream(store.train(fraction), S, 0)
        return set(positions(store, stream.windows(0, 0, n)).event.tolist())

    small, large = targets(0.4), targets(0.8)
    assert small < large
    times, begin = store.arrays["history_times"], store.arrays["history_begin"]
    if store.manifest.order == "time":
        assert times[list(small)].max() <= times[list(large - small)].min()
    else:
        n = store.manifest.n_train
        few, many = (len(np.unique(begin[: int(f * n)])) for f in (0.4, 0.8))
        assert few < many


def test_cuts_bring_their_context_along(made):
    """The windows of two half batches score the targets of the whole one, with the same past."""
    store, _, _ = made
    stream = TrainStream(store.train(), S, 0)

    def scored(windows: Windows) -> dict[int, list[int]]:
        p = positions(store, windows)
        first = np.repeat(np.cumsum(p.lengths) - p.lengths, p.lengths)
        return {int(p.event[i]): p.item[first[i] : i + 1].tolist() for i in p.scored}

    whole = scored(stream.windows(0, 100, 164))
    parts = [scored(stream.windows(0, a, b)) for a, b in ((100, 133), (133, 164))]
    assert {**parts[0], **parts[1]} == whole
    assert not set(parts[0]) & set(parts[1])


def test_evaluation_events_are_targets_once_with_half_a_window_of_past(made):
    store, _, past = made
    windows = eval_windows(store, S)
    p = positions(store, windows)
    events = p.event[p.scored]
    assert len(set(events.tolist())) == len(events) == store.manifest.n_eval
    times = store.arrays["history_times"]
    assert times[events].min() > store.arrays["time"][: store.manifest.n_train].max()
    first = np.repeat(np.cumsum(p.lengths) - p.lengths, p.lengths)
    seen = np.arange(len(p.item)) - first + 1
    there = p.event - p.user + 1
    assert (seen[p.scored] >= np.minimum(there[p.scored], S // 2)).all()


@pytest.mark.parametrize("fraction", [0.07, 0.25, 0.6, 1.0])
def test_the_first_pass_of_a_nested_stream_is_the_start_of_that_over_all_rows(made, fraction):
    """Batch by batch, so that a run over more rows can go on with it."""
    store, _, _ = made
    n = store.manifest.n_train
    rows = store.train(fraction)
    part, whole = (TrainStream(r, S, 3, nested=True) for r in (rows, store.train()))
    seen: list[int] = []
    for begin in range(0, len(rows) - 32, 32):
        mine, all_ = (s.windows(0, begin, begin + 32) for s in (part, whole))
        assert all(np.array_equal(a, b) for a, b in zip(mine, all_, strict=True))
        p = positions(store, mine)
        seen += p.event[p.scored].tolist()
    assert len(set(seen)) == len(seen)
    # every one is a row, and none lies beyond the next edge
    place = {event: row for row, event in enumerate(events_of(store))}
    last = max(place[event] for event in seen)
    assert last < min(e for e in edges(n, store.manifest.order) if e >= len(seen))


@pytest.mark.parametrize("order", ["time", "hash"])
@pytest.mark.parametrize("n", [1, 2, 7, 1000, 999_983])
def test_edges_are_at_powers_of_a_half_and_end_with_the_rows(n, order):
    found = edges(n, order)
    assert found[-1] == n and found[0] >= 1 and len(set(found)) == len(found)
    assert {n >> k for k in range(n.bit_length())} <= {*found}


def events_of(store: Store) -> list[int]:
    """Place of each training row's event."""
    begin, nth = store.arrays["history_begin"][: store.manifest.n_train], Counter()
    found = []
    for first in begin.tolist():
        found.append(first + nth[first])
        nth[first] += 1
    return found


def test_a_nested_stream_has_every_training_event_once(made):
    store, _, _ = made
    n = store.manifest.n_train
    p = positions(store, TrainStream(store.train(), S, 0, nested=True).windows(0, 0, n))
    assert sorted(p.event[p.scored].tolist()) == sorted(events_of(store))
    assert p.lengths.max() <= S
    one, other = (
        TrainStream(store.train(), S, seed, nested=True).windows(0, 0, n).begin for seed in (0, 1)
    )
    assert not np.array_equal(one, other)


def test_further_passes_are_over_the_fraction_alone(made):
    store, _, _ = made
    rows = store.train(0.3)
    nested, plain = (TrainStream(rows, S, 0, nested=n) for n in (True, False))
    for a, b in zip(nested.windows(1, 0, 99), plain.windows(1, 0, 99), strict=True):
        assert np.array_equal(a, b)
