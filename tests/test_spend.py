"""What a sweep has spent: one sum, by what each start told of itself, whatever died."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from planted_study import DATA, record, start
from simulated_sweep import folder, play, play_search

from recscale.engine.allowance import LOOK_S, STOP_S, silent_s, told_for
from recscale.engine.heart import HEARTBEAT_S, HOLD_S, CheckpointLost, Heart
from recscale.engine.job import Job, OtherVersion, check_version, cut_record, lost
from recscale.families.trainer import DATA as TRAINER_DATA
from recscale.ledger import Ledger
from recscale.planner import Flight, Launch, Spend, Stop, Wait, decide, held, planned_runs, spent
from recscale.run import RunRecord
from recscale.spec import BudgetSpec
from recscale.specfile import SpecError, parse_spec
from recscale.spend import LEAST_S, Resting, flight
from recscale.study import Study, plan_entry

SWEEP = """
name: sim
data: {source: synthetic}
model: {family: dlrm, embedding_dim: [4, 8, 16], mlp_width: 32, sequence_depth: 0}
train: {data_fraction: [0.02, 0.06], batch_size: 512}
budget: {flop: 1e18}
resources: {elastic: [1, 2]}
"""
SPEC = parse_spec(SWEEP)
PLANNED = planned_runs(SPEC, DATA)
LONG = "RECSCALE_SLOW" in os.environ


def simulated(few: int, many: int) -> settings:
    """So many sweeps; 10,000 in all by hand."""
    return settings(
        max_examples=many if LONG else few,
        deadline=None,
        derandomize=not LONG,
        suppress_health_check=[HealthCheck.too_slow],
        phases=[Phase.explicit, Phase.generate],  # a seed has nothing to shrink to
    )


def job(i: int = 0, **changes) -> Job:
    p = PLANNED[i]
    resources = SPEC.resources.model_dump(mode="json")
    facts = {"config": p.config.model_dump(mode="json"), "run_id": p.run_id, "reason": "",
             "run_dir": "runs/sim", "store": "", "resources": resources}  # fmt: skip
    return Job(**{**facts, **changes})


@simulated(few=80, many=6000)
@given(seed=st.integers(0, 2**32))
@example(seed=534)  # resized near the end of the budget
@example(seed=1001032)
def test_a_sweep_spends_what_its_ledger_says_and_never_more_than_its_budget(seed: int):
    """Workers killed, hung, resized, failing; drivers killed; budgets raised twice; checkpoints
    lost; every writer's clock hours off and jumping. At each half second: the truth within the
    budget, the ledger at or above the truth by a heartbeat a death at most; in the end every run
    done once."""
    with folder() as here:
        play(here, SPEC, PLANNED, seed)


POINTS = parse_spec(
    SWEEP.replace("[4, 8, 16]", "[4, 8]").replace(
        "[0.02, 0.06], batch_size: 512",
        "[0.02, 0.04, 0.08], epochs: [1, 2], batch_size: 512, schedule: anytime, "
        "warmup_samples: 512, learning_rate: {tune: [1, 4]}",
    )
)
TRAJECTORIES = planned_runs(POINTS, DATA)


@simulated(few=30, many=2500)
@example(seed=257)
@given(seed=st.integers(0, 2**32))
def test_points_of_a_training_that_go_on_from_each_other_do_so_too(seed: int):
    """Likewise, of runs that share trainings, whose states are lost and branch off, and whose
    learning rates race. Where nothing was lost all cost what each adds to its training."""
    with folder() as here:
        play(here, POINTS, TRAJECTORIES, seed)


OWN = parse_spec("""
name: own
trainer: "simulated_worker:trains_nothing"
axes: {hidden: [16, 32], samples: [20000, 60000, 180000]}
cost: 6 * hidden * samples
budget: {flop: 1e18}
resources: {elastic: [1, 2]}
""")


@simulated(few=20, many=1500)
@given(seed=st.integers(0, 2**32))
def test_a_trainer_of_ones_own_costs_what_it_may_have_done_since_its_last_report(seed: int):
    """Likewise, of trainers that report seldom, or not before their end."""
    with folder() as here:
        play(here, OWN, planned_runs(OWN, TRAINER_DATA), seed)


HUNT = """
name: hunt
data: {source: synthetic}
model: {family: dlrm, embedding_dim: [4, 8, 16], mlp_width: [16, 32], sequence_depth: 0}
train: {data_fraction: [0.02, 0.04, 0.08], batch_size: 512}
law: {variables: [table_params, dense_params, samples]}
search: {strategy: frontier, target: {flop: 10x}}
budget: {flop: FLOP}
"""


@pytest.mark.parametrize("seed", range(40 if LONG else 2))
def test_a_search_that_is_extended_twice_never_crosses_its_budget(tmp_path: Path, seed: int):
    """Every second one of schedule `anytime`, whose runs go on with each other's trainings."""
    text = HUNT.replace(
        "batch_size: 512", "batch_size: 512, schedule: anytime, warmup_samples: 512"
    )
    assert play_search(tmp_path, (text, HUNT)[seed % 2], seed) >= 8


