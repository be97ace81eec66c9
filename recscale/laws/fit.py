"""`fit`: a table of runs in, a scaling law out."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from recscale.laws.forms import Additive, Form
from recscale.laws.law import ScalingLaw
from recscale.laws.nouns import LawError, Points, Status
from recscale.laws.points import check, undetermined
from recscale.laws.polish import residuals
from recscale.laws.search import optimum

FORMS = ("power", "additive")
SINGULAR = 1e7  # condition beyond which double precision cannot separate the constants


def fit(
    frame: pd.DataFrame,
    form: str = "additive",
    variables: Sequence[str] = ("N", "D"),
    loss: str = "loss",
    *,
    cluster: str | None = None,
    objective: str = "huber",
    delta: float = 1e-3,
    weights: str | None = None,
    cost: str | None = None,
    floor: float | None = None,
) -> ScalingLaw:
    """The scaling law of a table of runs, at the global optimum of its objective.

    Args:
        frame: one row a run (or a checkpoint of a run: then name the `cluster` column).
        form: one of FORMS.
        variables: 1 to 4 columns the loss depends on, positive.
        loss: the column explained, positive.
        cluster: column naming the run a row belongs to, where runs have several rows.
        objective: "huber" on log residuals, or "squares" (log least squares).
        delta: Huber's threshold in log loss (Hoffmann et al. 2022 use 1e-3).
        weights: column of positive weights, e.g. inverse variances over seeds.
        cost: column that orders runs from cheap to dear; the product of the variables if None.
        floor: a value no loss can fall below (an irreducible loss known from elsewhere); the
            constant is then sought above it.

    Returns:
        A ScalingLaw. Too few or degenerate points give status "underdetermined", no exception.

    Raises:
        LawError: the table or an argument cannot be used; says which and what to do.

    Example:
        >>> import pandas as pd
        >>> x = pd.Series([1e3, 1e4, 1e5, 1e6, 1e7])
        >>> law = fit(pd.DataFrame({"D": x, "loss": 2 + 30 * x**-0.5}), "power", ["D"])
        >>> law.status.value, round(law.coefficients["beta"], 6)
        ('converged', 0.5)
    """
    if form not in FORMS:
        raise LawError(f"no form {form!r}; use one of {', '.join(FORMS)}")
    if objective not in ("huber", "squares"):
        raise LawError(f"no objective {objective!r}; use 'huber' or 'squares'")
    if not delta > 0:
        raise LawError(f"delta is a positive threshold in log loss, not {delta}")
    if form == "power" and len(tuple(variables)) != 1:
        raise LawError("form 'power' takes one variable; use 'additive' for several")
    points = check(frame, variables, loss, cluster=cluster, weights=weights, cost=cost, floor=floor)
    model = Additive(points.variables, points.logx.mean(0), name=form, floor=floor or 0.0)
    return fit_points(points, model, delta if objective == "huber" else np.inf)


def fit_points(points: Points, model: Form, delta: float) -> ScalingLaw:
    """The law of checked points under one form."""
    k = len(model.lower)
    reason = undetermined(points, k)
    if reason:
        return _nothing(points, model, delta, reason)
    best = optimum(model, points.logx, points.y, points.weights, delta)
    theta = best.theta
    at_low = theta <= model.lower + 1e-9 * np.abs(model.lower)
    at_high = theta >= model.upper - 1e-9 * np.abs(np.where(np.isfinite(model.upper), theta, 0))
    at = (at_low | at_high) & (model.lower < model.upper)
    r, jac, _ = residuals(model, theta[None], points.logx, np.log(points.y))
    free = jac[0][~at] * np.sqrt(points.weights)
    norms = np.linalg.norm(free, axis=1)
    singular = np.linalg.svd(free / norms[:, None], compute_uv=False)
    condition = float(singular[0] / max(singular[-1], 1e-300))
    if condition > SINGULAR:
        reason = (
            f"{', '.join(points.variables)} do not separate the constants of {model.name} "
            f"(condition {condition:.0e}): spread the runs over each variable alone"
        )
        return _nothing(points, model, delta, reason)
    psi = points.weights * np.clip(r[0], -delta, delta)
    slope = np.abs(jac[0][~at] @ psi) / np.maximum(norms * np.linalg.norm(psi), 1e-300)
    hit = tuple(name for name, h in zip(model.names, at, strict=True) if h)
    return ScalingLaw(
        model, points, Status.BOUND_HIT if hit else Status.CONVERGED, _bound_reason(hit),
        _named(model, theta), best.objective, delta, theta, best.minima,
        float(slope.max()) if best.objective > 1e-24 else 0.0, best.optima, condition, hit,
    )  # fmt: skip


def _named(model: Form, theta: np.ndarray) -> dict[str, float]:
    values = model.coefficients(theta[None])[0]
    return {n: float(v) for n, v in zip(model.names, values, strict=True)}


def _bound_reason(hit: tuple[str, ...]) -> str:
    if not hit:
        return ""
    return (
        f"{', '.join(hit)} lies at the end of its range: the runs do not show that part of the "
        f"law; widen the axis or drop the term"
    )


def _nothing(points: Points, model: Form, delta: float, reason: str) -> ScalingLaw:
    k, nan = len(model.lower), float("nan")
    return ScalingLaw(
        model, points, Status.UNDERDETERMINED, reason, dict.fromkeys(model.names, nan), nan,
        delta, np.full(k, nan), np.empty((0, k)), nan, 0, nan, (),
    )  # fmt: skip
