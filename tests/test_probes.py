"""The probes, by a model whose answers are known: it always expects one item on round the ring."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from data_files import events_spec, prepared

from recscale.data.sequences import Positions
from recscale.data.store import Store
from recscale.run import LATENCY, SERVED
from recscale.spec import Holdout
from recscale.train.probes import GROUPS, Contexts, Probe, popularity_groups

ITEMS, S = 60, 12


@pytest.fixture(scope="module")
def ring(tmp_path_factory) -> tuple[Store, np.ndarray]:
    """A log in which every user always goes one item on; users start anywhere. And the ring as
    ids: the item after each."""
    folder = tmp_path_factory.mktemp("ring")
    rng = np.random.default_rng(0)
    user = rng.integers(0, 25, 2000)
    at = rng.integers(0, ITEMS, 25)
    item = []
    for u in user:
        at[u] = (at[u] + 1) % ITEMS
        item.append(int(at[u]))
    domain = ["left" if i < ITEMS / 2 else "right" for i in item]
    log = {"user": user, "item": item, "time": np.arange(2000), "domain": domain}
    pq.write_table(pa.table(log), folder / "log.parquet")
    data = events_spec(
        folder / "log.parquet",
        task="next_item",
        columns={"domain": "domain"},
        holdout=Holdout(last=0.3),
    )
    store = prepared(folder, data)
    ids, begin = store.arrays["history_items"], store.arrays["history_begin"]
    after = np.zeros(ITEMS, np.int64)
    for a, b in zip(np.unique(begin), [*np.unique(begin)[1:], len(ids)], strict=True):
        after[ids[a : b - 1]] = ids[a + 1 : b]
    return store, after


class Oracle:
    """Scores the item after the last one read; remembers how much it was given to read."""

    def __init__(self, after: np.ndarray):
        self.after, self.lengths = after, []

    def __call__(self, batch: Positions) -> torch.Tensor:
        self.lengths += batch.lengths.tolist()
        last = batch.item[batch.scored]
        scores = torch.zeros(len(last), ITEMS)
        known = last < ITEMS
        scores[np.flatnonzero(known), self.after[last[known]]] = 9.0
        return scores


def probe(ring) -> tuple[Any, Oracle]:
    store, after = ring
    oracle = Oracle(after)
    share = np.full(ITEMS, 1 / ITEMS)
    return Probe(store, share, S, oracle), oracle


def test_popularity_groups_hold_equal_shares_of_the_events():
    counts = np.sort(np.random.default_rng(0).zipf(1.4, 500))[::-1].astype(float)
    share = counts / counts.sum()
    group = popularity_groups(share)
    assert (np.diff(group) >= 0).all() and set(group) <= set(range(GROUPS))
    flat = popularity_groups(np.full(400, 1 / 400))
    assert np.bincount(flat).tolist() == [100] * 4


def test_whoever_knows_the_ring_is_right_everywhere(ring):
    made, oracle = probe(ring)
    found = made.run(("long_tail", "cold_start", "trajectory"))
    hits = {k: v for k, v in found.items() if k.endswith("hr10")}
    assert set(hits.values()) == {1.0}
    assert {f"probe_tail{g}_hr10" for g in range(1, 5)} <= set(hits)
    # histories of 20 and 50 do not fit the model's 12 positions
    assert "probe_cold5_loss" in hits or "probe_cold5_loss" in found
    assert "probe_cold20_loss" not in found
    assert {f"probe_ahead{n}_ndcg10" for n in range(1, 11)} <= set(found)


def test_cold_start_reads_the_last_events_and_no_more(ring):
    made, oracle = probe(ring)
    made.cold_start()
    assert max(oracle.lengths[: len(oracle.lengths) // 2]) == 5
    assert max(oracle.lengths) == 10


def test_what_is_deleted_or_replaced_is_the_share_asked_for(ring):
    made, _ = probe(ring)
    contexts = made._contexts(np.full(400, 40), np.zeros(400, np.int64), S)
    rng_free = Contexts(*contexts)
    for share in (0.1, 0.5):
        deleted = made._harmed(rng_free, share, "delete")
        left = np.mean([len(x) for x in deleted.items])
        assert left == pytest.approx((1 - share) * S, abs=0.35)
        assert min(len(x) for x in deleted.items) >= 1
        replaced = made._harmed(rng_free, share, "replace")
        assert all(len(x) == S for x in replaced.items)
        same = np.mean(np.stack(replaced.items) == np.stack(contexts.items))
        assert same == pytest.approx(1 - share * (1 - 1 / ITEMS), abs=0.03)


def test_harm_costs_what_it_hides(ring):
    """The oracle reads the last event only: replacing half of all events misleads it half the
    time, and the loss of ranking grows with the share."""
    made, _ = probe(ring)
    found = made.robustness()
    assert found["clean_ndcg10"] == 1
    lost = [found[f"replace{p}_lost"] for p in (10, 30, 50)]
    assert lost == sorted(lost)
    assert found["replace50_hr10"] == pytest.approx(0.5 + 0.5 * 10 / ITEMS, abs=0.12)
    for way in ("replace", "delete"):
        assert found[f"{way}50_lost"] == pytest.approx(1 - found[f"{way}50_ndcg10"])


def test_a_trajectory_feeds_its_own_choice_back(ring):
    """A model that is wrong once a lap goes on from its own mistake and never returns."""
    store, after = ring
    astray = after.copy()
    wrong = int(after[0])
    astray[0] = after[wrong]  # skips an item
    made: Any = Probe(store, np.full(ITEMS, 1 / ITEMS), S, Oracle(astray))
    found = made.trajectory()
    hits = [found[f"ahead{n}_loss"] for n in range(1, 11)]
    assert hits[9] > hits[0]


def test_latency_is_of_whole_batches_of_histories(ring):
    """Of 128 requests, each with as many events as a model sees, and not of what is made once."""
    made, oracle = probe(ring)
    seen: list[int] = []

    def slow(batch) -> torch.Tensor:
        seen.append(len(batch.lengths))
        time.sleep(0.002 if len(seen) > 3 else 0.05)
        return oracle(batch)

    made.answer = slow
    found = made.run(("latency",))
    assert set(seen) == {SERVED} and list(found) == [LATENCY]
    assert 0.002 < found[LATENCY] < 0.05


def test_a_domain_new_to_the_user_is_outside(ring):
    made, _ = probe(ring)
    found = made.transfer()
    assert found["inside_hr10"] == 1.0
    # every user of this log has been round both halves before the evaluation begins
    assert found["outside_hr10"] is None