# -- one start ------------------------------------------------------------------------------
def test_a_start_says_what_it_spends_before_it_does(tmp_path: Path):
    ledger, clock = Ledger(tmp_path), [0.0]
    heart = Heart(ledger.append, job(), 2, now=lambda: clock[0])

    def now() -> Spend:
        return spent([], ledger.starts())

    assert now().usd > 0 and now().flop == 0  # it holds two workers, and trains nothing yet
    heart.opened(DATA, look=512)
    heart.began(0)
    per_sample = PLANNED[0].cost.train_flop / PLANNED[0].cost.samples
    for i in range(1, 20):
        clock[0] += 0.2
        assert now().flop >= min(512 * i, heart.total) * per_sample * (1 - 1e-12)
        heart.looked(512 * i, kept=512 * (i // 4))
        heart.beat()
    (told,) = ledger.starts()
    assert told.kept == 512 * 4 and told.origin == 0 and not told.over
    assert 0 < told.worker_s - 2 * clock[0] <= 2 * HEARTBEAT_S
    ahead = told.samples - 19 * 512
    assert 512 <= ahead <= 512 + 1.01 * HEARTBEAT_S * 19 * 512 / clock[0]
    heart.end(19 * 512)
    (told,) = ledger.starts()
    assert told.over and told.samples == 19 * 512 and told.worker_s == pytest.approx(2 * clock[0])
    assert [e["kind"] for e in ledger.entries()] == ["start"]  # hours of beats are not kept


def test_a_resized_group_trains_no_sooner_than_the_guard_can_stop_it(tmp_path: Path):
    clock = [0.0]
    heart = Heart(Ledger(tmp_path).append, job(), 1, resized=True, now=lambda: clock[0])
    heart.opened(DATA, look=512)
    assert heart.began(0) == HOLD_S >= LOOK_S + STOP_S
    assert Heart(Ledger(tmp_path).append, job(), 1).hold_s == 0


def test_a_start_whose_checkpoint_is_gone_trains_nothing_and_says_so(tmp_path: Path):
    ledger = Ledger(tmp_path)
    heart = Heart(ledger.append, job(kept=5120), 1)
    heart.opened(DATA, look=512)
    with pytest.raises(CheckpointLost, match="5,120 samples"):
        heart.began(0)
    heart.end()
    (told,) = ledger.starts()
    assert told.flop == 0 and told.usd > 0 and Resting([told]).states == {PLANNED[0].run_id: ()}


@given(quiet=st.floats(0, 1e6), next_s=st.floats(0, 1e4), workers=st.integers(1, 8))
def test_silence_is_never_free_and_never_negative(quiet, next_s, workers):
    """What a start that is stopped did not tell of, up to its end two looks later."""
    told = start(PLANNED[0], 0.5, next_s=next_s, workers=workers, over=False)
    untold = silent_s(told, quiet, SPEC.resources)
    assert untold >= max(0.0, quiet + STOP_S - next_s) * workers * (1 - 1e-9)
    assert untold <= max(0.0, quiet + STOP_S - next_s) * max(2, workers) * (1 + 1e-9)
    ended = told_for(told, quiet, SPEC.resources)
    assert ended["over"] and ended["worker_s"] == pytest.approx(told.worker_s + untold)
    assert ended["usd"] >= told.usd


# -- the sum --------------------------------------------------------------------------------
def test_every_start_counts_once_and_records_only_where_none_told():
    p, q = PLANNED[:2]
    dead = start(p, 0.3, id="a", over=False)
    last = start(p, 1.0, id="b", order=2.0)
    done = record(p, start="b", lost=0.3)
    assert spent([done], [dead, last]).flop == pytest.approx(1.3 * p.cost.train_flop)
    # a ledger of an older version: records alone
    old = record(q, lost=0.5)
    assert spent([old]).flop == pytest.approx(1.5 * q.cost.train_flop)
    stopped = old.model_copy(update={"status": "stopped", "lost": 0.0})
    assert spent([stopped, old]) == spent([old])
    assert spent([stopped]).flop == pytest.approx(q.cost.train_flop)
    # and one that goes on with this version
    again = start(q, 0.5, id="c")
    both = spent([stopped, record(q, start="c")], [again])
    assert both.flop == pytest.approx(1.5 * q.cost.train_flop)


def test_a_run_that_was_cut_is_charged_its_starts_and_not_an_estimate():
    p = PLANNED[0]
    starts = [start(p, 0.3, id="a"), start(p, 0.5, id="b", order=2.0)]
    found = cut_record(job(), DATA, "failed", "killed", starts)
    assert found.spent.train_flop == pytest.approx(0.8 * p.cost.train_flop)
    assert spent([found], starts).flop == pytest.approx(0.8 * p.cost.train_flop)
    none = cut_record(job(), DATA, "failed", "no node", [])
    assert spent([none]) == Spend() and none.start == ""
    assert RunRecord.model_validate(none.model_dump(mode="json")) == none


def test_lost_work_is_what_all_starts_took_beyond_what_counts():
    p = PLANNED[0]
    s = p.cost.time_s
    assert lost([start(p, 1.0)], s) == 0.0
    assert lost([start(p, 0.5), start(p, 0.75)], s) == pytest.approx(0.25)
    assert lost([start(p, 0.1), start(p, 0.1)], s) == 0.0


def test_a_flight_owes_what_its_present_start_has_left():
    p = PLANNED[0]
    n = p.cost.samples
    whole = Spend(p.cost.train_flop, 0.0, p.cost.usd)
    assert flight(n, n // 2, "launch", []).owed(whole).flop == pytest.approx(
        whole.flop / 2, rel=1e-3
    )
    some = start(p, 0.25)
    assert flight(n, 0, "launch", [some]).owed(whole).flop == pytest.approx(0.75 * whole.flop)
    # resized: the second start of one launch goes on from a checkpoint before the first's death
    later = start(p, 0.05, id="later", origin=n // 5, kept=n // 5, order=2.0)
    found = flight(n, 0, "launch", [some, later]).owed(whole)
    assert found.flop == pytest.approx((1 - 0.2 - 0.05) * whole.flop, rel=1e-3)
    loading = later.model_copy(update={"origin": None, "kept": None, "flop": 0.0, "samples": 0})
    assert flight(n, 0, "launch", [some, loading]).owed(whole).flop == whole.flop


# -- decisions ------------------------------------------------------------------------------
def test_a_retry_is_decided_again_against_what_is_left():
    """Two runs' worth of budget; the first run died at 80 % without a checkpoint."""
    p = PLANNED[0]
    budget = BudgetSpec(flop=2 * p.cost.train_flop)
    dead = start(p, 0.8, over=False)
    assert isinstance(decide(PLANNED, [], {}, (), budget, [dead]), Launch)
    twice = [dead, start(p, 0.3, id="b", order=2.0)]
    stop = decide(PLANNED, [], {}, (), budget, twice)
    assert isinstance(stop, Stop) and stop.exhausted
    assert "5 of 6 planned runs are not started, 1 not trained to their end" in stop.reason
    kept_ = [twice[0], twice[1].model_copy(update={"kept": round(0.6 * p.cost.samples)})]
    again = decide(PLANNED, [], {}, (), budget, kept_)
    assert isinstance(again, Launch) and again.runs[0] == p
    under = {p.run_id: Flight(0.4, Spend())}
    assert isinstance(decide(PLANNED[:2], [], under, (), budget, kept_), Wait)


def test_no_start_is_made_that_could_not_be_stopped_within_the_budget():
    """However little time a run is expected to take."""
    assert HEARTBEAT_S + LOOK_S + STOP_S <= LEAST_S
    p = planned_runs(OWN, TRAINER_DATA)[0]
    assert 0 < p.cost.time_s < LEAST_S
    for times, holds in ((0.9, False), (1.1, True)):
        budget = BudgetSpec(usd=times * p.cost.usd * LEAST_S / p.cost.time_s)
        decision = decide([p], [], {}, (), budget)
        assert isinstance(decision, Launch if holds else Stop), decision
        assert held([p], [], [], budget) == [p.run_id] * holds


@pytest.mark.parametrize("share", [0.0, 0.4, 0.999, 1.0, 2.0])
def test_plan_says_which_runs_the_budget_holds(share):
    whole = sum(p.cost.train_flop for p in PLANNED)
    budget = BudgetSpec(flop=max(1.0, share * whole))
    said = held(PLANNED, [], [], budget)
    records, launched = [], []
    while isinstance(decision := decide(PLANNED, records, {}, (), budget), Launch):
        launched.append(decision.runs[0].run_id)
        records.append(record(decision.runs[0]))
    assert said == launched
    assert len(said) == {0.0: 0, 1.0: 6, 2.0: 6}.get(share, len(said))


def test_gpu_hours_without_a_gpu_are_refused():
    with pytest.raises(SpecError, match=r"budget.gpu_hours: 1e-09, and no worker has a GPU"):
        parse_spec(SWEEP.replace("{flop: 1e18}", "{gpu_hours: 1e-9}"))
    gpu = SWEEP.replace("{flop: 1e18}", "{gpu_hours: 1}").replace(
        "{elastic: [1, 2]}", "{gpus_per_worker: 1}"
    )
    assert parse_spec(gpu).budget.gpu_hours == 1


def test_a_job_of_another_version_is_refused():
    check_version(job())
    with pytest.raises(OtherVersion, match="install one version"):
        check_version(job(run_id="dlrm-of-tomorrow"))


def test_the_study_shows_the_same_sum(tmp_path: Path):
    ledger = Ledger(tmp_path)
    ledger.append("plan", **plan_entry(SPEC, DATA, PLANNED))
    heart = Heart(ledger.append, job(), 1)
    heart.opened(DATA, look=512)
    heart.began(0)
    study = Study.open(str(tmp_path))
    assert study.spent == spent([], ledger.starts()) and study.spent.flop > 0
    assert study.facts()["spent"] == vars(study.spent)
