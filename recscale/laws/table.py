"""What `recscale fit TABLE` does, as one function: a file of runs in, plain facts out."""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from recscale.laws.facts import describe, plain, predictions
from recscale.laws.fit import fit
from recscale.laws.groups import per_group
from recscale.laws.intervals import checked
from recscale.laws.law import ScalingLaw
from recscale.laws.nouns import LawError, Status


def load(path: str | Path) -> pd.DataFrame:
    """A table of runs from a .csv, .tsv or .parquet file.

    Raises:
        LawError: no such file, another kind of file, or one that cannot be read.
    """
    path = Path(path)
    readers = {
        ".csv": pd.read_csv,
        ".tsv": lambda p: pd.read_csv(p, sep="\t"),
        ".parquet": pd.read_parquet,
    }
    kind = path.suffix.lower().removesuffix(".gz") or Path(path.stem).suffix
    kind = Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else kind
    if kind not in readers:
        raise LawError(f"{path}: a table is a .csv, .tsv or .parquet file; convert it to one")
    if not path.is_file():
        raise LawError(f"{path}: no such file")
    try:
        return readers[kind](path)
    except (ValueError, OSError) as error:
        raise LawError(f"{path}: cannot be read as a table ({error})") from error


def select(frame: pd.DataFrame, query: str, option: str) -> pd.Series:
    """Mask of the rows where a pandas query such as "outlier5 == 0 and N < 1e9" holds.

    Raises:
        LawError: the query cannot be evaluated, or is not a condition.
    """
    try:
        mask = frame.eval(query)
    except Exception as error:  # pandas raises whatever its parser meets
        raise LawError(
            f"{option} {query!r} cannot be evaluated ({error}); it is a condition on the columns "
            f"{', '.join(map(str, frame.columns))}, text in quotes"
        ) from error
    if not isinstance(mask, pd.Series) or mask.dtype != bool:
        raise LawError(f"{option} {query!r} is not a condition: it must be true or false per row")
    return mask


ARITHMETIC = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Constant, ast.Name, ast.Load, ast.Add, ast.Sub,
    ast.Mult, ast.Div, ast.Pow, ast.USub, ast.UAdd,
)  # fmt: skip


def cost_of(expression: str, variables: Sequence[str]) -> Callable[..., Any]:
    """A function of the variables from arithmetic such as "6 * N * D".

    Raises:
        LawError: the expression is no arithmetic, or uses anything but numbers and the variables.
    """
    said = (
        f"--cost {expression!r} is not arithmetic on the variables {', '.join(variables)}, "
        f"such as '6 * {' * '.join(variables)}'"
    )
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except SyntaxError as error:
        raise LawError(said) from error
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    if not all(isinstance(n, ARITHMETIC) for n in ast.walk(tree)) or names - set(variables):
        raise LawError(said)
    code = compile(tree, "--cost", "eval")

    def cost(**x: Any) -> np.ndarray:
        values = {v: np.asarray(a, float) for v, a in x.items()}
        shape = np.broadcast_shapes(*(a.shape for a in values.values()))
        return np.broadcast_to(eval(code, {"__builtins__": {}}, values), shape)

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
        table: a file (.csv, .tsv, .parquet) or a frame.
        variables, loss, form, cluster, weights: as in `fit`.
        where: keep only the rows this condition holds for.
        predict: hold the rows this condition matches out of the fit and predict them.
        level: of the prediction intervals; coefficients have 95 % intervals.
        cost: what a run costs, arithmetic on the variables such as "6 * N * D": orders the runs
            from cheap to dear and asks for the frontier.

    Raises:
        LawError: the file, a column or a query cannot be used; says which and what to do.
    """
    checked(level)
    frame = table if isinstance(table, pd.DataFrame) else load(table)
    if where:
        frame = cast(pd.DataFrame, frame[select(frame, where, "--where")])
        if not len(frame):
            raise LawError(f"--where {where!r} matches no row; loosen it")
    held = select(frame, predict, "--predict") if predict else pd.Series(False, frame.index)
    if predict and not held.any():
        raise LawError(f"--predict {predict!r} matches no row; loosen it")
    if held.all():
        raise LawError(f"--predict {predict!r} matches every row: nothing is left to fit")
    spend = cost_of(cost, variables) if cost else None
    if cost and spend and all(v in frame for v in variables):
        x = {v: frame[v].to_numpy(dtype=float, na_value=np.nan) for v in variables}
        frame = frame.assign(**{cost: spend(**x)})
    seen = cast(pd.DataFrame, frame[~held])

    def refit(rows: pd.DataFrame) -> ScalingLaw:
        return fit(rows, form, variables, loss, cluster=cluster, weights=weights, cost=cost)

    law = refit(seen)
    groups = per_group(law, seen, refit)
    out = describe(law) | {"groups": groups, "frontier": _frontier(law, spend, level)}
    if groups:
        mixed = "The rows are of several kinds that no one law describes; each kind on its own:"
        out["answers"] = [*out["answers"], mixed, *(g["answer"] for g in groups)]
    if predict:
        out |= predictions(law, cast(pd.DataFrame, frame[held]), level)
    return TableFit(law, seen, spend, plain(out))


def _frontier(law: ScalingLaw, cost: Callable[..., Any] | None, level: float) -> list[dict]:
    """The best that 1, 10 and 100 times the dearest run's cost buy, where a law may say so."""
    if cost is None or law.status is not Status.CONVERGED:
        return []
    largest = float(np.exp(law.points.rank.max()))
    budgets = [largest, 10 * largest, 100 * largest]
    return cast(list, law.frontier(budgets, cost, level).to_dict("records"))
