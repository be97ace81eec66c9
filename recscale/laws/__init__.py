"""Scaling laws that can be trusted: fits at the global optimum, intervals that say what they are.

>>> from recscale.laws import fit
"""

from recscale.laws.fit import FORMS, fit
from recscale.laws.law import ScalingLaw
from recscale.laws.nouns import LawError, Points, Status

__all__ = ["FORMS", "LawError", "Points", "ScalingLaw", "Status", "fit"]
