"""Which runs a sweep has, and which one comes next."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recscale.manifest import Manifest
from recscale.planner import Flight, Launch, PlanError, Stop, Wait, decide, planned_runs, spent
from recscale.planner.fixed import increments
from recscale.run import RunRecord
from recscale.spec import BudgetSpec, SweepSpec


def change(spec: SweepSpec, **parts: dict) -> SweepSpec:
    """The sweep with some keys of its parts replaced, validated again."""
    values = spec.model_dump()
    for part, keys in parts.items():
        values[part] = {**values[part], **keys}
    return SweepSpec.model_validate(values)


def record(planned, status: str = "done") -> RunRecord:
    return RunRecord(
        run_id=planned.run_id,
        config=planned.config,
        status=status,  # type: ignore[arg-type]
        reason="",
        curve=(),
        estimated=planned.cost,
        measured=None if status == "failed" else planned.cost,
        workers=1,
        started_at=0,
        finished_at=1,
    )


def test_a_grid_has_every_combination_once_and_the_cheapest_first(small, data):
    planned = planned_runs(small, data)
    assert len(planned) == len({p.run_id for p in planned}) == 2 * 2 * 2
    flop = [p.cost.train_flop for p in planned]
    assert flop == sorted(flop)


def test_identity_is_literals_only(small: SweepSpec, data: Manifest):
    moved = small.model_copy(update={"name": "other", "storage": "/elsewhere"})
    moved = change(moved, resources={"workers": 2, "retries": 0}, budget={"flop": 1e12})
    assert [p.run_id for p in planned_runs(moved, data)] == [
        p.run_id for p in planned_runs(small, data)
    ]
    other_data = data.model_copy(update={"fingerprint": "0" * 32})
    other = {p.run_id for p in planned_runs(small, other_data)}
    assert other.isdisjoint({p.run_id for p in planned_runs(small, data)})


def test_points_that_build_the_same_network_are_one_run(small, data):
    wide = change(small, model={"sequence_width": [8, 16], "embedding_rows": [None, 10**6]})
    # the width of absent blocks and a cap beyond every vocabulary change nothing
    depths = [p.config.model.sequence_depth for p in planned_runs(wide, data)]
    assert depths.count(0) == 2 * 2
    assert depths.count(1) == 2 * 2 * 2


def test_one_axis_at_a_time_round_the_base(small, data):
    spec = change(
        small,
        model={"embedding_dim": [4, 8, 16], "mlp_width": [8, 16, 32], "sequence_depth": [0, 1, 2]},
        search={"strategy": "axes", "base": {"sequence_depth": 0}},
    )
    planned = planned_runs(spec, data)
    assert len(planned) == 1 + 2 + 2 + 2 + 1
    base = next(p for p in planned if p.reason.startswith("base")).config
    assert (base.model.embedding_dim, base.model.mlp_width) == (8, 16)
    assert (base.model.sequence_depth, base.train.data_fraction) == (0, 1.0)


def test_one_axis_at_a_time_takes_the_fractions_on_the_way_of_every_training(small, data):
    axes = {"embedding_dim": [4, 8, 16], "mlp_width": [8, 16, 32], "sequence_depth": 0}
    search = {"strategy": "axes", "base": {"data_fraction": 0.5}}
    train = {"data_fraction": [0.25, 0.5, 1.0]}
    anytime = train | {"schedule": "anytime", "warmup_samples": 512}
    apart = change(small, model=axes, search=search, train=train)
    assert len(planned_runs(apart, data)) == 5 + 2
    planned = planned_runs(change(apart, train=anytime), data)
    assert len(planned) == 5 * 2 + 1  # .25 and .5 of all, 1 of the base
    assert len({p.place.trajectory for p in planned}) == 5
    assert sum(p.cost.train_flop for p in increments(planned)) == pytest.approx(
        sum(p.cost.train_flop for p in planned if p.config.train.data_fraction == 0.5)
        + sum(p.cost.train_flop for p in planned if p.config.train.data_fraction == 1.0) / 2
    )


def test_every_learning_rate_factor_and_seed_is_run(small, data):
    spec = change(
        small, train={"seeds": 2, "learning_rate": {"tune": [0.5, 1, 2]}, "data_fraction": 1.0}
    )
    planned = planned_runs(spec, data)
    assert len(planned) == 4 * 2 * 3
    assert len({p.config.tuning_group for p in planned}) == 4


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"train": {"data_fraction": [0.001, 1.0]}}, "train.data_fraction: 0.001"),
        ({"resources": {"machine": "abacus"}}, "abacus"),
        ({"model": {"embedding_dim": [10**8]}}, "more memory"),
        (
            {"model": {"embedding_dim": [4, 6]}},
            "dimension 6 .* multiples of 4",
        ),
        ({"model": {"multi_embedding": 2}}, "model.multi_embedding: dimension 4 in 2 sets"),
    ],
)
def test_what_cannot_run_is_refused(small, data, parts, said):
    with pytest.raises(PlanError, match=said):
        planned_runs(change(small, **parts), data)


def test_depth_needs_histories(small, data):
    with pytest.raises(PlanError, match="no user histories"):
        planned_runs(small, data.model_copy(update={"history": None}))


def test_nothing_is_trained_twice_and_the_plan_ends(small, data):
    planned, budget = planned_runs(small, data), small.budget
    attempts: list[RunRecord] = []
    for expected in planned:
        decision = decide(planned, attempts, {}, set(), budget)
        assert isinstance(decision, Launch)
        assert decision.runs[0].run_id == expected.run_id
        assert isinstance(
            decide([expected], attempts, {expected.run_id: Flight()}, set(), budget), Wait
        )
        attempts.append(record(expected))
    assert isinstance(decide(planned, attempts, {}, set(), budget), Stop)


def test_a_failure_is_tried_again_unless_it_was_given_up(small, data):
    planned = planned_runs(small, data)
    attempts = [record(planned[0], "failed")]
    again = decide(planned, attempts, {}, set(), small.budget)
    assert isinstance(again, Launch) and again.runs[0] == planned[0]
    on = decide(planned, attempts, {}, {planned[0].run_id}, small.budget)
    assert isinstance(on, Launch) and on.runs[0] == planned[1]


@settings(deadline=None, max_examples=50)
@given(
    share=st.floats(0.0, 1.5),
    parallel=st.integers(1, 5),
    fates=st.lists(st.sampled_from(["done", "diverged", "failed"]), min_size=8, max_size=8),
)
def test_the_flop_budget_is_never_crossed(small_plan, share, parallel, fates):
    total = sum(p.cost.train_flop for p in small_plan)
    limit = max(1.0, share * total)
    budget = BudgetSpec(flop=limit)
    attempts: list[RunRecord] = []
    flying: list = []
    given_up: set[str] = set()
    while True:
        decision = decide(
            small_plan, attempts, {p.run_id: Flight() for p in flying}, given_up, budget
        )
        if isinstance(decision, Launch) and len(flying) < parallel:
            flying += decision.runs
        elif flying:
            landed = flying.pop(0)
            attempts.append(record(landed, fates[len(attempts) % 8]))
            if attempts[-1].status == "failed":
                given_up.add(landed.run_id)
        else:
            break
        assert spent(attempts).flop <= limit
    assert isinstance(decision, Stop)


@pytest.fixture(scope="session")
def small_plan(data):
    from conftest import SMALL

    from recscale.specfile import parse_spec

    return planned_runs(parse_spec(SMALL), data)
