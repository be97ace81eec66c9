"""The verbs of a sweep file: prepare, plan, run."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from recscale.cli.shell import (
    EXHAUSTED,
    FAILED,
    INTERRUPTED,
    Verb,
    as_json,
    load,
    open_sweep,
    refuse,
    say,
    stoppable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recscale.engine.ready import Sweep
    from recscale.manifest import Manifest
    from recscale.report.live import LivePage
    from recscale.spec import TrainSpec
    from recscale.study import Study


@click.command(cls=Verb)
@click.argument("sweep", type=click.Path(exists=True, dir_okay=False))
def prepare(sweep: str) -> None:
    """Prepare the data of a sweep, once.

    Example: recscale prepare sweeps/demo.yaml
    """
    ready = open_sweep(load(sweep), sweep)
    from recscale.report.data_text import data_lines

    if not ready.store:
        say(f"nothing to prepare: {ready.spec.model.family} has data of its own")
        return
    say("\n".join([ready.store, *data_lines(ready.data)]))
    _warn(ready.data.warnings)


def _warn(warnings: Sequence[str]) -> None:
    """Says what may spoil a result, last, where it is seen."""
    from recscale.report.data_text import warning_lines
    from recscale.words import printable

    for line in warning_lines(warnings):
        click.secho(printable(line), fg="yellow", bold=True)


@click.command(cls=Verb)
@click.argument("sweep", type=click.Path(exists=True, dir_okay=False))
@as_json
def plan(sweep: str, as_json: bool) -> None:
    """Show every run before it runs, with what it costs.

    Example: recscale plan sweeps/demo.yaml
    """
    from recscale.engine.rests import missing, right
    from recscale.ledger import Ledger, finished
    from recscale.planner import held, increments, spent
    from recscale.planner.foresight import foresee
    from recscale.planner.race import beaten
    from recscale.specfile import with_lines

    spec = load(sweep)
    ready = open_sweep(spec, sweep)
    data = ready.data
    remarks = [with_lines(sweep, said) for said in ready.remarks]
    if ready.problem is not None:
        _plan_search(ready, data, remarks, spec.train, as_json)
        return
    ledger = Ledger(ready.run_dir)
    settled = set(finished(ledger.records())) & {p.run_id for p in ready.planned}
    lost = beaten(ready.planned, ledger.attempts())
    open_runs = [p for p in ready.planned if p.run_id not in settled and p.run_id not in lost]
    gone = missing(ready.run_dir, open_runs, ledger.starts())
    starts, charged = right(ledger.starts(), gone), increments(ready.planned)
    within = held(ready.planned, ledger.attempts(), starts, ready.spec.budget)
    of = {part.model.family: part for part in ready.spec.parts()} if open_runs else {}
    mine = {f: [p for p in ready.planned if p.config.model.family == f] for f in of}
    foreseen = {f: ahead for f, part in of.items() if (ahead := foresee(part, data, mine[f]))}
    if as_json:
        keys = ("table_params", "dense_params", "head_params", "train_flop", "samples")
        more = ("lookup_bytes", "peak_bytes", "time_s", "gpu_hours", "usd")
        facts = {f: ahead.facts() for f, ahead in foreseen.items()}
        runs = [
            {"run_id": p.run_id}
            | {k: getattr(p.cost, k) for k in keys + more}
            | {"done": p.run_id in settled, "held": p.run_id in within}
            | {"trajectory": p.place.trajectory, "reason": lost.get(p.run_id, p.reason)}
            | {"warnings": data.warnings, "remarks": [*remarks, *gone.said]}
            | {"foresight": facts.get(p.config.model.family)}
            for p in charged
        ]
        say(json.dumps(runs, indent=1))
        return
    from rich.console import Console

    from recscale.report.terminal import (
        foresight_line,
        held_line,
        plan_table,
        training_line,
        trajectory_lines,
    )

    console = Console()
    console = console if console.is_terminal else Console(width=200)
    console.print(plan_table(charged, settled))
    say(training_line(spec.train, ready.planned))
    for line in trajectory_lines(ready.planned, charged):
        say(line)
    used = spent(ledger.attempts(), starts)
    say(held_line(used, ready.spec.budget, len(within), len(open_runs)))
    for family, ahead in foreseen.items():
        if line := foresight_line(ahead, family, of[family].law_loss):
            say(line)
    _warn([*remarks, *gone.said, *data.warnings])


def _plan_search(
    ready: Sweep, data: Manifest, remarks: list[str], asked: TrainSpec, as_json: bool
) -> None:
    """The next decision of a search and what its budget should buy. asked: as the file has it."""
    from recscale.engine.ready import standing
    from recscale.planner import Launch, decide_search, increments
    from recscale.planner.forecast import forecast, grid_cost
    from recscale.report.terminal import (
        plan_table,
        search_lines,
        training_line,
        trajectory_lines,
    )

    problem = ready.problem
    assert problem is not None
    state = standing(ready)
    decision, ahead = decide_search(problem, state), forecast(problem, state)
    runs = decision.runs if isinstance(decision, Launch) else ()
    n, whole = grid_cost(problem)
    if as_json:
        keys = ("table_params", "dense_params", "samples", "train_flop", "time_s", "usd")
        facts = {
            "candidates": len(problem.points),
            "target": {"unit": problem.target.unit, "amount": problem.target.amount},
            "budget": problem.spec.budget.model_dump(exclude_none=True),
            "decision": decision.reason,
            "runs": [
                {"run_id": p.run_id, **{k: getattr(p.cost, k) for k in keys}, "reason": p.reason}
                for p in runs
            ],
            "interval": {"level": 0.9, "now": ahead.now, "expected": ahead.half},
            "expected_departing": ahead.departing,
            "more_runs": ahead.runs,
            "full_grid": {"runs": n, **vars(whole)},
            "warnings": data.warnings,
            "remarks": remarks,
        }
        say(json.dumps(facts, indent=1))
        return
    from rich.console import Console

    console = Console()
    console = console if console.is_terminal else Console(width=200)
    if runs:
        charged = increments(runs, state.starts)
        console.print(plan_table(charged, set()))
        say(training_line(asked, runs))
        for line in trajectory_lines(runs, charged):
            say(line)
    for line in search_lines(problem, decision, ahead, n, whole):
        say(line)
    _warn([*remarks, *data.warnings])


@click.command(cls=Verb)
@click.argument("sweep", type=click.Path(exists=True, dir_okay=False))
@click.option("--extend", is_flag=True, help="Let a search that has ended go on, with the file's "
              "raised budget.")  # fmt: skip
def run(sweep: str, extend: bool) -> None:
    """Run what the ledger lacks; the same command resumes.

    Example: recscale run sweeps/demo.yaml
    """
    with stoppable():
        ready, page, url = _opened(sweep, extend)
    from recscale.engine.ready import changes, other_data
    from recscale.engine.sweep import run as run_sweep
    from recscale.planner import PlanError
    from recscale.report.terminal import Watcher, damage_lines, progress_line
    from recscale.specfile import SpecError, with_lines

    if ready.problem is None:
        what = f"{len(ready.planned)} runs planned"
    else:
        n, target = len(ready.problem.points), ready.problem.target.words
        what = f"a search over {n} candidates for {target}"
    places = f"{ready.run_dir}; page: {page.path}" + (f"; dashboard: {url}" if url else "")
    say(f"{what} in {places}")
    for said in ready.remarks:
        say(f"warning: {with_lines(sweep, said)}")
    if changed := other_data(ready):
        say(changed)
    fresh, orphaned = changes(ready)
    for ids, what in ((fresh, "new"), (orphaned, "orphaned: kept, but outside this sweep's law")):
        if ids:
            say(f"{len(ids)} {what}: {', '.join(ids[:3])}{' ...' if len(ids) > 3 else ''}")
    try:
        with Watcher() as watcher, page:

            def changed_to(study: Study) -> None:
                watcher(study)
                page.update(study)

            ended = run_sweep(ready, changed_to, extend, page.stop)
    except (PlanError, SpecError) as error:
        refuse(with_lines(sweep, str(error)))
    say("\n".join([progress_line(ended.study), *damage_lines(ended.study)]))
    if ended.interrupted:
        say(f"stopped; the same command goes on: recscale run {sweep}")
        sys.exit(INTERRUPTED)
    page.finish(ended.study)
    from recscale.advice.headlines import headlines

    say("\n".join(headlines(ended.study)))
    if ready.problem is not None and ended.study.decisions:
        _say_ended(ended.study, sweep)
    if ended.study.count("failed"):
        for record in ended.study.records:
            if record.status == "failed":
                last = (record.error or "").strip().splitlines()[-1:]
                say(f"failed: {record.run_id}: {''.join(last)}")
        sys.exit(FAILED)
    if ended.exhausted:
        from recscale.study import law_facts

        if ready.problem is None:
            cut = ended.study.count("stopped")
            under = f"; {cut} were stopped under way and go on when it is raised" if cut else ""
            say(f"the budget is used up before every run has ended{under}")
        sys.exit(0 if law_facts(ended.study)["status"] == "converged" else EXHAUSTED)


def _opened(sweep: str, extend: bool) -> tuple[Sweep, LivePage, str]:
    """The sweep ready to run, its page, and the address of the cluster's dashboard, if any."""
    spec = load(sweep)
    from recscale.engine.ready import stay_on_loopback
    from recscale.engine.tracking import require_trackers
    from recscale.specfile import SpecError, with_lines

    try:
        require_trackers(spec)
    except SpecError as error:
        refuse(with_lines(sweep, str(error)))
    ready = open_sweep(spec, sweep)
    if extend:
        _check_extension(ready, sweep)
    stay_on_loopback()
    from recscale.engine.sweep import dashboard
    from recscale.report.live import LivePage

    page = LivePage(ready.run_dir, lambda words: say(words, err=True))
    return ready, page, dashboard(ready)


