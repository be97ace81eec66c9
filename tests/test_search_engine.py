"""A frontier search through Ray, killed in the middle: nothing is lost and nothing is repeated."""

from __future__ import annotations

import json
import signal
from collections import Counter

from test_engine import done, finish, started, starts, until

from recscale.ledger import Ledger
from recscale.planner.journal import decided, decisions, ended

SWEEP = """
name: hunt
data: {source: synthetic, rows: 20000, users: 500, items: 300}
model: {family: dlrm, embedding_dim: [4, 8, 16, 32], mlp_width: [8, 16, 32], sequence_length: 6}
train: {data_fraction: [0.05, 0.1, 0.3, 1.0], batch_size: 64}
law: {variables: [table_params, dense_params, samples]}
search: {strategy: frontier, target: {flop: 10x}}
budget: {flop: FLOP}
resources: {checkpoint_s: 0.5}
"""


def test_kill_of_the_driver_mid_search_loses_nothing_and_repeats_nothing(sweep_file, tmp_path):
    sweep = sweep_file(SWEEP.replace("FLOP", "5e8"))
    run_dir = tmp_path / "runs" / "hunt"
    ledger = Ledger(run_dir)
    with started("run", sweep) as driver:
        # past the start: a decision of the search itself has been written down
        until(lambda: len(decisions(ledger.entries())) >= 3 and len(done(ledger)) >= 9, driver)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    before, made = {r.run_id for r in done(ledger)}, decisions(ledger.entries())
    started_before = starts(ledger)

    again = finish("run", sweep)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "the search has ended" in again.stdout
    entries = ledger.entries()
    assert decisions(entries)[: len(made)] == made
    runs = [p.run_id for p in decided(entries)]
    assert Counter(r.run_id for r in done(ledger)) == dict.fromkeys(runs, 1)
    assert all(starts(ledger)[i] == started_before[i] for i in before)
    assert all(d["why"] for d in decisions(entries))
    last = ended(entries)
    assert last is not None
    spent = sum(r.spent.train_flop for r in ledger.attempts())
    assert 0 < spent <= 5e8
    facts = json.loads(finish("status", run_dir, "--json").stdout)
    assert facts["search"]["ended"] and facts["search"]["why"] == last["why"]
    assert facts["planned"] == facts["done"] == len(runs)

    refused = finish("run", "--extend", sweep)
    assert refused.returncode == 2 and "raise its budget" in refused.stderr
    sweep_file(SWEEP.replace("FLOP", "7e8"))
    idle = finish("run", sweep)
    assert idle.returncode == 0 and "--extend" in idle.stdout
    assert len(done(ledger)) == len(runs)
    more = finish("run", "--extend", sweep)
    assert more.returncode == 0, more.stdout + more.stderr
    after = [r.run_id for r in done(ledger)]
    assert len(after) > len(runs) and set(runs) < set(after) and len(set(after)) == len(after)
    assert 5e8 < sum(r.spent.train_flop for r in ledger.attempts()) <= 7e8
