"""The page that compares families: what they cost, where their laws differ, which is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, cast

import numpy as np
import pandas as pd

from recscale.advice.advise import Advice
from recscale.advice.equivalent import REACH
from recscale.advice.families import AHEAD, TIME, PairComparison, timed, training_flop
from recscale.advice.gains import LEVEL, law_runs, where
from recscale.advice.noise import seed_noise
from recscale.advice.options import BEYOND
from recscale.frame import settings
from recscale.laws import Role, ScalingLaw, Status
from recscale.laws.compare import Comparison
from recscale.report import figures, plot
from recscale.report.plot import Figure
from recscale.report.sentences import no_noise
from recscale.report.tables import Cell
from recscale.run import SERVED
from recscale.spec import FOOTING
from recscale.study import Study
from recscale.words import ends, number, quantity, span, time

NAMES = {"forward_flop": "FLOPs per sample", "samples": "samples"}
SURE = 0.9  # a probability above this, or below its complement, is called a difference


def laws_of(found: list[PairComparison]) -> dict[str, tuple[ScalingLaw, Comparison]]:
    """Family -> its law over the common footing, where the runs determine one, and a comparison
    that it takes part in."""
    out: dict[str, tuple[ScalingLaw, Comparison]] = {}
    for pair in found:
        if pair.laws:
            for name, law in zip(pair.names, (pair.laws.first, pair.laws.second), strict=True):
                out[name] = law, pair.laws
    return out


def answers(
    study: Study, each: Mapping[str, Advice | str], comparisons: Sequence[PairComparison]
) -> str:
    """What to train next of each family, and which of them suits a budget best, in sentences."""
    said = []
    for family, advice in each.items():
        text = advice if isinstance(advice, str) else advice.sentences()
        said += [f"{family}:", "".join(f"  {line}\n" for line in text.splitlines())]
    return "\n".join([*said, *sentences(study, comparisons)])


def sentences(study: Study, found: Sequence[PairComparison]) -> list[str]:
    """The comparison in words, a pair after the other, and what limits it."""
    if not found or all(d.matched is d.timed is d.served is d.laws is None for d in found):
        return ["No two families have runs to compare yet."]
    loss = study.spec.law_loss
    out = [s for pair in found for s in _pair_sentences(pair, loss)]
    bound = sorted({n for d in found for n in d.at_bound})
    if bound:
        out.append(
            f"The fit of {', '.join(bound)} lies at a bound: it describes the runs, and what it "
            "says beyond them is not established."
        )
    noise = seed_noise(study.frame(), loss)
    if noise is None:
        out.append(no_noise(study))
    return out


def _pair_sentences(pair: PairComparison, loss: str) -> list[str]:
    a, b = pair.names
    out = []
    for m, equal in (
        (pair.matched, "FLOPs per sample"),
        (pair.timed, "time per sample, as measured,"),
        (pair.served, f"latency of {SERVED} answers"),
    ):
        if m is None:
            continue
        which = f"at equal {equal} and equal data ({m.settings} pairs)"
        change = span(m.change, m.low, m.high)
        if not np.isfinite(m.low):
            out.append(f"{b} against {a}: {change} in {loss} {which}; {m.why}.")
        elif m.low <= 0 <= m.high:
            out.append(f"{a} and {b} are not told apart {which}: {change} in {loss} (90 %).")
        else:
            better, worse = (b, a) if m.change < 0 else (a, b)
            out.append(
                f"{better} is better than {worse} {which}: {b} minus {a} is {change} in {loss} "
                "(90 %)."
            )
    if pair.exponents is None:
        return [*out, f"The laws of {a} and {b} cannot be compared: {pair.why}."]
    told = []
    for r in pair.exponents.to_dict("records"):
        variable = r["variable"]
        if r["role"] == Role.EXPONENT and variable in FOOTING:
            verdict = "different" if r["different"] else "no significant difference"
            gap = span(r["difference"], r["low"], r["high"])
            told.append(f"{NAMES[variable]} {gap}, {verdict}")
    if told:
        out.append(f"Exponents, {a} minus {b} (95 %): {'; '.join(told)}.")
    return [*out, _budget_sentence(pair)]


def _budget_sentence(pair: PairComparison) -> str:
    a, b = pair.names
    if pair.better is None or pair.crossings is None:
        return (
            f"Which of {a} and {b} is better at a budget is not known: one has no law of its own."
        )
    parts = []
    for r in pair.better.to_dict("records"):
        p = float(r["probability"])
        likelier, sure = (a, p) if p >= 0.5 else (b, 1 - p)
        word = "better" if sure >= SURE else "likelier better"
        parts.append(f"at {quantity(r['budget'])} FLOP {likelier} is {word} (probability "
                     f"{sure:.2f})")  # fmt: skip
    crossing = ""
    if len(pair.crossings):
        at = ", ".join(quantity(x) for x in pair.crossings["budget"])
        crossing = f" The two laws cross at {at} FLOP."
    text = "; ".join(parts)
    return (
        f"By the laws of {a} and {b}, each at its best for the budget within {2**BEYOND} times the "
        f"sizes tried and the data at hand, {text}.{crossing}{_equivalent_words(pair)}"
    )


def _equivalent_words(pair: PairComparison) -> str:
    """How much more compute the second family needs for the first's loss."""
    a, b = pair.names
    if pair.equivalent is None:
        return ""
    told = [
        f"{_times(r['gain'])} [{_times(r['low'])}, {_times(r['high'])}] at {quantity(r['budget'])}"
        for r in pair.equivalent.to_dict("records")
    ]
    return f" For the loss of {a}, {b} needs so many times its compute: {', '.join(told)} FLOP."


