"""Learning-rate factors of one architecture race: those that have surely lost are not trained on.

Under schedule `anytime` every data fraction is a point of one training, so that factors of
`learning_rate.tune` can be compared at each of them. All are trained to the smallest fraction, and
from there on those that may still win: successive halving (Jamieson and Talwalkar 2016) with a
margin in place of a share, so that a close race is run to its end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, inf
from statistics import fmean
from typing import TYPE_CHECKING

from recscale.run import RunConfig, RunRecord

if TYPE_CHECKING:
    from recscale.planner.fixed import Planned

# log of the ratio of two losses at one point of both trainings
MARGIN = 0.01


@dataclass(frozen=True)
class Loss:
    """Where a factor lost, and to which."""

    fraction: float
    why: str


def losers(
    planned: Iterable[Planned], attempts: Iterable[RunRecord]
) -> dict[str, dict[float, Loss]]:
    """The factors that have lost, of each race (`race_of`) that has any."""
    losses = {r.run_id: _loss(r) for r in attempts if r.settled}
    races: dict[str, list[Planned]] = defaultdict(list)
    for p in planned:
        if p.config.train.schedule == "anytime":
            races[race_of(p.config)].append(p)
    found = {race: _lost(runs, losses) for race, runs in races.items()}
    return {race: lost for race, lost in found.items() if lost}


def beaten(planned: Sequence[Planned], attempts: Iterable[RunRecord]) -> dict[str, str]:
    """Planned runs that are not to be trained, as their factor has lost at a smaller data fraction
    of their architecture: run id -> why, in words."""
    attempts = list(attempts)
    lost, ended = losers(planned, attempts), {r.run_id for r in attempts if r.settled}
    out = {}
    for p in planned if lost else ():
        t = p.config.train
        found = lost.get(race_of(p.config), {}).get(t.rate_factor)
        if found and p.run_id not in ended and (t.data_fraction > found.fraction or t.epochs > 1):
            out[p.run_id] = found.why
    return out


def race_of(config: RunConfig) -> str:
    """Equal for the runs of one architecture: of all factors, seeds, fractions and epochs."""
    at = {"data_fraction": 1.0, "epochs": 1}
    return config.model_copy(update={"train": config.train.model_copy(update=at)}).tuning_group


def _loss(record: RunRecord) -> float:
    return record.curve[-1].eval_loss if record.status == "done" else inf


def _lost(runs: Sequence[Planned], losses: dict[str, float]) -> dict[float, Loss]:
    """Fraction by fraction: at each, the factors still in are compared once all their seeds are
    there."""
    at: dict[float, dict[float, list[float | None]]] = defaultdict(lambda: defaultdict(list))
    for p in runs:
        t = p.config.train
        if t.epochs == 1:
            at[t.data_fraction][t.rate_factor].append(losses.get(p.run_id))
    lost: dict[float, Loss] = {}
    for fraction in sorted(at):
        still = {f: [v for v in by if v is not None] for f, by in at[fraction].items()
                 if f not in lost}  # fmt: skip
        if any(len(by) < len(at[fraction][f]) for f, by in still.items()):
            continue  # somebody is on the way
        mean = {f: fmean(by) for f, by in still.items()}
        best = min(mean, key=lambda f: (mean[f], f))
        for factor, loss in mean.items():
            if mean[best] < inf and loss > mean[best] * exp(MARGIN):
                why = (
                    f"learning-rate factor {factor:g} lost to {best:g} at data_fraction "
                    f"{fraction:g}: eval_loss {loss:.5g} against {mean[best]:.5g}"
                )
                lost[factor] = Loss(fraction, why)
    return lost
