"""Marginal gains: what one doubling of an axis buys, by the law and as measured.

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

from recscale.advice.beliefs import DRAWS
from recscale.advice.noise import LEVEL, Noise, seed_noise
from recscale.advice.options import Option, doubled, known_to, swept
from recscale.laws import ScalingLaw
from recscale.spec import SweepSpec
from recscale.study import Study

TABLES = ("embedding_dim", "embedding_rows")
STEADY = 1 / 3  # of the gain per doubling before: less is no steady gain, but a curve that ends
FREE = 1.1  # tables whose doubling costs less than 10 % more FLOPs are paid in bytes instead


@dataclass(frozen=True)
class MarginalGain:
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
    """(m, 3): change of the loss to be expected from one run to each of m others, low, high at
    LEVEL, from joint draws: both ends share the law and what it misses.

    Raises:
        LawError: the law is underdetermined.
    """
    points = pd.DataFrame([{v: float(p[v]) for v in law.variables} for p in (before, *after)])
    loss = np.exp(law.draws(points, DRAWS))
    change = loss[:, 1:] - loss[:, :1]
    tail = (1 - LEVEL) / 2
    return np.column_stack([change.mean(0), *np.quantile(change, [tail, 1 - tail], axis=0)])


def law_gains(study: Study, law: ScalingLaw, at: Option) -> list[MarginalGain]:
    """One rate per swept axis that can grow at that run and that the law can see there."""

    here = at.values()

    def seen(option: Option) -> bool:
        there = option.values()
        differs = option is at or any(there.get(v) != here.get(v) for v in law.variables)
        return differs and known_to(law, there)

    steps = {a: doubled(study, at, a) for a in swept(study.spec)}
    grown = {a: o for a, o in steps.items() if o is not None and seen(o)}
    if not grown or not seen(at):
        return []
    table = law_change(law, here, [o.values() for o in grown.values()])
    return [
        MarginalGain(a, float(c), float(low), float(high), o.cost.train_flop / at.cost.train_flop)
        for (a, o), (c, low, high) in zip(grown.items(), table, strict=True)
    ]


def where(frame: pd.DataFrame, mask: Any) -> pd.DataFrame:
    """The rows where the mask holds."""
    return cast(pd.DataFrame, frame[np.asarray(mask, bool)])


def law_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `Study.frame()` that enter the law."""
    return where(frame, frame["enters_law"])


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
        settings: how many settings of the other axes it is from.
        data: the data fraction at which it is told, where it surely changes with the data; else it
            is the mean over the settings.
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
    data: float | None = None

    @property
    def known(self) -> bool:
        return bool(np.isfinite(self.low))


@dataclass(frozen=True)
class Turn:
    """Where more of an axis surely harms, such as passes over rows that are then learnt by heart.

    Attributes:
        most: the largest value that is not surely worse than a smaller one.
        worse: the step to the next value above it, from the one that it is most surely worse than.
    """

    most: float
    worse: Measured


def measured_steps(study: Study, frame: pd.DataFrame, axis: str, loss: str) -> list[Measured]:
    """Every step between neighbouring values of an axis, smallest first; see `difference`."""
    cells = _cells(study, frame, axis, loss)
    steps = (cells.step(a, b) for a, b in itertools.pairwise(cells.values))
    return [s for s in steps if s is not None]


def measured_top(study: Study, frame: pd.DataFrame, axis: str, loss: str) -> Measured | None:
    """What the top of an axis says: its last step, or the last two together where each is too small
    to tell from noise, both are a steady gain, and together they surely are one."""
    cells = _cells(study, frame, axis, loss)
    steps = [s for a, b in itertools.pairwise(cells.values) if (s := cells.step(a, b))]
    if not steps:
        return None
    last = steps[-1]
    if len(steps) < 2 or not last.known or last.high < 0 or last.low > 0:
        return last
    before = steps[-2]
    slowed = last.change / max(last.doublings, 1e-9) > STEADY * before.change / before.doublings
    if before.end != last.start or not np.isfinite(before.doublings) or slowed:
        return last
    both = cells.step(before.start, last.end)
    return both if both and both.known and both.high < 0 and before.change < 0 else last


def measured_turn(study: Study, frame: pd.DataFrame, axis: str, loss: str) -> Turn | None:
    """The largest value that is not surely worse than a smaller one; None where that is the largest
    of all. One that is worse than its neighbour alone is no turn: of a configuration that all steps
    have in common, such as the base, the seeds may have been unlucky."""
    cells = _cells(study, frame, axis, loss)
    worse: dict[float, Measured] = {}
    for a, b in itertools.combinations(cells.values, 2):
        step = cells.step(a, b)
        if step and step.known and step.low > 0 and (b not in worse or step.low > worse[b].low):
            worse[b] = step
    most = max((v for v in cells.values if v not in worse), default=None)
    return (
        None
        if most is None or not (above := [v for v in worse if v > most])
        else Turn(most, worse[min(above)])
    )


