"""What to train next with a given amount of compute: the answer of `recscale ask`."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from recscale.advice.exchange import LEVEL, Rate, law_rates
from recscale.advice.options import Option, Space, option, space, swept, weigh
from recscale.laws import LawError, ScalingLaw
from recscale.planner import base_epochs, pace
from recscale.run import RunRecord
from recscale.spec import TRAINING_AXES
from recscale.study import Study

FURTHEST = 1e6  # times the largest run: beyond, no law of such runs means anything
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
        decades: law variable -> decades beyond the largest run along it (0 inside).
        time_s, gpu_hours, usd: at the pace measured in this sweep.
        rows: training rows it needs, each epoch once over them.
    """

    option: Option
    loss: float
    low: float
    high: float
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
            **{k: getattr(cost, k) for k in keys},
            "lookup_bytes": cost.lookup_bytes,
            "peak_bytes": cost.peak_bytes,
            "time_s": self.time_s,
            "gpu_hours": self.gpu_hours,
            "usd": self.usd,
            "rows_needed": self.rows,
            "predicted": {"mean": self.loss, "low": self.low, "high": self.high, "level": LEVEL},
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
    best: Answer
    with_data_at_hand: Answer | None
    """The best answer that needs no more rows than there are; None when `best` is that answer."""
    rows_at_hand: int
    swept: tuple[str, ...]
    best_run: str
    best_loss: float
    rates: tuple[Rate, ...]
    """Per swept axis, at the largest run so far."""
    doublings: int

    @property
    def starved(self) -> Rate | None:
        """The axis with the largest predicted gain per doubling of compute put there; one that
        gains at next to no compute comes first. None where nothing gains."""
        gains = [r for r in self.rates if r.change < 0]
        return min(gains, key=lambda r: (not r.free or r.high >= 0, r.worth, r.axis), default=None)

    def facts(self) -> dict[str, Any]:
        """Everything as plain values: what `recscale ask --json` prints."""
        starved, gain = self.starved, gain_of(self.best, self.best_loss)
        return {
            "loss": self.loss_name,
            "budget_flop": self.budget_flop,
            "times_largest_run": self.times_largest,
            "law": {"status": self.law_status, "why": self.law_reason},
            "answer": self.best.facts(),
            "with_data_at_hand": self.with_data_at_hand and self.with_data_at_hand.facts(),
            "rows_at_hand": self.rows_at_hand,
            "best_run": {"run_id": self.best_run, self.loss_name: self.best_loss},
            "gain": {"mean": gain[0], "low": gain[1], "high": gain[2], "level": LEVEL},
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


def advise(study: Study, compute: str) -> Advice:
    """The best next configuration for `compute`: times the largest run ("10x") or FLOPs ("1e15").

    The winner among all legal architectures is chosen by the law's formula; its prediction and
    interval are `ScalingLaw.predict`'s.

    Raises:
        ValueError: `compute` is no positive amount, or buys no batch, or lies absurdly far out.
        LawError: the runs do not determine the law, or it leans on what is unknown before a run.
    """
    budget = budget_of(study, compute)
    law = study.law()
    law.require()
    largest = max(r.trained.train_flop for r in entering(study))
    if budget > FURTHEST * largest:
        raise ValueError(
            f"--compute {compute}: more than {FURTHEST:.0e} times the largest run; no law of "
            "these runs reaches that far: ask for less, or run larger models first"
        )
    options, rows = space(study, budget / largest), study.data.n_train
    free = weigh(study, options, law, [budget])[0]
    if free is None:
        raise ValueError(
            f"--compute {compute}: not enough for one batch of the smallest model; give FLOPs "
            "such as 1e15, or times the largest run such as 10x"
        )
    bound = weigh(study, options, law, [budget], rows)[0]
    best = _answer(study, law, options, *free)
    hand = _answer(study, law, options, *bound) if bound and best.rows > rows else None
    name = study.spec.law_loss
    run, measured = _best_so_far(study)
    return Advice(
        loss_name=name,
        budget_flop=budget,
        times_largest=budget / largest,
        law_status=str(law.status),
        law_reason=law.reason,
        best=best,
        with_data_at_hand=hand,
        rows_at_hand=rows,
        swept=tuple(swept(study.spec)),
        best_run=run,
        best_loss=measured,
        rates=tuple(law_rates(study, law, largest_option(study))),
        doublings=options.doublings,
    )


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
    top = max(entering(study), key=lambda r: (r.trained.train_flop, r.run_id))
    return Option(top.config.model, top.config.train, top.trained)


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


def _answer(study: Study, law: ScalingLaw, options: Space, index: int, samples: int) -> Answer:
    chosen = option(study, options.models[index], samples)
    at = {v: chosen.values()[v] for v in law.variables}
    row = law.predict(at, LEVEL).iloc[0]
    top = np.exp(law.points.logx.max(0))
    slower = pace(study.attempts)
    sizes = [a for a in swept(study.spec) if a not in TRAINING_AXES]
    tops = {a: np.nanmax(options.table[a].to_numpy(float)) for a in sizes}
    edge = [a for a in sizes if getattr(chosen.model, a) == tops[a]]
    return Answer(
        option=chosen,
        loss=float(row["mean"]),
        low=float(row["low"]),
        high=float(row["high"]),
        decades={
            v: max(0.0, math.log10(at[v] / t)) for v, t in zip(law.variables, top, strict=True)
        },
        time_s=chosen.cost.time_s * slower,
        gpu_hours=chosen.cost.gpu_hours * slower,
        usd=chosen.cost.usd * slower,
        rows=math.ceil(samples / base_epochs(study.spec)),
        at_edge=tuple(edge),
    )


def _best_so_far(study: Study) -> tuple[str, float]:
    """A run of the configuration with the lowest loss, and that loss, mean over its seeds."""
    loss, enters = study.spec.law_loss, entering(study)
    groups: dict[str, list[RunRecord]] = defaultdict(list)
    for r in enters:
        groups[r.config.tuning_group].append(r)
    means = {g: fmean(_final(r, loss) for r in rs) for g, rs in groups.items()}
    best = min(means, key=lambda g: (means[g], g))
    return groups[best][0].run_id, means[best]


def _final(record: RunRecord, loss: str) -> float:
    value = record.final.columns()[loss] if record.final else None
    if value is None:
        raise ValueError(f"run {record.run_id} has no {loss}")
    return value


def gain_of(answer: Answer, measured: float) -> tuple[float, float, float]:
    """What the answer gains on a measured loss, with the prediction's interval."""
    return measured - answer.loss, measured - answer.high, measured - answer.low


def _named(triple: tuple[float, float, float] | None) -> dict[str, float] | None:
    return dict(zip(("mean", "low", "high"), triple, strict=True)) if triple else None
