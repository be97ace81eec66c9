"""The command line: thin shells round pure functions. Heavy imports wait until a verb needs them.

Exit codes: 0 done; 1 some runs failed; 2 bad spec or usage; 3 budget exhausted before the law is
determined; 130 after a clean Ctrl-C.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recscale.engine.ready import Sweep
    from recscale.spec import SweepSpec
    from recscale.study import Study

EXAMPLES = Path(__file__).parents[1] / "sweeps"
FAILED, USAGE, EXHAUSTED, INTERRUPTED = 1, 2, 3, 130
TRAINING = ("run", "prepare")  # verbs whose processes may use every core
as_json = click.option("--json", "as_json", is_flag=True, help="The same facts for machines.")


class _Verbs(click.Group):
    """Every verb meets the same troubles of a full disk or missing credentials."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ValueError as error:
            from recscale.storage import StorageError  # brings pyarrow, which help does without

            if isinstance(error, StorageError):
                _refuse(str(error))
            raise


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="recscale")
@click.pass_context
def main(context: click.Context) -> None:
    """Measure scaling laws of recommendation models and plan where compute should go."""
    if context.invoked_subcommand not in TRAINING:
        # The fits are many small products: threads wait for each other twice as long as they work.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@main.command()
@click.argument("name")
@click.option("--like", default="demo", show_default=True, help="The example to copy.")
def new(name: str, like: str) -> None:
    """Copy an example sweep to edit.

    Example: recscale new mine --like demo
    """
    source, target = EXAMPLES / f"{like}.yaml", Path(f"{name}.yaml")
    if not source.exists():
        known = ", ".join(sorted(p.stem for p in EXAMPLES.glob("*.yaml")))
        _refuse(f"--like {like}: no such example; allowed: {known}")
    if target.exists():
        _refuse(f"{target} exists; choose another name or remove it")
    lines = source.read_text().splitlines(keepends=True)
    target.write_text("".join(f"name: {name}\n" if s.startswith("name:") else s for s in lines))
    click.echo(f"{target} written; edit it, then: recscale plan {target}")


@main.command()
@click.argument("sweep", type=click.Path(exists=True, dir_okay=False))
def prepare(sweep: str) -> None:
    """Prepare the data of a sweep, once.

    Example: recscale prepare sweeps/demo.yaml
    """
    ready = _ready(_load(sweep))
    from recscale.manifest import load_manifest

    data = load_manifest(ready.store)
    click.echo(f"{ready.store}")
    click.echo(f"{data.n_train:,} training and {data.n_eval:,} evaluation rows")
    for reason, rows in data.dropped.items():
        click.echo(f"dropped {rows:,} rows: {reason}")


@main.command()
@click.argument("sweep", type=click.Path(exists=True, dir_okay=False))
@as_json
def plan(sweep: str, as_json: bool) -> None:
    """Show every run before it runs, with what it costs.

    Example: recscale plan sweeps/demo.yaml
    """
    from recscale.ledger import Ledger, finished

    ready = _ready(_load(sweep))
    if ready.problem is not None:
        _plan_search(ready, as_json)
        return
    settled = set(finished(Ledger(ready.run_dir).records())) & {p.run_id for p in ready.planned}
    if as_json:
        keys = ("table_params", "dense_params", "head_params", "train_flop", "samples")
        more = ("lookup_bytes", "peak_bytes", "time_s", "gpu_hours", "usd")
        runs = [
            {"run_id": p.run_id}
            | {k: getattr(p.cost, k) for k in keys + more}
            | {"done": p.run_id in settled, "reason": p.reason}
            for p in ready.planned
        ]
        click.echo(json.dumps(runs, indent=1))
        return
    from rich.console import Console

    from recscale.report.terminal import plan_table

    console = Console()
    console = console if console.is_terminal else Console(width=200)
    console.print(plan_table(ready.planned, settled))


@main.command()
@click.argument("sweep", type=click.Path(exists=True, dir_okay=False))
@click.option("--extend", is_flag=True, help="Let a search that has ended go on, with the file's "
              "raised budget.")  # fmt: skip
