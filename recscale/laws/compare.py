"""Are two laws different: two architectures, two embedding schemes, two data sources?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd

from recscale.laws.columns import cells, column, counted, present
from recscale.laws.fit import fit
from recscale.laws.intervals import checked
from recscale.laws.law import ScalingLaw
from recscale.laws.nouns import LawError, Role
from recscale.laws.points import needed

GROWN = 4.0  # times below and beyond the values that were tried, where a variable is sought
FLIPS = 20_000  # sign patterns of the paired test, when there are too many to try all
DRAWS = 2000
SEARCH = 40  # budgets at which crossings are looked for


@dataclass(frozen=True)
class Comparison:
    """Two laws of the same form over the same variables, and the runs they share.

    Attributes:
        names: what the two are called.
        first, second: their laws.
        pairs: log loss of first minus second for runs with equal variables and seed, (m,).
        most: variable -> the largest value that can be had, such as the rows that there are.
    """

    names: tuple[str, str]
    first: ScalingLaw
    second: ScalingLaw
    pairs: np.ndarray
    most: Mapping[str, float] = field(default_factory=dict)

    def exponents(self, level: float = 0.95) -> pd.DataFrame:
        """Difference first - second of every constant but the multipliers, with its interval.

        Returns:
            frame: coefficient, role, variable, difference, low, high, p (two-sided, from the two
            laws' draws), different (the interval excludes 0).
        """
        tail = (1 - checked(level)) / 2
        model = self.first.model
        a, b = (law.model.coefficients(law.resampled) for law in (self.first, self.second))
        rows = []
        for i, constant in enumerate(model.constants):
            if constant.role is Role.SCALE:
                continue
            name = constant.name
            d = a[:, i] - b[:, i]
            low, high = np.quantile(d, [tail, 1 - tail])
            p = 2 * min((d <= 0).mean(), (d >= 0).mean())
            gap = self.first.coefficients[name] - self.second.coefficients[name]
            p = min(max(p, 1 / len(d)), 1.0)
            what = name, constant.role.value, constant.variable
            rows.append((*what, gap, low, high, p, not low <= 0 <= high))
        columns = ["coefficient", "role", "variable", "difference", "low", "high", "p", "different"]
        return pd.DataFrame(rows, columns=pd.Index(columns))

    def paired(self, seed: int = 0) -> dict[str, float]:
        """Sign-flip test on runs that differ in nothing else: pairs, ratio of losses, p.

        Under the null hypothesis each difference is as likely to have the other sign (Fisher
        1935). With fewer than six pairs p cannot fall below .03.
        """
        d = self.pairs
        if not len(d):
            return {"pairs": 0, "ratio": float("nan"), "p": float("nan")}
        if len(d) <= 14:
            signs = 1 - 2 * ((np.arange(2 ** len(d))[:, None] >> np.arange(len(d))) & 1)
        else:
            signs = np.random.default_rng(seed).choice([-1, 1], size=(FLIPS, len(d)))
        flipped = np.abs(signs @ d)
        p = float((flipped >= abs(d.sum()) * (1 - 1e-12)).mean())
        return {"pairs": len(d), "ratio": float(np.exp(d.mean())), "p": max(p, 1 / len(signs))}

    def better(self, budgets: Sequence[float], cost: Callable[..., Any]) -> pd.DataFrame:
        """Which is better when each spends the budget as suits it best, and how surely.

        Each is sought where it can be had: within GROWN times the values that its runs tried, and
        at most `most`. What the budget buys beyond that is left over.

        Returns:
            frame: budget, loss of each, probability that more is to be expected of the first, from
            draws of both laws that hold the distance of real losses from any formula.

        Raises:
            LawError: a budget is below what the smallest model sought costs.
        """
        budgets = list(budgets)
        sides = []
        for seed, law in enumerate((self.first, self.second)):
            best = law.frontier(budgets, cost, within=self.sought(law))
            sides.append(law.draws(pd.DataFrame(best[list(law.variables)]), DRAWS, seed))
        return verdict(self.names, budgets, *sides, sign=self.first.model.sign)

    def crossings(self, low: float, high: float, cost: Callable[..., Any]) -> pd.DataFrame:
        """Budgets between `low` and `high` at which the two frontiers cross.

        Returns:
            frame: budget, better_before, better_after; empty if one is better throughout.
        """
        if not 0 < low < high:
            raise LawError("crossings are looked for between two budgets, low < high")
        grid = np.geomspace(low, high, SEARCH)
        gap = self._gap(grid, cost)
        rows = []
        for i in np.flatnonzero(np.sign(gap[1:]) * np.sign(gap[:-1]) < 0):
            fine = np.geomspace(grid[i], grid[i + 1], SEARCH)
            at = float(np.exp(np.interp(0.0, *_rising(self._gap(fine, cost), np.log(fine)))))
            before, after = self.names if gap[i] < 0 else self.names[::-1]
            rows.append((at, before, after))
        return pd.DataFrame(rows, columns=pd.Index(["budget", "better_before", "better_after"]))

    def sought(self, law: ScalingLaw) -> dict[str, tuple[float, float]]:
        """Variable -> (lowest, highest) value that one side is sought at for a budget."""
        x = np.exp(law.points.logx)
        ends = zip(law.variables, x.min(0) / GROWN, x.max(0) * GROWN, strict=True)
        return {v: (low, min(high, self.most.get(v, np.inf))) for v, low, high in ends}

    def _gap(self, budgets: np.ndarray, cost: Callable[..., Any]) -> np.ndarray:
        """log loss of first minus second on their frontiers; negative where first is better."""
        logs = []
        for law in (self.first, self.second):
            best = law.frontier(budgets.tolist(), cost, within=self.sought(law))
            logs.append(np.log(law.value({v: best[v].to_numpy() for v in law.variables})))
        return self.first.model.sign * (logs[0] - logs[1])


def verdict(
    names: tuple[str, str],
    budgets: Sequence[float],
    first: np.ndarray,
    second: np.ndarray,
    sign: int = 1,
) -> pd.DataFrame:
    """Which of two is better at m budgets, from draws (n, m) of both log losses; see
    `Comparison.better`. sign: -1 where more is better."""  # fmt: skip
    ahead = sign * (second - first)
    chance = (ahead > 0).mean(0) + (ahead == 0).mean(0) / 2
    return pd.DataFrame(
        {
            "budget": list(budgets),
            f"loss {names[0]}": np.exp(first.mean(0)),
            f"loss {names[1]}": np.exp(second.mean(0)),
            "probability": chance,
            "better": np.where(chance >= 0.5, *names),
        }
    )


def _rising(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (x, y) if x[-1] > x[0] else (x[::-1], y[::-1])


def compare(
    frame: pd.DataFrame,
    by: str,
    variables: Sequence[str],
    loss: str = "loss",
    form: str = "additive",
    *,
    seed: str | None = None,
    most: Mapping[str, float] | None = None,
) -> Comparison:
    """Fits one law to each of the two values of a column and sets them side by side.

    Args:
        by: column with exactly two values, such as the architecture.
        form: as in `fit`; auto is chosen once, on all rows.
        seed: column of seeds; runs with equal variables (and seed, if given) are paired.
        most: variable -> the largest value that can be had.

    Raises:
        LawError: `by` has not two values, or a side's law is underdetermined.

    Example:
        >>> import numpy as np, pandas as pd
        >>> D = np.geomspace(1e4, 1e8, 9)
        >>> runs = pd.concat([
        ...     pd.DataFrame({"net": "dlrm", "D": D, "loss": 0.4 + 3 * D**-0.3}),
        ...     pd.DataFrame({"net": "hstu", "D": D, "loss": 0.4 + 9 * D**-0.4}),
        ... ], ignore_index=True)
        >>> both = compare(runs, "net", ["D"], form="power")
        >>> both.exponents().set_index("coefficient").loc["beta", "difference"].round(6)
        np.float64(-0.1)
        >>> both.paired()["pairs"], round(both.paired()["p"], 2)  # runs alike but for the net
        (9, 0.48)
        >>> both.better([1e4, 1e8], lambda D: D)["better"].to_list()
        ['dlrm', 'hstu']
        >>> round(both.crossings(1e4, 1e6, lambda D: D).loc[0, "budget"], -2)
        np.float64(59000.0)
    """
    present(frame, [by, *([seed] if seed else [])])
    frame = counted(frame.reset_index(drop=True), needed(variables, loss))
    kinds = cells(by, column(frame, by))
    values = sorted(pd.unique(kinds[~pd.isna(kinds)]).tolist())
    if len(values) != 2:
        raise LawError(f"{by!r} has {len(values)} values; compare needs exactly two: select them")
    sides = [cast(pd.DataFrame, frame[kinds == v]) for v in values]
    if form == "auto":  # constants of two forms cannot be set side by side
        form = fit(frame, form, variables, loss).form
    laws = [fit(side, form, variables, loss) for side in sides]
    for value, law in zip(values, laws, strict=True):
        if not law.status.determined:
            raise LawError(f"{by} = {value}: {law.reason}")
    keys = [*variables, *([seed] if seed else [])]
    tables = [
        side.loc[law.points.labels].groupby(keys)[loss].mean()
        for side, law in zip(sides, laws, strict=True)
    ]
    both = pd.concat(tables, axis=1, join="inner").to_numpy()
    pairs = np.log(both[:, 0]) - np.log(both[:, 1])
    return Comparison((str(values[0]), str(values[1])), laws[0], laws[1], pairs, most or {})
