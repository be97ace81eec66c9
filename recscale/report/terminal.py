"""What a person sees in a terminal: plans as tables, a sweep as one live line."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from recscale.families import TrainerConfig
from recscale.frame import below_words
from recscale.laws import LawError, Role
from recscale.planner import Decision, Planned, Problem, Spend
from recscale.planner.forecast import Forecast
from recscale.planner.foresight import LARGER, Foresight
from recscale.run import TrainConfig
from recscale.spec import BudgetSpec, TrainSpec
from recscale.study import Study
from recscale.words import baselines, printable, quantity
from recscale.words import time as time_words

MOST_BELOW = 10  # runs that status names one by one
PLAIN_S = 60  # seconds between lines where nobody watches a terminal
LIVE_S = 1  # seconds between redraws on a terminal


MOST_ROWS = 400  # of a table; of thousands rich takes a minute


def plan_table(planned: Sequence[Planned], settled: set[str]) -> Table:
    """Every run before it runs, of more than MOST_ROWS the cheapest and the most expensive; totals
    last: of what is left to run, and below it of the whole where some are done."""
    table = Table(show_footer=True, header_style="bold", box=None, pad_edge=False)
    left = [p for p in planned if p.run_id not in settled]
    several = [planned] if len(left) == len(planned) else [left, planned]
    of = [f"{len(planned)} runs, 0 done"] if len(several) == 1 else [
        f"{len(left)} runs are left", f"{len(planned)} in all, {len(settled)} done"
    ]  # fmt: skip
    totals = [_totals(runs) for runs in several]
    table.add_column("run", "\n".join(of), no_wrap=True)
    for name in ("table", "dense", "samples", "FLOP", "peak", "time", "GPU-h", "$"):
        footer = "\n".join(total.get(name, "") for total in totals)
        table.add_column(name, footer, justify="right")
    table.add_column("reason")
    hidden = max(0, len(planned) - MOST_ROWS)
    for number, p in enumerate(planned):
        if hidden and number == MOST_ROWS // 2:
            table.add_row(f"... {hidden:,} runs between; plan --json lists all")
        if hidden and MOST_ROWS // 2 <= number < MOST_ROWS // 2 + hidden:
            continue
        c = p.cost
        table.add_row(
            p.run_id,
            quantity(c.table_params),
            quantity(c.dense_params),
            quantity(c.samples),
            quantity(c.train_flop),
            quantity(c.peak_bytes) + "B",
            time_words(c.time_s),
            f"{c.gpu_hours:.2f}",
            f"{c.usd:.4f}",
            "done" if p.run_id in settled else p.reason,
        )
    return table


def _totals(planned: Sequence[Planned]) -> dict[str, str]:
    """What runs cost together, by column."""
    costs = [p.cost for p in planned]
    return {
        "FLOP": quantity(sum(c.train_flop for c in costs)),
        "time": time_words(sum(c.time_s for c in costs)),
        "GPU-h": f"{sum(c.gpu_hours for c in costs):.2f}",
        "$": f"{sum(c.usd for c in costs):.2f}",
    }


def training_line(asked: TrainSpec, planned: Sequence[Planned]) -> str:
    """The batch and the learning rates of the planned runs, and which of them the sweep leaves to
    the log and the family; the factors of `learning_rate.tune` come on top of the rates. Of a
    trainer of one's own, what is known of it."""
    own = planned[0].config.model
    if isinstance(own, TrainerConfig):
        return f"trainer {own.family}, source {own.code or 'unknown'}; cost {own.cost}"
    by_family: dict[str, list[TrainConfig]] = {}
    for p in planned:
        by_family.setdefault(p.config.model.family, []).append(p.config.train)
    batch = f"batch {planned[0].config.train.batch_size:,}" + (
        "" if asked.batch_size else " (left out: the usual one of so many rows)"
    )
    rates = [
        f"{family} {_range([r.dense_rate for r in runs])} dense, "
        f"{_range([r.sparse_rate for r in runs])} sparse"
        for family, runs in by_family.items()
    ]
    given = asked.learning_rate
    left = [k for k in ("dense", "sparse") if getattr(given, k) is None]
    few = any(
        getattr(p.config.train, f"{k}_rate") < getattr(p.config.model.rates, k)
        for p, k in itertools.product(planned, left)
        if p.config.model.task == "click"
    )
    lower = ", lower for runs with few clicks" if few else ""
    usual = f" ({' and '.join(left)} left out: the family's usual ones{lower})" if left else ""
    return f"{batch}; learning rates: {'; '.join(rates)}{usual}"


