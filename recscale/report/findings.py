"""Everything the report says of a study, computed once, from the ledger alone."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recscale.advice.advise import Advice, Grounds
from recscale.advice.gains import LEVEL, MarginalGain, law_change, law_gains, law_runs
from recscale.advice.headlines import asked, known, tried
from recscale.advice.options import Option, base_option, space, weigh
from recscale.advice.runs import bought, largest_option
from recscale.families import FamilyError
from recscale.laws import LawError, ScalingLaw, Status
from recscale.report.axes import AxisView, axis_views
from recscale.study import Study
from recscale.words import quantity

AHEAD = 10.0  # times the largest run: how far the frontier is drawn
BUDGETS = 28
DATA = {"samples", "unique_samples", "data_fraction", "epochs"}


@dataclass(frozen=True)
class Findings:
    """Everything the page says, computed once.

    Attributes:
        law: the sweep's law where it is established; None with `law_words` where it is not.
        fitted: the law as fitted, also at a bound; None where there are no coefficients.
        at_base, at_largest: the law's marginal gains by axis; empty without a law.
        best_mix: the law's gain from doubling the largest run's FLOPs with the best mix.
        frontier: the law's best at each budget, or None; see `figures.compute_figure`.
        grounds: what the advice rests on, or why there is none.
        advice: what `recscale ask` says, or why it says nothing.
    """

    study: Study
    frame: pd.DataFrame
    law: ScalingLaw | None
    fitted: ScalingLaw | None
    law_words: str
    views: tuple[AxisView, ...]
    at_base: dict[str, MarginalGain]
    at_largest: dict[str, MarginalGain]
    best_mix: tuple[float, float, float] | None
    frontier: pd.DataFrame | None
    grounds: Grounds | str
    advice: Advice | str

    @property
    def loss(self) -> str:
        return self.study.spec.law_loss

    @property
    def baselines(self) -> dict[str, float]:
        """The data's baselines in the unit of the law's loss, where they have one."""
        return self.study.data.baselines_in(self.loss)

    @property
    def floor(self) -> float | None:
        """The synthetic world's own loss in the unit of the law's loss."""
        floor = self.study.data.floor
        if floor is None:
            return None
        return floor.ne if self.loss == "eval_ne" else floor.log_loss


def find(study: Study) -> Findings:
    """All findings of a study; works from the first record on."""
    frame, grounds = study.frame(), known(study)
    fitted, words = _law(study)
    law = fitted if fitted is not None and fitted.status == Status.CONVERGED else None
    at_base: dict[str, MarginalGain] = {}
    at_largest: dict[str, MarginalGain] = {}
    mix = frontier = None
    if law is not None:
        with suppress(FamilyError):  # whose code is not here: the advice says so
            at_base = {r.axis: r for r in law_gains(study, law, base_option(study))}
            at_largest = {r.axis: r for r in law_gains(study, law, largest_option(study))}
            frontier, mix = _frontier(study, law, frame, grounds)
    views = tuple(axis_views(study, frame))
    return Findings(
        study,
        frame,
        law,
        fitted,
        words,
        views,
        at_base,
        at_largest,
        mix,
        frontier,
        grounds,
        tried(grounds, asked(study)),
    )


def _law(study: Study) -> tuple[ScalingLaw | None, str]:
    try:
        law = study.law()
    except LawError as error:
        return None, str(error)
    if not law.status.determined:
        return None, law.reason
    return law, law.reason


def _frontier(study: Study, law: ScalingLaw, frame: pd.DataFrame, grounds: Grounds | str):
    """The law's best legal configuration at each budget up to AHEAD times the largest run, on the
    data at hand and with more, and its change from the largest run's budget to twice that. None of
    both by a law that does not hold the data: what a small budget loses, it cannot know."""
    if not DATA & set(law.variables):
        return None, None
    flops = law_runs(frame)["train_flop"].to_numpy(float)
    still = grounds.saturated if isinstance(grounds, Grounds) else {}
    most = grounds.most if isinstance(grounds, Grounds) else {}
    top = float(flops.max())
    reach = bought(study, AHEAD * top)
    options = space(study, AHEAD, saturated=still, most=most, rows=reach)
    budgets = [*np.geomspace(flops.min(), top * AHEAD, BUDGETS), top, 2 * top]
    try:
        free = weigh(study, options, law, budgets)
        lacks = [o is not None and _rows(o) > study.rows for o in free[:-2]]
        short = [b for b, more in zip(budgets, lacks, strict=False) if more]
        found = iter(weigh(study, options, law, short, study.rows))
    except LawError:
        return None, None
    bound = [next(found) if more else o for more, o in zip(lacks, free, strict=False)]
    rows = [(b, o, m) for b, o, m in zip(budgets, bound, free, strict=False) if o and m]
    p, more = (
        law.predict(pd.DataFrame([o.values() for o in options]), LEVEL)
        for options in ([o for _, o, _ in rows], [m for _, _, m in rows])
    )
    needs = [_rows(m) for _, _, m in rows]
    table = pd.DataFrame({
        "flop": [b for b, _, _ in rows], **p[["mean", "low", "high"]],
        "beyond": [b > top for b, _, _ in rows], "what": [_told(o) for _, o, _ in rows],
        "more": np.where(np.array(needs) > study.rows, more["mean"], np.nan), "rows": needs,
        "more_what": [_told(m) for _, _, m in rows],
    })  # fmt: skip
    now, twice = free[-2:]
    if now is None or twice is None:
        return table, None
    mean, low, high = law_change(law, now.values(), [twice.values()])[0]
    return table, (float(mean), float(low), float(high))


def _rows(o: Option) -> float:
    """Training rows that it takes."""
    return o.cost.samples / o.train.epochs


def _told(o: Option) -> str:
    return f"{o.model.name}, {quantity(o.cost.samples)} samples"
