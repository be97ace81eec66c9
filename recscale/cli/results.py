"""The verbs of a run directory: status, ask, report, compare."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from recscale.cli.shell import (
    Verb,
    as_json,
    folder_of,
    folders,
    open_study,
    refuse,
    say,
    write_page,
)

if TYPE_CHECKING:
    from recscale.study import Study


@click.command(cls=Verb)
@click.argument("rundir", shell_complete=folders)
@click.option("--page", is_flag=True, help="Write report.html too; it follows a sweep that runs.")
@as_json
def status(rundir: str, page: bool, as_json: bool) -> None:
    """Show how far a sweep is, from its ledger alone.

    Example: recscale status runs/demo
    """
    study = open_study(rundir)
    from recscale.engine.driven import LIVES, driven

    state = driven(study, rundir)
    if page:
        from recscale.report.live import write_once

        say(write_once(study, rundir, state.startswith(LIVES)), err=as_json)
    if as_json:
        say(json.dumps({**study.facts(), "driver": state}, indent=1))
        return
    from recscale.report.terminal import baseline_lines, damage_lines, progress_line

    lines = [progress_line(study), *([state] if state else [])]
    lines += [*baseline_lines(study), *damage_lines(study)]
    say("\n".join(lines))


@click.command(cls=Verb)
@click.argument("rundir", shell_complete=folders)
@click.option("--compute", default="10x", show_default=True, help="FLOPs, or times the largest run")
@click.option(
    "--beyond", default=2, show_default=True, type=click.IntRange(0, 10),
    help="Most doublings of a size beyond its largest value",
)  # fmt: skip
@as_json
def ask(rundir: str, compute: str, beyond: int, as_json: bool) -> None:
    """Say what to train next with more compute.

    Example: recscale ask runs/demo --compute 10x
    """
    from recscale.advice import advise
    from recscale.laws import LawError

    study = open_study(rundir)
    if len(study.spec.models) > 1:
        _ask_each(study, compute, beyond, as_json)
        return
    try:
        advice = advise(study, compute, beyond)
    except (LawError, ValueError) as error:
        refuse(f"{error}{_way_out(study)}")
    if as_json:
        say(json.dumps(advice.facts(), indent=1))
    else:
        say(advice.sentences())


def _way_out(study: Study) -> str:
    """What to do where baselines keep every finished run out of the law."""
    if not study.below() or any(study.frame()["enters_law"]):
        return ""
    return (
        "; train on more rows or other columns (report.html shows the curves), or let such runs "
        "into the law by law: {below_baseline: true}"
    )


def _ask_each(study: Study, compute: str, beyond: int, as_json: bool) -> None:
    """The answer of each family, and which of them the budget suits best."""
    from recscale.advice.families import advise_each
    from recscale.laws import LawError
    from recscale.report.architectures import answers

    try:
        each, comparisons = advise_each(study, compute, beyond)
    except (LawError, ValueError) as error:
        refuse(str(error))
    if as_json:
        families = {f: {"why": a} if isinstance(a, str) else a.facts() for f, a in each.items()}
        facts = {"families": families, "comparisons": [d.facts() for d in comparisons]}
        say(json.dumps(facts, indent=1))
        return
    say(answers(study, each, comparisons))


@click.command(cls=Verb)
@click.argument("rundir", shell_complete=folders)
def report(rundir: str) -> None:
    """Write report.html and the tables of a sweep.

    Example: recscale report runs/demo
    """
    from recscale.report.page import write_report

    for path in write_report(open_study(rundir), rundir):
        say(path)


@click.command(cls=Verb)
@click.argument(
    "rundirs", nargs=-1, required=True, shell_complete=folders, metavar="RUNDIR RUNDIR..."
)
@click.option("--report", type=click.Path(dir_okay=False), help="Also write one page of HTML.")
@as_json
def compare(rundirs: tuple[str, ...], report: str | None, as_json: bool) -> None:
    """Set sweeps side by side, or one before and after a change.

    Example: recscale compare runs/before runs/after --report compare.html
    """
    if len(rundirs) < 2:
        refuse("compare needs two run directories or more, such as runs/before runs/after")
    folder_of(report)
    studies = [open_study(place) for place in rundirs]
    from recscale.report.across import Incomparable, across, compare_page

    try:
        found = across(studies, rundirs)
    except Incomparable as error:
        refuse(str(error))
    if report:
        write_page(report, compare_page(found))
    if as_json:
        say(json.dumps(found.facts(), indent=1))
        return
    from rich.console import Console

    from recscale.report.terminal import compare_table

    console = Console()
    console = console if console.is_terminal else Console(width=200)
    console.print(compare_table(found.heads(), found.rows()))
    for name, said in found.expected():
        say(f"{name}: {said}")
    if report:
        say(f"{report} written")
