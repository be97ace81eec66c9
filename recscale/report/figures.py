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

from recscale.advice.exchange import LEVEL, law_runs, where
from recscale.advice.options import Option
from recscale.laws import ScalingLaw
from recscale.report.axes import AxisView
from recscale.words import number, quantity

Figure = dict[str, Any]

INK, FAINT, LAW, ACCENT = "#7a8088", "rgba(122,128,136,.35)", "#d1495b", "#2e86ab"
OWN = "#c98a1b"  # an axis's own law, beside the sweep's
BAND, OWN_BAND = "rgba(209,73,91,.16)", "rgba(201,138,27,.16)"
SCALE = [[0.0, "#7dc4e0"], [0.5, "#2e86ab"], [1.0, "#6a3d9a"]]
ONE_RUN = f"{100 * LEVEL:.0f} % for one run"
MOST_CURVES = 60
MOST_POINTS = 2000
MOST_CONTEXTS = 40  # faint lines of other settings in an axis figure


def _axis(title: str, *, log: bool = False, **more: Any) -> dict[str, Any]:
    base = {"title": {"text": title}, "gridcolor": FAINT, "zeroline": False, "automargin": True}
    # SI letters, 1.2G and not 1.2 x 10^9, as in the tables
    return base | ({"type": "log", "exponentformat": "SI"} if log else {}) | more


def _layout(x: dict[str, Any], y: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "xaxis": x,
        "yaxis": y,
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 60, "r": 14, "t": 12, "b": 46},
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": FAINT, "activecolor": ACCENT},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "height": 360,
        **more,
    }


def _line(x: Any, y: Any, name: str, **more: Any) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "x": _list(x), "y": _list(y), "name": name,
            "hoverinfo": "skip", **more}  # fmt: skip


def _points(x: Any, y: Any, name: str, text: list[str], marker: dict[str, Any], **more: Any):
    return {"type": "scatter", "mode": "markers", "x": _list(x), "y": _list(y), "name": name,
            "text": text, "hovertemplate": "%{text}<extra></extra>", "marker": marker,
            **more}  # fmt: skip


def _list(values: Any) -> list[float | None]:
    """Six digits are more than a screen shows, and NaN is no JSON."""
    return [float(f"{v:.6g}") if np.isfinite(v) else None for v in np.asarray(values, float)]


def _band(x: Any, low: Any, high: Any, name: str, colour: str = BAND) -> dict[str, Any]:
    around = np.concatenate([np.asarray(x, float), np.asarray(x, float)[::-1]])
    ends = np.concatenate([np.asarray(high, float), np.asarray(low, float)[::-1]])
    return _line(around, ends, name, fill="toself", fillcolor=colour, line={"width": 0})


def _hover(runs: pd.DataFrame, loss: str) -> list[str]:
    return [
        f"{escape(str(r['run_id']))}<br>{loss} {number(r[loss])}<br>"
        f"{quantity(r['samples'])} samples, {quantity(r['train_flop'])} FLOP"
        for r in runs.to_dict("records")
    ]


def _colour(values: Any, title: str) -> dict[str, Any]:
    """Markers coloured by the logarithm of a positive column."""
    logs = np.log10(np.asarray(values, float))
    ends = np.array([logs.min(), logs.max()])
    return {
        "size": 7, "color": _list(logs), "colorscale": SCALE, "cmin": ends[0], "cmax": ends[1],
        "showscale": bool(ends[1] > ends[0]),
        "colorbar": {"title": {"text": title, "side": "right"}, "thickness": 8, "len": 0.9,
                     "tickvals": _list(ends), "ticktext": [quantity(10**e) for e in ends],
                     "outlinewidth": 0},
    }  # fmt: skip