def _times(gain: float) -> str:
    """A compute-equivalent gain, or where it lies outside what was weighed."""
    if gain == np.inf:
        return "no budget weighed"
    return f"{gain:.2g}" if gain > 1 / REACH else f"under {1 / REACH:g}"


def pair_rows(found: list[PairComparison]) -> list[list[Cell]]:
    """The table of pairs: names, measured, exponents, constant, crossings, budgets."""
    return [_pair_row(d) for d in found]


def _pair_row(pair: PairComparison) -> list[Cell]:
    a, b = pair.names
    row: list[Cell] = [(f"{a} and {b}", "", pair.why)]
    for m, equal in (
        (pair.matched, "FLOPs"),
        (pair.timed, "time"),
        (pair.served, "latency that was measured (probes: [latency])"),
    ):
        if m is None:
            row.append(("", "", f"no two architectures of equal {equal}"))
        else:
            words = m.why or f"{b} minus {a}, {m.settings} pairs"
            row.append((*ends(m.change, m.low, m.high), words))
    if pair.exponents is None or pair.better is None or pair.crossings is None:
        return [*row, *[("", "", "no law")] * 5]
    exponents = where(pair.exponents, pair.exponents["role"] == Role.EXPONENT)
    limits = where(pair.exponents, pair.exponents["role"] == Role.LIMIT)
    for rows in (*(where(exponents, exponents["variable"] == v) for v in FOOTING), limits):
        if rows.empty:
            row.append(("", "", "not in this form"))
            continue
        r = rows.iloc[0]
        verdict = "different" if r["different"] else "not told apart"
        row.append((*ends(r["difference"], r["low"], r["high"]), f"{a} minus {b}; {verdict}"))
    crossings = [
        f"{quantity(c['budget'])} FLOP: {c['better_after']} beyond"
        for c in pair.crossings.to_dict("records")
    ]
    row.append(("; ".join(crossings), "", "" if crossings else "nowhere up to "
                f"{AHEAD:g} times the largest"))  # fmt: skip
    better = [
        f"{quantity(r['budget'])}: {r['better']} {max(r['probability'], 1 - r['probability']):.2f}"
        for r in pair.better.to_dict("records")
    ]
    return [*row, ("", "; ".join(better), "FLOP: family and probability")]


def law_rows(study: Study) -> list[tuple[str, str, list[str]]]:
    """(family, state, constants) of each family's own law."""
    rows = []
    for part in study.parts():
        name = part.spec.model.family
        try:
            law = part.law()
        except ValueError as error:
            rows.append((name, str(error), []))
            continue
        if not law.status.determined:
            rows.append((name, f"not determined: {law.reason}", []))
            continue
        constants = [
            f"{r['coefficient']} {span(law.coefficients[r['coefficient']], r['low'], r['high'])}"
            for r in law.intervals(0.95).to_dict("records")
        ]
        state = str(law.status) + (f": {law.reason}" if law.reason else "")
        rows.append((name, f"{law.n} runs, {state}", constants))
    return rows


