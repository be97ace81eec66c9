"""The report's answer in sentences and its table of exchange rates. Every number has an interval
or says why not; what the runs do not determine is said, not guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recscale.advice import largest_option
from recscale.exchange import LEVEL, Measured, Rate, Resampled, law_runs, seed_noise
from recscale.laws import LawError, ScalingLaw, Status
from recscale.options import base_option, option, space, weigh
from recscale.report.axes import AxisView, axis_views
from recscale.report.figures import frontier_row
from recscale.study import Study
from recscale.words import more, number, quantity, span

AHEAD = 10.0  # times the largest run: how far the frontier is drawn
BUDGETS = 28


@dataclass(frozen=True)
class Findings:
    """Everything the page says, computed once.

    Attributes:
        law: the sweep's law where it is established; None with `law_words` where it is not.
        fitted: the law as fitted, also at a bound; None where there are no coefficients.
        at_base, at_largest: the law's exchange rates by axis; empty without a law.
        best_mix: the law's gain from doubling the largest run's FLOPs with the best mix.
        frontier: the law's best at each budget, or None.
    """

    study: Study
    frame: pd.DataFrame
    law: ScalingLaw | None
    fitted: ScalingLaw | None
    law_words: str
    views: tuple[AxisView, ...]
    at_base: dict[str, Rate]
    at_largest: dict[str, Rate]
    best_mix: tuple[float, float, float] | None
    frontier: pd.DataFrame | None

    @property
    def loss(self) -> str:
        return self.study.spec.law.loss

    @property
    def floor(self) -> float | None:
        """The synthetic world's own loss in the unit of the law's loss."""
        floor = self.study.data.floor
        if floor is None:
            return None
        return floor.ne if self.loss == "eval_ne" else floor.log_loss


def find(study: Study) -> Findings:
    """All findings of a study; works from the first record on."""
    frame = study.frame()
    fitted, words = _law(study)
    law = fitted if fitted is not None and fitted.status == Status.CONVERGED else None
    at_base: dict[str, Rate] = {}
    at_largest: dict[str, Rate] = {}
    mix = frontier = None
    if law is not None:
        resampled = Resampled.of(law)
        at_base = {r.axis: r for r in resampled.rates(study, base_option(study))}
        at_largest = {r.axis: r for r in resampled.rates(study, largest_option(study))}
        frontier, mix = _frontier(study, resampled, frame)
    views = tuple(axis_views(study, frame))
    return Findings(
        study, frame, law, fitted, words, views, at_base, at_largest, mix, frontier
    )


def _law(study: Study) -> tuple[ScalingLaw | None, str]:
    try:
        law = study.law()
    except LawError as error:
        return None, str(error)
    if law.status == Status.UNDERDETERMINED:
        return None, law.reason
    return law, law.reason


def _frontier(study: Study, resampled: Resampled, frame: pd.DataFrame):
    """The law's best legal configuration at each budget up to AHEAD times the largest run, and
    its change from the largest run's budget to twice that."""
    law = resampled.law
    flops = law_runs(frame)["train_flop"].to_numpy(float)
    options, top = space(study, AHEAD), float(flops.max())
    budgets = [*np.geomspace(flops.min(), top * AHEAD, BUDGETS), top, 2 * top]
    try:
        found = weigh(study, options, law, budgets)
    except LawError:
        return None, None
    chosen = [option(study, options.models[f[0]], f[1]) if f else None for f in found]
    rows = [(b, o) for b, o in zip(budgets[:-2], chosen[:-2], strict=True) if o is not None]
    p = law.predict(pd.DataFrame([o.values() for _, o in rows]), LEVEL)
    table = pd.DataFrame(
        [
            frontier_row(o, b, *map(float, ends), rows=study.data.n_train)
            for (b, o), ends in zip(rows, p[["mean", "low", "high"]].to_numpy(), strict=True)
        ]
    )
    now, twice = chosen[-2:]
    if now is None or twice is None:
        return table, None
    mean, low, high = resampled.change(now.values(), [twice.values()])[0]
    return table, (float(mean), float(low), float(high))


def answer(f: Findings) -> list[str]:
    """Three to six sentences: the law, what pays, what is saturated, the floor, what is open."""
    out = [_law_sentence(f)]
    if f.floor is not None:
        out.append(_floor_sentence(f))
    out += _pays(f)
    out += _groups(f)
    return out


def _law_sentence(f: Findings) -> str:
    n = f.law.n if f.law else 0
    if f.fitted is None:
        return f"The law of {f.loss} is not determined: {f.law_words}."
    if f.law is None:
        return (
            f"The fit of {f.loss} to {f.fitted.n} runs lies at a bound ({f.law_words.rstrip('.')}):"
            " it describes the runs and is not established as a law, so no law is drawn."
        )
    ends = f.law.intervals(0.95).set_index("coefficient")
    shown = [
        f"{c} {span(f.law.coefficients[c], ends.loc[c, 'low'], ends.loc[c, 'high'])}"
        for c in f.law.coefficients
        if not c.startswith("A")
    ]
    return (
        f"{f.loss} follows {f.law.model.formula} over {n} runs with {', '.join(shown)} "
        "(95 % intervals)."
    )


def _floor_sentence(f: Findings) -> str:
    assert f.floor is not None
    text = f"This world is synthetic and its own floor is known: {f.loss} {number(f.floor)}"
    if f.fitted is None:
        return text + "; no constant is fitted yet to hold against it."
    name = f.fitted.model.names[0]
    ends = f.fitted.intervals(0.95).set_index("coefficient").loc[name]
    value, low, high = f.fitted.coefficients[name], float(ends["low"]), float(ends["high"])
    inside = "lies inside" if low <= f.floor <= high else "lies OUTSIDE"
    return f"{text}; it {inside} the interval of the fitted {name} = {span(value, low, high)}."


