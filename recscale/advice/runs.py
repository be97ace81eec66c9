"""The runs that advice starts from, and the compute that it is asked for."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from statistics import fmean

from recscale.advice.options import Option
from recscale.laws import LawError
from recscale.run import RunRecord
from recscale.study import Study

SUFFIX = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
SHAPE = re.compile(
    r"\s*(?P<number>\d+(\.\d*)?([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?)\s*"
    r"(?P<unit>[xX×]|[kMGTPE]?)\s*(FLOPs?)?\s*"
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
    return study.once("entering", lambda: [r for r in study.records if r.run_id not in out])


def largest_option(study: Study) -> Option:
    """The finished run with the most training FLOPs, of those that enter the law."""
    return as_option(max(entering(study), key=lambda r: (r.trained.train_flop, r.run_id)))


def as_option(r: RunRecord) -> Option:
    return Option(r.config.model, r.config.train, r.trained)


def bought(study: Study, budget: float) -> float:
    """The rows that a training budget (FLOPs) buys the best configuration so far."""
    run, _ = best_so_far(study)
    return budget / run.trained.train_flop * run.trained.samples / run.config.train.epochs


def best_so_far(study: Study) -> tuple[RunRecord, float]:
    """A run of the configuration with the lowest loss, and that loss, mean over its seeds."""
    return study.once("best so far", lambda: _best(study))


def _best(study: Study) -> tuple[RunRecord, float]:
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
