"""The report's figures as plain plotly JSON: {"data": [...], "layout": {...}}.

Plain dicts build in milliseconds and need no plotly import; text that a user can write (run ids,
names) is escaped here, because plotly reads hover text as HTML.
"""

from __future__ import annotations

import math
from html import escape
from typing import Any, cast

import numpy as np
import pandas as pd

from recscale.advice.gains import LEVEL, law_runs, where
from recscale.laws import ScalingLaw
from recscale.report import plot
from recscale.report.axes import AxisView
from recscale.report.plot import ACCENT, FAINT, INK, LAW, Figure
from recscale.words import number, quantity

ONE_RUN = f"{100 * LEVEL:.0f} % for one run"
MOST_CURVES = 60
MOST_POINTS = 2000
MOST_CONTEXTS = 40  # faint lines of other settings in an axis figure


def hover(runs: pd.DataFrame, loss: str) -> list[str]:
    """What a run's point says: name, loss, samples, FLOPs."""
    return [
        f"{escape(str(r['run_id']))}<br>{loss} {number(r[loss])}<br>"
        f"{quantity(r['samples'])} samples, {quantity(r['train_flop'])} FLOP"
        for r in runs.to_dict("records")
    ]


def compute_figure(
    frame: pd.DataFrame,
    loss: str,
    frontier: pd.DataFrame | None,
    floor: float | None,
    baselines: dict[str, float],
) -> Figure:
    """Loss against training FLOPs: every run, the lower envelope, the law's best at each budget,
    and the baselines, in the unit of the loss.

    Args:
        frontier: at each budget `flop` the law's `mean`, `low` and `high` of the best configuration
            on the data at hand, `what` it is, and whether that is `beyond` the runs; `more`, what
            the best of all is expected to reach that takes more `rows` than there are (NaN where
            none does), and `more_what`. None where no law may be drawn.
    """
    runs = thin(where(frame, frame[loss].notna()))
    good, rest = law_runs(runs), where(runs, ~runs["enters_law"].astype(bool))
    data: list[dict[str, Any]] = []
    if frontier is not None and len(frontier):
        data += _frontier(frontier)
    if len(rest):
        marks = {"size": 7, "symbol": "x-thin-open", "color": INK}
        data.append(
            plot.points(rest["train_flop"], rest[loss], "left out", hover(rest, loss), marks)
        )
    if len(good):
        data.append(plot.points(good["train_flop"], good[loss], "runs", hover(good, loss),
                            plot.colour(good["samples"], "samples"), showlegend=False))  # fmt: skip
        edge = envelope(frame, loss)
        data.append(plot.line(edge["train_flop"], edge[loss], "lower envelope of the runs",
                          line={"color": INK, "width": 1.5, "shape": "hv"}))  # fmt: skip
    layout = plot.layout(
        plot.axis("training FLOP of the run", log=True), plot.axis(loss), height=440
    )
    layout |= levels(baselines, runs[loss])
    if floor is not None:
        layout["shapes"].append(_level(floor, "dash"))
        layout["annotations"].append(_note(f"the world's floor {number(floor)}", floor))
    return {"data": data, "layout": layout}


