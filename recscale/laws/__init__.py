"""Scaling laws that can be trusted: fits at the global optimum, intervals that say what they are.

>>> from recscale.laws import fit
"""

from recscale.laws.compare import Comparison, compare
from recscale.laws.fit import FORMS, fit
from recscale.laws.law import ScalingLaw
from recscale.laws.nouns import LawError, Points, Role, Status
from recscale.laws.table import fit_table
from recscale.laws.version import LAW_VERSION

__all__ = [
    "FORMS",
    "LAW_VERSION",
    "Comparison",
    "compare",
    "fit_table",
    "LawError",
    "Points",
    "Role",
    "ScalingLaw",
    "Status",
    "fit",
]
