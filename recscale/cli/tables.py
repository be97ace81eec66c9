"""The verbs of any table of runs: fit, replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recscale.cli.shell import Verb, as_json, folder_of, refuse, say, write_page


@click.command(cls=Verb)
@click.argument("table")
@click.option(
    "--variables", required=True, help="Columns the law is over, such as N,D or 'N=Model Size,D'."
)
@click.option("--loss", default="loss", show_default=True, help="Column that the law explains.")
@click.option("--form", default="additive", show_default=True, help="Form of the law, or auto.")
@click.option("--where", help="Keep only rows that match, such as 'outlier5 == 0'.")
@click.option("--predict", help="Hold rows that match out of the fit and predict them.")
@click.option("--level", default=0.9, show_default=True, help="Of the prediction intervals.")
@click.option("--cluster", help="Column that names the run, where a run has several rows; or none.")
@click.option("--cost", help="What a run costs, such as '6*N*D': asks for the best mix.")
@click.option("--report", type=click.Path(dir_okay=False), help="Also write one page of HTML.")
@as_json
def fit(table: str, variables: str, report: str | None, as_json: bool, **options: Any) -> None:
    """Fit the law of any table of runs: CSV, Parquet, an mlflow sqlite file, a folder of runs.

    Example: recscale fit runs.csv --variables N,D --loss loss
    """
    from recscale.laws import LawError
    from recscale.laws.facts import to_json
    from recscale.laws.runs import split
    from recscale.laws.table import open_fit

    names = split(variables)
    folder_of(report)
    try:
        fitted = open_fit(table, variables=names, **options)
    except LawError as error:
        refuse(str(error))
    if report:
        from recscale.report.law_page import law_page

        write_page(report, law_page(fitted, Path(table).name))
    if as_json:
        say(to_json(fitted.facts))
        return
    from recscale.laws.text import law_lines

    say("\n".join(law_lines(fitted.facts)))
    if report:
        say(f"{report} written")


@click.command(cls=Verb)
@click.argument("table")
@click.option(
    "--variables", required=True, help="Columns the law is over, such as N,D or 'N=Model Size,D'."
)
@click.option("--cost", required=True, help="What a row costs, such as '6*N*D'.")
@click.option("--loss", default="loss", show_default=True, help="Column to be predicted.")
@click.option("--budget", default="10%", show_default=True, help="Share of what all rows cost.")
@click.option("--target", required=True, help="Rows to predict, never bought: 'C > 1e21'.")
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
    from recscale.laws.runs import split
    from recscale.planner import replay as bought
    from recscale.values import share

    names = split(variables)
    try:
        amount = share(budget)
        facts = bought(table, names, budget=float(amount), **options)
    except (LawError, ValueError) as error:
        refuse(str(error))
    if as_json:
        say(to_json(facts))
        return
    from recscale.report.terminal import replay_table

    replay_table(facts)