def compute_figure(
    frame: pd.DataFrame,
    loss: str,
    frontier: pd.DataFrame | None,
    floor: float | None,
) -> Figure:
    """Loss against training FLOPs: every run, the lower envelope, the law's best at each budget.

    `frontier` has flop, mean, low, high, needs_more_data and text, or is None where no law may be
    drawn.
    """
    runs = thin(where(frame, frame[loss].notna()))
    good, rest = law_runs(runs), where(runs, ~runs["enters_law"].astype(bool))
    data: list[dict[str, Any]] = []
    if frontier is not None and len(frontier):
        f = frontier
        data.append(_band(f["flop"], f["low"], f["high"], ONE_RUN))
        more = f["needs_more_data"].to_numpy(bool)
        there = np.where(more, np.nan, f["mean"])
        # a dotted piece reaches to the solid ones on both of its sides
        near = more | np.r_[more[1:], False] | np.r_[False, more[:-1]]
        beyond = np.where(near, f["mean"], np.nan)
        pale = {"color": LAW, "width": 2}
        data.append(_line(f["flop"], there, "law: best mix", line=pale))
        data.append(_line(f["flop"], beyond, "needs more data", line={**pale, "dash": "dot"}))
        data.append(_points(f["flop"], f["mean"], "", [escape(t) for t in f["text"]],
                            {"size": 9, "color": LAW, "opacity": 0}, showlegend=False))  # fmt: skip
    if len(rest):
        marks = {"size": 7, "symbol": "x-thin-open", "color": INK}
        data.append(_points(rest["train_flop"], rest[loss], "left out", _hover(rest, loss), marks))
    if len(good):
        data.append(_points(good["train_flop"], good[loss], "runs", _hover(good, loss),
                            _colour(good["samples"], "samples"), showlegend=False))  # fmt: skip
        edge = envelope(frame, loss)
        data.append(_line(edge["train_flop"], edge[loss], "lower envelope of the runs",
                          line={"color": INK, "width": 1.5, "shape": "hv"}))  # fmt: skip
    layout = _layout(_axis("training FLOP of the run", log=True), _axis(loss), height=440)
    if floor is not None:
        layout["shapes"] = [_level(floor)]
        layout["annotations"] = [_note(f"the world's floor {number(floor)}", floor)]
    return {"data": data, "layout": layout}


def _level(y: float) -> dict[str, Any]:
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y,
            "line": {"color": INK, "width": 1, "dash": "dash"}}  # fmt: skip


def _note(text: str, y: float) -> dict[str, Any]:
    return {"text": text, "xref": "paper", "x": 0.01, "y": y, "yanchor": "bottom",
            "xanchor": "left", "showarrow": False, "font": {"size": 11}}  # fmt: skip


def envelope(frame: pd.DataFrame, loss: str) -> pd.DataFrame:
    """Runs that enter the law and beat every run that cost less (Hoffmann et al. 2022, approach
    1, on final losses): with noise, its steps lean towards lucky seeds."""
    runs = law_runs(frame).sort_values(["train_flop", "run_id"])
    return where(runs, runs[loss] <= runs[loss].cummin())


def axis_figure(view: AxisView, loss: str, law: ScalingLaw | None) -> Figure:
    """Loss against one axis: seeds as points, other settings faint, the sweep's law at the same
    runs, and the axis's own law; the narrower claim, its own, carries the band where it exists."""
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
        grid = np.geomspace(there.min(), there.max() * 2, 40)
        p = view.law.predict({view.size: grid}, LEVEL)
        data.append(_band(grid, p["low"], p["high"], ONE_RUN, OWN_BAND))
        data.append(_line(grid, p["mean"], "its own law", line={"color": OWN, "width": 2}))
    data.append(_points(base["x"], base[loss], "runs", _hover(base, loss),
                        {"size": 8, "color": ACCENT}))  # fmt: skip
    ticks = np.unique(runs["x"].to_numpy(float))
    horizontal = _axis(view.unit, log=True)
    if len(ticks) <= 9:
        names = ["0" if t == zero else quantity(t) for t in ticks]
        horizontal |= {"tickvals": _list(ticks), "ticktext": names}
    layout = _layout(horizontal, _axis(loss), height=320)
    if math.isfinite(zero):
        layout["shapes"] = [{"type": "line", "yref": "paper", "y0": 0, "y1": 1,
                             "x0": zero * 2**0.5, "x1": zero * 2**0.5,
                             "line": {"color": INK, "width": 1, "dash": "dot"}}]  # fmt: skip
    return {"data": data, "layout": layout}


