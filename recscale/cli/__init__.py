"""The command line: thin shells round pure functions. Heavy imports wait until a verb needs them.

Exit codes: 0 done; 1 some runs failed; 2 bad spec or usage; 3 budget exhausted before the law is
determined; 130 after a clean Ctrl-C.
"""

from __future__ import annotations

import os
from typing import Any

import click

from recscale.cli.check import check
from recscale.cli.help import explain
from recscale.cli.log import log
from recscale.cli.logs import logs
from recscale.cli.new import new
from recscale.cli.results import ask, compare, report, status
from recscale.cli.shell import refuse
from recscale.cli.sweeps import plan, prepare, run
from recscale.cli.tables import fit, replay

TRAINING = ("run", "prepare", "check")  # verbs whose processes may use every core


class _Verbs(click.Group):
    """Every verb meets the same troubles of a full disk or missing credentials. They are listed in
    the order in which a newcomer needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ValueError as error:
            from recscale.families import FamilyError
            from recscale.storage import StorageError  # brings pyarrow, which help does without

            if isinstance(error, StorageError | FamilyError):
                refuse(str(error))
            raise


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="recscale")
@click.pass_context
def main(context: click.Context) -> None:
    """Measure scaling laws of recommendation models and plan where compute should go.

    Start here: recscale new mine --from clicks.parquet
    """
    if context.invoked_subcommand not in TRAINING:
        # The fits are many small products: threads wait for each other twice as long as they work.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


VERBS = (
    new, prepare, plan, run, status, logs, ask, report, compare, log, check, fit, replay, explain,
)  # fmt: skip
for verb in VERBS:
    main.add_command(verb)
