"""Which candidates would end below every baseline, by all runs that are done.

A run that is no better than a baseline enters no law, but its loss is measured all the same: it
says where others like it would end, and keeps a search from buying what the law could not use.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from recscale.laws.inference import believe
from recscale.laws.modes import Sample


def beating(
    form: str,
    variables: tuple[str, ...],
    logx: np.ndarray,
    loss: np.ndarray,
    cost: np.ndarray,
    pool: np.ndarray,
    baseline: float,
) -> np.ndarray:
    """Chance (m,) that one run at each candidate (m, p) ends with a loss below `baseline`, after
    runs at logx (n, p) with losses and costs (n,); n is at least 1."""
    order = np.argsort(cost, kind="stable")
    belief = believe(form, variables, Sample(logx, np.log(loss), np.zeros(len(loss)), order))
    mean, var = belief.predict(pool)
    return ndtr((np.log(baseline) - mean) / np.sqrt(var + belief.noise**2))
