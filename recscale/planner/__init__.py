"""What to run next: pure functions of a sweep and its records, and one sentence why."""

from recscale.planner.fixed import (
    Decision,
    Launch,
    PlanError,
    Planned,
    Spend,
    Stop,
    Wait,
    architecture,
    base_value,
    decide,
    expected,
    pace,
    planned_runs,
    spent,
    training,
)

__all__ = [
    "Decision",
    "Launch",
    "PlanError",
    "Planned",
    "Spend",
    "Stop",
    "Wait",
    "architecture",
    "base_value",
    "decide",
    "expected",
    "pace",
    "planned_runs",
    "spent",
    "training",
]
