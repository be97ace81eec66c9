"""What the runs say about each swept axis: its points, its own law, its steps and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from recscale.advice.gains import (
    Measured,
    law_runs,
    measured_axis,
    others,
    where,
)  # fmt: skip
from recscale.advice.options import base_option, swept
from recscale.families import FamilyError
from recscale.laws import LawError, Role, ScalingLaw, Status, fit
from recscale.study import Study
from recscale.words import quantity, span

LABELS = {
    "embedding_dim": "embedding dimension",
    "embedding_rows": "embedding rows",
    "mlp_width": "MLP width",
    "overarch_width": "over-arch width",
    "mlp_depth": "MLP depth",
    "sequence_depth": "history depth",
    "sequence_width": "history width",
    "sequence_length": "history length",
    "heads": "attention heads",
    "negatives": "sampled negatives",
    "epochs": "passes over the data",
    "multi_embedding": "embedding sets",
    "cross_layers": "cross layers",
    "cross_rank": "cross rank",
    "attention_layers": "attention layers",
    "attention_width": "attention width",
    "token_width": "token width",
    "expert_width": "expert width",
    "in_batch": "in-batch negatives",
    "output_dim": "vector dimension",
    "tower_depth": "tower depth",
    "tower_width": "tower width",
    "data_fraction": "data",
}
# The column that measures an axis, where it is not the axis itself.
SIZES = {"embedding_rows": "table_rows", "data_fraction": "samples"}
UNITS = {"embedding_rows": "embedding rows, all tables", "data_fraction": "samples seen"}


def column(study: Study, axis: str) -> str:
    """The frame's column of an axis, by the name that its sweep file has: with a trainer of one's
    own the data has a name of its own, and is counted in samples."""
    own = getattr(study.spec.model, "data_axis", "")
    return own or axis if axis == "data_fraction" else axis


def label(study: Study, axis: str) -> str:
    """An axis in words."""
    own = column(study, axis)
    return LABELS.get(own, own)


Verdict = Literal[
    "power law", "still paying", "saturated", "within noise", "larger is worse", "not determined"
]


@dataclass(frozen=True)
class AxisView:
    """One swept axis.

    Attributes:
        size: the frame's column on the horizontal axis.
        runs: every run that enters the law, with `context` (the other axes' setting, as text)
            and `at_base` (whether the axis's own law is fitted to it).
        base: the other axes' setting along which the law is fitted, as text.
        law: alpha * size^-beta + gamma over those runs, or None where it must not be drawn.
        law_words: the law in words, or what forbids one.
        steps: measured change between neighbouring values, smallest first.
    """

    axis: str
    label: str
    size: str
    runs: pd.DataFrame
    base: str
    law: ScalingLaw | None
    law_words: str
    steps: tuple[Measured, ...]
    verdict: Verdict
    why: str

    @property
    def unit(self) -> str:
        own = self.axis == "data_fraction" and self.label != LABELS[self.axis]
        return self.label if own else UNITS.get(self.axis, self.label)

    @property
    def last(self) -> Measured | None:
        return self.steps[-1] if self.steps else None


def axis_views(study: Study, frame: pd.DataFrame) -> list[AxisView]:
    """One view per swept axis, in the sweep's order; none before a run has entered the law."""
    if not len(law_runs(frame)):
        return []
    # what only scaling schemes vary has its own section
    return [_view(study, frame, a) for a, values in study.spec.axes().items() if len(values) > 1]


def _view(study: Study, frame: pd.DataFrame, axis: str) -> AxisView:
    loss, size = study.spec.law_loss, SIZES.get(axis, axis)
    same = others(study.spec, axis)
    shown = [column(study, k) for k in same if k in swept(study.spec)]
    runs = law_runs(frame).copy()
    settings = cast(pd.DataFrame, runs[shown])
    runs["context"] = [_setting(row) for row in settings.to_dict("records")]
    base = _base(study, runs, same)
    slices = {str(c): cast(pd.DataFrame, rows) for c, rows in runs.groupby("context", sort=True)}
    richest = max(
        slices,
        key=lambda c: (
            len(np.unique(slices[c][size])), c == base, float(np.max(slices[c]["train_flop"]))
        ),
    )  # fmt: skip
    runs["at_base"] = runs["context"] == richest
    law, words = _own_law(where(runs, runs["at_base"]), size, loss)
    steps, top, _ = measured_axis(study, axis)
    verdict, why = _verdict(steps, top, law)
    return AxisView(axis, label(study, axis), size, runs, richest, law, words, steps, verdict, why)


def _setting(row: dict[Any, Any]) -> str:
    """`mlp_width 64, data_fraction 0.1`."""
    return ", ".join(f"{k} {'all' if pd.isna(v) else f'{v:g}'}" for k, v in row.items())


def _base(study: Study, runs: pd.DataFrame, same: list[str]) -> str | None:
    """The context of the sweep's base, if a run stands there."""
    try:
        option = base_option(study)
    except FamilyError:  # its code is not here
        return None
    values = {**option.model.model_dump(), **option.train.model_dump()}
    at = np.ones(len(runs), bool)
    for k in same:
        column = np.asarray(runs[k], float)
        at &= np.isnan(column) if values[k] is None else column == values[k]
    return str(runs["context"].to_numpy()[at][0]) if at.any() else None


def _own_law(runs: pd.DataFrame, size: str, loss: str) -> tuple[ScalingLaw | None, str]:
    positive = where(runs, runs[size] > 0)
    zeros = "" if len(positive) == len(runs) else f"; {size} 0 has no place in a power law"
    try:
        law = fit(positive, "power", [size], loss)
    except LawError as error:
        return None, f"Its own law is not determined: {error}{zeros}."
    if not law.status.determined:
        return None, f"Its own law is not determined: {law.reason}{zeros}."
    if law.status == Status.BOUND_HIT:
        return None, f"Its own fit is at a bound and not drawn as a law: {law.reason}{zeros}."
    ends = law.intervals(0.95).set_index("coefficient")
    parts = [
        f"{name} {span(law.coefficients[name], ends.loc[name, 'low'], ends.loc[name, 'high'])}"
        for name in (c.name for c in law.model.constants if c.role in (Role.EXPONENT, Role.LIMIT))
    ]
    return law, f"Its own law, alpha · x^-beta + gamma: {', '.join(parts)} (95 %){zeros}."


def _verdict(
    steps: tuple[Measured, ...], last: Measured | None, law: ScalingLaw | None
) -> tuple[Verdict, str]:
    if last is None:
        return "not determined", "no two runs differ in this axis alone"
    step = f"{_value(last.start)} to {_value(last.end)}"
    if not last.known:
        return "not determined", last.why
    change = span(last.change, last.low, last.high)
    if last.high < 0:
        if law is not None:
            return "power law", f"the step {step} still gains {change}, along its own power law"
        return "still paying", f"the step {step} gains {change}; its form is not determined"
    if last.low > 0:
        return "larger is worse", f"the step {step} costs {change}"
    if any(s.known and s.high < 0 for s in steps[:-1]):
        return "saturated", f"earlier steps gain, the step {step} no longer does: {change}"
    return "within noise", f"no step is told apart from noise; {step}: {change}"


def _value(x: float | None) -> str:
    return "all" if x is None else quantity(x)
