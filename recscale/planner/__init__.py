"""What to run next: pure functions of a sweep and its records, and one sentence why."""

from recscale.planner.candidates import Problem, problem
from recscale.planner.checks import PlanError
from recscale.planner.fixed import (
    Decision,
    Launch,
    Planned,
    Stop,
    Wait,
    ahead,
    base_epochs,
    base_value,
    decide,
    expected,
    held,
    increments,
    pace,
    planned_runs,
    remarks,
    rest,
    training,
)
from recscale.planner.idle import idle_options
from recscale.planner.lawful import misnamed
from recscale.planner.replay import replay
from recscale.planner.search import decide_search
from recscale.planner.state import Progress, Warm
from recscale.spend import Flight, Resting, Spend, Start, spent

__all__ = [
    "Decision",
    "Flight",
    "Launch",
    "PlanError",
    "Planned",
    "Problem",
    "Progress",
    "Resting",
    "Spend",
    "Start",
    "Stop",
    "Wait",
    "Warm",
    "ahead",
    "base_epochs",
    "base_value",
    "decide",
    "decide_search",
    "expected",
    "held",
    "idle_options",
    "increments",
    "misnamed",
    "pace",
    "planned_runs",
    "problem",
    "remarks",
    "replay",
    "rest",
    "spent",
    "training",
]
