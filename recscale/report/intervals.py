"""Intervals as bars with caps: marginal gains with their verdicts, and the law's exponents. A band
in the other figures is another thing, what one new run will measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from recscale.laws import Role
from recscale.report import plot
from recscale.report.findings import Findings
from recscale.report.plot import ACCENT, INK, LAW, OWN, Figure
from recscale.report.sentences import loose
from recscale.words import number, span

APART = 0.2  # between the bars of one row, in rows
ROW = 62  # pixels

Bar = tuple[float, float, float]
"""A mean and the ends of its interval; NaN ends where no interval is known."""


@dataclass(frozen=True)
class Series:
    """Bars of one kind, one a row; None where a row has none."""

    name: str
    marker: dict[str, Any]
    bars: Sequence[Bar | None]


def gains_figure(f: Findings) -> Figure | None:
    """Change of the loss per doubling, a row an axis with its verdict: as measured on the last step
    tried, and by the law at the base and at the largest run; None without any."""
    measured: list[Bar | None] = []
    for v in f.views:
        step = v.last
        each = step.doublings if step and np.isfinite(step.doublings) else 1.0
        ends = step and (step.change / each, step.low / each, step.high / each)
        measured.append(ends or None)
    by_law = [
        [(r.change, r.low, r.high) if r else None for r in (rates.get(v.axis) for v in f.views)]
        for rates in (f.at_base, f.at_largest)
    ]
    rows = [f"{escape(v.label)}<br><b>{v.verdict}</b>" for v in f.views]
    series = [
        Series("measured, last step", {"color": ACCENT, "symbol": "circle"}, measured),
        Series("law, at the base", {"color": LAW, "symbol": "square-open"}, by_law[0]),
        Series("law, at the largest run", {"color": LAW, "symbol": "square"}, by_law[1]),
    ]
    if f.best_mix:
        rows.append("all axes,<br>best mix")
        series = [Series(s.name, s.marker, [*s.bars, None]) for s in series]
        alone = [*[None] * len(f.views), f.best_mix]
        series.append(Series("twice the FLOPs", {"color": OWN, "symbol": "diamond"}, alone))
    title = f"change of {f.loss} per doubling; left of 0 is a gain"
    return _figure(rows, series, title, "Marginal gains of the axes as intervals")


def exponents_figure(f: Findings) -> Figure | None:
    """The law's exponents with their 95 % intervals; None where the runs determine none."""
    if f.law is None:
        return None
    roles, unknown = {c.name: c.role for c in f.law.model.constants}, loose(f.law)
    found = {
        str(r["coefficient"]): (f.law.coefficients[r["coefficient"]], r["low"], r["high"])
        for r in f.law.intervals(0.95).to_dict("records")
        if roles.get(r["coefficient"]) == Role.EXPONENT and r["coefficient"] not in unknown
    }
    rows = [escape(name) for name in found]
    series = [Series("95 % interval", {"color": INK, "symbol": "circle"}, list(found.values()))]
    return _figure(rows, series, "exponent, 95 % interval", "The law's exponents as intervals")


def _figure(rows: list[str], series: list[Series], title: str, name: str) -> Figure | None:
    drawn = [s for s in series if any(s.bars)]
    if not drawn:
        return None
    data = []
    for s in drawn:
        at = [(i, b) for i, b in enumerate(s.bars) if b]
        ends = np.array([b for _, b in at])
        low, high = ends[:, 0] - ends[:, 1], ends[:, 2] - ends[:, 0]
        text = [
            f"{rows[i].replace('<br>', ', ')}<br>{s.name}: "
            + (span(*b) if np.isfinite(b[1]) else f"{number(b[0])}, interval not known")
            for i, b in at
        ]
        beside = [[d for d in drawn if d.bars[i]] for i, _ in at]
        shift = [APART * (row.index(s) - (len(row) - 1) / 2) for row in beside]
        places = [i + by for (i, _), by in zip(at, shift, strict=True)]
        data.append(
            plot.points(ends[:, 0], places, s.name, text, {"size": 8, **s.marker})
            | {"error_x": {"type": "data", "symmetric": False, "array": plot.plain(high),
                           "arrayminus": plot.plain(low), "color": s.marker["color"],
                           "thickness": 1.5, "width": 4}}
        )  # fmt: skip
    down = plot.axis("", tickvals=list(range(len(rows))), ticktext=rows, showgrid=False,
                     range=[len(rows) - 0.5, -0.5])  # fmt: skip
    across = plot.axis(title, zeroline=True, zerolinecolor=INK, nticks=4)
    layout = plot.layout(across, down, height=130 + ROW * len(rows), meta=name)
    return {"data": data, "layout": layout | ({"showlegend": False} if len(drawn) == 1 else {})}
