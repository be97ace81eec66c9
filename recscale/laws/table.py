"""What `recscale fit TABLE` does, as one function: a file of runs in, plain facts out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from recscale.laws.fit import fit
from recscale.laws.groups import per_group
from recscale.laws.law import ScalingLaw
from recscale.laws.nouns import LawError, Status
from recscale.laws.words import answers

COEFFICIENT_LEVEL = 0.95


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


def fit_table(
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
) -> dict[str, Any]:
    """The law of a table of runs as a dict that JSON can hold.

    Args:
        table: a file (.csv, .tsv, .parquet) or a frame.
        variables, loss, form, cluster, weights, cost: as in `fit`.
        where: keep only the rows this condition holds for.
        predict: hold the rows this condition matches out of the fit and predict them.
        level: of the prediction intervals; coefficients have 95 % intervals.

    Returns:
        form, formula, status, reason, objective, delta, n, runs, coefficients, intervals
        {coefficient: [low, high]}, method, without_worst, dropped [{row, reason}], diagnostics,
        choice (for "auto"), slopes, verdicts, notes and answers (sentences), groups (a law for
        each kind of row where a column separates the rows: where, n, status, answer); with
        `predict` also predictions [{row, actual, mean, low, high, decades}], their error and
        coverage. Numbers that do not exist are None.

    Raises:
        LawError: the file, a column or a query cannot be used; says which and what to do.

    Example:
        >>> D = pd.Series([1e3, 1e4, 1e5, 1e6, 1e7])
        >>> runs = pd.DataFrame({"D": D, "loss": 2 + 30 * D**-0.5})
        >>> facts = fit_table(runs, variables=["D"], form="power", predict="D > 5e6")
        >>> facts["status"], facts["n"], facts["predictions"][0]["row"]
        ('converged', 4, 4)
    """
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
    seen = cast(pd.DataFrame, frame[~held])

    def refit(rows: pd.DataFrame) -> ScalingLaw:
        return fit(rows, form, variables, loss, cluster=cluster, weights=weights, cost=cost)

    law = refit(seen)
    groups = per_group(law, seen, refit)
    out = describe(law) | {"groups": groups}
    if groups:
        mixed = "The rows are of several kinds that no one law describes; each kind on its own:"
        out["answers"] = [*out["answers"], mixed, *(g["answer"] for g in groups)]
    if predict:
        out |= _predictions(law, cast(pd.DataFrame, frame[held]), level)
    return _plain(out)


def describe(law: ScalingLaw) -> dict[str, Any]:
    """The facts of a law, without predictions."""
    determined = law.status is not Status.UNDERDETERMINED
    ends = law.intervals(COEFFICIENT_LEVEL)
    return {
        "form": law.form,
        "formula": law.model.formula,
        "source": law.model.source,
        "status": law.status.value,
        "reason": law.reason,
        "objective": law.objective,
        "delta": law.delta,
        "n": law.n,
        "runs": law.points.runs,
        "variables": list(law.variables),
        "loss": law.points.loss,
        "coefficients": law.coefficients,
        "interval_level": COEFFICIENT_LEVEL,
        "intervals": {
            c: [low, high]
            for c, low, high in zip(ends["coefficient"], ends["low"], ends["high"], strict=True)
        },
        "method": sorted(set(ends["method"])),
        "without_worst": law.without_worst if determined else {},
        "dropped": list(law.dropped),
        "diagnostics": {
            "gradient_norm": law.gradient_norm,
            "optima": law.optima,
            "condition": law.condition,
            "bounds_hit": list(law.bounds_hit),
        },
        "choice": None if law.choice is None else law.choice.to_dict("records"),
        "slopes": law.slopes().to_dict("records") if determined else [],
        "verdicts": law.verdicts().to_dict("records") if determined else [],
        "notes": list(law.points.notes),
        "answers": answers(law),
    }


def _predictions(law: ScalingLaw, held: pd.DataFrame, level: float) -> dict[str, Any]:
    if law.status is Status.UNDERDETERMINED:
        return {"predictions": [], "prediction_level": level}
    x = held[list(law.variables)].to_numpy(dtype=float, na_value=np.nan)
    possible = (np.isfinite(x) & (x > 0)).all(axis=1)
    skipped = held.index[np.flatnonzero(~possible)].tolist()
    held = held.iloc[np.flatnonzero(possible)]
    answer = law.predict(held, level)
    actual = held[law.points.loss].to_numpy(dtype=float, na_value=np.nan)
    rows = [
        {"row": row, "actual": a, "mean": m, "low": lo, "high": hi, "decades": d}
        for row, a, m, lo, hi, d in zip(
            held.index, actual, *(answer[c] for c in answer.columns), strict=True
        )
    ]
    known = np.flatnonzero(np.isfinite(actual))
    mean, low, high = answer[["mean", "low", "high"]].to_numpy()[known].T
    error = np.abs(mean / actual[known] - 1)
    inside = (low <= actual[known]) & (actual[known] <= high)
    return {
        "predictions": rows,
        "prediction_level": level,
        "prediction_error": float(error.mean()) if len(known) else None,
        "prediction_coverage": float(np.mean(inside)) if len(known) else None,
        "prediction_skipped": skipped,
    }


def _plain(value: Any) -> Any:
    """The same value with numpy turned to Python and NaN or infinity to None."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def to_json(facts: dict[str, Any]) -> str:
    """The dict of `fit_table` as strict JSON (no NaN), two spaces deep."""
    return json.dumps(_plain(facts), indent=2, allow_nan=False)
