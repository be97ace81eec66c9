"""Every metric beside the loss: whether the two agree, and what a doubling of size brings it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from recscale.advice.gains import LEVEL, law_runs, where
from recscale.laws import LawError
from recscale.laws.intervals import student
from recscale.laws.points import check
from recscale.run import LATENCY
from recscale.study import Study

LEAST = 5  # runs from which a rank correlation is shown
NOT_RANKED = ("eval_ne", "eval_calibration")  # losses, and what is best at one


@dataclass(frozen=True)
class Slope:
    """Change of a metric when one variable doubles and the others stay."""

    variable: str
    change: float
    low: float
    high: float


@dataclass(frozen=True)
class Beside:
    """One metric or probe over the runs that enter the law.

    Attributes:
        final: Spearman's correlation with the loss at the end of the runs, signed so that +1 says
            that the two rank the runs alike; None below LEAST runs or where all are equal.
        best: the same with each metric at its own best point of every run's curve; None for probes,
            which are measured at the end only.
        largest: its mean at the largest value of the first variable, all seeds and data.
    """

    metric: str
    final: float | None
    best: float | None
    slopes: tuple[Slope, ...]
    largest: float


def beside(study: Study) -> list[Beside]:
    """One row per ranking metric, and per probe, in the records' order; [] where there are none."""
    runs, loss = law_runs(study.frame()), study.spec.law_loss
    try:
        check(runs, study.spec.law_variables, loss)
    except LawError:  # there is no run, or its variables are no numbers of runs
        return []
    metrics = dict.fromkeys(k for r in study.records if r.final for k in r.final.metrics)
    probes = dict.fromkeys(k for r in study.records for k in r.probes if k != LATENCY)
    curves = study.curves()
    curves = where(curves, curves["run_id"].isin(runs["run_id"]))
    found = []
    for name in [*(m for m in metrics if m not in NOT_RANKED), *probes]:
        values = runs[name].to_numpy(float)
        if not np.isfinite(values).any():
            continue
        best = None if name in probes else _at_own_best(curves, name, loss)
        sign = 1.0 if _less_is_better(name) else -1.0
        at = runs[study.spec.law_variables[0]].to_numpy(float)
        found.append(
            Beside(
                name,
                _agreement(sign * values, runs[loss].to_numpy(float)),
                best,
                _slopes(runs, values, study.spec.law_variables),
                float(values[at == np.nanmax(at)].mean()),
            )
        )
    return found


def _less_is_better(name: str) -> bool:
    return name.endswith(("_loss", "_lost"))


def _agreement(worse: np.ndarray, loss: np.ndarray) -> float | None:
    both = np.isfinite(worse) & np.isfinite(loss)
    if both.sum() < LEAST or not np.ptp(worse[both]) or not np.ptp(loss[both]):
        return None
    return float(cast(Any, spearmanr(worse[both], loss[both])).statistic)


def _at_own_best(curves: pd.DataFrame, name: str, loss: str) -> float | None:
    """Each run's best value of the metric against its best loss, wherever on the curve they lie."""
    best = cast(pd.DataFrame, curves.groupby("run_id").agg({name: "max", loss: "min"}))
    return _agreement(-best[name].to_numpy(float), best[loss].to_numpy(float))


def _slopes(
    runs: pd.DataFrame, values: np.ndarray, variables: tuple[str, ...]
) -> tuple[Slope, ...]:
    """Least squares on log2 of the variables, with Student's intervals; () where the runs do not
    part them."""
    x = np.log2(np.maximum(runs[list(variables)].to_numpy(float), 1.0))
    kept = np.isfinite(values) & np.isfinite(x).all(1)
    y, x = values[kept], x[kept]
    design = np.column_stack([np.ones(len(y)), x])
    df = len(y) - design.shape[1]
    if df < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        return ()
    coefficients, *_ = np.linalg.lstsq(design, y, rcond=None)
    variance = np.square(y - design @ coefficients).sum() / df
    sd = np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
    half = student(LEVEL, df) * sd
    return tuple(
        Slope(v, float(c), float(c - h), float(c + h))
        for v, c, h in zip(variables, coefficients[1:], half[1:], strict=True)
    )
