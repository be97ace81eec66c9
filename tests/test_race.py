"""Learning-rate factors race along trainings of schedule `anytime`."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from planted_study import DATA, record

from recscale.ledger import Ledger
from recscale.planner import Stop, decide, planned_runs
from recscale.planner.fixed import Launch, Planned, increments
from recscale.planner.race import FAR, MARGIN, beaten
from recscale.report.terminal import progress_line
from recscale.run import RunRecord
from recscale.specfile import parse_spec
from recscale.study import Study, plan_entry

SWEEP = """
name: race
data: {source: synthetic}
model: {family: dlrm, embedding_dim: [4, 8], mlp_width: 32}
train:
  data_fraction: [0.05, 0.1, 0.2, 0.5, 1.0]
  batch_size: 512
  seeds: 2
  SCHEDULE
  learning_rate: {tune: [0.25, 1, 4]}
budget: {flop: 1e15}
"""
ANYTIME = SWEEP.replace("SCHEDULE", "schedule: anytime")
WORSE = {0.25: 1 + 0.2 * MARGIN, 1.0: 1.0, 4.0: 1 + 2 * FAR}


def ended(run: Planned, worse=WORSE, status: str = "done") -> RunRecord:
    """Losses of 2 and less, by data fraction, and worse by factor."""
    train = run.config.train
    loss = (1.5 + 0.5 * train.data_fraction**-0.1) * worse[train.rate_factor]
    found = record(run, status=status)
    last = found.curve[-1].model_copy(update={"eval_loss": loss})
    return found.model_copy(update={"curve": (*found.curve[:-1], last)})


def played(text: str, ends=ended) -> tuple[list[Planned], list[RunRecord]]:
    planned = planned_runs(parse_spec(text), DATA)
    attempts: list[RunRecord] = []
    while isinstance(step := decide(planned, attempts, {}, (), parse_spec(text).budget), Launch):
        attempts.append(ends(step.runs[0]))
    assert isinstance(step, Stop) and not step.exhausted
    return planned, attempts


def test_a_factor_that_lost_is_trained_no_further():
    planned, attempts = played(ANYTIME)
    of = defaultdict(list)
    for r in attempts:
        of[r.config.train.rate_factor].append(r.config.train.data_fraction)
    assert sorted(set(of[4.0])) == [0.05] and len(of[4.0]) == 4  # two architectures and seeds
    assert sorted(set(of[0.25])) == sorted(set(of[1.0])) == [0.05, 0.1, 0.2, 0.5, 1.0]
    why = beaten(planned, attempts)
    assert len(why) + len(attempts) == len(planned)
    (said,) = set(why.values())
    assert "factor 4 lost to 1 at data_fraction 0.05: eval_loss 2.3" in said


def test_a_close_race_and_decayed_runs_are_run_to_their_end():
    close = {0.25: 1 + 0.2 * MARGIN, 1.0: 1.0, 4.0: 1 + 0.2 * MARGIN}
    for text, worse in ((ANYTIME, close), (SWEEP.replace("SCHEDULE", ""), WORSE)):
        planned, attempts = played(text, lambda run, worse=worse: ended(run, worse))
        assert len(attempts) == len(planned) and not beaten(planned, attempts)


def test_one_look_that_is_not_far_behind_decides_nothing():
    """A low rate begins 2 % behind, catches up and wins: it is trained to its end."""

    def catches_up(run: Planned):
        at = {0.05: 1.02, 0.1: 1.004, 0.2: 1.002, 0.5: 0.999, 1.0: 0.996}
        low = at[run.config.train.data_fraction]
        return ended(run, {0.25: low, 1.0: 1.0, 4.0: 1.02})

    planned, attempts = played(ANYTIME, catches_up)
    ran = [r.config.train for r in attempts]
    assert {t.data_fraction for t in ran if t.rate_factor == 0.25} == {0.05, 0.1, 0.2, 0.5, 1.0}
    assert {t.data_fraction for t in ran if t.rate_factor == 4} == {0.05, 0.1}
    assert all("factor 4" in why for why in beaten(planned, attempts).values())


def test_a_factor_that_diverges_has_lost_and_where_all_do_none_has():
    def one(run: Planned):
        diverges = run.config.train.rate_factor == 4
        return ended(run, dict.fromkeys(WORSE, 1.0), "diverged" if diverges else "done")

    planned, attempts = played(ANYTIME, one)
    assert {r.config.train.data_fraction for r in attempts if r.status == "diverged"} == {0.05}
    planned, attempts = played(ANYTIME, lambda run: ended(run, status="diverged"))
    assert len(attempts) == len(planned)


@pytest.mark.parametrize("missing", [0, 3])
def test_nobody_loses_before_every_seed_of_all_is_there(missing: int):
    planned = planned_runs(parse_spec(ANYTIME), DATA)
    first = [p for p in planned if p.config.train.data_fraction == 0.05]
    one = [p for p in first if p.config.model == first[0].config.model]
    assert len(one) == 6
    there = [ended(p) for i, p in enumerate(one) if i != missing]
    assert not beaten(planned, there)
    assert beaten(planned, [*there, ended(one[missing])])


def test_a_tuned_grid_costs_a_quarter_of_separate_decayed_runs():
    planned, attempts = played(ANYTIME, lambda run: ended(run, {0.25: 1.2, 1.0: 1.0, 4.0: 1.2}))
    ran = {r.run_id for r in attempts}
    together = sum(p.cost.train_flop for p in increments([p for p in planned if p.run_id in ran]))
    assert together <= 0.25 * sum(p.cost.train_flop for p in planned)


def test_the_study_counts_what_is_raced(tmp_path: Path):
    planned, attempts = played(ANYTIME)
    spec, ledger = parse_spec(ANYTIME), Ledger(tmp_path, name="race")
    ledger.append("plan", **plan_entry(spec, DATA, planned))
    for r in attempts:
        ledger.record(r)
    study = Study.of(ledger)
    assert study.complete and len(study.planned) == len(attempts)
    assert len(study.raced) == 16
    assert "16 not trained: their rates lost" in progress_line(study)
