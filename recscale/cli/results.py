"""The verbs of a run directory: status, ask, report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from recscale.cli.shell import Verb, as_json, open_study, refuse

if TYPE_CHECKING:
    from recscale.study import Study


@click.command(cls=Verb)
@click.argument("rundir")
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
        from recscale.report.live import write_page

        click.echo(write_page(study, rundir, state.startswith(LIVES)), err=as_json)
    if as_json:
        click.echo(json.dumps({**study.facts(), "driver": state}, indent=1))
        return
    from recscale.report.terminal import baseline_lines, damage_lines, progress_line

    lines = [progress_line(study), *([state] if state else [])]
    lines += [*baseline_lines(study), *damage_lines(study)]
    click.echo("\n".join(lines))


@click.command(cls=Verb)
@click.argument("rundir")
@click.option("--compute", default="10x", show_default=True, help="FLOPs, or times the largest run")
@click.option(
    "--beyond", default=2, show_default=True, type=click.IntRange(0, 10),
    help="Most doublings of an axis beyond its largest value",
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
        click.echo(json.dumps(advice.facts(), indent=1))
    else:
        click.echo(advice.sentences())


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
    from recscale.report.architectures import sentences

    try:
        each, comparisons = advise_each(study, compute, beyond)
    except (LawError, ValueError) as error:
        refuse(str(error))
    if as_json:
        families = {f: {"why": a} if isinstance(a, str) else a.facts() for f, a in each.items()}
        facts = {"families": families, "comparisons": [d.facts() for d in comparisons]}
        click.echo(json.dumps(facts, indent=1))
        return
    for family, advice in each.items():
        click.echo(f"{family}:")
        text = advice if isinstance(advice, str) else advice.sentences()
        click.echo("".join(f"  {line}\n" for line in text.splitlines()))
    click.echo("\n".join(sentences(study, comparisons)))


@click.command(cls=Verb)
@click.argument("rundir")
def report(rundir: str) -> None:
    """Write report.html and the tables of a sweep.

    Example: recscale report runs/demo
    """
    from recscale.report.page import write_report

    for path in write_report(open_study(rundir), rundir):
        click.echo(path)
