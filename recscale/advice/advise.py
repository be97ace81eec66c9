"""What to train next with a given amount of compute: the answer of `recscale ask`, of the report's
first lines and of the live line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recscale.advice.answer import Answer, answer
from recscale.advice.beliefs import LEVEL
from recscale.advice.gains import MarginalGain, law_gains
from recscale.advice.options import (
    BEYOND,
    knows_data,
    space,
    swept,
)
from recscale.advice.runs import best_so_far, bought, budget_of, entering, largest_option
from recscale.advice.saturated import saturated, turned
from recscale.advice.unknown import Step, doubts, to_know
from recscale.frame import lost_words
from recscale.laws import LawError, ScalingLaw
from recscale.laws.choice import Contender
from recscale.study import Study

FURTHEST = 1e6  # times the largest run: beyond, no law of such runs means anything
CLOSE = 1.5  # errors within this factor of one another support two laws alike
RATES = (0.3, 1.0, 3.0)
"""Factors of one tuning round of the learning rates."""


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
    """Forms that predict about as well and advise something else, with their answers."""
    saturated: dict[str, str]
    """Axes that were not grown, and why."""
    tuning_flop: float | None
    """Of one round of learning rates at the advised size, where the runs tried one factor only."""
    rows_at_hand: int
    swept: tuple[str, ...]
    best_run: str
    best_loss: float
    unbeaten: dict[str, float]
    """Baselines of the data, in the unit of the loss, that the answer is predicted not to beat;
    those that no run has beaten, where there is no answer."""
    lost: str
    """How many of the law's runs lost to a baseline, and to which; empty where none did."""
    rates: tuple[MarginalGain, ...]
    """Per swept axis, at the largest run so far."""
    doublings: int

    @property
    def promised(self) -> bool:
        """Whether a gain may be stated: its interval lies above 0 and the law carries it."""
        return self.best is not None and not self.doubts

    @property
    def bottleneck(self) -> MarginalGain | None:
        """The axis with the largest predicted gain per doubling of compute put there, of those
        that surely gain; one that gains at next to no compute comes first."""
        gains = [r for r in self.rates if r.high < 0 and r.axis not in self.saturated]
        return min(gains, key=lambda r: (not r.free, r.worth, r.axis), default=None)

    def facts(self) -> dict[str, Any]:
        """Everything as plain values: what `recscale ask --json` prints."""
        bottleneck = self.bottleneck
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
            "unbeaten_baselines": self.unbeaten,
            "lost": self.lost,
            "bottleneck": bottleneck.axis if bottleneck else None,
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


@dataclass(frozen=True)
class Grounds:
    """What the runs say whatever compute is asked of.

    Attributes:
        contenders: the laws to choose by, the best supported first; none where the runs determine
            none.
        why: what is to be said against the first of them, or why there is none.
        saturated: axes that are not grown, and why.
        most: axis -> the largest value that was not surely worse than the one before it.
        rates: per swept axis, at the largest run so far.
    """

    study: Study
    contenders: tuple[Contender, ...]
    why: str
    saturated: dict[str, str]
    most: dict[str, float]
    rates: tuple[MarginalGain, ...]

    @property
    def law(self) -> ScalingLaw | None:
        return self.contenders[0].law if self.contenders else None


def grounds(study: Study) -> Grounds:
    """Raises LawError where no run has ended well, or the law leans on what is unknown before a
    run."""
    if not entering(study):
        raise LawError(study.no_law())
    contenders, why = _laws(study)
    law, largest = contenders[0].law if contenders else None, largest_option(study)
    return Grounds(
        study,
        tuple(contenders),
        why,
        saturated(study, law, largest),
        turned(study),
        tuple(law_gains(study, law, largest)) if law else (),
    )


def advise(study: Study, compute: str, beyond: int = BEYOND) -> Advice:
    """The best next configuration for `compute`: times the largest run ("10x") or FLOPs ("1e15").

    Of all legal configurations within `beyond` doublings of what was tried, axes that no longer pay
    left as they are, the one with the least loss to be expected on the data at hand; of those
    within one run's noise of it the nearest to what was tried, then the cheapest.

    Raises:
        ValueError: `compute` is no positive amount, or buys no batch, or lies absurdly far out.
        LawError: no run has ended well, or the law leans on what is unknown before a run.
    """
    budget_of(study, compute)
    return advise_on(grounds(study), compute, beyond)


def advise_on(known: Grounds, compute: str, beyond: int = BEYOND) -> Advice:
    """`advise`, where the grounds are known already."""
    study, law, why, still = known.study, known.law, known.why, known.saturated
    budget = budget_of(study, compute)
    largest = max(r.trained.train_flop for r in entering(study))
    if budget > FURTHEST * largest:
        raise ValueError(
            f"--compute {compute}: more than {FURTHEST:.0e} times the largest run; no law of "
            "these runs reaches that far: ask for less, or run larger models first"
        )
    run, measured = best_so_far(study)
    best = more = None
    others: list[tuple[str, Answer]] = []
    reach = 0
    if law is not None:
        rows = study.rows
        options = space(study, budget / largest, beyond, still, known.most, bought(study, budget))
        reach = options.doublings
        best = answer(study, law, options, budget, rows)
        if best is None:
            once = "the sweep's data once (its law has no samples)"
            least = "one batch" if knows_data(law) else once
            raise ValueError(
                f"--compute {compute}: not enough for {least} with the smallest model; give FLOPs "
                "such as 1e15, or times the largest run such as 10x"
            )
        more = answer(study, law, options, budget, None)
        more = more if more and more.rows > rows else None
        for name, other in rivals(known.contenders):
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
        rows_at_hand=study.rows,
        swept=tuple(swept(study.spec)),
        best_run=run.run_id,
        best_loss=measured,
        unbeaten={
            name: loss
            for name, loss in study.data.baselines_in(study.spec.law_loss).items()
            if not (best.loss if best else measured) < loss
        },
        lost=lost_words(entering(study)),
        rates=known.rates,
        doublings=reach,
    )


def rivals(contenders: Sequence[Contender]) -> list[tuple[str, ScalingLaw]]:
    """The laws beside the best supported one that the runs determine as well, and that predict
    more expensive runs no worse than CLOSE times its error, with what they are of."""
    first, *rest = contenders
    return [
        (", ".join(c.law.variables), c.law)
        for c in rest
        if c.law.status.determined and not c.error > CLOSE * first.error
    ]


def _laws(study: Study) -> tuple[list[Contender], str]:
    """The laws to choose by, the best supported first, and what is to be said against it; no law
    where the runs determine none."""
    try:
        found = study.laws()
    except LawError as error:
        return [], str(error)
    law = found[0].law
    return (found, law.reason) if law.status.determined else ([], study.no_law(law.reason))


def _tuning(study: Study, best: Answer | None) -> float | None:
    """FLOPs of one round of RATES at the advised configuration, where one factor was tried."""
    tuned = len(study.spec.train.learning_rate.tune) > 1
    if best is None or tuned or study.spec.log is None:
        return None
    return len(RATES) * best.option.cost.train_flop


def _shape(answer: Answer) -> tuple[Any, ...]:
    return answer.option.model, answer.option.train.epochs, answer.rows


def _named(triple: tuple[float, float, float] | None) -> dict[str, float] | None:
    return dict(zip(("mean", "low", "high"), triple, strict=True)) if triple else None
