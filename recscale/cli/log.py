"""The verb that records a run of nobody's sweep."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from recscale.cli.shell import Verb, refuse


@click.command("log", cls=Verb)
@click.argument("rundir")
@click.option("--axes", multiple=True, help="Sizes of the run, such as hidden=64,layers=2.")
@click.option("--cost", help="FLOPs, or an expression such as '6 * hidden * samples'.")
@click.option("--loss", type=float, help="Loss at the end of the run.")
@click.option("--samples", type=float, help="Samples it was trained on.")
@click.option("--metrics", multiple=True, help="Further numbers at its end, such as auc=0.8.")
@click.option("--seed", type=int, help="Of runs that are equal otherwise.")
@click.option("--status", help="done, diverged or failed.")
@click.option("--error", help="Why it is not done.")
def log(rundir: str, axes: Sequence[str], metrics: Sequence[str], **said: Any) -> None:
    """Record runs of your own, by options or as JSON lines on stdin.

    Example: recscale log runs/mine --axes hidden=64 --cost 6*hidden --loss 0.41
    """
    from recscale.ledger import Ledger
    from recscale.recorded import RecordError

    given = {k: v for k, v in said.items() if v is not None}
    if axes or metrics or given:
        pairs = {"axes": _pairs("--axes", axes), "metrics": _pairs("--metrics", metrics)}
        runs: Iterator[tuple[str, dict[str, Any]]] = iter([("", {**pairs, **given})])
    else:
        runs = _lines()
    ledger, n = Ledger(rundir), 0
    for where, run in runs:
        try:
            _check_keys(run)
            click.echo(ledger.record(**run))
            n += 1
        except RecordError as error:
            refuse(f"{where}{error}" + (f" ({n} before it are recorded)" if n else ""))
    if not n:
        refuse("nothing to record: give --axes, --cost and --loss, or JSON lines on stdin")


def _check_keys(run: dict[str, Any]) -> None:
    """Raises RecordError for keys that a run has not, and for those that it lacks."""
    from recscale.recorded import RecordError, record_of

    takes = inspect.signature(record_of).parameters
    for key in run:
        if key not in takes:
            raise RecordError(f"{key}: unknown key; allowed: {', '.join(takes)}")
    for key, parameter in takes.items():
        if parameter.default is parameter.empty and key not in run:
            raise RecordError(f"{key}: missing; every run has it")


def _pairs(option: str, texts: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in (p for text in texts for p in text.split(",") if p.strip()):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (name and equals and value):
            refuse(f"{option} {pair!r}: should be name=value, such as hidden=64")
        if name in found:
            refuse(f"{option}: {name} stands twice")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    """A number where it is one, else the text."""
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def _lines() -> Iterator[tuple[str, dict[str, Any]]]:
    for i, line in enumerate(sys.stdin, 1):
        if not line.strip():
            continue
        try:
            run = json.loads(line)
        except ValueError:
            run = None
        if not isinstance(run, dict):
            refuse(f'stdin:{i}: no JSON object such as {{"axes": {{"hidden": 64}}, "cost": 1e9, '
                   '"loss": 0.41}')  # fmt: skip
        yield f"stdin:{i}: ", run
