"""The page's first screen: the answer in three sentences, and what to train at 1 to 100 times."""

from __future__ import annotations

from dataclasses import dataclass

from recscale.advice.advise import Advice
from recscale.advice.answer import Answer
from recscale.advice.headlines import sentence, tried
from recscale.advice.runs import as_option, best_so_far
from recscale.advice.words import beside_baselines, described, reach, to_know, unspent
from recscale.report.findings import Findings
from recscale.spec import TRAINING_AXES
from recscale.words import dollars, listed, quantity, span, time

TIMES = (1, 3, 10, 100)
"""Compute of the table's rows, in times the largest run."""


def first(f: Findings, held: str) -> list[str]:
    """Where the next compute goes, what is to be expected there and what it takes, how sure that
    is; or what is lacking, and what to run next in order to know.

    held: how well the hold-out was predicted, see `sentences.held_out`."""
    advice = f.advice
    if isinstance(advice, str):
        return [sentence(advice), held]
    if not advice.promised:
        lacking = f"No gain is promised yet: {'; '.join(advice.doubts)}."
        best = [sentence(advice)] if advice.best else []
        return [lacking, *to_know(advice.step), *best, _sure(advice, held)]
    best = advice.best
    assert best is not None
    told = f"{sentence(advice)} It takes {_takes(advice, best)}."
    return [f"Put the next compute into {_grown(f, advice, best)}.", told, _sure(advice, held)]


def _grown(f: Findings, advice: Advice, best: Answer) -> str:
    """What the answer has more of than the best run so far."""
    run, _ = best_so_far(f.study)
    before, after = as_option(run), best.option
    grown = []
    for axis in advice.swept:
        if axis in TRAINING_AXES:
            continue
        was, now = getattr(before.model, axis), getattr(after.model, axis)
        if was is not None and (now is None or now > was):
            grown.append(f"{axis} ({was} to {'all' if now is None else now})")
    was, now = before.cost.samples, after.cost.samples
    if now > was:
        grown.append(f"training samples ({quantity(was)} to {quantity(now)})")
    return listed(grown) if grown else "a model no larger than the best so far"


def _takes(advice: Advice, best: Answer) -> str:
    rows = f"{quantity(best.rows)} of the {quantity(advice.rows_at_hand)} training rows"
    return f"{rows}, about {time(best.time_s)} and {dollars(best.usd)}"


def _sure(advice: Advice, held: str) -> str:
    said = [held, *([reach(advice.best)] if advice.best else []), *beside_baselines(advice)]
    return " ".join(said)


@dataclass(frozen=True)
class Row:
    """What to train at `times` the largest run's compute, in words; `why` nothing can be said."""

    times: str
    flop: str = ""
    what: str = ""
    predicted: str = ""
    gain: str = ""
    rows: str = ""
    time: str = ""
    usd: str = ""
    why: str = ""


def ahead(f: Findings) -> list[Row]:
    """A row for each of TIMES; none before there is any advice. One that advises what the row above
    it does says so instead: what the budget could buy more of is not weighed, or not there. None
    where nothing can be said of any."""
    if isinstance(f.advice, str):
        return []
    found = [(times, tried(f.grounds, f"{times}x")) for times in TIMES]
    rows, above = [], None
    for times, advice in found:
        best = None if isinstance(advice, str) else advice.best
        if isinstance(advice, str) or best is None or best.option != above:
            rows.append(_row(f, times, advice))
        else:
            rows.append(Row(f"{times}x", f"{quantity(advice.budget_flop)} FLOP",
                            why=f"the same as above: {unspent(advice, best)}"))  # fmt: skip
        above = best and best.option
    return rows if any(r.what for r in rows) else []


def _row(f: Findings, times: int, advice: Advice | str) -> Row:
    if isinstance(advice, str):
        return Row(f"{times}x", why=advice)
    flop, best = f"{quantity(advice.budget_flop)} FLOP", advice.best
    if best is None:
        return Row(f"{times}x", flop, why=advice.doubts[0])
    g = best.gain
    return Row(
        f"{times}x",
        flop,
        described(best, advice.swept),
        span(best.loss, best.low, best.high),
        span(g.mean, g.low, g.high) if advice.promised else "none is promised",
        quantity(best.rows),
        time(best.time_s),
        dollars(best.usd),
    )
