"""`recscale fit --report`: one self-contained page on the law of any table of runs."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from recscale.laws import ScalingLaw, Status
from recscale.laws.table import TableFit
from recscale.report import plot
from recscale.report.page import drawn, packed_plotly, templates
from recscale.report.plot import ACCENT, INK, LAW, Figure
from recscale.words import number, quantity, span

LEVEL = 0.9
INSIDE = 26  # points of a curve within the runs
BEYOND = 10.0  # how far past the largest run a curve is drawn
MOST_DROPPED = 20  # rows named for each reason
STAMPS = {
    Status.CONVERGED: "",
    Status.BOUND_HIT: "fit at a bound: no law drawn",
    Status.UNINFORMATIVE: "no better than chance: no law drawn",
    Status.UNDERDETERMINED: "law not determined",
}


def law_page(fitted: TableFit, name: str) -> str:
    """The page as text; no clock, no paths, no network. `name` is what the table is called."""
    law, facts = fitted.law, fitted.facts
    sound = law.status is Status.CONVERGED
    return (
        templates()
        .get_template("law.html.j2")
        .render(
            name=name,
            loss=law.points.loss,
            law=law,
            facts=facts,
            drawn=sound,
            stamp=STAMPS[law.status],
            constants=_constants(facts),
            ahead=_ahead(law) if sound else [],
            frontier=_frontier(law, facts["frontier"]),
            slopes=[(r["variable"], _span(r, "slope")) for r in facts["slopes"]] if sound else [],
            choice=facts["choice"] or [],
            held=_held(facts),
            dropped=_dropped(facts["dropped"]),
            diagnostics=_diagnostics(law, facts),
            plots=drawn(figures_of(law)),
            plotly=packed_plotly(),
            runs=None,
        )
    )


def figures_of(law: ScalingLaw) -> dict[str, Figure]:
    """The page's figures by name: the loss along each variable and, of a law that may be drawn,
    fitted against measured and what it misses."""
    figures = {f"along-{i}": _along(law, i) for i in range(len(law.variables))}
    if law.status is Status.CONVERGED:
        figures |= {"fit": _fitted(law), "residuals": _residuals(law)}
    return figures


def _hover(law: ScalingLaw) -> list[str]:
    x = np.exp(law.points.logx)
    return [
        f"row {escape(str(label))}<br>{escape(law.points.loss)} {number(float(y))}<br>"
        + ", ".join(
            f"{escape(v)} {quantity(float(a))}" for v, a in zip(law.variables, row, strict=True)
        )
        for label, y, row in zip(law.points.labels, law.points.y, x, strict=True)
    ]


def _along(law: ScalingLaw, i: int) -> Figure:
    """Loss against one variable: every run; the law along it from the largest run, with the
    interval of one new run, where a law may be drawn."""
    p, v = law.points, law.variables[i]
    data: list[dict[str, Any]] = []
    if law.status is Status.CONVERGED:
        last = np.exp(p.logx[:, i].max())
        inside = np.geomspace(np.exp(p.logx[:, i].min()), last, INSIDE)
        grid = np.append(inside, np.geomspace(last, BEYOND * last, 15)[1:])
        top = np.exp(p.logx[int(p.rank.argmax())])
        whole = zip(law.variables, top, strict=True)
        points = pd.DataFrame({u: np.full(len(grid), a) for u, a in whole})
        answer = law.predict(points.assign(**{v: grid}), LEVEL)
        data.append(plot.band(grid, answer["low"], answer["high"], f"{LEVEL:.0%} of new runs"))
        line = {"color": LAW, "width": 2}
        mean = answer["mean"].to_numpy(float)
        data.append(plot.line(grid[:INSIDE], mean[:INSIDE], "expected of a new run", line=line))
        data.append(plot.line(grid[INSIDE - 1 :], mean[INSIDE - 1 :], "beyond the runs",
                              line={**line, "dash": "dash"}))  # fmt: skip
    marker = {"size": 6, "color": ACCENT, "opacity": 0.7}
    data.append(plot.points(np.exp(p.logx[:, i]), p.y, "runs", _hover(law), marker))
    axes = plot.axis(escape(v), log=True), plot.axis(escape(p.loss))
    return {"data": data, "layout": plot.layout(*axes, height=340)}


def _fitted(law: ScalingLaw) -> Figure:
    f, y = np.exp(law.residuals) * law.points.y, law.points.y
    ends = [min(f.min(), y.min()), max(f.max(), y.max())]
    dashed = {"color": INK, "width": 1, "dash": "dash"}
    data = [
        plot.line(ends, ends, "equal", line=dashed),
        plot.points(f, y, "runs", _hover(law), {"size": 6, "color": ACCENT, "opacity": 0.7}),
    ]
    axes = plot.axis("fitted " + escape(law.points.loss)), plot.axis("measured")
    return {"data": data, "layout": plot.layout(*axes, height=320, showlegend=False)}


def _residuals(law: ScalingLaw) -> Figure:
    miss = 100 * np.expm1(-law.residuals)
    costed = not np.array_equal(law.points.rank, law.points.logx.sum(1))
    title = "cost of the run" if costed else " × ".join(escape(v) for v in law.variables)
    marker = {"size": 6, "color": ACCENT, "opacity": 0.7}
    data = [plot.points(np.exp(law.points.rank), miss, "runs", _hover(law), marker)]
    zero = plot.axis("measured over fitted, %", zeroline=True, zerolinecolor=INK)
    layout = plot.layout(plot.axis(title, log=True), zero, height=320, showlegend=False)
    return {"data": data, "layout": layout}


def _constants(facts: dict[str, Any]) -> list[tuple[str, str]]:
    out = []
    for name, value in facts["coefficients"].items():
        low, high = facts["intervals"][name]
        if value is not None:
            ends = (np.nan, np.nan) if low is None or high is None else (low, high)
            out.append((name, span(value, *ends)))
    return out


def _ahead(law: ScalingLaw) -> list[tuple[str, str, str]]:
    """What a new run would measure at the largest run and beyond it: where, interval, decades."""
    top = dict(
        zip(law.variables, np.exp(law.points.logx[int(law.points.rank.argmax())]), strict=True)
    )
    places = {"the largest run, again": top}
    places |= {f"{v} doubled": {**top, v: 2 * top[v]} for v in law.variables}
    if len(law.variables) > 1:
        places["all doubled"] = {v: 2 * x for v, x in top.items()}
    places["all tenfold"] = {v: 10 * x for v, x in top.items()}
    answer = law.predict(pd.DataFrame(list(places.values())), LEVEL)
    return [
        (place, span(r["mean"], r["low"], r["high"]), f"{r['decades']:.1f}")
        for place, r in zip(places, answer.to_dict("records"), strict=True)
    ]


def _frontier(law: ScalingLaw, rows: list[dict[str, Any]]) -> list[list[str]]:
    """One row a budget: the budget, each variable with its band, the loss, decades beyond."""
    return [
        [
            quantity(r["budget"]),
            *(
                f"{quantity(r[v])} [{quantity(r[f'{v}_low'])}, {quantity(r[f'{v}_high'])}]"
                for v in law.variables
            ),
            _span(r, "loss", "loss_"),
            f"{r['decades']:.1f}",
        ]
        for r in rows
    ]


def _span(row: dict[str, Any], key: str, ends: str = "") -> str:
    values = (row[key], row[f"{ends}low"], row[f"{ends}high"])
    return span(*(np.nan if v is None else v for v in values))


def _held(facts: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    out = []
    for r in facts.get("predictions", []):
        inside = "" if r["actual"] is None else "no"
        if r["actual"] is not None and r["low"] <= r["actual"] <= r["high"]:
            inside = "yes"
        out.append((str(r["row"]), number(r["actual"]), _span(r, "mean"), inside))
    return out


def _dropped(rows: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    """How many rows, why, and which."""
    out = []
    for reason, count in Counter(r["reason"] for r in rows).items():
        named = [str(r["row"]) for r in rows if r["reason"] == reason]
        more = " ..." if count > MOST_DROPPED else ""
        out.append((count, reason, ", ".join(named[:MOST_DROPPED]) + more))
    return out


def _diagnostics(law: ScalingLaw, facts: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("formula", f"{law.model.formula} ({law.model.source})"),
            ("status", f"{law.status}. {law.reason}" if law.reason else str(law.status)),
            ("rows", f"{law.n} used, {law.points.runs} independent runs")]  # fmt: skip
    if law.status is Status.UNDERDETERMINED:
        return rows
    huber = f"Huber, threshold {law.delta:g}" if np.isfinite(law.delta) else "least squares"
    rows += [
        ("objective", f"{law.objective:.8g}: {huber}, summed over log residuals"),
        ("search", f"{law.optima} local minima met; the lowest is taken"),
        ("gradient", f"{law.gradient_norm:.1e} at the optimum, scaled"),
        ("condition number", f"{law.condition:.3g}"),
    ]
    moved = ", ".join(f"{c} {v:.4g}" for c, v in facts["without_worst"].items() if v is not None)
    if moved:
        rows.append(("without the five worst rows", moved))
    return rows + [("note", n) for n in facts["notes"]]
