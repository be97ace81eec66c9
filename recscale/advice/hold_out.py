"""The largest models predicted by a law of the others: the acceptance test of 2311.11351."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from recscale.advice.gains import LEVEL, law_runs, where
from recscale.frame import trainings
from recscale.laws import LawError, ScalingLaw, fit
from recscale.study import Study


@dataclass(frozen=True)
class HoldOut:
    """What a law of the smaller models says of the largest.

    Attributes:
        law: fitted to the others; None with `why` where they do not determine one.
        runs: the held-out runs with `predicted`, `low`, `high` (of one run, at LEVEL), `measured`,
            `inside` and `decades` beyond the fitted runs; no predictions where there is no law.
        fitted: how many runs the law was fitted to.
    """

    size: str
    loss: str
    law: ScalingLaw | None
    why: str
    runs: pd.DataFrame
    fitted: int

    @property
    def inside(self) -> int:
        return int(self.runs["inside"].to_numpy(bool).sum()) if self.law is not None else 0

    @property
    def error(self) -> float:
        """Mean |measured / predicted - 1|."""
        return float(np.abs(self.runs["measured"] / self.runs["predicted"] - 1).mean())


def hold_out(study: Study) -> HoldOut | None:
    """The sweep's `law.hold_out_largest` largest models, predicted; None where it asks for none or
    has too few sizes to hold any out."""
    spec, runs = study.spec, law_runs(study.frame())
    count, size, loss = spec.law.hold_out_largest, spec.law_variables[0], spec.law_loss
    if count is None or not len(runs) or not is_numeric_dtype(runs.get(size)):
        return None
    sizes = np.unique(runs[size].to_numpy(float))
    if len(sizes) <= count:
        return None
    large = runs[size].to_numpy(float) >= sizes[-count]
    held = where(runs, large).sort_values([size, "samples", "run_id"])
    held = held.assign(measured=held[loss])
    law, why = _law(where(runs, ~large), study)
    if law is not None:
        p = law.predict(held, LEVEL)
        held = held.assign(
            predicted=p["mean"], low=p["low"], high=p["high"], decades=p["decades"],
            inside=(p["low"] <= held["measured"]) & (held["measured"] <= p["high"]),
        )  # fmt: skip
    return HoldOut(size, loss, law, why, held, int((~large).sum()))


def _law(runs: pd.DataFrame, study: Study) -> tuple[ScalingLaw | None, str]:
    spec = study.spec
    try:
        law = fit(
            runs, spec.law.form, list(spec.law_variables), spec.law_loss, cost="train_flop",
            cluster=trainings(runs),
        )  # fmt: skip
    except LawError as error:
        return None, study.no_law(str(error))
    if not law.status.determined:
        return None, study.no_law(law.reason)
    return law, law.reason
