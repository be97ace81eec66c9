"""Scaling schemes ranked: what each buys per parameter, FLOP, byte and GPU-second, as measured and
by its own law (the question of 2208.08489, for the user's data)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recscale.advice.gains import law_runs, where
from recscale.advice.noise import seed_noise
from recscale.laws import LawError, ScalingLaw, Status, fit
from recscale.laws.compare import compare
from recscale.schemes import BASE, scheme_points
from recscale.study import Study

FREE = 1.05  # a resource that grows by less than 5 % over a whole scheme is not what it costs


@dataclass(frozen=True)
class Gain:
    """Change of the loss per doubling of a resource, from the base to a scheme's largest factor;
    negative is a gain.

    Attributes:
        low, high: at 90 %, from the noise between seeds; NaN with one seed.
        ratio: the resource at the largest factor over that at the base.
    """

    scheme: str
    change: float
    low: float
    high: float
    ratio: float

    @property
    def known(self) -> bool:
        return bool(np.isfinite(self.low))

    def beats(self, other: Gain) -> bool:
        """Whether this one surely gains more."""
        half = np.hypot((self.high - self.low) / 2, (other.high - other.low) / 2)
        return bool(other.change - self.change > half)


@dataclass(frozen=True)
class Ranking:
    """The schemes by what they gain per doubling of one resource, the best first.

    Attributes:
        free: schemes that take next to none of it, with their whole change from the base.
        laws: scheme -> its power law in the resource, where its runs determine one.
        exponents: the best two laws compared, or None; see `laws.compare`.
    """

    resource: str
    gains: tuple[Gain, ...]
    free: tuple[Gain, ...]
    laws: dict[str, ScalingLaw]
    exponents: pd.DataFrame | None
    compared: tuple[str, ...] = ()
    """The two schemes of `exponents`, in its order."""


def resources(study: Study) -> dict[str, str]:
    """Column -> what it is called: everything a scheme may cost in this study."""
    time = "gpu_hours" if study.spec.resources.gpus_per_worker else "usd"
    return {
        "parameters": "parameters",
        "train_flop": "training FLOPs",
        "lookup_bytes": "look-up bytes",
        "memory_bytes": "memory",
        time: "GPU-seconds" if time == "gpu_hours" else "$",
    }


def scheme_runs(study: Study) -> pd.DataFrame:
    """The runs that enter the law, a row for each scheme they belong to (the base belongs to
    all), with `scheme`, `factor`, `parameters` and `memory_bytes` (estimated)."""
    frame = law_runs(study.frame())
    memory = {r.run_id: r.estimated.peak_bytes for r in study.records}
    frame = frame.assign(
        parameters=frame["table_params"] + frame["dense_params"] + frame["head_params"],
        memory_bytes=[memory[i] for i in frame["run_id"]],
    )
    at = {r.run_id: (r.config.model, r.config.train.data_fraction) for r in study.records}
    parts = []
    points = scheme_points(study.spec, study.data)
    names = [s for s in dict.fromkeys(p.scheme for p in points) if s != BASE]
    for scheme in names:
        for p in points:
            if p.scheme in (scheme, BASE):
                model = study.spec.model.resolve(p.values, study.data)
                here = [at[i] == (model, p.values["data_fraction"]) for i in frame["run_id"]]
                parts.append(where(frame, here).assign(scheme=scheme, factor=p.factor))
    if not parts:
        return frame.assign(scheme="", factor=1.0).iloc[:0]
    both = pd.concat(parts, ignore_index=True)
    return both.drop_duplicates(["scheme", "run_id"], ignore_index=True)


def rankings(study: Study) -> list[Ranking]:
    """One ranking a resource; empty for a sweep without schemes or before its base has ended."""
    if study.spec.search.strategy != "schemes":
        return []
    runs = scheme_runs(study)
    if runs.empty:
        return []
    return [_ranking(study, runs, r) for r in resources(study)]


def _ranking(study: Study, runs: pd.DataFrame, resource: str) -> Ranking:
    loss = study.spec.law_loss
    noise = seed_noise(study.frame(), loss)
    gains, free, laws = [], [], {}
    for scheme, own in runs.groupby("scheme", sort=False):
        found = _gain(str(scheme), own, resource, loss, noise)
        if found is not None:
            (gains if found.ratio >= FREE else free).append(found)
        law = _law(own, resource, loss)
        if law is not None:
            laws[str(scheme)] = law
    gains.sort(key=lambda g: (g.change, g.scheme))
    free.sort(key=lambda g: (g.change, g.scheme))
    ranked = [g.scheme for g in gains if g.scheme in laws]
    pair = tuple(sorted(ranked[:2]))
    exponents = _compared(runs, pair, resource, loss)
    return Ranking(
        resource, tuple(gains), tuple(free), {s: laws[s] for s in ranked}, exponents, pair
    )


def _gain(scheme: str, own: pd.DataFrame, resource: str, loss: str, noise: Any) -> Gain | None:
    """From the base to the largest factor beyond it; where nothing lies beyond it, from the
    smallest factor to the base."""
    factors = own["factor"].to_numpy(float)
    top, bottom = float(factors.max()), float(factors.min())
    start, end = (1.0, top) if top > 1 else (bottom, 1.0)
    a, b = where(own, own["factor"] == start), where(own, own["factor"] == end)
    if start == end or not len(a) or not len(b):
        return None
    ratio = _mean(b, resource) / _mean(a, resource)
    doublings = np.log2(ratio) if ratio >= FREE else 1.0
    change = _mean(b, loss) - _mean(a, loss)
    half = noise.half(np.sqrt(1 / len(a) + 1 / len(b))) if noise else np.nan
    low, high = (change - half) / doublings, (change + half) / doublings
    return Gain(scheme, change / doublings, low, high, ratio)


def _mean(runs: pd.DataFrame, column: str) -> float:
    return float(runs[column].to_numpy(float).mean())


def _law(own: pd.DataFrame, resource: str, loss: str) -> ScalingLaw | None:
    try:
        law = fit(own, "power", [resource], loss)
    except LawError:
        return None
    return law if law.status == Status.CONVERGED else None


def _compared(
    runs: pd.DataFrame, pair: Sequence[str], resource: str, loss: str
) -> pd.DataFrame | None:
    """Constants of the two schemes' laws, first minus second."""
    if len(pair) < 2:
        return None
    both = where(runs, runs["scheme"].isin(pair))
    try:
        return compare(both, "scheme", [resource], loss, "power").exponents()
    except LawError:
        return None
