"""From a caller's table to checked points: what is wrong is said, never silently repaired."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from recscale.laws.columns import cells, column, numbers, present
from recscale.laws.forms import Form
from recscale.laws.nouns import LawError, Points

MIN_DECADES = 0.25  # less than a factor 1.8 on an axis cannot show an exponent
MOST_VARIABLES = 8
MOST_DECADES = 40  # amounts and losses of one table: published ones span 22 at most (FLOPs)
MAX_POWER = 60  # of ten; squares of such losses and powers of such counts stay finite


def check(
    frame: pd.DataFrame,
    variables: Sequence[str],
    loss: str,
    *,
    cluster: str | None = None,
    weights: str | None = None,
    cost: str | None = None,
    floor: float | None = None,
    zeros: Collection[str] = (),
) -> Points:
    """The rows of `frame` a law can be fitted to.

    The value 0 of a variable in `zeros` is a level of its own and stands at half the least value
    above it.

    Rows with a missing, non-finite or non-positive variable or loss are dropped and listed with
    the reason; so are exact copies of another row.

    Raises:
        LawError: a column is missing or not numeric, an integer column overflowed, a loss lies
            below the stated floor, or no row is usable.
    """
    variables = tuple(variables)
    read = needed(variables, loss, weights, cost)
    present(frame, [*read, *([cluster] if cluster else [])])
    values = {c: numbers(frame, c) for c in dict.fromkeys(read)}
    levels = [_level(values[v]) if v in zeros else np.nan for v in variables]
    for v, level in zip(variables, levels, strict=True):
        if np.isfinite(level):
            values[v] = np.where(values[v] == 0, np.exp(level), values[v])
    keep = np.ones(len(frame), bool)
    dropped: list[dict] = []

    def drop(bad: np.ndarray, reason: str) -> None:
        if bad.any():
            dropped.extend({"row": _plain(r), "reason": reason} for r in frame.index[bad & keep])
            keep[bad] = False

    for c in values:
        drop(~np.isfinite(values[c]), f"{c} is missing or not finite (a diverged or unread run?)")
    for c in (*variables, *((cost,) if cost else ())):
        drop(
            values[c] <= 0,
            f"{c} is 0 or negative: a power law has no value there; fit those rows apart "
            f"or count the axis from 1",
        )
    drop(values[loss] <= 0, f"{loss} is 0 or negative: relative errors need positive values")
    for c in values:
        absurd = (np.abs(np.log10(np.maximum(values[c], 1e-320))) > MAX_POWER) & keep
        drop(absurd, f"{c} is beyond 1e-{MAX_POWER} to 1e{MAX_POWER}: a unit or reading error")
    if weights:
        drop(values[weights] <= 0, f"weight {weights} is 0 or negative")
    if len(np.unique(values[loss])) < len(frame):  # else no row can repeat another
        drop(_copies(frame, values), "exact copy of an earlier row")
    if not keep.any():
        reasons = sorted({d["reason"] for d in dropped}) or ["the table has no rows"]
        raise LawError(f"no usable row: {'; '.join(reasons)}")

    for c in dict.fromkeys((*variables, loss)):
        least, most = np.log10(values[c][keep].min()), np.log10(values[c][keep].max())
        if most - least > MOST_DECADES:
            raise LawError(
                f"{c} spans {most - least:.0f} decades, from {10**least:.3g} to {10**most:.3g}, "
                f"where {MOST_DECADES} are allowed: a unit or reading error; correct those rows, "
                "or leave them out with --where"
            )

    y = values[loss][keep]
    if floor is not None and (y < floor).any():
        row = frame.index[keep][int(np.argmin(y))]
        raise LawError(
            f"{loss} of row {row} is {y.min():.6g}, below the stated floor {floor:.6g}: "
            f"the floor or that run is wrong; correct one of them"
        )
    logx = np.log(np.column_stack([values[v][keep] for v in variables]))
    w = values[weights][keep] if weights else np.ones(len(y))
    codes = _codes(frame, cluster)[keep] if cluster else np.arange(len(y))
    rank = np.log(values[cost][keep]) if cost else logx.sum(1)
    return Points(
        variables, loss, logx, y, w / w.mean(), np.asarray(codes), rank,
        frame.index.to_numpy()[keep], tuple(dropped), tuple(_notes(variables, logx)),
        tuple(levels) if np.isfinite(levels).any() else (),
    )  # fmt: skip


def _level(values: np.ndarray) -> float:
    """Log of where 0 stands among values; NaN where there is no 0, or nothing above it."""
    above = values[np.isfinite(values) & (values > 0)]
    return float(np.log(above.min() / 2)) if len(above) and (values == 0).any() else np.nan


def query(
    points: pd.DataFrame | dict, variables: Sequence[str], levels: Sequence[float] = ()
) -> np.ndarray:
    """Logarithms (m, p) of the points a caller asks about; one dict is one point. `levels` as of
    `Points`.

    Raises:
        LawError: a variable is missing, or a value is not positive and finite.
    """
    if isinstance(points, dict):
        points = pd.DataFrame({k: np.atleast_1d(np.asarray(v)) for k, v in points.items()})
    missing = [v for v in variables if v not in points]
    if missing:
        raise LawError(
            f"the points lack {', '.join(missing)}; give a value for each of {', '.join(variables)}"
        )
    x = points[list(variables)].to_numpy(dtype=float, na_value=np.nan)
    if levels:
        x = np.where((x == 0) & np.isfinite(levels), np.exp(levels), x)
    if not (np.isfinite(x) & (x > 0)).all():
        raise LawError("a point asked about is missing, 0 or negative on an axis; use values > 0")
    return np.log(x)


def askable(law_points: Points, values: np.ndarray) -> np.ndarray:
    """Which of m rows of values (m, p) of the variables a law of these points has an answer for."""
    zero = np.isfinite(law_points.zeros) & (values == 0)
    return np.all((np.isfinite(values) & (values > 0)) | zero, axis=1)


def undetermined(points: Points, form: Form) -> str | None:
    """Why these points cannot determine the form, with the remedy; None if they can."""
    n, parameters = points.n, len(form.lower)
    own = form.undetermined(points.logx)
    if own:
        return own
    names = [points.variables[i] for i in form.single]
    for i, v in zip(form.single, names, strict=True):
        distinct = len(np.unique(points.logx[:, i]))
        if distinct < 3:
            return (
                f"{v} has {distinct} distinct value{'s' * (distinct != 1)} and an exponent needs "
                f"3: run more values of {v} or leave it out of the variables"
            )
        decades = np.ptp(points.logx[:, i]) / np.log(10)
        if decades < MIN_DECADES:
            return (
                f"{v} spans {decades:.2f} decades and an exponent needs {MIN_DECADES}: "
                f"run smaller or larger values of {v}"
            )
    sites = len(np.unique(points.logx, axis=0))
    if sites < parameters + 1:
        return (
            f"{sites} different runs cannot determine {parameters} coefficients "
            f"with an error bar: {parameters + 1} are needed; add runs or drop a variable"
        )
    between = parameters - sum(c.variable in _within(points) for c in form.constants)
    if points.runs < between + 1:
        several = f"{points.runs} training{'s' * (points.runs != 1)} of {points.n} points"
        return (
            f"{several} cannot determine {between} coefficients that do not show within one "
            f"training: {between + 1} trainings are needed; add some or drop a variable"
        )
    z = (points.logx - points.logx.mean(0))[:, list(form.single)]
    singular = np.linalg.svd(z / np.linalg.norm(z, axis=0), compute_uv=False)
    if len(singular) and singular[-1] < 1e-6 * singular[0]:
        return (
            f"{' and '.join(names)} move together in every run ({n} rows), so their shares cannot "
            f"be told apart: vary one alone or leave one out"
        )
    if np.ptp(np.log(points.y)) < 1e-12:
        return f"every run has the same {points.loss}: there is nothing to explain"
    return None


def _within(points: Points) -> set[str]:
    """The variables that differ between points of one training."""
    if points.runs == points.n:
        return set()
    first = points.logx[np.unique(points.cluster, return_index=True)[1]]
    _, at = np.unique(points.cluster, return_inverse=True)
    moved = np.abs(points.logx - first[at]).max(0) > 1e-9
    return {v for v, moves in zip(points.variables, moved, strict=True) if moves}


def needed(variables: Sequence[str], loss: str, *others: str | None) -> list[str]:
    """The columns a law reads. Raises LawError where a law cannot be over them."""
    if not 1 <= len(variables) <= MOST_VARIABLES:
        raise LawError(f"a law takes 1 to {MOST_VARIABLES} variables, not {len(variables)}")
    if len(set(variables)) < len(variables) or loss in variables:
        raise LawError("each variable may be named once, and the loss is not a variable")
    return [*variables, loss, *(c for c in others if c)]


def _copies(frame: pd.DataFrame, values: dict[str, np.ndarray]) -> np.ndarray:
    """Rows that repeat an earlier one in every column; replicates differ in seed or run id."""
    same = pd.DataFrame(values).duplicated(keep=False).to_numpy()
    copies = np.zeros(len(frame), bool)
    if same.any():
        suspects = frame[same]
        columns = [suspects.iloc[:, i] for i in range(suspects.shape[1])]
        words = {i: c.map(repr) if c.dtype == object else c for i, c in enumerate(columns)}
        copies[same] = pd.DataFrame(words).duplicated().to_numpy()
    return copies


def _codes(frame: pd.DataFrame, name: str) -> np.ndarray:
    """A whole number for each row, equal where the column is; a row without a value is a run of
    its own."""
    codes = np.asarray(pd.factorize(cells(name, column(frame, name)))[0])
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    return codes


def _notes(variables: tuple[str, ...], logx: np.ndarray) -> list[str]:
    spans = np.ptp(logx, axis=0) / np.log(10)
    return [
        f"{v} spans {s:.1f} decades; exponents from less than one decade seldom hold beyond it"
        for v, s in zip(variables, spans, strict=True)
        if s < 1.0
    ]


def _plain(label):
    return label.item() if isinstance(label, np.generic) else label
