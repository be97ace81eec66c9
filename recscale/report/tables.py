"""The report's tables as texts: marginal gains, constants, runs and what became of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from recscale.advice.agreement import Beside
from recscale.advice.gains import MarginalGain, Measured, where
from recscale.advice.hold_out import HoldOut
from recscale.advice.options import Option, base_option, swept
from recscale.advice.runs import largest_option
from recscale.laws import Status
from recscale.report.axes import AxisView, column
from recscale.report.findings import Findings
from recscale.report.sentences import loose
from recscale.run import RunRecord
from recscale.study import Study
from recscale.words import ends, more, number, quantity, span

Cell = tuple[str, str, str]
"""A number, its interval, and a remark; what is not there is empty."""


def gain_rows(f: Findings) -> list[dict[str, Cell]]:
    """The table of marginal gains, one row an axis; a cell without a number says why."""
    rows: list[dict[str, Cell]] = [
        {
            "axis": (v.label, "", f"tried {_range(v)}"),
            "verdict": (v.verdict, "", "" if v.last and v.last.known else v.why),
            "measured": _measured(v.last),
            "base": _rate(f, f.at_base.get(v.axis)),
            "largest": _rate(f, f.at_largest.get(v.axis)),
            "flop": _through(f, f.at_largest.get(v.axis)),
        }
        for v in f.views
    ]
    if f.best_mix:
        words = "from the law's best at the largest run's FLOPs to its best at twice that"
        rows.append({**dict.fromkeys(rows[0] if rows else (), ("", "", "")),
                     "axis": ("all axes, best mix", "", ""),
                     "flop": (*ends(*f.best_mix), words)})  # fmt: skip
    return rows


def _range(v: AxisView) -> str:
    sizes = v.runs[v.size].to_numpy(float)
    return f"{quantity(sizes.min())} to {quantity(sizes.max())}"


def _measured(step: Measured | None) -> Cell:
    if step is None:
        return "", "", "no two runs differ in this axis alone"
    doubling = np.isfinite(step.doublings)
    each = step.doublings if doubling else 1.0
    words = f"{quantity(step.start)} to {quantity(step.end)}" + ("" if doubling else ", whole step")
    if not step.known:
        return number(step.change / each), "", f"{words}; {step.why}"
    if step.data is not None:
        words += f", at data fraction {step.data:g}: it changes with the data"
    elif step.settings > 1:
        words += f", mean of {step.settings} settings"
    return *ends(step.change / each, step.low / each, step.high / each), words


def _rate(f: Findings, rate: MarginalGain | None) -> Cell:
    if rate is None:
        return "", "", "no law" if f.law is None else "cannot grow, or outside the law"
    return *ends(rate.change, rate.low, rate.high), ""


def _through(f: Findings, rate: MarginalGain | None) -> Cell:
    if rate is None:
        return _rate(f, rate)
    paid = rate.per_flop_doubling()
    costs = f"a doubling costs {more(rate.flop_ratio)} FLOPs"
    if paid is None:
        return "", "", f"{costs}: next to none; it is paid in memory and look-ups"
    return *ends(*paid), costs


def places(f: Findings) -> str:
    """Where the law's marginal gains are read off: the sweep's base and its largest run."""
    if not f.at_base:
        return ""
    axes = swept(f.study.spec)
    base, top = base_option(f.study), largest_option(f.study)
    return f"Base: {_place(f.study, base, axes)}. Largest run: {_place(f.study, top, axes)}."


def _place(study: Study, option: Option, axes: list[str]) -> str:
    values = {**option.model.model_dump(), **option.train.model_dump()}
    own = {a: column(study, a) for a in axes}
    values |= {a: option.cost.samples for a in axes if own[a] != a}  # counted in samples
    sizes = [f"{own[a]} {'all' if values[a] is None else f'{values[a]:g}'}" for a in axes]
    return f"{', '.join(sizes)}; {quantity(option.cost.train_flop)} FLOP"


def constants(f: Findings) -> list[tuple[str, str, str]]:
    """(constant, value with its 95 % interval, method) of the law, established or not."""
    if f.fitted is None:
        return []
    unknown = loose(f.fitted)
    return [
        (name, "not determined" if name in unknown else span(value, r["low"], r["high"]),
         str(r["method"]))
        for r in f.fitted.intervals(0.95).to_dict("records")
        for name in [str(r["coefficient"])]
        for value in [f.fitted.coefficients[name]]
    ]  # fmt: skip


def largest(found: HoldOut | None) -> tuple[str, list[tuple[str, ...]]] | None:
    """(one sentence, rows of model, samples, predicted, measured, verdict) of the held-out largest
    models; None where the sweep holds none out."""
    if found is None:
        return None
    n = len(found.runs)
    if found.law is None:
        return (
            f"The {found.fitted} runs of the smaller models do not determine a law by themselves: "
            f"{found.why}.",
            [],
        )
    words = (
        f"A law fitted to the {found.fitted} runs of the smaller models alone predicts "
        f"{found.loss} of the {n} runs of the largest, which it has not seen: mean error "
        f"{100 * found.error:.2g} %, {found.inside} of {n} inside their 90 % intervals."
    )
    if found.law.status == Status.BOUND_HIT:
        words += f" Its fit lies at a bound ({found.why.rstrip('.')}): read it as a description."
    rows = [
        (
            str(r["run_id"]), quantity(r[found.size]), quantity(r["samples"]),
            span(r["predicted"], r["low"], r["high"]), number(r["measured"]),
            "inside" if r["inside"] else "below" if r["measured"] < r["low"] else "above",
        )
        for r in found.runs.to_dict("records")
    ]  # fmt: skip
    return words, rows


def beside_rows(found: list[Beside]) -> tuple[list[str], list[list[str]]]:
    """(variables, rows of metric, value at the largest, agreement at the end and at own best, and
    its slope by every variable) of the metrics beside the loss."""
    variables = next(([s.variable for s in b.slopes] for b in found if b.slopes), [])
    rows = []
    for b in found:
        signs = ["–" if x is None else f"{x:+.2f}" for x in (b.final, b.best)]
        slopes = [span(s.change, s.low, s.high) for s in b.slopes] or ["–"] * len(variables)
        rows.append([b.metric, number(b.largest), *signs, *slopes])
    return variables, rows


def failures(attempts: Iterable[RunRecord]) -> list[dict[str, str]]:
    """Every failed attempt, also of runs that a later attempt finished."""
    failed = [r for r in attempts if r.status == "failed"]
    return [
        {"run_id": r.run_id, "last": ([""] + (r.error or "").strip().splitlines())[-1],
         "error": r.error or "no error was recorded"}
        for r in sorted(failed, key=lambda r: (r.run_id, r.finished_at))
    ]  # fmt: skip


def left_out(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """(reason, run ids) of finished runs that enter no law."""
    done = where(frame, ~frame["enters_law"].astype(bool) & (frame["status"] == "done"))
    ids: dict[str, list[str]] = {}
    for r in done.sort_values("run_id").to_dict("records"):
        ids.setdefault(r["left_out"], []).append(r["run_id"])
    return [(reason, ", ".join(names)) for reason, names in sorted(ids.items())]


def baselines(study: Study) -> tuple[str, list[tuple[str, ...]]] | None:
    """(one sentence, rows of baseline, nats a sample, in the unit of the law's loss, runs that are
    no better) of the data's baselines; None where its manifest has none."""
    found = study.baselines
    if not found:
        return None
    below, done = study.below(), study.count("done")
    inside = study.data.baselines_in(study.spec.law_loss)
    rows = [
        (name, number(nats), number(inside.get(name)),
         f"{sum(name in r.worse_than for r in below)} of {done}")
        for name, nats in found.items()
    ]  # fmt: skip
    if not below:
        return f"All of the {done} finished runs beat every baseline." if done else "", rows
    if study.spec.law.below_baseline:
        fate = "they enter the law, as the sweep asks (law.below_baseline)"
    else:
        fate = "they are kept out of the law (law.below_baseline lets them in)"
    words = f"{len(below)} of the {done} finished runs are no better than a baseline; {fate}."
    return words, rows


def missing(study: Study) -> list[str]:
    """Planned runs without a record."""
    seen = {r.run_id for r in study.records}
    return [p.run_id for p in study.planned if p.run_id not in seen]
