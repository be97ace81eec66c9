"""The catalogue of forms, and the choice among them by what they foretell."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from recscale.laws.coupled import Gamma, Kaplan
from recscale.laws.forms import Additive, Form
from recscale.laws.growth import Growth
from recscale.laws.law import ScalingLaw
from recscale.laws.nouns import LawError, Points, Status
from recscale.laws.peaked import Peaked
from recscale.laws.repeated import Repeated
from recscale.laws.solve import solve


@dataclass(frozen=True)
class Kind:
    """An entry of the catalogue.

    Attributes:
        takes: how many variables.
        make: the form of variables, centred, with its constant above `floor`.
        sign: 1 for losses, which fall, -1 for metrics, which rise.
    """

    takes: tuple[int, ...]
    make: Callable[[tuple[str, ...], np.ndarray, float], Form]
    sign: int = 1


ANY = (1, 2, 3, 4)
CATALOGUE = {
    "power": Kind((1,), lambda v, c, floor: Additive(v, c, name="power", floor=floor)),
    "additive": Kind(ANY, lambda v, c, floor: Additive(v, c, floor=floor)),
    "gamma": Kind((2, 3, 4), lambda v, c, floor: Gamma(v, c, floor=floor)),
    "kaplan": Kind((2,), lambda v, c, floor: Kaplan(v, c, floor=floor)),
    "repeated": Kind((3,), lambda v, c, floor: Repeated(v, c, floor=floor)),
    "saturating": Kind(
        ANY, lambda v, c, floor: Additive(v, c, name="saturating", sign=-1, floor=floor), -1
    ),
    "growth": Kind(ANY, lambda v, c, floor: Growth(v, c), -1),
    "peaked": Kind(ANY, lambda v, c, floor: Peaked(v, c), -1),
}
ORIGINS = (0.4, 0.6, 0.8)  # share of the runs, cheapest first, that foretell the rest
WORTH = 1.05  # a form with more constants must foretell better than this
EXACT = 1e-7  # log errors below this are rounding


def build(name: str, points: Points, *, floor: float = 0.0) -> Form:
    """The form of that name, centred on the points.

    Raises:
        LawError: the form takes another number of variables.
    """
    kind, v = CATALOGUE[name], points.variables
    if len(v) not in kind.takes:
        fitting = [n for n, k in CATALOGUE.items() if len(v) in k.takes]
        raise LawError(
            f"form {name!r} takes {' or '.join(map(str, kind.takes))} variables, not {len(v)}; "
            f"for {', '.join(v)} use one of {', '.join(fitting)}"
        )
    return kind.make(v, points.logx.mean(0), floor)


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
    names = [n for n, k in CATALOGUE.items() if p in k.takes and (k.sign < 0) == rises]
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
