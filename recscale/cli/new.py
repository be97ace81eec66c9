"""The verb that begins a sweep file: new."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import click

from recscale.cli.shell import Verb, refuse, say
from recscale.shipped import shipped

EXAMPLES = shipped("sweeps")
ENDINGS = (".yaml", ".yml")


@click.command(cls=Verb)
@click.argument("name")
@click.option("--like", help="The example to copy; demo, unless a log is given.")
@click.option("--from", "log", help="A log (file, folder or glob) whose columns are to be guessed.")
def new(name: str, like: str | None, log: str | None) -> None:
    """Begin a sweep file: a copy of an example, or a guess at the columns of a log.

    Example: recscale new mine --from clicks.parquet
    """
    target = _target(name)
    if like and log:
        refuse("--like copies an example and --from reads a log; give one of them")
    text, said = _guessed(target, log) if log else (_copied(target, like or "demo"), [])
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "x", encoding="utf-8") as file:
            file.write(text)
        if like:
            _copy_families(text, target.parent)
    except OSError as error:
        refuse(f"{target} cannot be written: {error.strerror}")
    say("\n".join([*said, f"{target} written; edit it, then: recscale plan {target}"]))


def _target(name: str) -> Path:
    """Where the file goes; what it is called is the sweep's name."""
    from recscale.spec.sweep import sweep_name

    path = Path(name if name.endswith(ENDINGS) else f"{name}.yaml")
    try:
        sweep_name("" if name.endswith("/") else path.stem)
        there = path.exists()
    except ValueError as error:
        refuse(f"{name}: {error}")
    except OSError as error:
        refuse(f"{path} cannot be written: {error.strerror}")
    if there:
        refuse(f"{path} exists; choose another name or remove it")
    return path


def _copied(target: Path, like: str) -> str:
    """An example under another name. What its head says of its own runs stays behind."""
    from recscale.specfile import scalar

    examples = {p.stem: p for p in sorted(EXAMPLES.glob("*.yaml"))}
    if like not in examples:
        refuse(f"--like {like}: no such example; allowed: {', '.join(examples)}")
    lines = examples[like].read_text(encoding="utf-8").splitlines(keepends=True)
    body = "".join(itertools.dropwhile(lambda line: line.startswith("#"), lines))
    return (
        f"# {target.stem}: begun as a copy of the example {like}, and not run yet.\n"
        f"#   recscale plan {target}      recscale help KEY says what a key means\n"
    ) + re.sub(r"(?m)^name:.*$", f"name: {scalar(target.stem)}", body, count=1)


def _copy_families(text: str, folder: Path) -> None:
    """The files of the families of one's own that an example names, beside the sweep; those that
    are there already stay as they are."""
    for module in re.findall(r"family: *[\"']?([\w.]+):\w+", text):
        file = Path(*module.split(".")).with_suffix(".py")
        if (EXAMPLES / file).is_file() and not (folder / file).exists():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes((EXAMPLES / file).read_bytes())


def _guessed(target: Path, log: str) -> tuple[str, list[str]]:
    """A sweep of a log, and why each of its columns got its part."""
    from recscale.data.drafts.draft import draft
    from recscale.data.layout import DataError

    try:
        return draft(target.stem, log, str(target))
    except DataError as error:
        refuse(str(error))
