"""What to run next: pure functions of a sweep and its records, and one sentence why."""

from recscale.planner.fixed import (
    Decision,
    Launch,
    PlanError,
    Planned,
    Spend,
    Stop,
    Wait,
    base_epochs,
    base_value,
    decide,
    expected,
    pace,
    planned_runs,
    spent,
    training,
)
from recscale.planner.replay import replay

__all__ = [
    "Decision",
    "Launch",
    "PlanError",
    "Planned",
    "Spend",
    "Stop",
    "Wait",
    "base_epochs",
    "base_value",
    "decide",
    "expected",
    "pace",
    "planned_runs",
    "replay",
    "spent",
    "training",
]