def _slice(base: pd.DataFrame, law: ScalingLaw, *, band: bool) -> list[dict[str, Any]]:
    """The sweep's law at the runs of one setting, in the order of the axis."""
    positive = (base[list(law.variables)].to_numpy(float) > 0).all(axis=1)
    rows = where(base, positive).sort_values("x").drop_duplicates("x")
    if len(rows) < 2:
        return []
    p = law.predict(rows, LEVEL)
    line = {"color": LAW, "width": 2, "shape": "spline"}
    drawn = [_line(rows["x"], p["mean"], "the sweep's law", line=line)]
    return [_band(rows["x"], p["low"], p["high"], ONE_RUN), *drawn] if band else drawn


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
            lines.append(_line(at, [y[x == v].mean() for v in at], "other settings",
                               mode="lines+markers", line={"color": FAINT, "width": 1},
                               marker={"size": 3, "color": FAINT}, hoverinfo="text",
                               text=escape(context), legendgroup="others",
                               showlegend=not lines))  # fmt: skip
    return lines


def curves_figure(curves: pd.DataFrame, frame: pd.DataFrame, loss: str) -> tuple[Figure, str]:
    """Learning curves over log samples and a sentence on which of them are shown."""
    runs = where(frame, frame[loss].notna()).sort_values([loss, "run_id"])
    words = f"all {len(runs)} runs that have one"
    if len(runs) > MOST_CURVES:
        at = np.linspace(0, len(runs) - 1, MOST_CURVES).round().astype(int)
        words = f"{MOST_CURVES} of {len(runs)} runs, evenly spaced by final loss, best and worst in"
        runs = runs.iloc[at]
    groups = dict(tuple(curves.groupby("run_id"))) if len(curves) else {}
    logs = np.log(runs["samples"].to_numpy(float))
    span = max(float(np.ptp(logs)), 1e-9) if len(logs) else 1.0
    data = []
    for row, log in zip(runs.to_dict("records"), logs, strict=True):
        curve = groups[row["run_id"]]
        shade = int(round(190 - 150 * (log - logs.min()) / span))
        line = {"width": 1.2, "color": f"rgba({shade // 2 + 20},{shade // 2 + 60},190,.75)"}
        if row["status"] != "done":
            line |= {"dash": "dot", "color": LAW}
        text = f"{escape(str(row['run_id']))}<br>ends at {number(row[loss])}"
        data.append({**_line(curve["samples"], curve[loss], "", line=line, showlegend=False),
                     "hoverinfo": "text", "text": text})  # fmt: skip
    layout = _layout(_axis("samples seen", log=True), _axis(loss), height=400)
    return {"data": data, "layout": layout}, words


def fit_figures(law: ScalingLaw, frame: pd.DataFrame, loss: str) -> tuple[Figure, Figure]:
    """Predicted against measured, and what the law misses in % against compute."""
    runs = thin(cast(pd.DataFrame, frame.loc[list(law.points.labels)]))
    predicted = law.value(runs)
    measured = runs[loss].to_numpy(float)
    hover = _hover(runs, loss)
    marker = _colour(runs["samples"], "samples")
    ends = [min(predicted.min(), measured.min()), max(predicted.max(), measured.max())]
    one = [
        _line(ends, ends, "equal", line={"color": INK, "width": 1, "dash": "dash"}),
        _points(predicted, measured, "runs", hover, marker),
    ]
    miss = 100 * (measured / predicted - 1)
    two = [_points(runs["train_flop"], miss, "runs", hover, marker)]
    small = {"showlegend": False, "height": 320}
    return (
        {"data": one, "layout": _layout(_axis("predicted " + loss), _axis("measured"), **small)},
        {"data": two, "layout": _layout(
            _axis("training FLOP", log=True), _axis("measured over predicted, %", zeroline=True,
            zerolinecolor=INK), **small)},
    )  # fmt: skip


def thin(frame: pd.DataFrame) -> pd.DataFrame:
    """At most MOST_POINTS rows, evenly spaced by final loss order; a figure's cap."""
    if len(frame) <= MOST_POINTS:
        return frame
    return frame.iloc[np.linspace(0, len(frame) - 1, MOST_POINTS).round().astype(int)]


def frontier_row(option: Option, budget: float, mean: float, low: float, high: float,
                 rows: int) -> dict[str, Any]:  # fmt: skip
    """One point of the law's frontier for `compute_figure`."""
    m = option.model
    return {
        "flop": budget, "mean": mean, "low": low, "high": high,
        "needs_more_data": option.cost.samples / option.train.epochs > rows,
        "text": f"{m.name}, {quantity(option.cost.samples)} samples: {number(mean)}",
    }  # fmt: skip
