"""The verb that explains the keys of a sweep file: help."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from recscale.cli.shell import refuse, say

if TYPE_CHECKING:
    from recscale.reference import Key

WIDEST = 100  # columns; longer lines are hard to read


@click.command(name="help")
@click.argument("key", default="")
@click.pass_context
def explain(context: click.Context, key: str) -> None:
    """Explain a key of the sweep file, list its sections, or tell of the model families.

    Example: recscale help train.learning_rate.tune, or recscale help families
    """
    from recscale.families import FamilyError
    from recscale.families.door import search_in
    from recscale.reference import UnknownKey

    search_in("")
    parent = context.parent
    if parent and isinstance(parent.command, click.Group) and key in parent.command.commands:
        verb = parent.command.commands[key]
        with click.Context(verb, parent, info_name=key) as told:
            say(verb.get_help(told))
        return
    try:
        say("\n".join(_page(key)))
    except (UnknownKey, FamilyError) as error:
        refuse(str(error))


def _page(path: str) -> Iterator[str]:
    """The lines that explain a key; without one, those that list the sections."""
    from recscale.reference import look_up, mapping_at, mappings_of, sections

    if not path:
        yield "The keys of a sweep file; one of them in full: recscale help data.columns"
        yield from _listed(sections())
        return
    if mapping := mapping_at(path):
        yield from _wrapped(f"{path}: {mapping.meaning}", 0)
        yield from _listed(mapping.keys)
        return
    if path == "families":
        yield from _families()
        return
    for key in _distinct(look_up(path)):
        yield from _told(key)
        for mapping in mappings_of(key):
            if mapping.kind:
                yield from ("", f"  {key.path}.{mapping.kind}")
                yield from _wrapped(mapping.meaning, 4)
                yield from _wrapped(f"keys: {', '.join(_last(k) for k in mapping.keys)}", 4)
            else:
                yield from _listed(mapping.keys)


def _families() -> Iterator[str]:
    """What each family is and predicts."""
    from recscale.families import FAMILIES
    from recscale.reference import look_up, mappings_of

    yield "The model families; the keys of one of them: recscale help model.dlrm"
    for mapping in mappings_of(look_up("model")[0]):
        known = FAMILIES.get(mapping.kind)
        yield f"  {mapping.kind}: task {known.spec.task if known else 'click, next_item or custom'}"
        yield from _wrapped(mapping.meaning, 4)


def _distinct(keys: list[Key]) -> list[Key]:
    """One of the keys that differ in nothing but where they stand."""
    first = {(k.type, k.default, k.meaning): k for k in reversed(keys)}
    return list(first.values())[::-1]


def _last(key: Key) -> str:
    return key.path.rsplit(".", 1)[-1]


def _listed(keys: list[Key]) -> Iterator[str]:
    for key in keys:
        yield from _told(key, _last(key), 2)


def _told(key: Key, name: str | None = None, indent: int = 0) -> Iterator[str]:
    """What it is called, what it may be, and what it means."""
    yield from _wrapped(f"{name or key.path}: {key.type}; {key.standing}", indent)
    yield from _wrapped(key.meaning, indent + 4)


def _wrapped(text: str, indent: int) -> list[str]:
    width = min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)
    return textwrap.wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2 if indent < 4 else indent),
        break_on_hyphens=False,
    )
