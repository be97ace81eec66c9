"""The sweep file as frozen objects: what a user may write, and what each value means.

`recscale.specfile.load_spec` turns YAML into a `SweepSpec` or reports every error at once.
A scalar fixes a value, a list makes it an axis of the sweep. Nothing here knows where a run runs.
"""

from recscale.spec.data import (
    DAY_ORDERS,
    TIME_UNITS,
    Columns,
    CriteoData,
    DataSpec,
    EventsData,
    FileFormat,
    Holdout,
    Negatives,
    PublishedData,
    SyntheticData,
    TextFormat,
    positive_column,
)
from recscale.spec.positive import Comparison
from recscale.spec.search import LawSpec, SearchSpec, TargetSpec, middle
from recscale.spec.sweep import FOOTING, TRAINING_AXES, SweepSpec
from recscale.spec.train import RATES, BudgetSpec, LearningRate, ResourcesSpec, TrainSpec

__all__ = [
    "DAY_ORDERS",
    "FOOTING",
    "RATES",
    "TIME_UNITS",
    "TRAINING_AXES",
    "BudgetSpec",
    "Columns",
    "Comparison",
    "CriteoData",
    "DataSpec",
    "EventsData",
    "FileFormat",
    "Holdout",
    "LawSpec",
    "LearningRate",
    "Negatives",
    "PublishedData",
    "ResourcesSpec",
    "SearchSpec",
    "SweepSpec",
    "SyntheticData",
    "TargetSpec",
    "TextFormat",
    "TrainSpec",
    "middle",
    "positive_column",
]
