"""The catalogue of forms, and the choice among them by what they predict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from recscale.laws.bounded import Bounded
from recscale.laws.broken import Broken
from recscale.laws.coupled import Gamma, Kaplan
from recscale.laws.effects import Axis, Effects, effects, reduced
from recscale.laws.forms import Additive, Form
from recscale.laws.growth import Growth
from recscale.laws.law import ScalingLaw
from recscale.laws.nouns import LawError, Points, Status
from recscale.laws.peaked import Peaked
from recscale.laws.points import MOST_VARIABLES
from recscale.laws.repeated import Repeated
from recscale.laws.solve import solve


@dataclass(frozen=True)
class Kind:
    """An entry of the catalogue.

    Attributes:
        takes: how many variables.
        make: the form of variables, centred, with its constant above `floor`.
        sign: 1 for losses, which fall, -1 for metrics, which rise.
        auto: whether form auto tries it.
    """

    takes: tuple[int, ...]
    make: Callable[[tuple[str, ...], np.ndarray, float], Form]
    sign: int = 1
    auto: bool = True


def _effects(variables: tuple[str, ...], centre: np.ndarray, floor: float) -> Form:
    """Of variables with three values or more, none 0; `build` looks at the values."""
    return Effects(variables, centre, (Axis(None, True, True, False),) * len(variables), floor)


ANY = (1, 2, 3, 4)
CATALOGUE = {
    "power": Kind((1,), lambda v, c, floor: Additive(v, c, name="power", floor=floor)),
    "additive": Kind(ANY, lambda v, c, floor: Additive(v, c, floor=floor)),
    "gamma": Kind((2, 3, 4), lambda v, c, floor: Gamma(v, c, floor=floor)),
    "bounded": Kind(ANY, lambda v, c, floor: Bounded(v, c, floor=floor)),
    "kaplan": Kind((2,), lambda v, c, floor: Kaplan(v, c, floor=floor)),
    "repeated": Kind((3,), lambda v, c, floor: Repeated(v, c, floor=floor)),
    "effects": Kind(tuple(range(1, MOST_VARIABLES + 1)), _effects, auto=False),
    "broken": Kind((1,), lambda v, c, floor: Broken(v, c, floor), auto=False),
    "saturating": Kind(
        ANY, lambda v, c, floor: Additive(v, c, name="saturating", sign=-1, floor=floor), -1
    ),
    "growth": Kind(ANY, lambda v, c, floor: Growth(v, c), -1),
    "peaked": Kind(ANY, lambda v, c, floor: Peaked(v, c), -1),
}
ORIGINS = (0.4, 0.6, 0.8)  # share of the runs, cheapest first, that predict the rest
WORTH = 1.05  # a form with more constants must predict better than this
EXACT = 1e-7  # log errors below this are rounding


def build(name: str, points: Points, *, floor: float = 0.0) -> Form:
    """The form of that name, centred on the points.

    Raises:
        LawError: the form takes another number of variables.
    """
    kind, v = CATALOGUE[name], points.variables
    if kind.make is _effects and len(v) in kind.takes:
        return effects(points, floor)
    if len(v) not in kind.takes:
        fitting = [n for n, k in CATALOGUE.items() if len(v) in k.takes]
        raise LawError(
            f"form {name!r} takes {' or '.join(map(str, kind.takes))} variables, not {len(v)}; "
            f"for {', '.join(v)} use one of {', '.join(fitting)}"
        )
    return kind.make(v, points.logx.mean(0), floor)


def settled(points: Points, name: str, delta: float, *, floor: float = 0.0) -> ScalingLaw:
    """The law of the form of that name; of effects without the axes that have none.

    Raises:
        LawError: the form takes another number of variables.
    """
    law = solve(points, build(name, points, floor=floor), delta)
    while isinstance(law.model, Effects) and law.bounds_hit:
        less = reduced(law.model, law.bounds_hit)
        if less is None:
            break
        law = solve(points, less, delta)
    return law


@dataclass(frozen=True)
class Contender:
    """A way to see the same runs.

    Attributes:
        what: in words, such as `axes apart`.
        law: fitted to all of them.
        error: its mean rolling-origin error, log loss; NaN where nothing was predicted.
    """

    what: str
    law: ScalingLaw
    error: float


def contest(entries: Mapping[str, tuple[Points, str]], delta: float) -> list[Contender]:
    """Laws of the same runs over different variables, the best supported first.

    Those that the runs determine come first; of them those whose error is within WORTH of the
    least, the ones at no bound before the others, else in the order given; then the others by their
    errors. Errors are those of `choose`, over the origins that determine all; where there are none,
    all count as equal. The first one's
    `choice` lists them all.

    Args:
        entries: what -> points, form; all of the same rows.
    """
    errors, laws = {}, {}
    for what, (points, form) in entries.items():
        law = choose(points, delta) if form == "auto" else settled(points, form, delta)
        errors[what], laws[what] = _errors(points, law.form, delta, 0.0), law
    able = [w for w, law in laws.items() if law.status.determined]
    usable = [i for i in range(len(ORIGINS)) if all(np.isfinite(errors[w][i]) for w in able)]
    score = {w: float(np.mean([e[i] for i in usable])) if usable else np.nan
             for w, e in errors.items()}  # fmt: skip
    least = min((score[w] for w in able), default=np.nan)

    def order(what: str) -> tuple[bool, float, bool]:
        far = score[what] > WORTH * least + EXACT  # never of NaN
        bound = laws[what].status is not Status.CONVERGED
        return what not in able, score[what] if far else 0.0, bound

    ranked = sorted(entries, key=order)
    table = pd.DataFrame(
        {
            "form": [f"{w}: {laws[w].form} of {', '.join(laws[w].variables)}" for w in ranked],
            "constants": [len(laws[w].theta) for w in ranked],
            "rolling_error": [score[w] for w in ranked],
            "objective": [laws[w].objective for w in ranked],
            "status": [laws[w].status.value for w in ranked],
            "chosen": [w == ranked[0] for w in ranked],
        }
    )
    return [
        Contender(w, replace(laws[w], choice=table) if w == ranked[0] else laws[w], score[w])
        for w in ranked
    ]


def choose(points: Points, delta: float, *, floor: float = 0.0) -> ScalingLaw:
    """The law of the form with the least rolling-origin error; `choice` lists the losers.

    The error of a form is its mean absolute log error on more expensive runs when fitted to the
    cheapest 40, 60 and 80 %, averaged over those origins that determine every form in the running.
    The form with the fewest constants within 5 % of the best is taken.
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
    names = [n for n, k in CATALOGUE.items() if k.auto and p in k.takes and (k.sign < 0) == rises]
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
        cheap, expensive = points.take(order[:cut]), points.take(order[cut:])
        if not cheap.n or not expensive.n:
            out.append(np.nan)
            continue
        law = settled(cheap, name, delta, floor=floor)
        if law.status is Status.UNDERDETERMINED:
            out.append(np.nan)
            continue
        f = law.model.evaluate(law.theta[None], expensive.logx)[0][0]
        error = np.abs(np.log(np.maximum(f, 1e-300)) - np.log(expensive.y))
        out.append(float(np.average(error, weights=expensive.weights)))
    return out