def run(sweep: str, extend: bool) -> None:
    """Run what the ledger lacks; the same command resumes.

    Example: recscale run sweeps/demo.yaml
    """
    spec = _load(sweep)
    from recscale.engine.ready import changes, stay_on_loopback
    from recscale.engine.tracking import require_trackers
    from recscale.specfile import SpecError

    try:
        require_trackers(spec)
    except SpecError as error:
        _refuse(str(error))
    ready = _ready(spec)
    if extend:
        _check_extension(ready, sweep)
    stay_on_loopback()
    from recscale.engine.sweep import run as run_sweep
    from recscale.planner import PlanError
    from recscale.report.terminal import Watcher, progress_line
    from recscale.specfile import SpecError

    fresh, orphaned = changes(ready)
    for ids, what in ((fresh, "new"), (orphaned, "orphaned: kept, but outside this sweep's law")):
        if ids:
            click.echo(f"{len(ids)} {what}: {', '.join(ids[:3])}{' ...' if len(ids) > 3 else ''}")
    if ready.problem is None:
        click.echo(f"{len(ready.planned)} runs planned in {ready.run_dir}")
    else:
        what = f"a search over {len(ready.problem.points)} candidates"
        click.echo(f"{what} for {ready.problem.target.words}, in {ready.run_dir}")
    try:
        with Watcher() as watcher:
            ended = run_sweep(ready, watcher, extend)
    except (PlanError, SpecError) as error:
        _refuse(str(error))
    click.echo(progress_line(ended.study))
    if ended.interrupted:
        click.echo(f"stopped; the same command goes on: recscale run {sweep}")
        sys.exit(INTERRUPTED)
    if ready.problem is not None and ended.study.decisions:
        _say_ended(ended.study, sweep)
    if ended.study.count("failed"):
        for record in ended.study.records:
            if record.status == "failed":
                last = (record.error or "").strip().splitlines()[-1:]
                click.echo(f"failed: {record.run_id}: {''.join(last)}")
        sys.exit(FAILED)
    if ended.exhausted:
        from recscale.study import law_facts

        if ready.problem is None:
            cut = ended.study.count("stopped")
            under = f"; {cut} were stopped under way and go on when it is raised" if cut else ""
            click.echo(f"the budget is used up before every run has ended{under}")
        sys.exit(0 if law_facts(ended.study)["status"] == "converged" else EXHAUSTED)


@main.command()
@click.argument("rundir")
@as_json
def status(rundir: str, as_json: bool) -> None:
    """Show how far a sweep is, from its ledger alone.

    Example: recscale status runs/demo
    """
    study = _study(rundir)
    if as_json:
        click.echo(json.dumps(study.facts(), indent=1))
        return
    from recscale.report.terminal import progress_line

    click.echo(progress_line(study))


@main.command()
@click.argument("table")
@click.option("--variables", required=True, help="Columns the law is over, such as N,D.")
@click.option("--loss", default="loss", show_default=True, help="Column that the law explains.")
@click.option("--form", default="additive", show_default=True, help="Form of the law, or auto.")
@click.option("--where", help="Keep only rows that match, such as 'outlier5 == 0'.")
@click.option("--predict", help="Hold rows that match out of the fit and predict them.")
@click.option("--level", default=0.9, show_default=True, help="Of the prediction intervals.")
@click.option("--cluster", help="Column that names the run, where a run has several rows.")
@click.option("--cost", help="What a run costs, such as '6*N*D': asks for the best mix.")
@click.option("--report", type=click.Path(dir_okay=False), help="Also write one page of HTML.")
@as_json
def fit(table: str, variables: str, report: str | None, as_json: bool, **options: Any) -> None:
    """Fit the law of any table of runs.

    Example: recscale fit runs.csv --variables N,D --loss loss
    """
    from recscale.laws import LawError
    from recscale.laws.facts import to_json
    from recscale.laws.table import open_fit

    names = [v.strip() for v in variables.split(",") if v.strip()]
    if report and not Path(report).absolute().parent.is_dir():
        _refuse(f"--report {report}: no such folder; make it first")
    try:
        fitted = open_fit(table, variables=names, **options)
    except LawError as error:
        _refuse(str(error))
    if report:
        from recscale.report.law_page import law_page

        Path(report).write_text(law_page(fitted, Path(table).name), encoding="utf-8")
    if as_json:
        click.echo(to_json(fitted.facts))
        return
    from recscale.report.law_text import law_lines

    click.echo("\n".join(law_lines(fitted.facts)))
    if report:
        click.echo(f"{report} written")


@main.command()
@click.argument("table")
@click.option("--variables", required=True, help="Columns the law is over, such as N,D.")
@click.option("--cost", required=True, help="What a row costs, such as '6*N*D'.")
@click.option("--loss", default="loss", show_default=True, help="Column to be foretold.")
@click.option("--budget", default="10%", show_default=True, help="Share of what all rows cost.")
@click.option("--target", required=True, help="Rows to foretell, never bought: 'C > 1e21'.")
@click.option("--where", help="Keep only rows that match, such as 'outlier5 == 0'.")
@click.option("--form", default="additive", show_default=True, help="Form of the law, or auto.")
@click.option("--seed", default=0, show_default=True, help="Of the random baseline.")
@as_json
def replay(table: str, variables: str, budget: str, as_json: bool, **options: Any) -> None:
    """Buy the rows of a finished table as the search would.

    Example: recscale replay runs.csv --variables N,D --cost 6*N*D --target "C > 1e21"
    """
    from recscale.laws import LawError
    from recscale.laws.facts import to_json
    from recscale.planner import replay as bought
    from recscale.values import share

    names = [v.strip() for v in variables.split(",") if v.strip()]
    try:
        amount = share(budget)
        facts = bought(table, names, budget=float(amount), **options)
    except (LawError, ValueError) as error:
        _refuse(str(error))
    if as_json:
        click.echo(to_json(facts))
        return
    from recscale.report.terminal import replay_table

    replay_table(facts)