def measured_axis(
    study: Study, axis: str
) -> tuple[tuple[Measured, ...], Measured | None, Turn | None]:
    """`measured_steps`, `measured_top` and `measured_turn` of the study's own runs, worked out
    once: over thousands of runs they take a second, and advice and report both rest on them."""

    def work_out():
        frame, loss = study.frame(), study.spec.law_loss
        of = study, frame, axis, loss
        return tuple(measured_steps(*of)), measured_top(*of), measured_turn(*of)

    return study.once(f"steps of {axis}", work_out)


@dataclass(frozen=True)
class _Cells:
    """Means over seeds of every configuration, for steps along one axis."""

    axis: str
    size: str
    same: list[str]
    means: pd.DataFrame
    noise: Noise | None

    @property
    def values(self) -> list[float]:
        return [float(v) for v in np.unique(self.means[self.size].to_numpy(float))]

    def step(self, a: Any, b: Any) -> Measured | None:
        """Between two values; None where no two runs differ in that alone."""
        left, right = (where(self.means, self.means[self.size] == v) for v in (a, b))
        pairs = left.merge(right, on=self.same, suffixes=("_a", "_b"))
        if pairs.empty:
            return None
        doublings, n = float(np.log2(b / a)) if a > 0 else np.nan, len(pairs)
        if "data_fraction" in pairs and (found := at_all_data(pairs, self.noise)):
            most = float(pairs["data_fraction"].to_numpy(float).max())
            return Measured(self.axis, a, b, *found, doublings, n, data=most)
        centre, low, high, why = difference(pairs, self.noise)
        return Measured(self.axis, a, b, centre, low, high, doublings, n, why)


def _cells(study: Study, frame: pd.DataFrame, axis: str, loss: str) -> _Cells:
    same = others(study.spec, axis)
    size = "table_rows" if axis == "embedding_rows" else axis
    groups = law_runs(frame).groupby([*same, size], dropna=False)[loss]
    means = cast(pd.DataFrame, groups.agg(["mean", "count"])).reset_index()
    noise = seed_noise(frame, loss)
    if noise:
        means = means.assign(sd=[noise.at(f) for f in means["data_fraction"]])
    return _Cells(axis, size, same, means, noise)


def difference(pairs: pd.DataFrame, noise: Noise | None) -> tuple[float, float, float, str]:
    """Mean of mean_b - mean_a over settings, its interval at LEVEL, and what an interval lacks.

    Over 3 settings or more the interval is Student's t over their differences; below, it comes
    from the noise between seeds (count_a, count_b of them; sd_a, sd_b where it is known for each);
    with neither there is none.
    """
    delta = (pairs["mean_b"] - pairs["mean_a"]).to_numpy(float)
    n, centre, why = len(delta), float(delta.mean()), ""
    if n >= 3:
        half = float(stdtrit(n - 1, 0.5 + LEVEL / 2) * delta.std(ddof=1) / np.sqrt(n))
        if noise:  # agreement between a few settings by luck does not beat the seeds' noise
            half = max(half, noise.quantile() * _sd(pairs, noise))
    elif noise:
        half = noise.quantile() * _sd(pairs, noise)
    else:
        half, why = np.nan, "one seed: the noise between runs is unknown"
    return centre, centre - half, centre + half, why


def at_all_data(pairs: pd.DataFrame, noise: Noise | None) -> tuple[float, float, float] | None:
    """`difference` at the largest data fraction and its interval, where a straight line in the log
    of the fraction surely is not flat (Student's t at LEVEL): deeper histories and wider layers pay
    more with more data, and what they pay on a tenth of it says little. None where it may be flat,
    or where fewer than 4 settings or 3 fractions tell."""
    x = np.log2(pairs["data_fraction"].to_numpy(float))
    x = x - x.max()
    delta = (pairs["mean_b"] - pairs["mean_a"]).to_numpy(float)
    n, spread = len(x), float(((x - x.mean()) ** 2).sum())
    if n < 4 or len(np.unique(x)) < 3:
        return None
    slope = float((x - x.mean()) @ delta) / spread
    end = float(delta.mean() - slope * x.mean())
    sd = float(np.sqrt(((delta - end - slope * x) ** 2).sum() / (n - 2)))
    if noise:  # agreement between a few settings by luck does not beat the seeds' noise
        sd = max(sd, _sd(pairs, noise) * np.sqrt(n))
    t = float(stdtrit(n - 2, 0.5 + LEVEL / 2))
    if abs(slope) <= t * sd / np.sqrt(spread):
        return None
    half = t * sd * float(np.sqrt(1 / n + x.mean() ** 2 / spread))
    return end, end - half, end + half


def _sd(pairs: pd.DataFrame, noise: Noise) -> float:
    """sd of the mean difference, by chance alone."""
    each = np.zeros(len(pairs))
    for side in ("a", "b"):
        sd = pairs[f"sd_{side}"].to_numpy(float) if f"sd_{side}" in pairs else noise.sd
        each += sd**2 / pairs[f"count_{side}"].to_numpy(float)
    return float(np.sqrt(each.sum()) / len(pairs))
