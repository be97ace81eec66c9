"""One configuration as an answer: how it is chosen, what is believed of it and what it costs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from recscale.advice.beliefs import DRAWS, LEVEL, SEED, Gain, gain, noise_of
from recscale.advice.options import Option, Space, affordable, chosen, sizes
from recscale.advice.runs import as_option, best_so_far
from recscale.laws import ScalingLaw
from recscale.planner import pace
from recscale.study import Study

SHORT = 40  # configurations, for each number of doublings, that joint draws are made of


@dataclass(frozen=True)
class Answer:
    """One configuration, what the law predicts of it and what it costs.

    Attributes:
        loss, low, high: predicted loss of one run and its interval at LEVEL.
        gain: on the best configuration so far.
        decades: law variable -> decades beyond the largest run along it (0 inside).
        time_s, gpu_hours, usd: at the pace measured in this sweep.
        rows: training rows it needs, each epoch once over them.
    """

    option: Option
    loss: float
    low: float
    high: float
    gain: Gain
    decades: dict[str, float]
    time_s: float
    gpu_hours: float
    usd: float
    rows: int
    at_edge: tuple[str, ...]
    """Swept sizes that stand at the largest value weighed, of those that grow."""

    def facts(self) -> dict[str, Any]:
        """The answer as plain values."""
        cost = self.option.cost
        keys = ("table_params", "dense_params", "head_params", "samples", "train_flop")
        return {
            "model": self.option.model.model_dump(),
            "data_fraction": self.option.train.data_fraction,
            "epochs": self.option.train.epochs,
            **{k: getattr(cost, k) for k in keys},
            "lookup_bytes": cost.lookup_bytes,
            "peak_bytes": cost.peak_bytes,
            "time_s": self.time_s,
            "gpu_hours": self.gpu_hours,
            "usd": self.usd,
            "rows_needed": self.rows,
            "predicted": {"mean": self.loss, "low": self.low, "high": self.high, "level": LEVEL},
            "gain": {**asdict(self.gain), "level": LEVEL},
            "decades_beyond": self.decades,
            "at_edge": list(self.at_edge),
        }


@dataclass(frozen=True)
class Pick:
    """What is chosen, with joint draws (n,) of the log losses to be expected of the best
    configuration so far and of this one."""

    option: Option
    before: np.ndarray
    after: np.ndarray


def pick(
    study: Study, law: ScalingLaw, options: Space, budget: float, rows: int | None, seed: int = SEED
) -> Pick | None:
    """Of what the budget buys, the least expected loss; of those within one run's noise of it the
    nearest to what was tried, then the cheapest. None where the budget buys no batch."""
    seen = affordable(study, options, law, budget, rows)
    if seen.empty:
        return None
    by_formula = seen.iloc[np.argsort(law.value(seen), kind="stable")]
    short = by_formula.groupby("grown", sort=False).head(SHORT)
    run, _ = best_so_far(study)
    columns, noise = list(law.variables), noise_of(law)
    base = pd.DataFrame([{v: as_option(run).values()[v] for v in columns}])
    points = pd.concat([base, short[columns]], ignore_index=True)
    drawn = law.draws(points, DRAWS, seed)
    change = (drawn[:, 1:] - drawn[:, :1]).mean(0)
    near = short.assign(tie=change - change.min() > noise, at=np.arange(1, len(points)))
    best = near.sort_values(["tie", "grown", "train_flop", "at"]).iloc[0]
    return Pick(chosen(study, options, best), drawn[:, 0], drawn[:, int(best["at"])])


def answer(
    study: Study, law: ScalingLaw, options: Space, budget: float, rows: int | None
) -> Answer | None:
    """The choice for a training budget (FLOPs) on at most so many rows (None: as many as the space
    allows); None where the budget buys no batch."""
    found = pick(study, law, options, budget, rows)
    if found is None:
        return None
    # what was measured may be luck; a gain is counted from the better of it and what is believed
    _, measured = best_so_far(study)
    before = np.minimum(found.before, math.log(measured))
    return _answer(study, law, options, found.option, gain(before, found.after, noise_of(law)))


def _answer(study: Study, law: ScalingLaw, options: Space, at: Option, found: Gain) -> Answer:
    values = {v: at.values()[v] for v in law.variables}
    row = law.predict(values, LEVEL).iloc[0]
    top = np.exp(law.points.logx.max(0))
    slower = pace(study.attempts)
    own = sizes(study.spec)
    tops = {a: np.nanmax(options.table[a].to_numpy(float)) for a in own}
    return Answer(
        option=at,
        loss=float(row["mean"]),
        low=float(row["low"]),
        high=float(row["high"]),
        gain=found,
        decades={
            v: max(0.0, math.log10(max(values[v], 1e-300) / t))
            for v, t in zip(law.variables, top, strict=True)
        },
        time_s=at.cost.time_s * slower,
        gpu_hours=at.cost.gpu_hours * slower,
        usd=at.cost.usd * slower,
        rows=math.ceil(at.cost.samples / at.train.epochs),
        at_edge=tuple(a for a in own if a in options.growing and getattr(at.model, a) == tops[a]),
    )
