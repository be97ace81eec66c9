"""From checked points and one form to a law: the optimum, and whether to believe it."""

import numpy as np

from recscale.laws.chance import SURE, significance
from recscale.laws.forms import Form
from recscale.laws.law import ScalingLaw
from recscale.laws.nouns import Points, Status
from recscale.laws.points import undetermined
from recscale.laws.polish import residuals
from recscale.laws.search import optimum
from recscale.laws.trainings import common

SINGULAR = 1e7  # condition beyond which double precision cannot separate the constants


def solve(points: Points, model: Form, delta: float) -> ScalingLaw:
    """The law of checked points under one form."""
    reason = undetermined(points, model)
    if reason:
        return _nothing(points, model, delta, reason)
    best = optimum(model, points.logx, points.y, points.weights, delta)
    theta = best.theta
    at_low = theta <= model.lower + 1e-9 * np.abs(model.lower)
    at_high = theta >= model.upper - 1e-9 * np.abs(np.where(np.isfinite(model.upper), theta, 0))
    at = (at_low | at_high) & (model.lower < model.upper)
    r, jac, _ = residuals(model, theta[None], points.logx, np.log(points.y))
    slopes = jac[0] * np.sqrt(points.weights)
    norms = np.linalg.norm(slopes, axis=1)
    # The exponent of a term that ended at 0 moves nothing: it is as unknown as the term.
    at |= np.abs(jac[0]).max(1) <= 1e-14 * np.maximum(np.abs(theta), 1e-300)
    at |= norms == 0
    norms = norms[~at]
    singular = np.linalg.svd(slopes[~at] / norms[:, None], compute_uv=False)
    condition = float(singular[0] / max(singular[-1], 1e-300)) if len(singular) else 1.0
    if condition > SINGULAR:
        reason = (
            f"{', '.join(points.variables)} do not separate the constants of {model.name} "
            f"(condition {condition:.0e}): spread the runs over each variable alone"
        )
        return _nothing(points, model, delta, reason)
    psi = points.weights * np.clip(r[0], -delta, delta)
    slope = np.abs(jac[0][~at] @ psi) / np.maximum(norms * np.linalg.norm(psi), 1e-300)
    hit = tuple(name for name, h in zip(model.names, at, strict=True) if h)
    runs = points.n if points.runs == points.n else common(points, r[0], jac[0]).runs
    chance = significance(np.log(points.y), r[0], points.weights, runs, len(theta))
    status, reason = _status(points, hit, chance)
    return ScalingLaw(
        model, points, status, reason,
        _named(model, theta), best.objective, delta, theta, best.minima,
        float(slope.max(initial=0)) if best.objective > 1e-24 else 0.0, best.optima, condition, hit,
    )  # fmt: skip


def _named(model: Form, theta: np.ndarray) -> dict[str, float]:
    values = model.coefficients(theta[None])[0]
    return {n: float(v) for n, v in zip(model.names, values, strict=True)}


def _status(points: Points, hit: tuple[str, ...], chance: float) -> tuple[Status, str]:
    """What to call an optimum at which the constants `hit` lie at an end, and why.

    Args:
        chance: see `significance`.
    """
    if chance >= SURE:
        ends = f"; {' and '.join(hit)} at the end of the allowed range" if hit else ""
        return Status.UNINFORMATIVE, (
            f"{points.loss} is fitted no better than values that do not depend on "
            f"{' and '.join(points.variables)} would be (p = {chance:.2f} and less than {SURE} is "
            f"asked for{ends}): widen the axes, or add runs or seeds"
        )
    if hit:
        return Status.BOUND_HIT, (
            f"{' and '.join(hit)} at the end of the allowed range: the runs do not show that part "
            f"of the law; widen the axis or drop the term"
        )
    return Status.CONVERGED, ""


def _nothing(points: Points, model: Form, delta: float, reason: str) -> ScalingLaw:
    k, nan = len(model.lower), float("nan")
    return ScalingLaw(
        model, points, Status.UNDERDETERMINED, reason, dict.fromkeys(model.names, nan), nan,
        delta, np.full(k, nan), np.empty((0, k)), nan, 0, nan, (),
    )  # fmt: skip
