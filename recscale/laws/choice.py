"""The catalogue of forms, and the choice among them by what they foretell."""

from dataclasses import replace

import numpy as np
import pandas as pd

from recscale.laws.coupled import Gamma, Kaplan
from recscale.laws.forms import Additive, Form
from recscale.laws.law import ScalingLaw
from recscale.laws.nouns import LawError, Points, Status
from recscale.laws.peaked import Peaked
from recscale.laws.repeated import Repeated
from recscale.laws.solve import solve

# How many variables each form takes, and whether it rises (metrics) or falls (losses).
CATALOGUE = {
    "power": ((1,), 1),
    "additive": ((1, 2, 3, 4), 1),
    "gamma": ((2, 3, 4), 1),
    "kaplan": ((2,), 1),
    "repeated": ((3,), 1),
    "saturating": ((1, 2, 3, 4), -1),
    "peaked": ((1, 2, 3, 4), -1),
}
ORIGINS = (0.4, 0.6, 0.8)  # share of the runs, cheapest first, that foretell the rest
WORTH = 1.05  # a form with more constants must foretell better than this
EXACT = 1e-7  # log errors below this are rounding


def build(name: str, points: Points, *, floor: float = 0.0) -> Form:
    """The form of that name, centred on the points.

    Raises:
        LawError: the form takes another number of variables.
    """
    takes, _ = CATALOGUE[name]
    v, centre = points.variables, points.logx.mean(0)
    if len(v) not in takes:
        fitting = [n for n, (t, _) in CATALOGUE.items() if len(v) in t]
        raise LawError(
            f"form {name!r} takes {' or '.join(map(str, takes))} variables, not {len(v)}; "
            f"for {', '.join(v)} use one of {', '.join(fitting)}"
        )
    if name == "gamma":
        return Gamma(v, centre, floor=floor)
    if name == "kaplan":
        return Kaplan(v, centre, floor=floor)
    if name == "repeated":
        return Repeated(v, centre, floor=floor)
    if name == "peaked":
        return Peaked(v, centre)
    return Additive(v, centre, name=name, sign=CATALOGUE[name][1], floor=floor)


def choose(points: Points, delta: float, *, floor: float = 0.0) -> ScalingLaw:
    """The law of the form with the least rolling-origin error; `choice` lists the losers.

    The error of a form is its mean absolute log error on dearer runs when fitted to the cheapest
    40, 60 and 80 %, averaged over those origins that determine every form in the running. The
    form with the fewest constants within 5 % of the best is taken.
    """
    names = candidates(points)
    errors = {name: _errors(points, name, delta, floor) for name in names}
    simplest = names[0]
    usable = [i for i in range(len(ORIGINS)) if np.isfinite(errors[simplest][i])]
    score = {
        n: float(np.mean([e[i] for i in usable])) if usable else np.nan for n, e in errors.items()
    }
    laws = {n: solve(points, build(n, points, floor=floor), delta) for n in names}
    alive = [
        n for n in names if np.isfinite(score[n]) and laws[n].status is not Status.UNDERDETERMINED
    ]
    best = min((score[n] for n in alive), default=np.nan)
    close = [n for n in alive if score[n] <= WORTH * best + EXACT]
    winner = min(close, key=lambda n: (len(laws[n].theta), score[n]), default=simplest)
    table = pd.DataFrame(
        {
            "form": names,
            "constants": [len(laws[n].theta) for n in names],
            "rolling_error": [score[n] for n in names],
            "objective": [laws[n].objective for n in names],
            "status": [laws[n].status.value for n in names],
            "chosen": [n == winner for n in names],
        }
    ).sort_values("rolling_error", ignore_index=True)
    return replace(laws[winner], choice=table)


def candidates(points: Points) -> list[str]:
    """Forms worth trying, simplest first: falling ones for losses, rising ones for metrics."""
    p = len(points.variables)
    z = points.logx - points.logx.mean(0)
    z = z / np.maximum(z.std(0), 1e-12)
    rises = float(z.sum(1) @ (np.log(points.y) - np.log(points.y).mean())) > 0
    names = [n for n, (takes, sign) in CATALOGUE.items() if p in takes and (sign < 0) == rises]
    if p == 1 and not rises:
        names.remove("additive")  # the same law under other names
    if "repeated" in names and not _looks_repeated(points):
        names.remove("repeated")
    return names


def _looks_repeated(points: Points) -> bool:
    """Whether the third variable can be the unique part of the second."""
    ratio = points.logx[:, 1] - points.logx[:, 2]
    return bool(ratio.min() > -1e-6 and ratio.max() > np.log(1.5))


def _errors(points: Points, name: str, delta: float, floor: float) -> list[float]:
    order = np.argsort(points.rank, kind="stable")
    out = []
    for share in ORIGINS:
        cut = int(round(share * points.n))
        cheap, dear = points.take(order[:cut]), points.take(order[cut:])
        if not cheap.n or not dear.n:
            out.append(np.nan)
            continue
        law = solve(cheap, build(name, cheap, floor=floor), delta)
        if law.status is Status.UNDERDETERMINED:
            out.append(np.nan)
            continue
        f = law.model.evaluate(law.theta[None], dear.logx)[0][0]
        error = np.abs(np.log(np.maximum(f, 1e-300) / dear.y))
        out.append(float(np.average(error, weights=dear.weights)))
    return out
