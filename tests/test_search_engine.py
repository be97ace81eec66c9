"""A frontier search through Ray, killed in the middle: nothing is lost and nothing is repeated."""

from __future__ import annotations

import json
import signal
from collections import Counter

from conftest import with_ray
from planted_study import DATA, record
from test_engine import done, finish, started, starts, until

from recscale.engine.searcher import PlanSearcher
from recscale.ledger import Ledger
from recscale.planner import Planned, problem
from recscale.planner.journal import decided, decisions, ended
from recscale.run import RunConfig
from recscale.specfile import parse_spec

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


@with_ray[1]
def test_kill_of_the_driver_mid_search_loses_nothing_and_repeats_nothing(
    ray_stands, sweep_file, tmp_path
):
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
    # 3: the budget is spent and the law not determined, as may well be with so small a budget
    assert again.returncode in (0, 3), again.stdout + again.stderr
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
    assert idle.returncode in (0, 3) and "--extend" in idle.stdout
    assert len(done(ledger)) == len(runs)
    more = finish("run", "--extend", sweep)
    assert more.returncode in (0, 3), more.stdout + more.stderr
    after = [r.run_id for r in done(ledger)]
    assert len(after) > len(runs) and set(runs) < set(after) and len(set(after)) == len(after)
    assert 5e8 < sum(r.spent.train_flop for r in ledger.attempts()) <= 7e8


def test_a_new_driver_goes_on_from_the_ledger_alone(tmp_path):
    """Drivers that die after every third step, with runs under way and runs only decided on, leave
    nothing out and train nothing twice, as one that never dies."""
    spec = parse_spec(SWEEP.replace("FLOP", "1e10"))
    hunt = problem(spec, DATA)

    def driver(folder: str) -> PlanSearcher:
        ledger = Ledger(tmp_path / folder)
        return PlanSearcher(spec, DATA, (), ledger, str(tmp_path / folder), "store", hunt)

    def launch(searcher: PlanSearcher, trial: str) -> Planned | str | None:
        asked = searcher.suggest(trial)
        if not isinstance(asked, dict):
            return asked
        config = RunConfig.model_validate(asked["job"]["config"])
        point = hunt.points[hunt.at[config.tuning_group]]
        return Planned(config, point.cost, asked["job"]["reason"])

    for folder, lives in (("dying", 3), ("calm", 10**6)):
        searcher, flying, trained = driver(folder), [], Counter()
        for i in range(300):
            if i % lives == lives - 1:  # killed: what was under way has left no trace
                searcher, flying = driver(folder), []
            run = launch(searcher, f"trial {i}") if len(flying) < 2 else None
            if isinstance(run, Planned):
                assert run.reason and run.run_id not in {p.run_id for _, p in flying}
                flying.append((f"trial {i}", run))
            elif flying:
                trial, landed = flying.pop(0)
                searcher.ledger.record(record(landed))
                searcher.on_trial_complete(trial)
                trained[landed.run_id] += 1
            else:
                assert run == "FINISHED"
                break
        entries = Ledger(tmp_path / folder).entries()
        assert trained == dict.fromkeys((p.run_id for p in decided(entries)), 1)
        assert ended(entries) is not None and len(decisions(entries)) > 3
        assert sum(r.spent.train_flop for r in searcher.ledger.attempts()) <= 1e10
