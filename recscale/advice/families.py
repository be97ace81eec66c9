"""Families side by side: which one scales better, at which budget, and how surely.

Two answers again: measured, between runs of about equal FLOPs, time or serving latency on the same
data, and by the laws of both: exponents over what all families have in common, FLOPs per sample and
samples, and which is better at a budget over what can be built of each on the data that there is.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from recscale.advice.advise import Advice, advise
from recscale.advice.answer import pick
from recscale.advice.equivalent import best_draws, gains, grid
from recscale.advice.gains import difference, law_runs, where
from recscale.advice.noise import seed_noise
from recscale.advice.options import BEYOND, space
from recscale.advice.runs import budget_of, largest_option
from recscale.advice.saturated import saturated, turned
from recscale.cost import TRAIN_OVER_FORWARD
from recscale.frame import settings
from recscale.laws import LawError
from recscale.laws.compare import Comparison, compare, verdict
from recscale.run import LATENCY
from recscale.spec import FOOTING
from recscale.study import Study

NEAR = 1.25  # two architectures whose FLOPs, or seconds, a sample differ by less count as equal
AHEAD = 10.0  # times the largest budget that both have spent: how far the laws are asked


TIME = "seconds_per_sample"
"""As measured, of all workers together; only runs of one kind of machine are compared by it."""


@dataclass(frozen=True)
class Matched:
    """Loss of the second family minus that of the first, between architectures that cost about the
    same for a sample and were trained on the same samples; negative where the second is better.

    Attributes:
        low, high: at 90 %; NaN where `why` says what is missing.
        settings: how many pairs of architectures and data fractions it averages over.
    """

    change: float
    low: float
    high: float
    settings: int
    why: str


@dataclass(frozen=True)
class PairComparison:
    """Two families. What the runs do not determine is None, and `why` says what is missing.

    Attributes:
        matched, timed: measured between architectures of equal FLOPs, and of equal time, a sample.
        served: likewise of equal latency, where the sweep asks for it (`probes`).
        exponents: difference first - second of the laws' constants; see `Comparison.exponents`.
        crossings: budgets at which the laws cross, up to AHEAD times the largest of both.
        better: which is better at three budgets, the last one beyond the runs.
        equivalent: how many times each of these budgets the second needs for the first's loss.
        at_bound: the families whose law sits at a bound: it describes their runs only.
    """

    names: tuple[str, str]
    matched: Matched | None
    timed: Matched | None
    served: Matched | None
    laws: Comparison | None
    why: str
    exponents: pd.DataFrame | None = None
    crossings: pd.DataFrame | None = None
    better: pd.DataFrame | None = None
    equivalent: pd.DataFrame | None = None
    at_bound: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Everything as plain values."""

        def rows(table: pd.DataFrame | None) -> list[dict[str, Any]] | None:
            return None if table is None else [_plain(r) for r in table.to_dict("records")]

        return {
            "families": list(self.names),
            "matched": self.matched and _plain(vars(self.matched)),
            "matched_by_time": self.timed and _plain(vars(self.timed)),
            "matched_by_latency": self.served and _plain(vars(self.served)),
            "exponents": rows(self.exponents),
            "crossings": rows(self.crossings),
            "better": rows(self.better),
            "equivalent": rows(self.equivalent),
            "at_bound": list(self.at_bound),
            "why": self.why,
        }


def training_flop(forward_flop: Any, samples: Any) -> Any:
    """Training FLOPs of a run: the exact cost of a point of the common footing."""
    return TRAIN_OVER_FORWARD * forward_flop * samples


def compare_pairs(study: Study, budgets: list[float] | None = None) -> list[PairComparison]:
    """Every pair of the study's families, at `budgets` or at the smallest and largest that both
    have spent and AHEAD times that."""
    families = sorted(m.family for m in study.spec.models)
    runs = timed(study, law_runs(study.frame()))
    return [_pair(study, runs, pair, budgets) for pair in itertools.combinations(families, 2)]


def _pair(
    study: Study, runs: pd.DataFrame, names: tuple[str, str], budgets: list[float] | None
) -> PairComparison:
    loss, form = study.spec.law_loss, study.spec.law.form
    both = where(runs, runs["family"].isin(names))
    flop, by_time, served = (
        _matched(where(both, both[cost].notna()), names, loss, cost)
        for cost in ("forward_flop", TIME, LATENCY)
    )
    measured = flop, by_time, served
    if set(both["family"]) != set(names):
        lacking = set(names) - set(both["family"])
        parts = {p.spec.model.family: p for p in study.parts()}
        why = (f"{name}: {parts[name].no_law()}" for name in sorted(lacking))
        return PairComparison(names, *measured, None, "; ".join(why))
    # the forms over two variables; the others do not separate compute per sample from samples
    form = form if form in ("gamma", "bounded", "kaplan") else "additive"
    try:
        rows = study.data.n_train * max(study.spec.train.epochs)
        laws = compare(both, "family", FOOTING, loss, form, seed="seed", most={"samples": rows})
        exponents = laws.exponents()
        spent = [_spent(both, name) for name in names]
        asked = shared_budgets(spent)
        better, equivalent = _at_budgets(study, names, budgets or asked)
        crossings = laws.crossings(asked[0], asked[-1], training_flop)
    except LawError as error:
        return PairComparison(names, *measured, None, study.no_law(str(error)))
    sides = zip(laws.names, (laws.first, laws.second), strict=True)
    bound = tuple(n for n, law in sides if law.status != "converged")
    return PairComparison(
        names, *measured, laws, "", exponents, crossings, better, equivalent, bound
    )


