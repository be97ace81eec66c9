"""Why a gain cannot be promised yet, and which run would tell most about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recscale.advice.beliefs import DRAWS, Gain
from recscale.advice.noise import seed_noise
from recscale.advice.options import Option, doubled, known_to, swept
from recscale.laws import LawError, Role, ScalingLaw, Status
from recscale.laws.effects import Effects
from recscale.planner import pace
from recscale.run import RunRecord
from recscale.study import Study
from recscale.words import span

INSIDE = 0.01  # decades beyond the runs that are rounding
WORTH = 0.05  # of a gain's variance: a run that explains less tells nothing


@dataclass(frozen=True)
class Step:
    """A run whose result would tell whether there is a gain.

    Attributes:
        what: the run in words, such as `another seed of ...`.
        explains: share of the variance of the gain that its result takes away; None where there is
            no law to say so.
        flop, time_s, gpu_hours, usd: its cost, at the pace measured in this sweep.
    """

    option: Option
    what: str
    explains: float | None
    flop: float
    time_s: float
    gpu_hours: float
    usd: float

    def facts(self) -> dict[str, Any]:
        return {
            "run": self.what,
            "model": self.option.model.model_dump(),
            "data_fraction": self.option.train.data_fraction,
            "epochs": self.option.train.epochs,
            "explains": self.explains,
            "train_flop": self.flop,
            "time_s": self.time_s,
            "gpu_hours": self.gpu_hours,
            "usd": self.usd,
        }


def doubts(
    law: ScalingLaw | None, found: Gain | None, decades: Mapping[str, float], why: str
) -> tuple[str, ...]:
    """Why no gain is promised; empty where one is. decades: law variable -> how far beyond the
    runs the advised one lies."""
    if law is None or found is None:
        return (f"there is no law to predict one: {why.rstrip('.')}",)
    out = []
    if law.status is Status.BOUND_HIT:
        out.append(f"the law is at a bound ({why.rstrip('.')})")
    if free := unlearnt(law):
        out.append(f"the runs say nothing of {' and '.join(free)}")
    if assumed := [v for v in beyond_told(law) if decades.get(v, 0) > INSIDE]:
        out.append(f"the runs tell no exponent of {' and '.join(assumed)}, which it grows")
    if not found.sure:
        out.append(f"its interval holds 0: {span(found.mean, found.low, found.high)}")
    return tuple(out)


def unlearnt(law: ScalingLaw) -> list[str]:
    """Exponents whose interval is all of the range that they may have."""
    ends = law.intervals(0.95).set_index("coefficient")
    limits = zip(law.model.constants, law.model.lower, law.model.upper, strict=True)
    return [
        c.name
        for c, low, high in limits
        if c.role is Role.EXPONENT
        and ends.loc[c.name, "low"] <= 1.05 * low
        and ends.loc[c.name, "high"] >= 0.95 * high
    ]


def beyond_told(law: ScalingLaw) -> list[str]:
    """Variables whose course beyond the runs is assumed: of too few values for an exponent."""
    if not isinstance(law.model, Effects):
        return []
    axes = zip(law.variables, law.model.axes, strict=True)
    return [v for v, a in axes if a.power and not a.free]


def to_know(
    study: Study, law: ScalingLaw | None, best: RunRecord, advised: Option | None, why: str
) -> Step | None:
    """The run that tells most about the gain for its cost; without noise between seeds a second
    seed of the best run, as nothing can be told from chance before."""
    base = Option(best.config.model, best.config.train, best.trained)
    again = f"another seed of {best.run_id}"
    noise = study.once("seed noise", lambda: seed_noise(study.frame(), study.spec.law_loss))
    if noise is None:
        return _step(study, base, again, None)
    probes = [(base, again), *_one_step_on(study, base)]
    if law is None or advised is None:
        named = [p for p in probes[1:] if any(w in why for w in _columns(study, base, p[0]))]
        at, what = (named or probes)[0]
        return _step(study, at, what, None)
    if not (known_to(law, base.values()) and known_to(law, advised.values())):
        return _step(study, base, again, None)
    probes = [p for p in probes if known_to(law, p[0].values())]
    # where the course of an axis is assumed, its next value is what there is to know
    assumed = [v for v in beyond_told(law) if base.values()[v] != advised.values()[v]]
    telling = [p for p in probes if any(p[0].values()[v] != base.values()[v] for v in assumed)]
    probes = telling or probes
    seen = [o.values() for o in (base, advised, *(o for o, _ in probes))]
    drawn = law.draws(pd.DataFrame([{v: x[v] for v in law.variables} for x in seen]), DRAWS)
    gained = drawn[:, 0] - drawn[:, 1]
    shares = [_explained(gained, drawn[:, 2 + j], law.noise) for j in range(len(probes))]
    cheap = [
        (share / o.cost.train_flop, -j)
        for j, ((o, _), share) in enumerate(zip(probes, shares, strict=True))
        if share >= WORTH
    ]
    j = -max(cheap)[1] if cheap else int(np.argmax(shares))
    return _step(study, *probes[j], shares[j])


def _explained(gained: np.ndarray, result: np.ndarray, noise: float) -> float:
    """Share of the variance of a gain (n,) that a noisy result (n,) takes away."""
    both = np.cov(gained, result)
    return float(both[0, 1] ** 2 / (both[1, 1] + noise**2) / max(both[0, 0], 1e-300))


def _one_step_on(study: Study, base: Option) -> list[tuple[Option, str]]:
    """The best run with one axis doubled, where the data is there."""
    out = []
    for axis in swept(study.spec):
        try:
            at = doubled(study, base, axis)
        except (LawError, ValueError):
            continue
        if at is not None and at.train.data_fraction <= 1:
            value = {**at.model.model_dump(), **at.train.model_dump()}[axis]
            value = f"{value:.3g}" if isinstance(value, float) else value
            out.append((at, f"the best run with {axis} {value}"))
    return out


def _columns(study: Study, base: Option, at: Option) -> list[str]:
    """The law's variables in which two options differ."""
    a, b = base.values(), at.values()
    return [v for v in study.spec.law_variables if a.get(v) != b.get(v)]


def _step(study: Study, at: Option, what: str, explains: float | None) -> Step:
    cost, slower = at.cost, pace(study.attempts)
    return Step(
        at, what, explains, cost.train_flop, cost.time_s * slower, cost.gpu_hours * slower,
        cost.usd * slower,
    )  # fmt: skip