def _pays(f: Findings) -> list[str]:
    label = {v.axis: v.label for v in f.views}
    if f.at_largest:
        return [s for s in (_per_size(f, label), _per_flop(f, label)) if s]
    known = [v for v in f.views if v.last and v.last.known]
    if not known:
        return ["Which axis pays most is not determined: " + _why_unknown(f) + "."]
    best = min(known, key=lambda v: v.last.change)  # type: ignore[union-attr]
    last = best.last
    assert last is not None
    if last.high >= 0:
        return ["As measured, the last step of no axis gains more than noise."]
    return [
        f"As measured, the last step of {best.label} ({quantity(last.start)} to "
        f"{quantity(last.end)}) pays most: {span(last.change, last.low, last.high)} in {f.loss} "
        "(90 %)."
    ]


def _why_unknown(f: Findings) -> str:
    if not len(f.frame) or not f.views:
        return "no run has ended yet"
    return "there is no law, and with one seed a single difference cannot be told from noise"


def _per_size(f: Findings, label: dict[str, str]) -> str:
    ranked = sorted(f.at_largest.values(), key=lambda r: (r.change, r.axis))
    best = ranked[0]
    if best.high >= 0:
        return "By the law, no axis gains surely from doubling at the largest run."
    text = (
        f"At the largest run, doubling the {label[best.axis]} pays most: "
        f"{span(best.change, best.low, best.high)} in {f.loss}"
    )
    rest = [r for r in ranked[1:] if r.low <= best.high]
    if rest:
        return text + f" (not told apart from {', '.join(label[r.axis] for r in rest)})."
    return text + (f"; next is the {label[ranked[1].axis]}." if len(ranked) > 1 else ".")


def _per_flop(f: Findings, label: dict[str, str]) -> str:
    paid = {r.axis: r.per_flop_doubling() for r in f.at_largest.values()}
    priced = sorted((p, a) for a, p in paid.items() if p and p[2] < 0)
    free = [r for r in f.at_largest.values() if r.free and r.high < 0]
    out = ""
    if priced:
        p, axis = priced[0]
        out = (
            f"Per doubling of training compute it is the {label[axis]}: {span(*p)} (90 %) for "
            f"each doubling of FLOPs spent through it"
        )
    if free:
        names = ", ".join(label[r.axis] for r in free)
        costs = ", ".join(more(r.flop_ratio) for r in free)
        out += ("; " if out else "") + f"{names} costs next to no FLOPs ({costs} a doubling) "
        out += "and is paid in memory and look-ups"
    if f.best_mix:
        out += ("; " if out else "") + (
            f"the best mix of all axes gains {span(*f.best_mix)} from doubling the compute"
        )
    return out[:1].upper() + out[1:] + "." if out else ""


def _groups(f: Findings) -> list[str]:
    out = []
    for verdict, words in (
        ("saturated", "Saturated: {}."),
        ("larger is worse", "Worse when larger, as measured: {}."),
        ("within noise", "No difference beyond noise: {}."),
        ("not determined", "Not determined: {}."),
    ):
        found = [v for v in f.views if v.verdict == verdict]
        if found:
            out.append(words.format("; ".join(f"{v.label} ({v.why})" for v in found)))
    return out


def exchange_rows(f: Findings) -> list[dict[str, Any]]:
    """The exchange table: one row an axis, each cell a text with its interval or the reason."""
    return [
        {
            "axis": v.label,
            "values": _range(v),
            "measured": _measured(v.last),
            "base": _rate(f, f.at_base.get(v.axis)),
            "largest": _rate(f, f.at_largest.get(v.axis)),
            "flop": _through(f, f.at_largest.get(v.axis)),
            "verdict": v.verdict,
            "why": v.why,
        }
        for v in f.views
    ]


def _range(v: AxisView) -> str:
    sizes = v.runs[v.size].to_numpy(float)
    return f"{quantity(sizes.min())} to {quantity(sizes.max())}"


def _measured(step: Measured | None) -> str:
    if step is None:
        return "no pair of runs"
    where = f"{quantity(step.start)} → {quantity(step.end)}"
    each = step.doublings if np.isfinite(step.doublings) else 1.0
    unit = "" if np.isfinite(step.doublings) else " for the step"
    if not step.known:
        return f"{number(step.change / each)}{unit} ({where}; {step.why})"
    text = span(step.change / each, step.low / each, step.high / each)
    return f"{text}{unit} ({where}, {step.settings} setting{'s' * (step.settings > 1)})"


def _rate(f: Findings, rate: Rate | None) -> str:
    if rate is None:
        return "no law" if f.law is None else "cannot grow, or the law has no value there"
    return span(rate.change, rate.low, rate.high)


def _through(f: Findings, rate: Rate | None) -> str:
    if rate is None:
        return _rate(f, rate)
    paid = rate.per_flop_doubling()
    if paid is None:
        return f"next to no FLOPs ({more(rate.flop_ratio)})"
    return f"{span(*paid)} ({more(rate.flop_ratio)} a doubling)"


def noise_sentence(f: Findings) -> str:
    """What is known of the noise between seeds."""
    noise = seed_noise(f.frame, f.loss) if len(f.frame) else None
    if noise is None:
        return "One seed a configuration: the noise between runs is unknown."
    return (
        f"Seeds of one configuration scatter by {number(noise.sd)} in {f.loss} (standard "
        f"deviation, {noise.df} degrees of freedom); less than that is not called a difference."
    )
