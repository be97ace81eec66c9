"""Two older ways to the compute-optimal sizes, beside the law's own, with their bias named.

Approach 2 of Hoffmann et al. 2022 fits a parabola in log N to the runs of one budget; approach 1
takes the lowest loss reached at each cost. Both are biased even on noise-free data where the
sizes tried are not centred on the best one (a parabola is not the shape of the law; arXiv
2603.22339 finds D* off by -5 to -23 %), so they check the law and do not replace it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recscale.laws.nouns import LawError

if TYPE_CHECKING:
    from recscale.laws.law import ScalingLaw

SAME = 0.15  # runs within this factor of each other in log cost share a budget
SIZES = 4  # different sizes a parabola needs, to have a residual
CENTRED = 0.25  # distance of the minimum from the middle, in spans of log N, still called centred


def isoflop(law: ScalingLaw, cost: Callable[..., Any]) -> pd.DataFrame:
    """The parabola's best size of each budget, beside the law's.

    Args:
        cost: takes the variables by name; runs of nearly equal cost form a budget.

    Returns:
        frame: budget, runs, the first variable as found by the parabola (NaN where it has no
        minimum), the same from the law's frontier, `decades_off` between them, `label`: "centred"
        or why the parabola is biased.

    Raises:
        LawError: the law is not over two variables, or no budget has enough sizes.
    """
    law.require()
    p = law.points
    if len(p.variables) != 2:
        raise LawError("isoFLOP parabolas need a law over two variables, such as N and D")
    spent = np.log(_cost(law, cost))
    rows = []
    for mask in _budgets(spent):
        x, y = p.logx[mask, 0], np.log(p.y[mask])
        if len(np.unique(x)) < SIZES:
            continue
        budget = float(np.exp(np.median(spent[mask])))
        middle, span = (x.max() + x.min()) / 2, np.ptp(x)
        curve = np.polyfit(x - middle, y, 2)
        best = -curve[1] / (2 * curve[0]) if curve[0] > 0 else np.nan
        rows.append((budget, int(mask.sum()), np.exp(best + middle), _label(best, span)))
    if not rows:
        raise LawError(
            f"no budget holds {SIZES} different sizes of {p.variables[0]}: isoFLOP parabolas need "
            f"runs of equal cost at several sizes"
        )
    v = p.variables[0]
    table = pd.DataFrame(rows, columns=pd.Index(["budget", "runs", v, "label"]))
    own = law.frontier(table["budget"].to_list(), cost)
    table[f"{v}_law"] = own[v].to_numpy()
    table["decades_off"] = np.log10(table[v] / table[f"{v}_law"])
    return table.sort_values("budget", ignore_index=True)


def envelope(law: ScalingLaw, cost: Callable[..., Any]) -> pd.DataFrame:
    """The runs that no cheaper run beats: cost, variables, loss, and the label "biased".

    Always biased towards the sizes that were run, and at a fixed batch or schedule towards
    runs cut short; the law's frontier needs no run to lie on it.
    """
    law.require()
    p = law.points
    spent = _cost(law, cost)
    order = np.argsort(spent, kind="stable")
    score = law.model.sign * p.y[order]
    before = np.concatenate([[np.inf], np.minimum.accumulate(score)[:-1]])
    on = order[score < before]
    table: dict[str, Any] = {"cost": spent[on]}
    table |= {v: np.exp(p.logx[on, i]) for i, v in enumerate(p.variables)}
    table |= {p.loss: p.y[on], "label": "biased towards the sizes that were run"}
    return pd.DataFrame(table, index=p.labels[on])


def _cost(law: ScalingLaw, cost: Callable[..., Any]) -> np.ndarray:
    x = np.exp(law.points.logx)
    spent = np.asarray(cost(**{v: x[:, i] for i, v in enumerate(law.variables)}), float)
    if spent.shape != (law.n,) or not (np.isfinite(spent) & (spent > 0)).all():
        raise LawError("the cost must be a positive number for every run")
    return spent


def _budgets(spent: np.ndarray) -> list[np.ndarray]:
    """Masks of runs whose log costs lie without a gap wider than SAME."""
    order = np.argsort(spent)
    group = np.empty(len(spent), int)
    group[order] = np.concatenate([[0], np.cumsum(np.diff(spent[order]) > SAME)])
    return [group == g for g in range(group.max() + 1)]


def _label(best: float, span: float) -> str:
    if not np.isfinite(best):
        return "biased: the runs show no minimum"
    if abs(best) > span / 2:
        return "biased: the minimum lies outside the sizes tried"
    if abs(best) > CENTRED * span:
        return "biased: the sizes tried are off centre"
    return "centred"