def plots(study: Study, frame: pd.DataFrame, found: list[PairComparison]) -> dict[str, Figure]:
    """Loss against compute with each family's frontier, and against FLOPs per sample."""
    loss = study.spec.law_loss
    runs = law_runs(frame)
    if runs.empty:
        return {}
    families = _frontiers(runs, loss, laws_of(found))
    times = _times_figure(timed(study, runs), loss)
    drawn = {"families": families, "times": times, "sizes": _sizes(runs, loss)}
    for figure in drawn.values():
        if figure:
            figure["layout"] |= figures.levels(study.data.baselines_in(loss), runs[loss])
    return {name: figure for name, figure in drawn.items() if figure}


def _colours(runs: pd.DataFrame) -> dict[str, str]:
    families = sorted(set(runs["family"]))
    return {f: plot.COLOURS[i % len(plot.COLOURS)] for i, f in enumerate(families)}


def _frontiers(
    runs: pd.DataFrame, loss: str, laws: dict[str, tuple[ScalingLaw, Comparison]]
) -> Figure:
    top = AHEAD * runs["train_flop"].to_numpy(float).max()
    data: list[dict[str, Any]] = []
    for family, colour in _colours(runs).items():
        own = where(runs, runs["family"] == family)
        if family in laws:
            law, comparison = laws[family]
            budgets = np.geomspace(own["train_flop"].to_numpy(float).min(), top, 25).tolist()
            best = law.frontier(budgets, training_flop, LEVEL, comparison.sought(law))
            if law.status == Status.CONVERGED:
                data.append(
                    plot.band(
                        budgets,
                        best["loss_low"],
                        best["loss_high"],
                        "90 % for one run",
                        _pale(colour),
                    )
                    | {"legendgroup": family, "showlegend": False}
                )
            dash = "solid" if law.status == Status.CONVERGED else "dash"
            line = {"color": colour, "width": 2, "dash": dash}
            drawn = plot.line(budgets, best["loss"], f"{family}: law", line=line)
            data.append(drawn | {"legendgroup": family})
        data.append(
            plot.points(own["train_flop"], own[loss], family, figures.hover(own, loss),
                           {"size": 7, "color": colour}, legendgroup=family)
        )  # fmt: skip
    layout = plot.layout(
        plot.axis("training FLOP of the run", log=True), plot.axis(loss), height=460
    )
    return {"data": data, "layout": layout}


def _times_figure(runs: pd.DataFrame, loss: str) -> Figure | None:
    """Loss against measured training time, with what no faster run of the family beats; None
    where no run was measured."""
    runs = where(runs, runs[TIME].notna())
    if runs.empty:
        return None
    data: list[dict[str, Any]] = []
    for family, colour in _colours(runs).items():
        own = where(runs, runs["family"] == family).sort_values(["time_s", "run_id"])
        best = where(own, own[loss] <= own[loss].cummin())
        data.append(
            plot.line(best["time_s"], best[loss], f"{family}: lower envelope",
                      line={"color": colour, "width": 1.5, "shape": "hv"}, legendgroup=family)
        )  # fmt: skip
        text = [
            f"{words}<br>{time(s)} on {escape(machine)}"
            for words, s, machine in zip(
                figures.hover(own, loss), own["time_s"], own["machine"], strict=True
            )
        ]
        marks = {"size": 7, "color": colour}
        data.append(plot.points(own["time_s"], own[loss], family, text, marks, legendgroup=family))
    across = plot.axis("training time of the run as measured, seconds", log=True)
    return {"data": data, "layout": plot.layout(across, plot.axis(loss), height=400)}


def _pale(colour: str) -> str:
    """A colour as a band's."""
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},.13)"


def _sizes(runs: pd.DataFrame, loss: str) -> Figure:
    means = cast(
        pd.DataFrame,
        runs.groupby(settings(runs), dropna=False).agg(
            loss=(loss, "mean"), flop=("forward_flop", "first")
        ),
    ).reset_index()
    data: list[dict[str, Any]] = []
    for family, colour in _colours(runs).items():
        own = where(means, means["family"] == family)
        whole = own["data_fraction"].max()
        for fraction, rows in own.groupby("data_fraction"):
            rows = rows.sort_values("flop")
            text = [f"{escape(family)}, {fraction:g} of the data: {number(y)}"
                    for y in rows["loss"]]  # fmt: skip
            data.append(
                plot.points(rows["flop"], rows["loss"], family, text,
                               {"size": 7, "color": colour}, legendgroup=family,
                               line={"color": colour, "width": 1})
                | {"mode": "lines+markers", "showlegend": bool(fraction == whole)}
            )  # fmt: skip
    layout = plot.layout(
        plot.axis("FLOPs per sample, forward", log=True), plot.axis(loss), height=400
    )
    return {"data": data, "layout": layout}
