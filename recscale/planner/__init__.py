"""What to run next: pure functions of a sweep and its records, and one sentence why."""

from recscale.planner.candidates import Problem, problem
from recscale.planner.checks import PlanError
from recscale.planner.fixed import (
    Decision,
    Launch,
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
    remarks,
    spent,
    training,
)
from recscale.planner.idle import idle_options
from recscale.planner.lawful import misnamed
from recscale.planner.replay import replay
from recscale.planner.search import decide_search
from recscale.planner.state import Progress, Warm

__all__ = [
    "Decision",
    "Launch",
    "PlanError",
    "Planned",
    "Problem",
    "Progress",
    "Spend",
    "Stop",
    "Wait",
    "Warm",
    "base_epochs",
    "base_value",
    "decide",
    "decide_search",
    "expected",
    "idle_options",
    "misnamed",
    "pace",
    "planned_runs",
    "problem",
    "remarks",
    "replay",
    "spent",
    "training",
]
