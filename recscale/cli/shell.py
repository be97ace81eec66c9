"""What every verb shares: opening what it was given, refusing bad input, a progress bar."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recscale.engine.ready import Sweep
    from recscale.spec import SweepSpec
    from recscale.study import Study

FAILED, USAGE, EXHAUSTED, INTERRUPTED = 1, 2, 3, 130
as_json = click.option("--json", "as_json", is_flag=True, help="The same facts for machines.")


class Verb(click.Command):
    """A verb whose texts are never empty: what is given is used, or refused."""

    def invoke(self, ctx: click.Context) -> Any:
        for param in self.params:
            value = ctx.params.get(param.name or "")
            if isinstance(value, str) and not value.strip():
                name = (
                    param.opts[0]
                    if param.param_type_name == "option"
                    else param.human_readable_name
                )
                refuse(f"{name} is empty; give a value, or leave it out")
        return super().invoke(ctx)


def say(text: str, **how: Any) -> None:
    """Prints a text, without what in it would steer the terminal."""
    from recscale.words import printable

    click.echo(printable(text), **how)


def folders(
    context: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Run directories as the shell completes them. A path of click's own would look at what is no
    path here, such as s3://."""
    return [CompletionItem(incomplete, type="dir")]


def load(sweep: str) -> SweepSpec:
    from recscale.specfile import SpecError, load_spec

    try:
        return load_spec(sweep)
    except SpecError as error:
        refuse(str(error))


def open_sweep(spec: SweepSpec, sweep: str) -> Sweep:
    """The sweep of the file `sweep`, ready to run, or a refusal with its lines."""
    from recscale.data.layout import DataError
    from recscale.engine.ready import ready
    from recscale.families import FamilyError
    from recscale.planner import PlanError
    from recscale.specfile import SpecError, with_lines
    from recscale.storage import StorageError

    try:
        with bar() as progress:
            return ready(spec, progress)
    except (SpecError, DataError, PlanError) as error:
        refuse(with_lines(sweep, str(error)))
    except FamilyError as error:  # of one architecture among many
        refuse(with_lines(sweep, f"model.family: {error}"))
    except StorageError as error:
        place = os.path.expandvars(os.path.expanduser(spec.storage))
        place = place if "://" in place else os.path.abspath(place)
        key = "storage: " if str(error).startswith(place) else ""
        refuse(with_lines(sweep, f"{key}{error}"))
    except MemoryError:
        what = "data.rows" if spec.log and spec.log.source == "synthetic" else "data.path"
        refuse(
            with_lines(
                sweep,
                f"{what}: this machine has too little memory to prepare so much data; take less of "
                "it, or prepare it on a larger machine",
            )
        )


def open_study(rundir: str) -> Study:
    from recscale.specfile import SpecError, check_path
    from recscale.study import Study, StudyError

    try:
        check_path(rundir, "the run directory")
        return Study.open(rundir)
    except (SpecError, StudyError) as error:
        refuse(str(error))


def folder_of(report: str | None) -> None:
    """Refuses a page that would lie in a folder that is not there."""
    if report and not Path(report).absolute().parent.is_dir():
        refuse(f"--report {report}: no such folder; make it first")


def write_page(report: str, page: str) -> None:
    """Writes a page where `--report` asks for it, or refuses."""
    from recscale.storage import filesystem, write

    try:
        write(*filesystem(report), page.encode())
    except OSError as error:
        refuse(f"--report {report} cannot be written: {error.strerror}")


@contextmanager
def bar() -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on stderr that appears with the first row."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("preparing", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    # elsewhere than on a terminal it would leave no more than an empty line
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
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


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the command with a sentence, where nothing is under way yet."""

    def leave(number: int, frame: object) -> NoReturn:
        say("stopped before its first run; the same command goes on")
        sys.exit(INTERRUPTED)

    before = {n: signal.signal(n, leave) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def refuse(sentence: str) -> NoReturn:
    """Bad input: what is wrong and what to do, exit 2."""
    say(sentence, err=True)
    sys.exit(USAGE)
