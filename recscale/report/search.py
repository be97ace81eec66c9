"""The report's section on a frontier search: which runs, in which order and why; how the target
tightened; what the whole grid would have cost."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from recscale.planner import PlanError
from recscale.planner.candidates import Problem, problem
from recscale.planner.forecast import grid_cost
from recscale.report import plot
from recscale.report.plot import ACCENT, INK, LAW, OWN, Figure
from recscale.run import RunRecord
from recscale.study import Study
from recscale.words import number, quantity

GOALS = {"loss": "the loss", "allocation": "the best split", "slopes": "the gains of a doubling"}


@dataclass(frozen=True)
class SearchView:
    """Attributes:
    sentences: what was asked, what is known, what it cost beside the grid, why it ended.
    steps: number, sentence, run ids with what became of them, interval at the target then.
    plots: "search-path", "search-error" and "search-frontier", where there is something to draw.
    """

    sentences: tuple[str, ...]
    steps: tuple[dict[str, Any], ...]
    plots: dict[str, Figure]


def search_view(study: Study) -> SearchView | None:
    """The section of a frontier sweep; None for any other."""
    if not study.decisions:
        return None
    beliefs = [d["facts"] for d in study.decisions if "half" in d["facts"]]
    plots = _path(study) | _figures(beliefs)
    return SearchView(tuple(_sentences(study, beliefs)), tuple(_steps(study)), plots)


def _sentences(study: Study, beliefs: list[dict[str, Any]]) -> list[str]:
    goal = GOALS[study.spec.search.goal]
    out = []
    if beliefs:
        out.append(
            f"At {beliefs[-1]['target']} the search began with {goal} known to within "
            f"{_share(beliefs[0]['half'])} (90 %) and stands at {_share(beliefs[-1]['half'])}; "
            "what to train there and what it should reach stands at the top of this page."
        )
        splits = ", ".join(
            f"{v} {quantity(m)} [{quantity(low)}, {quantity(high)}]"
            for v, (m, low, high) in beliefs[-1]["optimum"].items()
        )
        out.append(f"The best run there, and the range over the laws still possible: {splits}.")
    else:
        out.append("Too few runs have ended to say anything of the target.")
    out.append(_against_grid(study))
    last = study.decisions[-1]
    ended = "The search has ended" if last["stop"] is not None else "The search goes on"
    return [*out, f"{ended}: {last['why']}."]


def _share(half: float) -> str:
    return f"{100 * half:.2g} %" if half < 1 else "a factor of more than two"


def _against_grid(study: Study) -> str:
    try:
        task: Problem = problem(study.spec, study.data)
    except PlanError as error:
        return f"What a full grid would have cost cannot be said: {error}."
    runs, grid = grid_cost(task)
    used = study.spent
    more = f", {grid.gpu_hours:.3g} GPU-hours" if grid.gpu_hours else ""
    return (
        f"{len(study.records)} runs for {quantity(used.flop)} FLOP; the full grid over the same "
        f"axes and seeds would be {runs} runs for {quantity(grid.flop)} FLOP{more} and "
        f"${grid.usd:.2f} as estimated: {100 * used.flop / grid.flop:.2g} % of it was spent."
    )


def _steps(study: Study) -> list[dict[str, Any]]:
    records = {r.run_id: r for r in study.records}
    names = [p.run_id for p in study.planned]
    steps, at = [], 0
    for i, d in enumerate(study.decisions, 1):
        ids = names[at : at + len(d["runs"])]
        at += len(d["runs"])
        runs = [(run_id, _ended(study, records.get(run_id))) for run_id in ids]
        facts = d["facts"]
        steps.append(
            {
                "n": i,
                "why": d["why"],
                "runs": runs,
                "known": _share(facts["half"]) if "half" in facts else "",
                "band": f"{facts['near']} of {facts['affordable']}" if "near" in facts else "",
                "spent": quantity(facts["spent"]["flop"]) if "spent" in facts else "",
            }
        )
    return steps


def _path(study: Study) -> dict[str, Figure]:
    """Which run the search took after which: FLOPs a sample against samples, joined in the order of
    the decisions, coloured from the first to the last."""
    names = [p.run_id for p in study.planned]
    costs = {p.run_id: p.cost for p in study.planned}
    steps = [n for n, d in enumerate(study.decisions, 1) for _ in d["runs"]]
    taken = list(zip(names, steps, strict=False))  # a sweep that was extended plans more
    if len({n for _, n in taken}) < 2:
        return {}
    records = {r.run_id: r for r in study.records}
    x = [costs[i].forward.total for i, _ in taken]
    y = [costs[i].samples for i, _ in taken]
    text = [f"decision {n}: {escape(i)}<br>{_ended(study, records.get(i))}" for i, n in taken]
    numbers = [n for _, n in taken]
    marker = {
        "size": 9, "color": numbers, "colorscale": plot.SCALE, "showscale": True,
        "colorbar": {"title": {"text": "decision", "side": "right"}, "thickness": 8, "len": 0.9,
                     "tickvals": [1, max(numbers)], "outlinewidth": 0},
    }  # fmt: skip
    data = [
        plot.line(x, y, "in order", line={"color": plot.FAINT, "width": 1}, showlegend=False),
        plot.points(x, y, "runs", text, marker, showlegend=False),
    ]
    layout = plot.layout(
        plot.axis("FLOPs per sample, forward", log=True), plot.axis("samples", log=True), height=360
    )
    return {"search-path": {"data": data, "layout": layout}}


def _ended(study: Study, r: RunRecord | None) -> str:
    """What became of a run, in words."""
    if r is None:
        return "under way or not started"
    if r.status != "done" or r.final is None:
        return str(r.status)
    ended = number(r.final.columns()[study.spec.law_loss])
    return ended + (f", no better than {', '.join(r.worse_than)}" if r.worse_than else "")


def _figures(beliefs: list[dict[str, Any]]) -> dict[str, Figure]:
    """Budget spent against the interval at a search's target, and the frontier tightening.

    `beliefs` are the facts of its decisions, oldest first; see `recscale.planner.search`.
    """
    spent = [b["spent"]["flop"] for b in beliefs]
    if len(beliefs) < 2 or min(spent) <= 0:
        return {}
    half = [100 * b["half"] for b in beliefs]
    hover = [
        f"after {b['finished']} runs, {quantity(s)} FLOP<br>\u00b1{h:.2g} %"
        for b, s, h in zip(beliefs, spent, half, strict=True)
    ]
    dots = {"size": 6, "color": ACCENT}
    error = [
        plot.line(spent, half, "", showlegend=False, line={"color": ACCENT, "width": 1}),
        plot.points(spent, half, "decisions", hover, dots, showlegend=False),
    ]
    tight: list[dict[str, Any]] = []
    for name, colour in zip(beliefs[-1]["optimum"], (ACCENT, LAW, OWN, INK), strict=False):
        rows = np.array([b["optimum"][name] for b in beliefs]) / beliefs[-1]["optimum"][name][0]
        pale = {"color": colour, "width": 1, "dash": "dot"}
        tight.append(plot.line(spent, rows[:, 0], escape(name), line={"color": colour}))
        tight += [plot.line(spent, rows[:, i], "", showlegend=False, line=pale) for i in (1, 2)]
    x = plot.axis("training FLOP spent", log=True)
    return {
        "search-error": {
            "data": error,
            "layout": plot.layout(
                x, plot.axis("interval at the target, \u00b1 %", log=True), height=320
            ),
        },
        "search-frontier": {
            "data": tight,
            "layout": plot.layout(
                x, plot.axis("best run at the target, over today's", log=True), height=320
            ),
        },
    }