@main.command()
@click.argument("rundir")
@click.option("--compute", default="10x", show_default=True, help="FLOPs, or times the largest run")
@as_json
def ask(rundir: str, compute: str, as_json: bool) -> None:
    """Say what to train next with more compute.

    Example: recscale ask runs/demo --compute 10x
    """
    from recscale.advice import advise
    from recscale.laws import LawError

    study = _study(rundir)
    if len(study.spec.models) > 1:
        _ask_each(study, compute, as_json)
        return
    try:
        advice = advise(study, compute)
    except (LawError, ValueError) as error:
        _refuse(str(error))
    if as_json:
        click.echo(json.dumps(advice.facts(), indent=1))
    else:
        click.echo(advice.sentences())


def _ask_each(study: Study, compute: str, as_json: bool) -> None:
    """The answer of each family, and which of them the budget suits best."""
    from recscale.advice.families import advise_each
    from recscale.laws import LawError
    from recscale.report.architectures import sentences

    try:
        each, duels = advise_each(study, compute)
    except (LawError, ValueError) as error:
        _refuse(str(error))
    if as_json:
        families = {f: {"why": a} if isinstance(a, str) else a.facts() for f, a in each.items()}
        facts = {"families": families, "duels": [d.facts() for d in duels]}
        click.echo(json.dumps(facts, indent=1))
        return
    for family, advice in each.items():
        click.echo(f"{family}:")
        text = advice if isinstance(advice, str) else advice.sentences()
        click.echo("".join(f"  {line}\n" for line in text.splitlines()))
    click.echo("\n".join(sentences(study, duels)))


@main.command()
@click.argument("rundir")
def report(rundir: str) -> None:
    """Write report.html and the tables of a sweep.

    Example: recscale report runs/demo
    """
    from recscale.report.page import write_report

    for path in write_report(_study(rundir), rundir):
        click.echo(path)


def _load(sweep: str) -> SweepSpec:
    from recscale.specfile import SpecError, load_spec

    try:
        return load_spec(sweep)
    except SpecError as error:
        _refuse(str(error))


def _ready(spec: SweepSpec) -> Sweep:
    from recscale.data.layout import DataError
    from recscale.engine.ready import ready
    from recscale.planner import PlanError
    from recscale.specfile import SpecError

    try:
        with _bar() as progress:
            return ready(spec, progress)
    except (SpecError, DataError, PlanError) as error:
        _refuse(str(error))


def _plan_search(ready: Sweep, as_json: bool) -> None:
    """The next decision of a search and what its budget should buy."""
    from recscale.engine.ready import standing
    from recscale.planner import Launch, decide_search
    from recscale.planner.forecast import forecast, grid_cost
    from recscale.report.terminal import plan_table, search_lines

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
            "more_runs": ahead.runs,
            "full_grid": {"runs": n, **vars(whole)},
        }
        click.echo(json.dumps(facts, indent=1))
        return
    from rich.console import Console

    console = Console()
    console = console if console.is_terminal else Console(width=200)
    if runs:
        console.print(plan_table(runs, set()))
    for line in search_lines(problem, decision, ahead, n, whole):
        click.echo(line)


def _check_extension(ready: Sweep, sweep: str) -> None:
    """`--extend` needs a search that has ended, and a file that asks for more than it did then."""
    from recscale.ledger import Ledger
    from recscale.planner.journal import ended

    if ready.problem is None:
        _refuse(f"--extend: {sweep} is no search (strategy frontier); the same command resumes it")
    entries = Ledger(ready.run_dir).entries()
    over = ended(entries)
    if over is None:
        return
    before = [e for e in entries if e["kind"] == "plan"][-1]["spec"]
    now = ready.spec.model_dump(mode="json")
    if now["budget"] == before["budget"] and now["search"] == before["search"]:
        _refuse(
            f"--extend: the search has ended ({over['why']}) and {sweep} asks for nothing more: "
            "raise its budget, or set a narrower search.interval, and give the command again"
        )


def _say_ended(study: Study, sweep: str) -> None:
    """Why a search ended, and how it goes on."""
    if study.decisions[-1]["stop"] is None:
        return
    click.echo(f"the search has ended: {study.decisions[-1]['why']}")
    click.echo(f"to go on, raise the budget in {sweep}, then: recscale run --extend {sweep}")


def _study(rundir: str) -> Study:
    from recscale.study import Study, StudyError

    try:
        return Study.open(rundir)
    except StudyError as error:
        _refuse(str(error))


@contextmanager
def _bar() -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on stderr that appears with the first row."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("preparing", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    tasks: list[Any] = []

    def progress(done: int, total: int | None) -> None:
        if not tasks:
            bar.start()
            tasks.append(bar.add_task("rows", total=total))
        bar.update(tasks[0], completed=done, total=total)

    try:
        yield progress
    finally:
        bar.stop()


def _refuse(sentence: str) -> NoReturn:
    """Bad input: what is wrong and what to do, exit 2."""
    click.echo(sentence, err=True)
    sys.exit(USAGE)


if __name__ == "__main__":
    main()
