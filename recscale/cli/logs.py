"""The verb of one run: logs."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from recscale.cli.shell import Verb, folders, refuse, say


@click.command(cls=Verb)
@click.argument("names", nargs=-1, required=True, shell_complete=folders, metavar="[RUNDIR] RUN_ID")
def logs(names: tuple[str, ...]) -> None:
    """Show what the worker of a run wrote, at each attempt.

    Example: recscale logs runs/demo dlrm-d16-rall-w64-s2-f0.1-x1-seed0-1f0c9a3e
    """
    if len(names) > 2:
        refuse("logs takes a run directory and a run id, or a run id of a sweep below runs/")
    run_id = names[-1] if names else ""
    where = (
        [names[0]]
        if len(names) == 2
        else sorted(str(p.parent) for p in Path("runs").glob("*/ledger"))
    )
    from recscale.engine.logs import attempts_of, written
    from recscale.ledger import Ledger
    from recscale.specfile import SpecError, check_path

    try:
        for place in where:
            check_path(place, "the run directory")
    except SpecError as error:
        refuse(str(error))
    ledgers = {place: Ledger(place).entries() for place in where}
    found = [(place, attempts_of(run_id, entries)) for place, entries in ledgers.items()]
    found = [(place, attempts) for place, attempts in found if attempts]
    if not found:
        near = _near(run_id, ledgers)
        what = f"did you mean {near}" if near else "`recscale status` and runs.csv list the runs"
        refuse(f"{run_id}: no start of such a run in {', '.join(where) or 'runs/'}; {what}")
    for place, attempts in found:
        for i, attempt in enumerate(attempts, 1):
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(attempt.at))
            head = (
                f"attempt {i} of {len(attempts)}, {at} UTC, process {attempt.pid} on {attempt.host}"
            )
            click.secho(f"{head}, of {place}", bold=True)
            if not attempt.place:
                say("no log is known of it: it was begun by an earlier version")
                continue
            say(attempt.place)
            try:
                for stream, text in written(attempt).items():
                    say(text, nl=not text.endswith("\n"), err=stream == "err")
            except OSError as error:
                why = str(error) if not error.filename else "it is not on this machine, or no more"
                say(f"its log cannot be read here: {why}")
    sys.stdout.flush()


def _near(run_id: str, ledgers: dict[str, list[dict]]) -> str:
    """The one run whose id begins or ends so; empty where none or several do."""
    ids = {e["run_id"] for entries in ledgers.values() for e in entries if e["kind"] == "start"}
    some = [i for i in ids if i.startswith(run_id) or i.endswith(run_id)]
    return some[0] if len(some) == 1 else ""