def timed(study: Study, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with TIME and LATENCY, and the `machine` (hardware and workers) that they were
    measured on; NaN of runs that were not."""
    hardware = {r.run_id: f"{r.hardware}, {r.workers} workers" for r in study.records}
    speed = runs["samples_per_s"].to_numpy(float)
    served = runs[LATENCY].to_numpy(float) if LATENCY in runs else np.nan
    machine = [hardware[i] for i in runs["run_id"]]
    return runs.assign(**{TIME: 1 / speed, LATENCY: served}, machine=machine)


def _at_budgets(
    study: Study, names: tuple[str, str], budgets: list[float]
) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Which family is better at each budget, and how many times the budget the second needs for
    the first's loss: each by its own law, with what can be built of it (the axes and their
    doublings, those that no longer pay left as they are) on the data that there is. Draws of the
    two laws, not of the noise of runs. None where one has no law."""
    parts = {p.spec.model.family: p for p in study.parts()}
    sides, kept, curves = [], set(range(len(budgets))), []
    for seed, name in enumerate(names):
        part = parts[name]
        law = part.law()
        if not law.status.determined:
            return None, None
        at = largest_option(part)
        options = space(part, saturated=saturated(part, law, at), most=turned(part))
        rows = study.data.n_train
        found = [pick(part, law, options, b, rows, seed) for b in budgets]
        kept &= {i for i, f in enumerate(found) if f is not None}
        sides.append(found)
        at_each = list(grid(budgets)) if seed else budgets
        curves.append(best_draws(part, law, options, at_each, rows, seed))
    if not kept:
        return None, None
    equivalent = gains(budgets, curves[0], grid(budgets), curves[1])
    first, second = (np.column_stack([s[i].after for i in sorted(kept)]) for s in sides)
    return verdict(names, [budgets[i] for i in sorted(kept)], first, second), equivalent


def shared_budgets(spent: Sequence[np.ndarray]) -> list[float]:
    """Smallest and largest budget (FLOPs) that all have spent, and AHEAD times the largest; where
    there is none, the smallest of the family whose runs are the most expensive takes their place.

    Args:
        spent: of each family, the training FLOPs of its runs.
    """
    low, high = max(s.min() for s in spent), min(s.max() for s in spent)
    top = max(low, high)
    return [float(b) for b in dict.fromkeys((low, top, AHEAD * top))]


def _spent(runs: pd.DataFrame, family: str) -> np.ndarray:
    """Training FLOPs of a family's runs."""
    return where(runs, runs["family"] == family)["train_flop"].to_numpy(float)


def _matched(both: pd.DataFrame, names: tuple[str, str], loss: str, cost: str) -> Matched | None:
    """`cost`: the column of what a sample costs."""
    if both.empty:
        return None
    machine = ["machine"] if cost in (TIME, LATENCY) else []
    groups = both.groupby([*settings(both), *machine], dropna=False)
    table = cast(
        pd.DataFrame,
        groups.agg(mean=(loss, "mean"), count=(loss, "count"), cost=(cost, "mean")),
    ).reset_index()
    pairs: list[dict[str, float]] = []
    for _, rows in table.groupby(["data_fraction", *machine]):
        first, second = (where(rows, rows["family"] == n).to_dict("records") for n in names)
        apart = sorted(
            (abs(float(np.log(a["cost"] / b["cost"]))), i, j)
            for i, a in enumerate(first)
            for j, b in enumerate(second)
        )
        left, right = set(range(len(first))), set(range(len(second)))
        for gap, i, j in apart:
            if gap <= np.log(NEAR) and i in left and j in right:
                left.remove(i)
                right.remove(j)
                pairs.append(
                    {f"{k}_{side}": row[k] for side, row in (("a", first[i]), ("b", second[j]))
                     for k in ("mean", "count")}
                )  # fmt: skip
    if not pairs:
        return None
    change, low, high, why = difference(pd.DataFrame(pairs), seed_noise(both, loss))
    return Matched(change, low, high, len(pairs), why)


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    """Values that JSON has: NumPy's numbers as Python's, NaN as null."""
    out = {}
    for key, value in row.items():
        value = value.item() if isinstance(value, np.generic) else value
        out[str(key)] = None if isinstance(value, float) and not np.isfinite(value) else value
    return out


def advise_each(
    study: Study, compute: str, beyond: int = BEYOND
) -> tuple[dict[str, Advice | str], list[PairComparison]]:
    """What each family would do with the same compute (or why it has no answer), and the
    comparisons at that budget. `compute` in times is times the largest run of all families.

    Raises:
        ValueError: `compute` is no positive amount of compute.
        LawError: no run has ended.
    """
    budget = budget_of(study, compute)
    found: dict[str, Advice | str] = {}
    for part in study.parts():
        try:
            found[part.spec.model.family] = advise(part, f"{budget:.12g}", beyond)
        except (LawError, ValueError) as error:
            found[part.spec.model.family] = str(error)
    return found, compare_pairs(study, [budget])