def trajectory_lines(planned: Sequence[Planned], charged: Sequence[Planned]) -> list[str]:
    """How many trainings the runs of schedule `anytime` are, and what that saves; `charged` are
    those of `recscale.planner.increments`."""
    runs = [p for p in planned if p.config.train.schedule == "anytime"]
    if not runs:
        return []
    trainings = len({p.place.trunk for p in runs})
    alone, together = (sum(p.cost.train_flop for p in each) for each in (planned, charged))
    return [
        f"anytime: these {len(runs)} runs are points of {trainings} trainings; each is charged "
        f"what it adds to the one before it, together {quantity(together)} FLOP; trained apart "
        f"they would take {quantity(alone)}"
    ]


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def search_lines(
    problem: Problem, decision: Decision, ahead: Forecast, grid_runs: int, grid: Spend
) -> list[str]:
    """What `recscale plan` says of a frontier search below its next runs."""
    budget = problem.spec.budget
    share = {
        k: 100 * limit / getattr(grid, k)
        for k, limit in budget.model_dump(exclude_none=True).items()
        if getattr(grid, k)
    }
    least = min(share, key=lambda k: share[k], default=None)
    at = problem.target.words
    now = f"; now \u00b1{100 * ahead.now:.2g} %" if ahead.now else ""
    if ahead.now and ahead.now > 1:
        now = "; hardly anything is known yet"
    out = [
        decision.reason,
        f"{len(problem.points)} candidates; the full grid would take {grid_runs} runs and "
        f"{spend(grid, BudgetSpec(flop=1))}".replace(" of 1 FLOP", " FLOP"),
        f"at {at} the whole budget should know the {GOALS[problem.spec.search.goal]} to within "
        f"{expected_words(ahead)}, in about {ahead.runs} more runs{now}",
    ]
    if least:
        out[1] += f"; the budget is {share[least]:.2g} % of that"
    return out


def expected_words(ahead: Foresight | Forecast) -> str:
    """How well a law of runs that are not made yet should tell a loss."""
    assert ahead.half is not None
    exact = f"\u00b1{100 * ahead.half:.2g} % (90 %)"
    if ahead.departing is None:
        return exact
    return (
        f"{exact} if losses follow a law exactly, \u00b1{100 * ahead.departing:.2g} % if they "
        "depart from it as published ones do, where seeds scatter by half a percent"
    )


def foresight_line(ahead: Foresight, family: str, loss: str) -> str:
    """What `recscale plan` says of the law that a fixed sweep's runs are to give; empty where there
    is nothing to say."""
    added = ""
    if c := ahead.change:
        more = f"{c.new} more run{'s' * (c.new > 1)}, {quantity(c.flop)} FLOP"
        added = f"{c.key}: {c.value} ({more})"
    if ahead.half is None:
        return f"{family}: the least expensive change that gives a law: {added}" if added else ""
    at = "the largest run"
    if ahead.larger:
        at = f"a run {LARGER:.2g} times the largest in {' and '.join(ahead.larger)}"
    told = f"{family}: these runs should tell {loss} of {at} to within "
    told += expected_words(ahead)
    if added:
        told += f"; {added} would narrow that by {100 * (1 - ahead.narrower):.0f} %"
    return told


GOALS = {"loss": "loss", "allocation": "best split", "slopes": "gain of each doubling"}


def search_words(study: Study) -> str:
    """Where a search stands: how well its goal is known. What to train there, and what it will
    reach, is the answer of `recscale ask` alone."""
    facts = study.search_facts()
    if "half" not in facts:
        return "search: start"
    goal = GOALS[study.spec.search.goal]
    return f"{goal} at {facts['target']} known to within {100 * facts['half']:.2g} %"


def progress_line(study: Study) -> str:
    """`31/48 runs  2 running  1 failed | 2.1P of 10P FLOP  $0.40 of $1.00 | ETA 1h20m | law`."""
    ended = study.count("done") + study.count("diverged")
    parts = [f"{ended}/{len(study.planned)} runs"]
    if study.running:
        parts.append(f"{len(study.running)} running")
    for status in ("diverged", "failed", "stopped"):
        if study.count(status):
            parts.append(f"{study.count(status)} {status}")
    if study.raced:
        parts.append(f"{len(study.raced)} not trained: their rates lost")
    if below := study.below():
        names = ", ".join(dict.fromkeys(name for r in below for name in r.worse_than))
        parts.append(f"{len(below)} below baseline: worse than {names}")
    eta = study.eta_s()
    if study.decisions:
        left = search_words(study)
    elif ended == len(study.planned):
        left = "complete"
    else:
        left = f"ETA {time_words(eta)}" if eta is not None else "ETA after the first run"
    return " | ".join(["  ".join(parts), spend(study.spent, study.spec.budget), left, law(study)])


