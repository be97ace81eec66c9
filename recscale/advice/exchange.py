"""Exchange rates: what one doubling of an axis buys, by the law and as measured.

Two answers stand side by side because they can disagree: the law's, which uses every run but
believes its formula, and the measured one, which believes nothing and compares runs that differ in
that axis alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from recscale.advice.options import Option, doubled, known_to, swept
from recscale.frame import settings
from recscale.laws import ScalingLaw
from recscale.spec import SweepSpec
from recscale.study import Study

LEVEL = 0.9
TABLES = ("embedding_dim", "embedding_rows")
FREE = 1.1  # tables whose doubling costs less than 10 % more FLOPs are paid in bytes instead


@dataclass(frozen=True)
class Rate:
    """Change of the loss when one axis doubles at a stated run; negative is a gain."""

    axis: str
    change: float
    low: float
    high: float
    flop_ratio: float
    """Training FLOPs after over before."""

    @property
    def free(self) -> bool:
        """Whether the doubling costs next to no FLOPs: of tables, or of nothing that counts."""
        return self.flop_ratio < (FREE if self.axis in TABLES else 1.001)

    @property
    def worth(self) -> float:
        """Change per doubling of training FLOPs, however few they are; -inf at none at all."""
        each = float(np.log2(self.flop_ratio))
        return self.change / each if each > 1e-9 else -np.inf

    def per_flop_doubling(self) -> tuple[float, float, float] | None:
        """Change, low, high per doubling of training FLOPs spent through this axis alone, along
        this step; None where it costs next to none."""
        if self.free:
            return None
        each = float(np.log2(self.flop_ratio))
        return self.change / each, self.low / each, self.high / each


def law_change(
    law: ScalingLaw, before: Mapping[str, float], after: Sequence[Mapping[str, float]]
) -> np.ndarray:
    """(m, 3): the law's change of the loss from one run to each of m others, low, high at LEVEL.

    Raises:
        LawError: the law is underdetermined.
    """
    points = pd.DataFrame([{v: float(point[v]) for v in law.variables} for point in after])
    return law.change({v: float(before[v]) for v in law.variables}, points, LEVEL).to_numpy()


def law_rates(study: Study, law: ScalingLaw, at: Option) -> list[Rate]:
    """One rate per swept axis that can grow at that run and that the law can see there."""

    def seen(option: Option) -> bool:
        return known_to(law, option.values())

    steps = {a: doubled(study, at, a) for a in swept(study.spec)}
    grown = {a: o for a, o in steps.items() if o is not None and seen(o)}
    if not grown or not seen(at):
        return []
    table = law_change(law, at.values(), [o.values() for o in grown.values()])
    return [
        Rate(a, float(c), float(low), float(high), o.cost.train_flop / at.cost.train_flop)
        for (a, o), (c, low, high) in zip(grown.items(), table, strict=True)
    ]


def where(frame: pd.DataFrame, mask: Any) -> pd.DataFrame:
    """The rows where the mask holds."""
    return cast(pd.DataFrame, frame[np.asarray(mask, bool)])


def law_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `Study.frame()` that enter the law."""
    return where(frame, frame["enters_law"])


@dataclass(frozen=True)
class Noise:
    """Spread of the loss between seeds of one configuration, pooled over configurations."""

    sd: float
    df: int

    def half(self, sd_factor: float, level: float = LEVEL) -> float:
        """Half-width of the interval of a difference whose sd is `sd_factor` seeds' sd."""
        return float(stdtrit(self.df, 0.5 + level / 2)) * self.sd * sd_factor


def seed_noise(frame: pd.DataFrame, loss: str) -> Noise | None:
    """Pooled standard deviation over seeds of otherwise equal runs; None without a second seed.
    `frame` is `Study.frame()` or a part of it; diverged and failed runs do not count."""
    groups = law_runs(frame).groupby(settings(frame), dropna=False)[loss]
    table = cast(pd.DataFrame, groups.agg(["count", "var"]))
    count, var = table["count"].to_numpy(float), table["var"].fillna(0).to_numpy(float)
    df = int((count - 1).sum())
    return Noise(float(np.sqrt(((count - 1) * var).sum() / df)), df) if df > 0 else None


def others(spec: SweepSpec, axis: str) -> list[str]:
    """The columns in which two runs must agree to differ in `axis` alone: all axes but this one
    and what the sweep lets follow it."""
    free, follower = {axis}, spec.model.follows.get(axis)
    if follower and follower not in swept(spec):
        free.add(follower)
    return [k for k in spec.axes() if k not in free]


@dataclass(frozen=True)
class Measured:
    """Loss change over one step of an axis, from runs equal in everything else.

    Attributes:
        start, end: the two values compared; None is the whole vocabulary.
        change: mean difference of the loss over the whole step, negative is a gain.
        low, high: its interval at LEVEL; NaN where `why` says what is missing.
        doublings: log2 of the step; NaN from 0 upwards, where there is no such number.
        settings: how many settings of the other axes it averages over.
    """

    axis: str
    start: float | None
    end: float | None
    change: float
    low: float
    high: float
    doublings: float
    settings: int
    why: str = ""

    @property
    def known(self) -> bool:
        return bool(np.isfinite(self.low))


def measured_steps(study: Study, frame: pd.DataFrame, axis: str, loss: str) -> list[Measured]:
    """Every step between neighbouring values of an axis, smallest first; see `difference`."""
    same = others(study.spec, axis)
    size = "table_rows" if axis == "embedding_rows" else axis
    groups = law_runs(frame).groupby([*same, size], dropna=False)[loss]
    means = cast(pd.DataFrame, groups.agg(["mean", "count"])).reset_index()
    noise = seed_noise(frame, loss)
    values = np.unique(means[size].to_numpy(float))
    steps = []
    for a, b in itertools.pairwise(values):
        left, right = where(means, means[size] == a), where(means, means[size] == b)
        pairs = left.merge(right, on=same, suffixes=("_a", "_b"))
        if len(pairs):
            steps.append(_step(axis, float(a), float(b), pairs, noise))
    return steps


def _step(axis: str, a: float, b: float, pairs: pd.DataFrame, noise: Noise | None) -> Measured:
    centre, low, high, why = difference(pairs, noise)
    doublings = float(np.log2(b / a)) if a > 0 else np.nan
    return Measured(axis, a, b, centre, low, high, doublings, len(pairs), why)


def difference(pairs: pd.DataFrame, noise: Noise | None) -> tuple[float, float, float, str]:
    """Mean of mean_b - mean_a over settings, its interval at LEVEL, and what an interval lacks.

    Over 3 settings or more the interval is Student's t over their differences; below, it comes
    from the noise between seeds (count_a, count_b of them); with neither there is none.
    """
    delta = (pairs["mean_b"] - pairs["mean_a"]).to_numpy(float)
    n, centre, why = len(delta), float(delta.mean()), ""
    if n >= 3:
        half = float(stdtrit(n - 1, 0.5 + LEVEL / 2) * delta.std(ddof=1) / np.sqrt(n))
        if noise:  # agreement between a few settings by luck does not beat the seeds' noise
            half = max(half, noise.half(_sd_factor(pairs)))
    elif noise:
        half = noise.half(_sd_factor(pairs))
    else:
        half, why = np.nan, "one seed: the noise between runs is unknown"
    return centre, centre - half, centre + half, why


def _sd_factor(pairs: pd.DataFrame) -> float:
    """sd of the mean difference in units of one seed's sd."""
    each = 1 / pairs["count_a"].to_numpy(float) + 1 / pairs["count_b"].to_numpy(float)
    return float(np.sqrt(each.sum()) / len(pairs))
