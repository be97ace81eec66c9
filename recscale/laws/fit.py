"""`fit`: a table of runs in, a scaling law out."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from recscale.laws.choice import CATALOGUE, choose, settled
from recscale.laws.law import ScalingLaw
from recscale.laws.nouns import LawError
from recscale.laws.points import check

FORMS = ("auto", *CATALOGUE)


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
    zeros: Collection[str] = (),
) -> ScalingLaw:
    """The scaling law of a table of runs, at the global optimum of its objective.

    Args:
        frame: one row a run (or a checkpoint of a run: then name the `cluster` column).
        form: power (1 variable), additive, gamma (2 to 4), kaplan (N, D), repeated (N, samples
            seen, unique samples), effects (axes, each apart); saturating, growth or peaked for
            metrics where more is better; or auto: the one that best predicts the expensive runs
            from the cheap ones.
        variables: 1 to 4 columns the loss depends on, positive; of effects 1 to 8.
        loss: the column explained, positive.
        cluster: column naming the run a row belongs to, where runs have several rows.
        objective: "huber" on log residuals, or "squares" (log least squares).
        delta: Huber's threshold in log loss (Hoffmann et al. 2022 use 1e-3).
        weights: column of positive weights, e.g. inverse variances over seeds.
        cost: column that orders runs from cheap to expensive; the product of the variables if None.
        floor: a value no loss can fall below (an irreducible loss known from elsewhere); the
            constant is then sought above it.
        zeros: variables whose value 0 is a level of its own, such as no blocks at all, and no
            reason to leave a row out; form effects gives it a constant.

    Returns:
        A ScalingLaw. Too few or degenerate points give status "underdetermined", no exception, and
        losses that follow no variable "uninformative".

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
    points = check(
        frame, variables, loss, cluster=cluster, weights=weights, cost=cost, floor=floor,
        zeros=zeros,
    )  # fmt: skip
    threshold = delta if objective == "huber" else np.inf
    if form == "auto":
        return choose(points, threshold, floor=floor or 0.0)
    return settled(points, form, threshold, floor=floor or 0.0)