def _check_extension(ready: Sweep, sweep: str) -> None:
    """`--extend` needs a search that has ended, and a file that asks for more than it did then."""
    from recscale.ledger import Ledger
    from recscale.planner.journal import ended

    if ready.problem is None:
        refuse(f"--extend: {sweep} is no search (strategy frontier); the same command resumes it")
    entries = Ledger(ready.run_dir).entries()
    over = ended(entries)
    if over is None:
        return
    before = [e for e in entries if e["kind"] == "plan"][-1]["spec"]
    now = ready.spec.model_dump(mode="json")
    if now["budget"] == before["budget"] and now["search"] == before["search"]:
        refuse(
            f"--extend: the search has ended ({over['why']}) and {sweep} asks for nothing more: "
            "raise its budget, or set a narrower search.interval, and give the command again"
        )


def _say_ended(study: Study, sweep: str) -> None:
    """Why a search ended, and how it goes on."""
    last = study.decisions[-1]
    if last["stop"] is None:
        return
    say(f"the search has ended: {last['why']}")
    if last["stop"]["exhausted"]:
        say(f"to go on, raise the budget in {sweep}, then: recscale run --extend {sweep}")
    elif study.spec.search.interval and last["facts"]["half"] <= study.spec.search.interval:
        say(
            f"to go on, set a narrower search.interval in {sweep}, then: "
            f"recscale run --extend {sweep}"
        )
    else:
        say(
            "more of these runs would tell little more, whatever the budget: to know more, write a "
            "sweep with larger values of the axes, more data, or more seeds"
        )
