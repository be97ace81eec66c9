"""The compute-optimal configuration at each budget, for any cost and number of variables."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recscale.laws.nouns import LawError

if TYPE_CHECKING:
    from recscale.laws.law import ScalingLaw

REACH = 8.0  # decades beyond the runs, on either side, in which an optimum is sought
DRAWS = {1: 200, 2: 200, 3: 100, 4: 60}  # by number of variables: the search grows with both


def frontier(
    law: ScalingLaw,
    budgets: Sequence[float],
    cost: Callable[..., Any],
    level: float,
    within: Mapping[str, tuple[float, float]] | None = None,
) -> pd.DataFrame:
    """One row per budget; see ScalingLaw.frontier."""
    money = np.atleast_1d(np.asarray(budgets, float))
    if not (np.isfinite(money) & (money > 0)).all():
        raise LawError("budgets are positive numbers in the unit of the cost")
    p = law.points
    reach = REACH * np.log(10)
    low, high = p.logx.min(0) - reach, p.logx.max(0) + reach
    for v, ends in (within or {}).items():
        low[p.variables.index(v)], high[p.variables.index(v)] = np.log(ends)
    spend = _checked_cost(cost, p.variables, low, high)
    free = _free(spend, low, high)
    least = spend(low[None])[0]
    if money.min() < least * (1 - 1e-9):
        raise LawError(
            f"a budget of {money.min():.3g} is below {least:.3g}, the least that the variables "
            "cost where they are sought; ask for more"
        )
    # What costs nothing would grow without end: such a variable stays at the largest run's.
    low, high = np.where(free, p.logx.max(0), low), np.where(free, p.logx.max(0), high)
    best = allocate(law.model, law.theta[None], money, spend, low, high)[0]
    many = allocate(law.model, law.resampled[: DRAWS[len(p.variables)]], money, spend, low, high)
    tail = (1 - level) / 2
    band = np.exp(np.quantile(many, [tail, 1 - tail], axis=0))
    table: dict[str, Any] = {"budget": money}
    for i, v in enumerate(p.variables):
        table[v], table[f"{v}_low"], table[f"{v}_high"] = (
            np.exp(best[:, i]), np.minimum(band[0, :, i], np.exp(best[:, i])),
            np.maximum(band[1, :, i], np.exp(best[:, i])),
        )  # fmt: skip
    predicted = law.predict({v: table[v] for v in p.variables}, level)
    table |= {"loss": predicted["mean"].to_numpy(), "loss_low": predicted["low"].to_numpy()}
    table |= {"loss_high": predicted["high"].to_numpy(), "decades": predicted["decades"].to_numpy()}
    edge = (best >= high - 1e-6) | (best <= low + 1e-6)
    table["edge"] = [
        ", ".join(v for v, e in zip(p.variables, row, strict=True) if e) for row in edge
    ]
    return pd.DataFrame(table)


def allocate(form, theta, budgets, spend, low, high, *, rounds: int = 14) -> np.ndarray:
    """log x (b, m, p) of the best each law theta (b, k) can do at each budget (m,).

    All variables but the last move on a grid that zooms in on the best cell; the last takes what
    is left of the budget. A form that peaks may want to leave some unspent: there all move.
    """
    b, m, p = len(theta), len(budgets), len(low)
    moving = p - 1 if form.monotone else p
    if not moving:
        x = _last(spend, np.empty((1, m, 0)), budgets, low, high)
        return np.repeat(x[:, :, None], b, 0)
    per, shrink = (13, 0.35) if moving == 1 else (7, 0.6)
    unit = np.array(list(itertools.product(np.linspace(-1, 1, per), repeat=moving)))
    a, z = low[:moving], high[:moving]
    centre, half = np.broadcast_to((a + z) / 2, (b, m, moving)), (z - a) / 2
    row, column = np.arange(b)[:, None], np.arange(m)[None]
    out = np.empty((b, m, p))
    for _ in range(rounds if moving == 1 else 2 * rounds):
        x = np.clip(centre[:, :, None] + unit * half, a, z)
        if form.monotone:
            last = _last(spend, x, budgets[None, :, None], low, high)
            x = np.concatenate([x, last[..., None]], -1)
        f = np.empty(x.shape[:3])
        for i in range(b):
            f[i] = form.evaluate(theta[i : i + 1], x[i].reshape(-1, p))[0].reshape(m, -1)
        broke = spend(x) > budgets[None, :, None] * (1 + 1e-9)
        pick = np.where(broke, np.inf, form.sign * f).argmin(2)
        out = x[row, column, pick]
        centre, half = out[..., :moving], half * shrink
    return out


def _last(spend, others, budget, low, high) -> np.ndarray:
    """log of the last variable that spends the budget, by bisection between its limits."""
    shape = np.broadcast_shapes(others.shape[:-1], np.shape(budget))
    a, b = np.full(shape, low[-1]), np.full(shape, high[-1])
    for _ in range(40):
        mid = (a + b) / 2
        over = spend(np.concatenate([np.broadcast_to(others, (*shape, others.shape[-1])),
                                     mid[..., None]], -1)) > budget  # fmt: skip
        b, a = np.where(over, mid, b), np.where(over, a, mid)
    return a


def _free(spend, low, high) -> np.ndarray:
    """Mask (p,) of the variables the cost does not depend on."""
    middle = (low + high) / 2
    moved = middle + np.diag(high - middle)
    return np.isclose(spend(moved), spend(middle[None])[0], rtol=1e-12)


def _checked_cost(cost: Callable[..., Any], variables, low, high):
    def spend(logx: np.ndarray) -> np.ndarray:
        x = np.exp(logx)
        return np.asarray(cost(**{v: x[..., i] for i, v in enumerate(variables)}), float)

    try:
        ends = spend(np.stack([low, high]))
    except TypeError as error:
        raise LawError(
            f"the cost must take the variables {', '.join(variables)} by name ({error})"
        ) from error
    if not (np.isfinite(ends).all() and ends[1] > ends[0] >= 0):
        raise LawError("the cost must be finite and grow with the variables")
    return spend
