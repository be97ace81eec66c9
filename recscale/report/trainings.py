"""The report's section on trainings of schedule `anytime`: their curves with the law through all of
them, what going on cost, and the data that each size needs."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd

from recscale.advice.gains import LEVEL, law_runs
from recscale.frame import trainings
from recscale.laws.convergence import needed
from recscale.laws.points import askable, query
from recscale.report import plot
from recscale.report.figures import levels
from recscale.report.findings import Findings
from recscale.report.plot import Figure
from recscale.run import RunRecord
from recscale.words import number, quantity

MOST = 12  # trainings drawn and sizes told of, the cheapest and the most expensive in
WITHIN = (0.01, 0.001)


def section(f: Findings) -> dict[str, Any] | None:
    """Sentences, tables and the figure; None where no runs share trainings."""
    runs = law_runs(f.frame)
    if not len(runs) or not trainings(runs):
        return None
    of: dict[str, list[RunRecord]] = defaultdict(list)
    for r in f.study.records:
        if r.status == "done" and r.trajectory:
            of[r.trajectory].append(r)
    for records in of.values():
        records.sort(key=lambda r: r.trained.samples)
    return {
        "sentences": _sentences(of, f),
        "rows": [_row(name, of[name]) for name in _some(sorted(of, key=lambda n: _cost(of[n])))],
        "of": len(of),
        "needs": _needs(f, runs),
        "within": [f"{100 * w:g} %" for w in WITHIN],
        "plots": {"trainings": _figure(f, runs)},
    }


def _cost(records: list[RunRecord]) -> float:
    return records[-1].trained.train_flop


def _some(names: list[str]) -> list[str]:
    at = np.unique(np.linspace(0, len(names) - 1, min(MOST, len(names))).round().astype(int))
    return [names[i] for i in at]


def _sentences(of: dict[str, list[RunRecord]], f: Findings) -> list[str]:
    points = [r for records in of.values() for r in records]
    together = sum(r.spent.train_flop for r in points)
    apart = sum(r.trained.train_flop for r in points)
    out = [
        f"These {len(points)} points are of {len(of)} trainings and took {quantity(together)} FLOP;"
        f" as separate runs they would have taken {quantity(apart)}, {apart / together:.2g} times "
        "that."
    ]
    if f.law is not None and f.law.points.runs < f.law.n:
        out.append(
            f"Points of one training share much of what they are off by: the law counts its "
            f"{f.law.n} points as {f.law.independent} independent ones."
        )
    if raced := f.study.raced:
        one = next(iter(raced.values()))
        out.append(f"{len(raced)} planned runs were not trained, as their rates lost, such as: "
                   f"{one}.")  # fmt: skip
    return out


def _row(name: str, records: list[RunRecord]) -> tuple[str, ...]:
    """Name, points, samples, FLOPs of the whole, of the last step, and what that told."""
    last = records[-1]
    before = records[-2].final if len(records) > 1 else None
    told = "" if before is None or last.final is None else number(
        last.final.eval_loss - before.eval_loss, 3
    )  # fmt: skip
    return (
        name, str(len(records)), quantity(last.trained.samples),
        quantity(last.trained.train_flop), quantity(last.spent.train_flop), told,
    )  # fmt: skip


def _needs(f: Findings, runs: pd.DataFrame) -> list[tuple[str, ...]]:
    """Of each size of the runs: the samples after which the law says that more gain little."""
    law = f.law
    if law is None or "samples" not in law.variables or len(law.variables) < 2:
        return []
    at = law.variables.index("samples")
    others = [v for v in law.variables if v != "samples"]
    every = np.unique(runs[others].to_numpy(float), axis=0)
    whole = np.insert(every, at, 1.0, axis=1)
    every, whole = every[askable(law.points, whole)], whole[askable(law.points, whole)]
    few = np.unique(np.linspace(0, len(every) - 1, min(MOST, len(every))).astype(int))
    sizes = dict(zip(law.variables, whole[few].T, strict=True))
    logx = query(sizes, law.variables, law.points.levels)
    found = [needed(law, logx, at, within, LEVEL) for within in WITHIN]
    return [
        tuple(
            [*(f"{v} {quantity(x)}" for v, x in zip(others, size, strict=True))]
            + [_span(*each[i]) for each in found]
        )
        for i, size in enumerate(every[few])
    ]


def _span(value: float, low: float, high: float) -> str:
    if not np.isfinite(low):
        return "beyond what runs can tell"
    ends = [quantity(x) if np.isfinite(x) else "no end" for x in (low, high)]
    middle = quantity(value) if np.isfinite(value) else "not known"
    return f"{middle} [{ends[0]}, {ends[1]}]"


def _figure(f: Findings, runs: pd.DataFrame) -> Figure:
    """Loss against samples, a line a training, and the law at its sizes."""
    data: list[dict[str, Any]] = []
    each = {str(name): own.sort_values("samples") for name, own in runs.groupby("trajectory")}
    for i, name in enumerate(_some(sorted(each, key=lambda n: each[n]["train_flop"].max()))):
        own, colour = each[name], plot.COLOURS[i % len(plot.COLOURS)]
        text = [f"{r}: {quantity(n)} samples" for r, n in zip(own["run_id"], own["samples"],
                                                              strict=True)]  # fmt: skip
        data.append(plot.points(own["samples"], own[f.loss], name, text,
                                {"size": 6, "color": colour}, showlegend=False))  # fmt: skip
        if f.law is not None and "samples" in f.law.variables:
            grid = np.geomspace(own["samples"].min(), own["samples"].max(), 20)
            at = pd.DataFrame({v: np.full(20, own[v].iloc[0]) for v in f.law.variables})
            line = {"color": colour, "width": 1.5}
            drawn = plot.line(grid, f.law.value(at.assign(samples=grid)), "the law", line=line)
            data.append(drawn | {"legendgroup": "law", "showlegend": i == 0})
    layout = plot.layout(plot.axis("samples", log=True), plot.axis(f.loss), height=380)
    layout |= levels(f.baselines, runs[f.loss])
    return {"data": data, "layout": layout}
