"""What to train next with a given amount of compute: the answer of `recscale ask`, of the report's
first lines and of the live line."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from recscale.advice.beliefs import LEVEL, SEED, Gain, draws, gain, noise_of
from recscale.advice.exchange import Rate, law_rates
from recscale.advice.options import (
    BEYOND,
    Option,
    Space,
    affordable,
    chosen,
    sizes,
    space,
    swept,
)
from recscale.advice.saturated import saturated, turned
from recscale.advice.unknown import Step, doubts, to_know
from recscale.laws import LawError, ScalingLaw
from recscale.laws.choice import Contender
from recscale.planner import pace
from recscale.run import RunRecord
from recscale.study import Study

FURTHEST = 1e6  # times the largest run: beyond, no law of such runs means anything
CLOSE = 1.5  # errors within this factor of one another support two laws alike
SHORT = 40  # configurations, for each number of doublings, that joint draws are made of
RATES = (0.3, 1.0, 3.0)
"""Factors of one tuning round of the learning rates."""
SUFFIX = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
SHAPE = re.compile(
    r"\s*(?P<number>\d+(\.\d*)?([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?)\s*"
    r"(?P<unit>[xX×]|[kMGTPE]?)\s*(FLOPs?)?\s*"
)


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
    """Swept axes that stand at the largest value weighed."""

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
class Advice:
    """What `advise` found; `facts` for machines, `sentences` for people."""

    loss_name: str
    budget_flop: float
    times_largest: float
    law_status: str
    law_reason: str
    best: Answer | None
    """With the data at hand; None where there is no law to choose by."""
    more_data: Answer | None
    """The best answer with more rows than there are; None where that is no other."""
    doubts: tuple[str, ...]
    """Why no gain is promised; empty where one is."""
    step: Step | None
    """What to run next in order to know, where no gain is promised."""
    others: tuple[tuple[str, Answer], ...]
    """Forms that foretell about as well and advise something else, with their answers."""
    saturated: dict[str, str]
    """Axes that were not grown, and why."""
    tuning_flop: float | None
    """Of one round of learning rates at the advised size, where the runs tried one factor only."""
    rows_at_hand: int
    swept: tuple[str, ...]
    best_run: str
    best_loss: float
    rates: tuple[Rate, ...]
    """Per swept axis, at the largest run so far."""
    doublings: int

    @property
    def promised(self) -> bool:
        """Whether a gain may be stated: its interval lies above 0 and the law carries it."""
        return self.best is not None and not self.doubts

    @property
    def starved(self) -> Rate | None:
        """The axis with the largest predicted gain per doubling of compute put there, of those
        that surely gain; one that gains at next to no compute comes first."""
        gains = [r for r in self.rates if r.high < 0 and r.axis not in self.saturated]
        return min(gains, key=lambda r: (not r.free, r.worth, r.axis), default=None)

    def facts(self) -> dict[str, Any]:
        """Everything as plain values: what `recscale ask --json` prints."""
        starved = self.starved
        return {
            "loss": self.loss_name,
            "budget_flop": self.budget_flop,
            "times_largest_run": self.times_largest,
            "law": {"status": self.law_status, "why": self.law_reason},
            "answer": self.best and self.best.facts(),
            "promised": self.promised,
            "doubts": list(self.doubts),
            "run_to_know": self.step and self.step.facts(),
            "with_more_data": self.more_data and self.more_data.facts(),
            "rows_at_hand": self.rows_at_hand,
            "other_laws": [{"law": name, **a.facts()} for name, a in self.others],
            "saturated": self.saturated,
            "tuning_flop": self.tuning_flop,
            "best_run": {"run_id": self.best_run, self.loss_name: self.best_loss},
            "starved": starved.axis if starved else None,
            "rates": [
                {
                    "axis": r.axis,
                    "per_doubling": {"mean": r.change, "low": r.low, "high": r.high},
                    "flop_ratio": r.flop_ratio,
                    "per_flop_doubling": _named(r.per_flop_doubling()),
                    "level": LEVEL,
                }
                for r in self.rates
            ],
            "considered_up_to": 2**self.doublings,
        }

    def sentences(self) -> str:
        """The answer in plain words, a line each."""
        from recscale.advice.words import sentences

        return sentences(self)

    def headline(self) -> str:
        """The answer in one sentence."""
        from recscale.advice.words import headline

        return headline(self)


def advise(study: Study, compute: str, beyond: int = BEYOND) -> Advice:
    """The best next configuration for `compute`: times the largest run ("10x") or FLOPs ("1e15").

    Of all legal configurations within `beyond` doublings of what was tried, axes that no longer pay
    left as they are, the one with the least loss to be expected on the data at hand; of those
    within one run's noise of it the nearest to what was tried, then the cheapest.

    Raises:
        ValueError: `compute` is no positive amount, or buys no batch, or lies absurdly far out.
        LawError: no run has ended well, or the law leans on what is unknown before a run.
    """
    budget = budget_of(study, compute)
    enters = entering(study)
    if not enters:
        raise LawError(study.no_law())
    largest = max(r.spent.train_flop for r in enters)
    if budget > FURTHEST * largest:
        raise ValueError(
            f"--compute {compute}: more than {FURTHEST:.0e} times the largest run; no law of "
            "these runs reaches that far: ask for less, or run larger models first"
        )
    run, measured = best_so_far(study)
    contenders, why = _laws(study)
    law = contenders[0].law if contenders else None
    still = saturated(study, law, largest_option(study))
    best = more = None
    others: list[tuple[str, Answer]] = []
    reach = 0
    if law is not None:
        options = space(study, budget / largest, beyond, still, turned(study))
        rows = study.data.n_train
        reach = options.doublings
        best = answer(study, law, options, budget, rows)
        if best is None:
            raise ValueError(
                f"--compute {compute}: not enough for one batch of the smallest model; give FLOPs "
                "such as 1e15, or times the largest run such as 10x"
            )
        more = answer(study, law, options, budget, None)
        more = more if more and more.rows > rows else None
        for name, other in rivals(contenders):
            found = answer(study, other, options, budget, rows)
            if found and _shape(found) != _shape(best):
                others.append((name, found))
    open_points = doubts(law, best and best.gain, best.decades if best else {}, why)
    return Advice(
        loss_name=study.spec.law_loss,
        budget_flop=budget,
        times_largest=budget / largest,
        law_status=str(law.status) if law else "underdetermined",
        law_reason=why,
        best=best,
        more_data=more,
        doubts=open_points,
        step=to_know(study, law, run, best and best.option, why) if open_points else None,
        others=tuple(others),
        saturated=still,
        tuning_flop=_tuning(study, best),
        rows_at_hand=study.data.n_train,
        swept=tuple(swept(study.spec)),
        best_run=run.run_id,
        best_loss=measured,
        rates=tuple(law_rates(study, law, largest_option(study))) if law else (),
        doublings=reach,
    )


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
    base = pd.DataFrame([{v: _as_option(run).values()[v] for v in columns}])
    points = pd.concat([base, short[columns]], ignore_index=True)
    drawn = draws(law, points, seed=seed)
    change = (drawn[:, 1:] - drawn[:, :1]).mean(0)
    near = short.assign(tie=change - change.min() > noise, at=np.arange(1, len(points)))
    best = near.sort_values(["tie", "grown", "train_flop", "at"]).iloc[0]
    return Pick(chosen(study, options, best), drawn[:, 0], drawn[:, int(best["at"])])


def rivals(contenders: Sequence[Contender]) -> list[tuple[str, ScalingLaw]]:
    """The laws beside the best supported one that the runs determine as well, and that foretell
    dearer runs no worse than CLOSE times its error, with what they are of."""
    first, *rest = contenders
    return [
        (", ".join(c.law.variables), c.law)
        for c in rest
        if c.law.status.determined and not c.error > CLOSE * first.error
    ]


def budget_of(study: Study, compute: str) -> float:
    """The training FLOPs that `compute` names. Raises ValueError where it names none, LawError
    before a run has ended."""
    multiple, amount = _parsed(compute)
    if not multiple:
        return amount
    found = entering(study)
    if not found:
        raise LawError(study.no_law())
    return amount * max(r.trained.train_flop for r in found)


def entering(study: Study) -> list[RunRecord]:
    """The records that enter the law."""
    out = study.left_out()
    return [r for r in study.records if r.run_id not in out]


def largest_option(study: Study) -> Option:
    """The finished run with the most training FLOPs, of those that enter the law."""
    return _as_option(max(entering(study), key=lambda r: (r.spent.train_flop, r.run_id)))


def _as_option(r: RunRecord) -> Option:
    return Option(r.config.model, r.config.train, r.spent)


def _laws(study: Study) -> tuple[list[Contender], str]:
    """The laws to choose by, the best supported first, and what is to be said against it; no law
    where the runs determine none."""
    try:
        found = study.laws()
    except LawError as error:
        return [], str(error)
    law = found[0].law
    return (found, law.reason) if law.status.determined else ([], study.no_law(law.reason))


def _parsed(compute: str) -> tuple[bool, float]:
    """(whether it is a multiple of the largest run, the number)."""
    found = SHAPE.fullmatch(compute)
    amount = float(found["number"]) if found else math.nan
    if not found or not math.isfinite(amount) or amount <= 0:
        raise ValueError(
            f"--compute {compute!r} is no amount of compute; give times the largest run such as "
            "10x, or FLOPs such as 1e15 or 2.5P"
        )
    if found["unit"] in ("x", "X", "×"):
        return True, amount
    return False, amount * SUFFIX[found["unit"]]


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
        at_edge=tuple(a for a in own if getattr(at.model, a) == tops[a]),
    )


def best_so_far(study: Study) -> tuple[RunRecord, float]:
    """A run of the configuration with the lowest loss, and that loss, mean over its seeds."""
    loss, enters = study.spec.law_loss, entering(study)
    groups: dict[str, list[RunRecord]] = defaultdict(list)
    for r in enters:
        groups[r.config.tuning_group].append(r)
    means = {g: fmean(_final(r, loss) for r in rs) for g, rs in groups.items()}
    best = min(means, key=lambda g: (means[g], g))
    return groups[best][0], means[best]


def _final(record: RunRecord, loss: str) -> float:
    value = record.final.columns()[loss] if record.final else None
    if value is None:
        raise ValueError(f"run {record.run_id} has no {loss}")
    return value


def _tuning(study: Study, best: Answer | None) -> float | None:
    """FLOPs of one round of RATES at the advised configuration, where one factor was tried."""
    if best is None or len(study.spec.train.learning_rate.tune) > 1:
        return None
    return len(RATES) * best.option.cost.train_flop


def _shape(answer: Answer) -> tuple[Any, ...]:
    return answer.option.model, answer.option.train.epochs, answer.rows


def _named(triple: tuple[float, float, float] | None) -> dict[str, float] | None:
    return dict(zip(("mean", "low", "high"), triple, strict=True)) if triple else None
