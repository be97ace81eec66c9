"""A law as plain facts that JSON can hold."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from recscale.laws.law import ScalingLaw
from recscale.laws.version import LAW_VERSION
from recscale.laws.words import answers

COEFFICIENT_LEVEL = 0.95


def describe(law: ScalingLaw) -> dict[str, Any]:
    """The facts of a law, without predictions."""
    determined = law.status.determined
    ends = law.intervals(COEFFICIENT_LEVEL)
    return {
        "law_version": LAW_VERSION,
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


def predictions(law: ScalingLaw, held: pd.DataFrame, level: float) -> dict[str, Any]:
    """Held-out rows beside what the law predicts of them; none where there is no law."""
    if not law.status.determined:
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
    known = np.flatnonzero(np.isfinite(actual) & (actual > 0))  # relative to 0 there is no error
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


def plain(value: Any) -> Any:
    """The same value with numpy turned to Python and NaN or infinity to None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def to_json(facts: dict[str, Any]) -> str:
    """The dict of `fit_table` as strict JSON (no NaN), two spaces deep."""
    return json.dumps(plain(facts), indent=2, allow_nan=False)