def _frontier(f: pd.DataFrame) -> list[dict[str, Any]]:
    """The law's best on the data at hand with its band, dashed beyond the runs; and what more data
    would give, dotted, with the rows that it takes."""
    x, beyond = f["flop"].to_numpy(float), f["beyond"].to_numpy(bool)
    near = beyond | np.r_[beyond[1:], False]  # the dashed piece begins where the solid one ends
    solid, bound = np.where(beyond, np.nan, f["mean"]), np.where(near, f["mean"], np.nan)
    pale = {"color": LAW, "width": 2}
    data = [
        plot.band(x, f["low"], f["high"], ONE_RUN),
        plot.line(x, solid, "law: best mix", line=pale),
        plot.line(x, bound, "beyond the runs", line={**pale, "dash": "dash"}),
        _hidden(x, f["mean"], f["what"], f["mean"]),
    ]
    more = where(f, f["more"].notna())
    if more.empty:
        return data
    pale = {"color": plot.OWN, "width": 2, "dash": "dot"}
    data.append(plot.line(more["flop"], more["more"], "with more data", line=pale))
    told = [
        f"{w}, {quantity(r)} rows" for w, r in zip(more["more_what"], more["rows"], strict=True)
    ]
    data.append(_hidden(more["flop"], more["more"], told, more["more"]))
    ends = more.iloc[sorted({len(more) // 2, len(more) - 1})]
    words = [f"needs {quantity(r)} rows" for r in ends["rows"]]
    return [*data, {**plot.points(ends["flop"], ends["more"], "", words,
                                  {"size": 6, "color": plot.OWN}, showlegend=False),
                    "mode": "markers+text", "textposition": "bottom left",
                    "hoverinfo": "skip", "hovertemplate": None}]  # fmt: skip


def _hidden(x: Any, y: Any, what: Any, means: Any) -> dict[str, Any]:
    """Points that are only there to be pointed at: what stands where a line passes."""
    text = [f"{escape(w)}: {number(m)}" for w, m in zip(what, means, strict=True)]
    return plot.points(x, y, "", text, {"size": 9, "color": LAW, "opacity": 0}, showlegend=False)


def levels(baselines: dict[str, float], losses: Any) -> dict[str, Any]:
    """Dotted lines of the baselines, but for those so far above the runs that these would be
    squeezed into less than half of the figure."""
    y = np.asarray(losses, float)
    shown = {k: v for k, v in baselines.items() if v <= y.max() + np.ptp(y)}
    return {
        "shapes": [_level(y, "dot") for y in shown.values()],
        "annotations": [_note(f"{name} {number(y)}", y) for name, y in shown.items()],
    }


def _level(y: float, dash: str) -> dict[str, Any]:
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y,
            "line": {"color": INK, "width": 1, "dash": dash}}  # fmt: skip


def _note(text: str, y: float) -> dict[str, Any]:
    return {"text": text, "xref": "paper", "x": 0.01, "y": y, "yanchor": "bottom",
            "xanchor": "left", "showarrow": False, "font": {"size": 11}}  # fmt: skip


def envelope(frame: pd.DataFrame, loss: str) -> pd.DataFrame:
    """Runs that enter the law and beat every run that cost less (Hoffmann et al. 2022, approach
    1, on final losses): with noise, its steps lean towards lucky seeds."""
    runs = law_runs(frame).sort_values(["train_flop", "run_id"])
    return where(runs, runs[loss] <= runs[loss].cummin())


def axis_figure(
    view: AxisView, loss: str, law: ScalingLaw | None, baselines: dict[str, float]
) -> Figure:
    """Loss against one axis: seeds as points, other settings faint, the sweep's law at the same
    runs, and the axis's own law; the narrower claim, its own, carries the band where it exists.
    Dotted: the baselines, in the unit of the loss."""
    size = view.runs[view.size].to_numpy(float)
    # 0 has no place on a logarithmic axis: drawn one halving below the smallest value, and named
    zero = float(size[size > 0].min()) / 2 if 0 < (size > 0).sum() < len(size) else math.nan
    runs = view.runs.assign(x=np.where(size > 0, size, zero))
    base = where(runs, runs["at_base"])
    data = _settings(where(runs, ~runs["at_base"].astype(bool)), loss)
    if law is not None:
        data += _slice(base, law, band=view.law is None)
    if view.law is not None:
        there = size[runs["at_base"].to_numpy(bool) & (size > 0)]
        grid = np.append(
            np.geomspace(there.min(), there.max(), 30), there.max() * 2 ** np.linspace(0.1, 1, 10)
        )
        p = view.law.predict({view.size: grid}, LEVEL)
        own = {"color": plot.OWN, "width": 2}
        data.append(plot.band(grid, p["low"], p["high"], ONE_RUN, plot.OWN_BAND))
        data.append(plot.line(grid[:30], p["mean"][:30], "its own law", line=own))
        data.append(plot.line(grid[29:], p["mean"][29:], "twice the largest",
                              line={**own, "dash": "dash"}))  # fmt: skip
    data.append(plot.points(base["x"], base[loss], "runs", hover(base, loss),
                        {"size": 8, "color": ACCENT}))  # fmt: skip
    ticks = np.unique(runs["x"].to_numpy(float))
    horizontal = plot.axis(view.unit, log=True)
    if len(ticks) <= 9:
        names = ["0" if t == zero else quantity(t) for t in ticks]
        horizontal |= {"tickvals": plot.plain(ticks), "ticktext": names}
    layout = plot.layout(horizontal, plot.axis(loss), height=320)
    layout |= levels(baselines, runs[loss])
    if math.isfinite(zero):
        layout["shapes"].append({"type": "line", "yref": "paper", "y0": 0, "y1": 1,
                                 "x0": zero * 2**0.5, "x1": zero * 2**0.5,
                                 "line": {"color": INK, "width": 1, "dash": "dot"}})  # fmt: skip
    return {"data": data, "layout": layout}


def _slice(base: pd.DataFrame, law: ScalingLaw, *, band: bool) -> list[dict[str, Any]]:
    """The sweep's law at the runs of one setting, in the order of the axis."""
    positive = (base[list(law.variables)].to_numpy(float) > 0).all(axis=1)
    rows = where(base, positive).sort_values("x").drop_duplicates("x")
    if len(rows) < 2:
        return []
    p = law.predict(rows, LEVEL)
    line = {"color": LAW, "width": 2, "shape": "spline"}
    drawn = [plot.line(rows["x"], p["mean"], "the sweep's law", line=line)]
    return [plot.band(rows["x"], p["low"], p["high"], ONE_RUN), *drawn] if band else drawn


def _settings(runs: pd.DataFrame, loss: str) -> list[dict[str, Any]]:
    """Faint lines, the mean over seeds along each other setting of the other axes."""
    contexts = sorted(set(runs["context"]))
    if len(contexts) > MOST_CONTEXTS:
        at = np.linspace(0, len(contexts) - 1, MOST_CONTEXTS).round().astype(int)
        contexts = [contexts[i] for i in at]
    lines: list[dict[str, Any]] = []
    for context in contexts:
        rows = where(runs, runs["context"] == context)
        x, y = rows["x"].to_numpy(float), rows[loss].to_numpy(float)
        at = np.unique(x)
        if len(at) > 1:
            lines.append(plot.line(at, [y[x == v].mean() for v in at], "other settings",
                               mode="lines+markers", line={"color": FAINT, "width": 1},
                               marker={"size": 3, "color": FAINT}, hoverinfo="text",
                               text=escape(context), legendgroup="others",
                               showlegend=not lines))  # fmt: skip
    return lines


def curves_figure(
    curves: pd.DataFrame, frame: pd.DataFrame, loss: str, baselines: dict[str, float]
) -> tuple[Figure, str]:
    """Learning curves over log samples and a sentence on which of them are shown."""
    runs = where(frame, frame[loss].notna()).sort_values([loss, "run_id"])
    words = f"all {len(runs)} runs that have one"
    if len(runs) > MOST_CURVES:
        at = np.linspace(0, len(runs) - 1, MOST_CURVES).round().astype(int)
        words = f"{MOST_CURVES} of {len(runs)} runs, evenly spaced by final loss, best and worst in"
        runs = runs.iloc[at]
    shown = curves.loc[curves["run_id"].isin(runs["run_id"])] if len(curves) else curves
    groups = dict(tuple(shown.groupby("run_id"))) if len(shown) else {}
    logs = np.log(runs["samples"].to_numpy(float))
    span = max(float(np.ptp(logs)), 1e-9) if len(logs) else 1.0
    data = []
    for row, log in zip(runs.to_dict("records"), logs, strict=True):
        curve = groups[row["run_id"]]
        line = {"width": 1.2, "color": plot.shade(float((log - logs.min()) / span))}
        if row["status"] != "done":
            line |= {"dash": "dot", "color": LAW}
        text = f"{escape(str(row['run_id']))}<br>ends at {number(row[loss])}"
        data.append({**plot.line(curve["samples"], curve[loss], "", line=line, showlegend=False),
                     "hoverinfo": "text", "text": text})  # fmt: skip
    layout = plot.layout(plot.axis("samples seen", log=True), plot.axis(loss), height=400)
    layout |= levels(baselines, runs[loss])
    return {"data": data, "layout": layout}, words


def fit_figures(
    law: ScalingLaw, frame: pd.DataFrame, loss: str, baselines: dict[str, float]
) -> tuple[Figure, Figure]:
    """Predicted against measured, and what the law misses in % against compute."""
    runs = thin(cast(pd.DataFrame, frame.loc[list(law.points.labels)]))
    predicted = law.value(runs)
    measured = runs[loss].to_numpy(float)
    texts = hover(runs, loss)
    marker = plot.colour(runs["samples"], "samples")
    ends = [min(predicted.min(), measured.min()), max(predicted.max(), measured.max())]
    one = [
        plot.line(ends, ends, "equal", line={"color": INK, "width": 1, "dash": "dash"}),
        plot.points(predicted, measured, "runs", texts, marker),
    ]
    miss = 100 * (measured / predicted - 1)
    two = [plot.points(runs["train_flop"], miss, "runs", texts, marker)]
    small = {"showlegend": False, "height": 320}
    zero = plot.axis("measured over predicted, %", zeroline=True, zerolinecolor=INK)
    of_one = plot.layout(plot.axis("predicted " + loss), plot.axis("measured"), **small)
    of_one |= levels(baselines, measured)
    of_two = plot.layout(plot.axis("training FLOP", log=True), zero, **small)
    return {"data": one, "layout": of_one}, {"data": two, "layout": of_two}


def thin(frame: pd.DataFrame) -> pd.DataFrame:
    """At most MOST_POINTS rows, evenly spaced by final loss order; a figure's cap."""
    if len(frame) <= MOST_POINTS:
        return frame
    return frame.iloc[np.linspace(0, len(frame) - 1, MOST_POINTS).round().astype(int)]