def baseline_lines(study: Study) -> list[str]:
    """What `recscale status` says below its line: the losses to beat, and the runs that do not."""
    if not study.baselines:
        return []
    below = study.below()
    lines = [f"{r.run_id}: {below_words(r)}" for r in below[:MOST_BELOW]]
    if len(below) > MOST_BELOW:
        lines.append(f"and {len(below) - MOST_BELOW} more: recscale report lists them all")
    return [baselines(study.baselines, study.judged_by), *lines]


def damage_lines(study: Study) -> list[str]:
    """What was damaged and set aside, the newest last."""
    lines = list(study.damage[-MOST_BELOW:])
    more = len(study.damage) - len(lines)
    return [f"{more} more before: recscale status --json"] * (more > 0) + lines


def spend(used: Spend, budget: BudgetSpec) -> str:
    """Spend beside its budget, only the kinds that matter."""
    parts = [
        quantity(used.flop) + (f" of {quantity(budget.flop)}" if budget.flop else "") + " FLOP"
    ]
    if used.gpu_hours or budget.gpu_hours:
        limit = f" of {budget.gpu_hours:g}" if budget.gpu_hours else ""
        parts.append(f"{used.gpu_hours:.2f}{limit} GPU-h")
    parts.append(f"${used.usd:.2f}" + (f" of ${budget.usd:.2f}" if budget.usd else ""))
    return "  ".join(parts)


def held_line(used: Spend, budget: BudgetSpec, runs: int, of: int) -> str:
    """How many of the open runs the budget holds, and what it is."""
    what = f"budget: {spend(used, budget)} spent"
    if not of:
        return f"{what}; every run has ended"
    more = "" if runs == of else "; raise it, or take cheaper values of the axes"
    return f"{what}; the rest holds {runs} of the {of} runs that are open, at their estimates{more}"


def law(study: Study) -> str:
    """The law in a few signs, or what it still lacks; of several families one after the other."""
    parts = study.parts()
    if len(parts) > 1:
        return "; ".join(f"{p.spec.model.family} {law(p)}" for p in parts)
    try:
        fitted = study.law()
    except LawError as error:
        return f"law: {error}"
    if not fitted.status.determined:
        return f"law: not determined yet: {fitted.reason}"
    table = fitted.intervals(0.95).set_index("coefficient")
    exponents = [c.name for c in fitted.model.constants if c.role is Role.EXPONENT]
    shown = [
        f"{c} {fitted.coefficients[c]:.2f} [{table.low[c]:.2f}, {table.high[c]:.2f}]"
        for c in exponents
    ]
    stamp = "" if fitted.status == "converged" else f" ({fitted.status})"
    axes = f" of {', '.join(fitted.variables)}" if fitted.form == "effects" else ""
    return f"law{axes}{stamp}: {', '.join(shown) or 'too few values for an exponent'}"


def replay_table(facts: dict[str, Any]) -> None:
    """Prints what `recscale.planner.replay` found."""
    print(
        f"{len(facts['bought'])} of {facts['rows']} rows bought for "
        f"{100 * facts['spent_share']:.3g} % of what they all cost "
        f"(budget {100 * facts['budget_share']:.3g} %); {facts['stopped']}"
    )
    for row, why in zip(facts["bought"], facts["steps"], strict=True):
        print(f"  row {row}: {why}")
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column(f"at the {facts['targets']} rows to predict")
    table.add_column("error", justify="right")
    table.add_column("R2", justify="right")
    lines = {
        "bought by the search": facts,
        "plain law, every row": facts["whole_table"],
        "law with discrepancy, every row": facts["whole_table_with_discrepancy"],
    } | {f"{k.replace('_', ' ')}, same budget": v for k, v in facts["baselines"].items()}
    for name, v in lines.items():
        table.add_row(name, f"{100 * v['error']:.2f} %", f"{v['r2']:.3f}")
    Console().print(table)


def compare_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Sweeps side by side, one a column: what `recscale.report.across` found."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column("")
    for row in rows:
        table.add_column(Text(printable(row[0])))
    for head, *cells in list(zip(heads, *rows, strict=True))[1:]:
        table.add_row(Text(head), *(Text(printable(c)) for c in cells))
    return table


class Watcher:
    """Shows a running sweep: one live line on a terminal, one plain line a minute otherwise."""

    def __init__(self) -> None:
        self.console = Console()
        self.live = Live(console=self.console, auto_refresh=False, transient=True)
        self.shown_at = 0.0

    def __enter__(self) -> Watcher:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def __call__(self, study: Study) -> None:
        now = time.monotonic()
        if now - self.shown_at < (LIVE_S if self.console.is_terminal else PLAIN_S):
            return
        self.shown_at = now
        line = printable(progress_line(study))
        if self.console.is_terminal:
            self.live.update(Text(line), refresh=True)
        else:
            print(line, flush=True)
