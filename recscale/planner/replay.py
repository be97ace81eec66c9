"""The planner against a finished table, as if each of its rows had to be bought."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from recscale.laws import FORMS, LawError, fit
from recscale.laws.columns import counted
from recscale.laws.expressions import column_words, parse
from recscale.laws.inference import believe
from recscale.laws.modes import Sample
from recscale.laws.points import check, needed
from recscale.laws.reading import load
from recscale.laws.runs import aliased
from recscale.laws.table import select
from recscale.planner.choose import START, WIDER, Seen, choose, start_size
from recscale.planner.value import Assessment, Goal, spread
from recscale.words import listed, shown

LEAST = 1 / 2000  # of the budget: so that nearly free rows are bought for what they tell
RANDOM_DRAWS = 9
LARGEST = 300.0  # of a predicted log loss: its square is still a float


@dataclass(frozen=True)
class Market:
    """The rows that can be bought and those to be predicted, as arrays."""

    form: str
    variables: tuple[str, ...]
    logx: np.ndarray
    logy: np.ndarray
    cost: np.ndarray
    target: np.ndarray
    target_logy: np.ndarray

    def error(self, rows: Sequence[int]) -> tuple[float, float]:
        """Mean absolute relative error and R2 at the target, predicted from these rows alone."""
        at = np.asarray(rows, int)
        order = np.argsort(self.cost[at], kind="stable")
        sample = Sample(self.logx[at], self.logy[at], np.zeros(len(at)), order)
        mean, _ = believe(self.form, self.variables, sample).predict(self.target)
        # a form that peaks may leave all floats far beyond its runs
        return score(np.exp(np.clip(mean, -LARGEST, LARGEST)), np.exp(self.target_logy))


def replay(
    table: str | pd.DataFrame,
    variables: Sequence[str],
    cost: str | Callable[[pd.DataFrame], Any],
    loss: str = "loss",
    *,
    budget: float = 0.1,
    target: str,
    where: str | None = None,
    form: str = "additive",
    seed: int = 0,
) -> dict[str, Any]:
    """Buys rows of a table one by one as the search would, and says how well they predict others.

    Args:
        table: a file (.csv, .tsv, .parquet) or a frame, one row a finished run.
        variables: 1 to 4 columns of the law, positive.
        cost: what a row costs, an expression over columns such as "6*N*D" or a function of the
            frame; positive.
        loss: the column to be predicted.
        budget: share of what all buyable rows cost together.
        target: a query for the rows that cannot be bought and are to be predicted.
        where: keep only rows that match.
        form: of the law; see `recscale.laws.fit`.
        seed: of the random baseline.

    Returns:
        budget_share; spent_share; bought, row numbers in the order they were bought; error (mean
        absolute relative) and r2 at the target; whole_table, the same two of the plain law fitted
        to every buyable row; whole_table_with_discrepancy, the same two by the planner's own
        model on every buyable row; baselines, the same two of grid, random (median of 9),
        cheapest_first and v_optimal at this budget with the planner's model; rows, buyable;
        targets; stopped, why it ended; steps, one sentence for each row bought.

    Raises:
        LawError: the table, an expression or the budget cannot be used; says what to do.

    Example:
        >>> import numpy as np, pandas as pd
        >>> N, D = (a.ravel() for a in np.meshgrid(np.geomspace(1e6, 1e9, 9),
        ...                                        np.geomspace(1e8, 1e11, 9)))
        >>> runs = pd.DataFrame({"N": N, "D": D, "loss": 1.8 + 400 / N**.34 + 900 / D**.3})
        >>> facts = replay(runs, ["N", "D"], "6*N*D", target="N > 5e8 and D > 5e10")
        >>> facts["spent_share"] <= 0.1, facts["error"] < 0.01, facts["targets"]
        (True, True, 1)
    """
    if form not in FORMS:
        raise LawError(f"no form {form!r}; use one of {', '.join(FORMS)}")
    if not 0 < budget <= 1:
        raise LawError(f"--budget {budget:g} is no share; give 10% or 0.1 of what all rows cost")
    frame, variables = aliased(table if isinstance(table, pd.DataFrame) else load(table), variables)
    market, labels, seen = _market(frame, variables, cost, loss, target, where, form)
    total = budget * market.cost.sum()
    try:
        bought, steps, stopped = buy(market, total)
        error, r2 = market.error(bought)
    except np.linalg.LinAlgError:
        raise LawError(
            "the rows differ by more digits than a double holds; leave the outermost of them out "
            "with --where"
        ) from None
    every = list(range(len(market.cost)))
    law = fit(seen, form, list(variables), loss)
    if not law.status.determined:
        raise LawError(f"the whole table does not determine the law: {law.reason}")
    value = law.model.evaluate(law.theta[None], market.target)[0][0]
    return {
        "budget_share": budget,
        "spent_share": float(market.cost[bought].sum() / market.cost.sum()),
        "bought": [labels[i] for i in bought],
        "error": error,
        "r2": r2,
        "whole_table": _named(score(value, np.exp(market.target_logy))),
        "whole_table_with_discrepancy": _named(market.error(every)),
        "baselines": baselines(market, total, seed),
        "rows": len(market.cost),
        "targets": len(market.target),
        "stopped": stopped,
        "steps": steps,
    }


def buy(
    market: Market,
    total: float,
    *,
    banded: bool = True,
    discrepancy: bool = True,
    power: float | None = None,
) -> tuple[list[int], list[str], str]:
    """Rows bought for `total`, in order; a sentence for each; and why it ended."""
    x, y, cost, p = market.logx, market.logy, market.cost, len(market.variables)
    n0 = start_size(p)
    bought: list[int] = []
    for share in (START, *WIDER):
        bought = spread(x, cost, n0, share * total)
        if len(bought) == n0:
            break
    if len(bought) < n0:
        least = np.sort(cost)[:n0].sum() / cost.sum()
        raise LawError(
            f"--budget holds {len(bought)} runs and the start needs {n0}: the {n0} cheapest cost "
            f"{100 * least:.2g} % of the table; give more than that"
        )
    steps = [
        f"start: {i + 1} of {n0} cheap rows spread over {', '.join(market.variables)}"
        for i in range(n0)
    ]
    none = np.empty((0, p))
    how = {} if power is None else {"power": power}
    while True:
        left = total - cost[bought].sum()
        rest = np.setdiff1d(np.arange(len(cost)), bought)
        if not len(rest) or cost[rest].min() > left:
            return bought, steps, "the budget holds no further row" if len(rest) else "all bought"
        state = Seen(
            x[bought], y[bought], cost[bought], none, np.empty(0), x[rest], cost[rest],
            np.maximum(cost[rest] / total, LEAST), cost[rest] <= left, np.ones(len(rest)),
        )  # fmt: skip
        choice = choose(
            market.form, market.variables, state, _same(market.target), left / total,
            banded=banded, worth=0.0, discrepancy=discrepancy, **how,
        )  # fmt: skip
        assert choice.index is not None  # a row is affordable, and none is too little
        bought.append(int(rest[choice.index]))
        steps.append(
            f"expected to cut the variance at the target by {100 * choice.reduction:.2g} % for "
            f"{100 * cost[bought[-1]] / total:.2g} % of the budget; wastes {choice.waste:.2f} "
            f"decades, {choice.near} of {choice.of} affordable rows in the band"
        )


def baselines(market: Market, total: float, seed: int) -> dict[str, dict[str, float]]:
    """What other ways of spending the same budget give, predicted by the same model."""
    cost, rng = market.cost, np.random.default_rng(seed)
    cheapest = _until(np.argsort(cost, kind="stable"), cost, total)
    draws = [_until(rng.permutation(len(cost)), cost, total) for _ in range(RANDOM_DRAWS)]
    scores = np.array([market.error(rows) for rows in draws if rows])
    v_optimal, _, _ = buy(market, total, banded=False, discrepancy=False, power=0.4)
    out = {
        "grid": market.error(_until(even(market.logx), cost, total)),
        "random": tuple(np.median(scores, axis=0)) if len(scores) else (np.nan, np.nan),
        "cheapest_first": market.error(cheapest),
        "v_optimal": market.error(v_optimal),
    }
    return {name: _named(pair) for name, pair in out.items()}


def even(logx: np.ndarray) -> np.ndarray:
    """Every row, ordered so that any number of first ones lies evenly over the variables: the
    smallest, then always the one farthest from those before. What a grid buys, whatever it
    costs."""
    z = (logx - logx.min(0)) / np.maximum(np.ptp(logx, axis=0), 1e-9)
    order = [int(np.argmin(z.sum(1)))]
    far = ((z - z[order[0]]) ** 2).sum(1)
    while len(order) < len(z):
        far[order[-1]] = -1.0
        order.append(int(np.argmax(far)))
        far = np.minimum(far, ((z - z[order[-1]]) ** 2).sum(1))
    return np.array(order)


def score(predicted: np.ndarray, actual: np.ndarray) -> tuple[float, float]:
    """Mean absolute relative error and R2 (NaN for a single row)."""
    off = ((actual - actual.mean()) ** 2).sum()
    r2 = 1 - ((predicted - actual) ** 2).sum() / off if off > 0 else np.nan
    return float(np.abs(predicted / actual - 1).mean()), float(r2)


def _named(pair: tuple[float, float]) -> dict[str, float]:
    return {"error": float(pair[0]), "r2": float(pair[1])}


def _until(order: np.ndarray, cost: np.ndarray, total: float) -> list[int]:
    """The rows in this order, leaving out those that no longer fit."""
    out, spent = [], 0.0
    for i in order:
        if spent + cost[i] <= total:
            out.append(int(i))
            spent += cost[i]
    return out


def _same(target: np.ndarray) -> Callable[[Assessment], Goal]:
    return lambda _: Goal.losses(target)


def _market(frame, variables, cost, loss, target, where, form):
    if where:
        frame = cast(pd.DataFrame, frame[select(frame, where, "--where").to_numpy()])
    frame = counted(frame, needed(variables, loss))
    price = _costs(frame, cost)
    held = select(frame, target, "--target").to_numpy()
    if not held.any() or held.all():
        what = "no row" if not held.any() else "every row: none is left to buy"
        raise LawError(f"--target {shown(target)} matches {what}; change the query")
    seen = cast(pd.DataFrame, frame[~held])
    points = check(seen, variables, loss)
    wanted = check(cast(pd.DataFrame, frame[held]), variables, loss)
    keep = seen.index.get_indexer(points.labels)
    costs = price[~held][keep]
    _reaches_beyond(points, costs, wanted, price[held], target)
    market = Market(
        form, tuple(variables), points.logx, np.log(points.y), costs, wanted.logx,
        np.log(wanted.y),
    )  # fmt: skip
    n0 = start_size(len(variables))
    if len(costs) <= n0:
        raise LawError(f"{len(costs)} rows can be bought and the start alone needs {n0}: too few")
    labels = [x.item() if isinstance(x, np.generic) else x for x in points.labels]
    return market, labels, seen.iloc[keep]


def _costs(frame: pd.DataFrame, cost: str | Callable[[pd.DataFrame], Any]) -> np.ndarray:
    name = f"--cost {shown(cost)}" if isinstance(cost, str) else "--cost"
    try:
        worth = parse(cost).numbers(frame) if isinstance(cost, str) else cost(frame)
        price = np.broadcast_to(np.asarray(worth, dtype=float), len(frame)).copy()
    except (TypeError, ValueError) as error:  # of a caller's function: whatever it is not fit for
        raise LawError(
            f"{name} cannot be evaluated: {error}; it is arithmetic over the columns "
            f"{listed(map(column_words, frame.columns))}, such as 6*N*D"
        ) from None
    bad = frame.index[~(np.isfinite(price) & (price > 0))].tolist()
    if bad:
        rows = ", ".join(map(str, bad[:5])) + (" ..." if len(bad) > 5 else "")
        raise LawError(
            f"{name} is 0, negative or missing in {len(bad)} rows ({rows}): every run costs "
            "something; correct the column or leave them out with --where"
        )
    return price


def _reaches_beyond(points, costs, wanted, target_costs, target: str) -> None:
    for i, v in enumerate(points.variables):
        if len(np.unique(points.logx[:, i])) < 2:
            raise LawError(f"{v} has one value in the rows that can be bought: leave it out")
    inside = (wanted.logx <= points.logx.max(0)) & (wanted.logx >= points.logx.min(0))
    if inside.all() and target_costs.max() <= costs.max():
        raise LawError(
            f"--target {shown(target)} lies inside the data: its rows cost no more than what "
            "can be bought and lie between it on every variable; ask for more expensive "
            "or larger runs"
        )
