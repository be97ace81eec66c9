"""Tables that mix runs no single law describes: which column separates them, a law for each."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from recscale.laws.columns import cells, column
from recscale.laws.expressions import column_words, value_words
from recscale.laws.nouns import LawError, Status
from recscale.laws.points import undetermined
from recscale.laws.words import verdict

if TYPE_CHECKING:
    from recscale.laws.law import ScalingLaw

SHARE = 0.5  # of the residual variance: what the columns must explain to split the table
SECOND = 0.5  # of what one column leaves: what a second must explain
TIED = 0.5  # of a variable's spread: a column that explains more is that variable in disguise
WHOLE = 0.8  # of the rows: how many must lie in groups that can determine a law of their own
VALUES = 20  # a column with more distinct values is a measurement, not a group


def splitters(law: ScalingLaw, frame: pd.DataFrame) -> list[str]:
    """The one or two columns whose values explain most of what one law for all rows would miss.

    The share is adjusted for the number of groups, so that many small groups gain nothing by
    chance. A column set by the variables themselves (a width, where the variable counts
    parameters) leaves groups too thin for a law and is no splitter. Of columns that say the same
    (a name and a size of the same data set) text is taken.
    """
    if law.status is Status.UNDERDETERMINED or not frame.index.is_unique:
        return []
    rows = cast(pd.DataFrame, frame.loc[law.points.labels])
    skip = {*law.variables, law.points.loss}
    codes: dict[tuple[str, ...], np.ndarray] = {}
    plain = {c: values for c in map(str, rows.columns) if (values := _plain(rows, c)) is not None}
    for c in sorted(plain, key=lambda c: plain[c].dtype != object):
        code, values = pd.factorize(plain[c])
        if c not in skip and 2 <= len(values) <= min(VALUES, law.n // 4):
            seen = any(np.array_equal(code, other) for other in codes.values())
            tied = any(_adjusted(z, code) > TIED for z in law.points.logx.T)
            if not seen and not tied and _whole(law, code):
                codes[(c,)] = code
    for (a,), (b,) in itertools.combinations(list(codes), 2):
        pair = codes[(a,)] * (VALUES + 1) + codes[(b,)]
        if _whole(law, pair):
            codes[(a, b)] = pair
    pooled = _spread(law, np.zeros(law.n, int))
    best: tuple[str, ...] = ()
    share = 0.0
    for columns, code in codes.items():
        gain = 1 - _spread(law, code) / max(pooled, 1e-300)
        enough = share + 1e-9 if len(columns) == 1 else 1 - (1 - share) * SECOND
        if gain > max(enough, SHARE):
            best, share = columns, gain
    return list(best)


def _whole(law: ScalingLaw, code: np.ndarray) -> bool:
    """Whether most rows lie in groups that could determine the law's form on their own."""
    able = sum(
        int((code == g).sum())
        for g in np.unique(code)
        if undetermined(law.points.take(code == g), law.model) is None
    )
    return able >= WHOLE * law.n


def per_group(
    law: ScalingLaw, frame: pd.DataFrame, refit: Callable[[pd.DataFrame], ScalingLaw]
) -> list[dict[str, Any]]:
    """A law for each group of rows, if a column splits the table: where, n, status, answer."""
    columns = splitters(law, frame)
    if not columns:
        return []
    out = []
    rows = cast(pd.DataFrame, frame.loc[law.points.labels])
    code = pd.DataFrame({c: _plain(rows, c) for c in columns}).groupby(columns, dropna=False)
    for values, places in sorted(code.indices.items(), key=lambda pair: _order(pair[0])):
        values = values if isinstance(values, tuple) else (values,)
        where = " and ".join(map(_equals, columns, values))
        group = rows.iloc[np.sort(places)]
        own = refit(cast(pd.DataFrame, group))
        said = f"no law can be stated: {own.reason}." if not own.status.determined else verdict(own)
        out.append(
            {
                "where": where,
                "n": own.n,
                "status": own.status.value,
                "coefficients": own.coefficients,
                "answer": f"{where} ({own.n} runs): {said}",
            }
        )
    return out


def _spread(law: ScalingLaw, code: np.ndarray) -> float:
    """Variance of log loss about straight lines in log x that share slopes but not heights.

    The pooled law's own residuals would not do: mixed rows can leave it without a slope at all.
    """
    both = pd.DataFrame(np.column_stack([np.log(law.points.y), law.points.logx]))
    both = both.to_numpy() - both.groupby(code).transform("mean").to_numpy()
    slope, *_ = np.linalg.lstsq(both[:, 1:], both[:, 0], rcond=None)
    rest = both[:, 0] - both[:, 1:] @ slope
    return float(rest @ rest) / max(law.n - len(np.unique(code)) - len(slope), 1)


def _adjusted(residuals: np.ndarray, group: np.ndarray) -> float:
    means = pd.Series(residuals).groupby(group).transform("mean").to_numpy()
    n, g = len(residuals), len(np.unique(group))
    within = float(((residuals - means) ** 2).sum()) / max(n - g, 1)
    return 1 - within / max(float(np.var(residuals, ddof=1)), 1e-300)


def _plain(rows: pd.DataFrame, name: str) -> np.ndarray | None:
    """A column's values; None where they are of no kind that could separate rows."""
    try:
        return cells(name, column(rows, name))
    except LawError:
        return None


def _order(values: Any) -> list[tuple[bool, Any]]:
    values = values if isinstance(values, tuple) else (values,)
    return [(True, 0) if pd.isna(v) else (False, v) for v in values]


def _equals(name: str, value: Any) -> str:
    """The condition of `expressions` under which a row has this value, or has none."""
    name = column_words(name)
    return f"{name} != {name}" if pd.isna(value) else f"{name} == {value_words(value)}"
