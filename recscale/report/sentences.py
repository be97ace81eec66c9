"""The report's answer in sentences. Every number has an interval or says why not; what the runs do
not determine is said, not guessed."""

from __future__ import annotations

import re

import numpy as np

from recscale.advice.gains import LEVEL, law_runs
from recscale.advice.noise import seed_noise
from recscale.advice.unknown import beyond_told
from recscale.frame import trainings
from recscale.laws import ScalingLaw, Status, fit
from recscale.laws.effects import USUAL
from recscale.report.axes import label as label_of
from recscale.report.findings import Findings
from recscale.study import Study
from recscale.words import more, number, quantity, span

LOOSE = 1e4
HELD_IN = 0.8  # share of the runs, cheapest first, that must predict the rest


def equation(law: ScalingLaw) -> str:
    """The formula with its constants filled in, three digits each."""
    names = "|".join(map(re.escape, sorted(law.coefficients, key=len, reverse=True)))
    filled = re.sub(rf"\b({names})\b", lambda m: f"{law.coefficients[m[1]]:.3g}", law.model.formula)
    return f"{law.points.loss} = {filled}"


def held_out(f: Findings) -> str:
    """How well the cheapest four fifths of the runs predict the most expensive fifth: the hold-out
    that every claim about larger runs rests on."""
    runs = law_runs(f.frame).sort_values(["train_flop", "run_id"])
    cut, spec = int(HELD_IN * len(runs)), f.study.spec
    cheap, expensive = runs.iloc[:cut], runs.iloc[cut:]
    if f.law is None or not len(expensive):
        return "No law, so nothing to hold out."
    known = list(f.law.variables)
    zeros = spec.axis_variables
    law = fit(
        cheap, f.law.form, known, spec.law_loss, cost="train_flop", zeros=zeros,
        cluster=trainings(cheap),
    )  # fmt: skip
    if law.status != Status.CONVERGED:
        return (
            f"Held out: the cheapest {cut} of {len(runs)} runs do not determine the law by "
            f"themselves ({law.reason.rstrip('.')}), so its reach is not tested."
        )
    p, y = law.predict(expensive, LEVEL), expensive[spec.law_loss].to_numpy(float)
    mean, low, high = (p[c].to_numpy(float) for c in ("mean", "low", "high"))
    inside = int(((low <= y) & (y <= high)).sum())
    return (
        f"Held out: fitted to the cheapest {cut} of {len(runs)} runs, the law predicts the "
        f"{len(expensive)} most expensive with a mean error of "
        f"{100 * np.abs(y / mean - 1).mean():.2g} %; "
        f"{inside} of {len(expensive)} lie inside their 90 % intervals."
    )


def findings(f: Findings) -> list[str]:
    """The law, the floor, what pays, what is saturated, what is open."""
    out = [_law_sentence(f)]
    if f.floor is not None:
        out.append(_floor_sentence(f))
    return [*out, *_pays(f), *_groups(f)]


def _law_sentence(f: Findings) -> str:
    if f.fitted is None:
        return f"The law of {f.loss} is not determined: {f.law_words}."
    if f.law is None:
        return (
            f"The fit of {f.loss} to {f.fitted.n} runs lies at a bound ({f.law_words.rstrip('.')}):"
            " it describes the runs and is not established as a law, so no law is drawn."
        )
    out = f"{equation(f.law)}, fitted to {f.law.n} runs"
    if unknown := loose(f.law):
        form = f"{f.law.points.loss} = {f.law.model.formula}"
        out = f"{form}, fitted to {f.law.n} runs, which do not determine {', '.join(unknown)}"
    if f.floor is None and f.law.model.limit is not None:
        low, _ = _ends(f.law)
        if assumed := beyond_told(f.law):
            out += f"; of {', '.join(assumed)} too few values were run for an exponent, and "
            out += f"{USUAL:g} is assumed"
        elif low > 0:
            out += f"; no run can get below {f.law.model.limit} = {_constant(f.law)} (95 %)"
        else:
            out += f"; what no run can get below is not known: {_at_most(f.law)}"
    return out + "."


