"""The `search` and `law` parts of a sweep file: which runs, and what is fitted to them."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    model_validator,
)

from recscale.values import (
    Count,
    FactorAxis,
    Frozen,
    Positive,
    Share,
    no_repeats,
    plain_number,
)

MOST_TIMES = 1e12


def _amount(value: Any) -> Any:
    """`100x`, or a plain amount."""
    if isinstance(value, str) and value.strip().lower().endswith("x"):
        try:
            times = float(value.strip()[:-1])
        except ValueError:
            times = 0.0
        if not 1 < times <= MOST_TIMES:
            raise ValueError(
                f"write times the largest run as a number above 1, such as 100x, and up to "
                f"{MOST_TIMES:.0e}x"
            )
        return f"{times:g}x"
    if isinstance(value, str):
        raise ValueError("write an amount such as 1e18, or times the largest run such as 100x")
    return plain_number(value)


Amount = Annotated[str | Positive, BeforeValidator(_amount)]


class TargetSpec(Frozen):
    """What the run that is to be predicted may cost; one of them, as an amount or as times the
    largest run that the axes allow (`100x`)."""

    flop: Amount | None = None
    """Training FLOPs."""
    gpu_hours: Amount | None = None
    """Hours of one GPU."""
    usd: Amount | None = None
    """Dollars, at the prices of `resources.machine`."""

    @model_validator(mode="after")
    def _one(self) -> TargetSpec:
        if sum(v is not None for v in (self.flop, self.gpu_hours, self.usd)) != 1:
            raise ValueError("give one of flop, gpu_hours, usd")
        return self

    def asked(self) -> tuple[str, str | float]:
        """The unit and the amount as it was written."""
        return next((k, v) for k, v in self if v is not None)


def _multiples(values: tuple[float, ...]) -> tuple[float, ...]:
    far = [v for v in values if not 1e-3 <= v <= 1e3]
    if far:
        raise ValueError(f"{far[0]:g}: should be from 0.001 to 1000")
    return values


FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


class SearchSpec(Frozen):
    """How the axes are searched."""

    strategy: Literal["grid", "axes", "schemes", "frontier"] = "grid"
    """`grid`: every combination. `axes`: one axis at a time round `base`, under `train.schedule:
    anytime` with the smaller data fractions that each training passes on its way. `schemes`: each
    scaling scheme of the family by itself round the model as written, and data. `frontier`: a start
    of cheap runs, then those that tell most about `target` for their cost. The axes are then what
    may be tried, and `train.seeds` the most runs of one point."""
    base: dict[str, float | int | None] = {}
    """Base value per axis for `axes`; the middle one of an axis, and all data, where left out."""
    schemes: Annotated[tuple[str, ...], AfterValidator(no_repeats)] = ()
    """For `schemes`: those to run, such as rows, dim, overarch, mlp, combined; all if left out."""
    factors: Annotated[FactorAxis, AfterValidator(_multiples)] = FACTORS
    """For `schemes`: multiples of the base."""
    target: TargetSpec | None = None
    """Where the law must be right."""
    goal: Literal["loss", "allocation", "slopes"] = "loss"
    """What must be right there: the loss; how the best run splits its cost between parameters and
    data; or what a doubling of each of the law's variables gains."""
    interval: Share | None = None
    """The search ends when the 90 % interval at the target is no wider than this to either side:
    a share of the loss, decades of the split's widest variable, a share of the mean gain."""
    warm_start: str | None = None
    """The run directory of an earlier sweep on the same data, or a table of runs (.csv, .parquet)
    with the law's columns: what they tell is not bought again. `$VARIABLES` are expanded."""


class LawSpec(Frozen):
    """Which law is fitted to the runs."""

    form: Literal["auto", "additive", "power", "gamma", "bounded", "kaplan", "repeated"] = (
        "additive"
    )
    """See `recscale.laws.forms`; `auto` chooses by the error on the more expensive runs. `bounded`
    is for losses not far below a guess, as those of small next-item models are."""
    variables: tuple[str, ...] | None = None
    """Columns of the runs table; left out, the axes that the sweep varies, each apart, or the
    groups of the family, such as `table_params`, `dense_params` and `samples` of a click model:
    what predicts the more expensive runs better. A search takes the groups."""
    hold_out_largest: Count | None = None
    """So many of the largest models, by the first variable, are predicted by a law fitted to the
    others and shown beside what they measured: the acceptance test of 2311.11351."""
    loss: str | None = None
    """The column to fit; left out, `eval_ne` for clicks and `eval_loss` (nats) for next items. Of
    several labels also `eval_ne_buy` and `eval_loss_buy`, with a label's name in the place of buy;
    of two_tower also `eval_contrastive`. Under `train.schedule: anytime` also `progressive_ne`
    (clicks) and `progressive_loss`: of each batch before it is learnt, in the first pass, averaged
    over the last half to three quarters."""
    below_baseline: bool = False
    """Whether runs enter that end no better than one of the data's baselines, such as popularity:
    a sweep of small shares of the data may ask for it, as baselines know all of the training part.
    Left out, such runs are marked and kept out of the law. A law of one label holds its loss
    against that label's baselines."""


def middle(values: tuple[Any, ...]) -> Any:
    """The middle value of an axis, the upper one of two: the default base of a one-axis sweep."""
    return values[math.floor(len(values) / 2)]
