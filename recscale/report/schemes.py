"""The report's section on scaling schemes: which buys most per parameter, FLOP, byte and second."""

from __future__ import annotations

from typing import Any

import numpy as np

from recscale.advice.gains import LEVEL
from recscale.advice.schemes import Gain, Ranking, rankings, resources, scheme_runs
from recscale.report import plot
from recscale.report.figures import levels
from recscale.report.plot import Figure
from recscale.report.tables import Cell
from recscale.study import Study
from recscale.words import ends, more, quantity, span


def section(study: Study) -> dict[str, Any] | None:
    """Sentences, the table and the figures; None for a sweep without schemes, or without runs."""
    found = rankings(study)
    if not found:
        return None
    names = resources(study)
    return {
        "sentences": [s for r in found for s in _sentences(r, names[r.resource], study)],
        "columns": list(names.values()),
        "rows": _rows(study, found),
        "plots": {f"scheme-{r.resource}": _figure(study, r, names[r.resource]) for r in found},
    }


def _sentences(ranking: Ranking, name: str, study: Study) -> list[str]:
    out = []
    if ranking.gains:
        best, loss = ranking.gains[0], study.spec.law_loss
        if not best.known:
            order = ", ".join(g.scheme for g in ranking.gains)
            out.append(f"Per doubling of {name}: {order}, best first; with one seed the noise "
                       "between runs is unknown, so no order is established.")  # fmt: skip
        elif best.high >= 0:
            out.append(f"Per doubling of {name} no scheme surely gains from the base upwards.")
        else:
            tied = [g.scheme for g in ranking.gains[1:] if not best.beats(g)]
            text = (f"Per doubling of {name}, {best.scheme} gains most: "
                    f"{span(best.change, best.low, best.high)} in {loss}")  # fmt: skip
            out.append(text + (f"; not told apart from {', '.join(tied)}." if tied else "."))
    paying = [g for g in ranking.free if g.known and g.high < 0]
    if paying and name != "$":
        each = "; ".join(
            f"{g.scheme} {span(g.change, g.low, g.high)} for {more(max(1.0, g.ratio))}"
            for g in paying
        )
        out.append(f"Next to free in {name}, over the whole step from the base: {each}.")
    if ranking.exponents is not None and len(ranking.compared) == 2:
        rows = ranking.exponents.set_index("coefficient")
        if "beta" in rows.index:
            r, (a, b) = rows.loc["beta"], ranking.compared
            verdict = "different" if r["different"] else "no significant difference"
            gap = span(r["difference"], r["low"], r["high"])
            out.append(f"Exponents in {name}, {a} minus {b}: {gap} (95 %), {verdict}.")
    return out


def _rows(study: Study, found: list[Ranking]) -> list[tuple[str, list[Cell]]]:
    """A row a scheme: its rate in every resource, with rank and exponent."""
    schemes = dict.fromkeys(g.scheme for r in found for g in (*r.gains, *r.free))
    return [(s, [_cell(r, s) for r in found]) for s in schemes]


def _cell(ranking: Ranking, scheme: str) -> Cell:
    places = [g.scheme for g in ranking.gains]
    if scheme not in places:
        free = next((g for g in ranking.free if g.scheme == scheme), None)
        if free is None:
            return "", "", "not run yet"
        return *ends(free.change, free.low, free.high), "the whole step; next to free here"
    gain: Gain = ranking.gains[places.index(scheme)]
    words = f"rank {places.index(scheme) + 1}; {gain.ratio:.3g}x tried"
    law = ranking.laws.get(scheme)
    if law is not None:
        row = law.intervals(0.95).set_index("coefficient").loc["beta"]
        words += f"; beta {span(law.coefficients['beta'], row['low'], row['high'])}"
    return *ends(gain.change, gain.low, gain.high), words


def _figure(study: Study, ranking: Ranking, name: str) -> Figure:
    """Loss against one resource, a line a scheme through the means over seeds."""
    runs, loss = scheme_runs(study), study.spec.law_loss
    data = []
    for i, (scheme, own) in enumerate(runs.groupby("scheme", sort=False)):
        colour = plot.COLOURS[i % len(plot.COLOURS)]
        means = own.groupby("factor").agg(x=(ranking.resource, "mean"), y=(loss, "mean"))
        text = [
            f"{scheme} x {f:g}: {quantity(x)} {name}"
            for f, x in zip(means.index, means["x"], strict=True)
        ]
        drawn = plot.points(means["x"], means["y"], str(scheme), text,
                              {"size": 7, "color": colour}, legendgroup=str(scheme),
                              line={"color": colour, "width": 1})  # fmt: skip
        data.append(drawn | {"mode": "lines+markers"})
        law = ranking.laws.get(str(scheme))
        if law is not None:
            x = own[ranking.resource].to_numpy(float)
            grid = np.geomspace(x.min(), x.max(), 30)
            p = law.predict({ranking.resource: grid}, LEVEL)
            line = {"color": colour, "width": 2, "dash": "dot"}
            data.append(
                plot.line(grid, p["mean"], f"{scheme}: law", line=line)
                | {"legendgroup": str(scheme), "showlegend": False}
            )
    layout = plot.layout(plot.axis(name, log=True), plot.axis(loss), height=340)
    layout |= levels(study.data.baselines_in(loss), runs[loss])
    return {"data": data, "layout": layout}