def loose(law: ScalingLaw) -> list[str]:
    """Constants whose 95 % interval spans more than LOOSE times: values of them are no results."""
    out = []
    for r in law.intervals(0.95).to_dict("records"):
        name, sizes = str(r["coefficient"]), (abs(r["low"]), abs(r["high"]))
        least = min(sizes) if r["low"] * r["high"] > 0 else abs(law.coefficients[name])
        if name != law.model.limit and not max(sizes) < LOOSE * least:
            out.append(name)
    return out


def _ends(law: ScalingLaw) -> tuple[float, float]:
    """The 95 % interval of the law's limit."""
    row = law.intervals(0.95).set_index("coefficient").loc[law.model.limit]
    return float(row["low"]), float(row["high"])


def _at_most(law: ScalingLaw) -> str:
    """What an interval that begins at 0 says of a limit."""
    return f"{law.model.limit} may be anything up to {number(_ends(law)[1])} (95 %)"


def _constant(law: ScalingLaw) -> str:
    """The law's limit with its 95 % interval, for a form that has one."""
    name = law.model.limit
    assert name is not None
    return span(law.coefficients[name], *_ends(law))


def _floor_sentence(f: Findings) -> str:
    assert f.floor is not None
    text = f"This world is synthetic and its own floor is known: {f.loss} {number(f.floor)}"
    if f.fitted is None or f.fitted.model.limit is None:
        return text + "; no constant is fitted yet to hold against it."
    name, (low, high) = f.fitted.model.limit, _ends(f.fitted)
    if low <= 0 and f.floor <= high:
        return f"{text}; these runs do not tell it: {_at_most(f.fitted)}."
    held = f"the fitted constant's interval, {name} = {_constant(f.fitted)}"
    if f.floor < low:
        return f"{text}; it lies BELOW {held}, which also holds what no size in it removes."
    if f.floor > high:
        return f"{text}; it lies ABOVE {held}: far out, the law promises what no model can reach."
    return f"{text}; it lies inside {held}."


def _pays(f: Findings) -> list[str]:
    label = {a: label_of(f.study, a) for a in f.at_largest}
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
    if not len(law_runs(f.frame)):
        return "no run has ended well yet"
    if not f.views:
        return "the sweep varies no axis"
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
    parts = []
    if priced:
        p, axis = priced[0]
        parts.append(f"per doubling of the compute put there it is the {label[axis]}: {span(*p)}")
    parts += [
        f"doubling the {label[r.axis]} gains {span(r.change, r.low, r.high)} for "
        f"{more(r.flop_ratio)} FLOPs, paid in memory and look-ups"
        for r in free
    ]
    out = "; ".join(parts)
    return out[:1].upper() + out[1:] + "." if out else ""


def _groups(f: Findings) -> list[str]:
    """What does not pay and what is open, axes with the same reason together."""
    out = []
    for verdict, words in (
        ("saturated", "Saturated"),
        ("larger is worse", "Worse when larger, as measured"),
        ("within noise", "No difference beyond noise"),
        ("not determined", "Not determined"),
    ):
        reasons: dict[str, list[str]] = {}
        for v in f.views:
            if v.verdict == verdict:
                reasons.setdefault(v.why, []).append(v.label)
        if reasons:
            each = (f"{', '.join(axes)} ({why})" for why, axes in reasons.items())
            out.append(f"{words}: {'; '.join(each)}.")
    return out


def no_noise(study: Study) -> str:
    """Why nothing is known of the noise between seeds."""
    if study.spec.train.seeds > 1:
        why = "No configuration has two runs that enter the law"
    else:
        why = "One seed a configuration"
    return f"{why}: the noise between runs is unknown."


def noise_sentence(f: Findings) -> str:
    """What is known of the noise between seeds."""
    noise = seed_noise(f.frame, f.loss) if len(f.frame) else None
    if noise is None:
        return no_noise(f.study)
    return (
        f"Seeds of one configuration scatter by {number(noise.sd)} in {f.loss} (standard "
        f"deviation, {noise.df} degrees of freedom); less than that is not called a difference."
    )
