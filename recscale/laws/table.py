"""What `recscale fit TABLE` does, as one function: a file of runs in, plain facts out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from recscale.frame import mixed_words
from recscale.laws.columns import counted
from recscale.laws.expressions import column_words, parse
from recscale.laws.facts import describe, plain, predictions
from recscale.laws.fit import fit
from recscale.laws.groups import per_group
from recscale.laws.intervals import checked
from recscale.laws.law import ScalingLaw
from recscale.laws.nouns import LawError, Status
from recscale.laws.points import needed
from recscale.laws.reading import load
from recscale.laws.runs import aliased, clustered
from recscale.words import listed, shown


def select(frame: pd.DataFrame, text: str, option: str) -> pd.Series:
    """Mask of the rows where a condition such as "outlier5 == 0 and N < 1e9" holds.

    Raises:
        LawError: the condition is not one of the language of `expressions`.
    """
    try:
        return pd.Series(parse(text).truths(frame), frame.index)
    except LawError as error:
        raise LawError(
            f"{option} {shown(text)} cannot be evaluated: {error}; it is a condition on the "
            f"columns {listed(map(column_words, frame.columns))}, text in quotes"
        ) from None


def cost_of(text: str, variables: Sequence[str]) -> Callable[..., Any]:
    """A function of the variables from arithmetic such as "6 * N * D".

    Raises:
        LawError: the text is no arithmetic, or uses anything but numbers and the variables.
    """
    names = list(map(column_words, variables))

    def refused(why: LawError | str) -> LawError:
        return LawError(
            f"--cost {shown(text)} is not arithmetic on the variables {listed(names)}, "
            f"such as '6 * {' * '.join(names)}': {why}"
        )

    def cost(**x: Any) -> np.ndarray:
        values = {v: np.asarray(a, float) for v, a in x.items()}
        shape = np.broadcast_shapes(*(a.shape for a in values.values()))
        try:
            return np.broadcast_to(read.numbers(values), shape)
        except LawError as error:
            raise refused(error) from None

    try:
        read = parse(text)
    except LawError as error:
        raise refused(error) from None
    cost(**dict.fromkeys(variables, 1.0))  # a wrong kind or name is told before any fit
    return cost


@dataclass(frozen=True)
class TableFit:
    """A table, its law and what is said of it.

    Attributes:
        law: the law of all rows.
        seen: the rows given to the fit; law.points.labels are those it used.
        cost: what a run costs, as a function of the variables; None if it was not said.
        facts: the dict `fit_table` returns.
    """

    law: ScalingLaw
    seen: pd.DataFrame
    cost: Callable[..., Any] | None
    facts: dict[str, Any]


def fit_table(table: str | Path | pd.DataFrame, **options: Any) -> dict[str, Any]:
    """The law of a table of runs as a dict that JSON can hold; takes what `open_fit` takes.

    Returns:
        form, formula, status, reason, objective, delta, n, runs, coefficients, intervals
        {coefficient: [low, high]}, method, without_worst, dropped [{row, reason}], diagnostics,
        choice (for "auto"), slopes, verdicts, notes and answers (sentences), groups (a law for
        each kind of row where a column separates the rows: where, n, status, answer), frontier
        (with `cost`: the best each budget buys, see ScalingLaw.frontier); with `predict` also
        predictions [{row, actual, mean, low, high, decades}], their error and coverage. Numbers
        that do not exist are None.

    Raises:
        LawError: the file, a column or a query cannot be used; says which and what to do.

    Example:
        >>> D = pd.Series([1e3, 1e4, 1e5, 1e6, 1e7])
        >>> runs = pd.DataFrame({"D": D, "loss": 2 + 30 * D**-0.5})
        >>> facts = fit_table(runs, variables=["D"], form="power", predict="D > 5e6")
        >>> facts["status"], facts["n"], facts["predictions"][0]["row"]
        ('converged', 4, 4)
    """
    return open_fit(table, **options).facts


def open_fit(
    table: str | Path | pd.DataFrame,
    *,
    variables: Sequence[str],
    loss: str = "loss",
    form: str = "additive",
    where: str | None = None,
    predict: str | None = None,
    level: float = 0.9,
    cluster: str | None = None,
    weights: str | None = None,
    cost: str | None = None,
) -> TableFit:
    """Fits a table and describes the law.

    Args:
        table: a file (.csv, .tsv, .parquet, mlflow's sqlite), a folder of runs (a run directory,
            Ray Tune's, TensorBoard's) or a frame.
        variables: columns, each under its own name or as "N=Model Size" under a new one.
        loss, form, weights: as in `fit`.
        cluster: the column that names a row's run; left out, one that is called so where runs have
            several rows; "none" for none.
        where: keep only the rows this condition holds for.
        predict: hold the rows this condition matches out of the fit and predict them.
        level: of the prediction intervals; coefficients have 95 % intervals.
        cost: what a run costs, arithmetic on the variables such as "6 * N * D": orders the runs
            from cheap to expensive and asks for the frontier.

    Raises:
        LawError: the file, a column or a query cannot be used; says which and what to do.
    """
    checked(level)
    frame = table if isinstance(table, pd.DataFrame) else load(table)
    frame, variables = aliased(frame, variables)
    if where:
        frame = cast(pd.DataFrame, frame[select(frame, where, "--where").to_numpy()])
        if not len(frame):
            raise LawError(f"--where {shown(where)} matches no row; loosen it")
    if why := mixed_words(frame):
        raise LawError(why)
    frame = counted(frame, needed(variables, loss, weights))
    cluster, said = clustered(frame, variables, loss, cluster)
    held = select(frame, predict, "--predict") if predict else pd.Series(False, frame.index)
    if predict and not held.any():
        raise LawError(f"--predict {shown(predict)} matches no row; loosen it")
    if predict and held.all():
        raise LawError(f"--predict {shown(predict)} matches every row: nothing is left to fit")
    spend = cost_of(cost, variables) if cost else None
    if cost and spend:
        frame = frame.assign(**{cost: spend(**{v: frame[v] for v in variables})})
    seen = cast(pd.DataFrame, frame[~held.to_numpy()])

    def refit(rows: pd.DataFrame) -> ScalingLaw:
        return fit(rows, form, variables, loss, cluster=cluster, weights=weights, cost=cost)

    law = refit(seen)
    groups = per_group(law, seen, refit)
    out = describe(law)
    out["answers"] = [*out["answers"], *([said] if said else [])]
    out |= {"groups": groups, "frontier": _frontier(law, spend, level)}
    if groups:
        mixed = "The rows are of several kinds that no one law describes; each kind on its own:"
        out["answers"] = [*out["answers"], mixed, *(g["answer"] for g in groups)]
    if predict:
        out |= predictions(law, cast(pd.DataFrame, frame[held.to_numpy()]), level)
    return TableFit(law, seen, spend, plain(out))


def _frontier(law: ScalingLaw, cost: Callable[..., Any] | None, level: float) -> list[dict]:
    """The best that 1, 10 and 100 times the most expensive run's cost buy, where a law may say
    so."""
    if cost is None or law.status is not Status.CONVERGED:
        return []
    largest = float(np.exp(law.points.rank.max()))
    budgets = [largest, 10 * largest, 100 * largest]
    return cast(list, law.frontier(budgets, cost, level).to_dict("records"))
