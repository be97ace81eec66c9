"""Learning-rate factors of one architecture race: those that have surely lost are not trained on.

Under schedule `anytime` every data fraction is a point of one training, so that factors of
`learning_rate.tune` can be compared at each of them. All are trained to the smallest fraction, and
from there on those that may still win: successive halving (Jamieson and Talwalkar 2016) with a
margin in place of a share, so that a close race is run to its end.

A low rate begins behind and catches up, so that one look decides only where a factor is far behind.
Five races of factors .25, .5, 1, 2 and 4 over a grid of five fractions (dlrm and decoder, three
synthetic worlds, 2026-11-30; the margins were chosen on three of them): the factor that was best at
the end was never dropped, and was by up to .4 % under a margin of 1 % at every look. What a race
costs beside one training: of .25, 1 and 4 1.1 to 1.25 for clicks and 2.1 for next items; of .5, 1
and 2, which end within .6 % of each other, 2.1 to 2.5.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf, log, log10
from statistics import fmean
from typing import TYPE_CHECKING

from recscale.run import RunConfig, RunRecord

if TYPE_CHECKING:
    from recscale.planner.fixed import Planned

# log of the ratio of two losses at one point of both trainings
FAR = 0.03  # at the first look
MARGIN = 0.01  # for each decade of data that is left, at this look and the one before


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
            races[p.race].append(p)
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
        found = lost.get(p.race, {}).get(t.rate_factor)
        if found and p.run_id not in ended and (t.data_fraction > found.fraction or t.epochs > 1):
            out[p.run_id] = found.why
    return out


def race_of(config: RunConfig) -> str:
    """Equal for the runs of one architecture: of all factors, seeds, fractions and epochs."""
    at = {"data_fraction": 1.0, "epochs": 1}
    return config.model_copy(update={"train": config.train.model_copy(update=at)}).tuning_group


def _loss(record: RunRecord) -> float:
    return record.final.eval_loss if record.status == "done" and record.final else inf


def _lost(runs: Sequence[Planned], losses: dict[str, float]) -> dict[float, Loss]:
    """Fraction by fraction: at each, the factors still in are compared once all their seeds are
    there."""
    at: dict[float, dict[float, list[float | None]]] = defaultdict(lambda: defaultdict(list))
    for p in runs:
        t = p.config.train
        if t.epochs == 1:
            at[t.data_fraction][t.rate_factor].append(losses.get(p.run_id))
    lost: dict[float, Loss] = {}
    before: dict[float, float] = {}
    for fraction in sorted(at)[:-1]:  # at the last there is nothing left to save
        still = {f: [v for v in by if v is not None] for f, by in at[fraction].items()
                 if f not in lost}  # fmt: skip
        if any(len(by) < len(at[fraction][f]) for f, by in still.items()):
            break  # somebody is on the way
        mean = {f: fmean(by) for f, by in still.items()}
        best = min(mean, key=lambda f: (mean[f], f))
        if mean[best] == inf:
            break
        behind = {f: inf if loss == inf else log(loss / mean[best]) for f, loss in mean.items()}
        left = log10(max(at) / fraction)
        for factor, gap in behind.items():
            sure = min(gap, before[factor]) > MARGIN * left if before else gap > FAR
            if sure or gap == inf:
                why = (
                    f"learning-rate factor {factor:g} lost to {best:g} at data_fraction "
                    f"{fraction:g}: eval_loss {mean[factor]:.5g} against {mean[best]:.5g}"
                )
                lost[factor] = Loss(fraction, why)
        before = behind
    return lost
