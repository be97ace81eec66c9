"""A training script of a user's own, called as a program: its arguments with the values of a run in
them, and the source files that say which program it is."""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recscale.families.door import FamilyError, digest, searched

PLACE = re.compile(r"\{\{|\}\}|\{([^\W\d]\w*)\}")
"""`{hidden}` stands for a value; `{{` and `}}` for braces. Other braces are text, as in JSON."""
PYTHON = ("python", "python3")
"""The interpreter that recscale itself runs under, whatever is first on a worker's PATH."""


def places(command: Iterable[str]) -> set[str]:
    """The names in braces."""
    return {found[1] for text in command for found in PLACE.finditer(text) if found[1]}


def filled(text: str, values: Mapping[str, Any]) -> str:
    """One argument with the values in place of their names; whatever they hold, it stays one."""

    def value(found: re.Match[str]) -> str:
        return found[0][0] if found[1] is None else written(values[found[1]])

    return PLACE.sub(value, text)


def written(value: Any) -> str:
    """A value as an argument: whole numbers without exponent, as `int()` reads them."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)


def program(command: Sequence[str]) -> str:
    """What the first word starts. Raises FamilyError where it is not found here."""
    first = command[0]
    if first in PYTHON:
        return sys.executable
    if os.sep in first and not os.path.isabs(first):
        found = next((f for f in _places_of(first) if os.access(f, os.X_OK)), None)
    else:
        found = shutil.which(first)
    if found is None:
        where = ", ".join(_own_folders()) if os.sep in first else "PATH"
        raise FamilyError(
            f"there is no program {first!r} in {where}; install it, make it executable, or write "
            "its whole path"
        )
    return found


def script(command: Sequence[str]) -> str | None:
    """The first file that the arguments name, by its whole path: what `python` runs, or the program
    itself where it lies in a folder of the user's own; None where neither is here."""
    if command[0] not in PYTHON and os.sep in command[0] and not os.path.isabs(command[0]):
        return next((f for f in _places_of(command[0]) if os.path.isfile(f)), None)
    words = iter(command[1:])
    for word in words:
        if word == "-m" and command[0] in PYTHON:
            name = next(words, "").replace(".", os.sep)
            each = (f"{name}.py", f"{name}{os.sep}__main__.py")
            return next((f for n in each for f in _places_of(n) if os.path.isfile(f)), None)
        if word.endswith((".py", ".sh", ".R", ".jl")):
            return next((f for f in _places_of(word) if os.path.isfile(f)), None)
    return None


def check_script(command: Sequence[str]) -> None:
    """Raises FamilyError where python is to run a file that is not here."""
    named = next((w for w in command[1:] if w.endswith(".py")), None)
    if command[0] in PYTHON and named and "-m" not in command and script(command) is None:
        raise FamilyError(
            f"there is no file {named!r} in {', '.join(_own_folders())}; put it beside the sweep "
            "file"
        )


def home(command: Sequence[str]) -> str:
    """The folder in which a command runs: that from which its script's name is right."""
    found = script(command)
    if found is None:
        return _folders()[0]
    folders = (f for f in _folders() if Path(found).is_relative_to(f))
    return next(folders, os.path.dirname(found))


def code_of(command: Sequence[str]) -> str:
    """Fingerprint of the script and of the Python files beside it that it imports, by their text
    alone; empty where no file of the user's own is named."""
    found = script(command)
    return digest({os.path.basename(f): f for f in sources(found)}) if found else ""


def sources(found: str) -> list[str]:
    """A script and the Python files beside it that it imports, in order."""
    folder, todo, seen = os.path.dirname(found), [found], dict[str, None]()
    while todo:
        here = todo.pop()
        if here in seen:
            continue
        seen[here] = None
        for name in _imported(here) if here.endswith(".py") else ():
            inside = f"{folder}{os.sep}{name.replace('.', os.sep)}"
            each = (f"{inside}.py", f"{inside}{os.sep}__init__.py")
            todo += [f for f in each if os.path.isfile(f)]
    return [found, *sorted({*seen} - {found})]


def _imported(file: str) -> Iterator[str]:
    try:
        nodes = list(ast.walk(ast.parse(Path(file).read_bytes())))
    except (SyntaxError, ValueError):  # it says so itself when it is run
        return
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inner = f"{node.module}." if node.module else ""
            yield node.module or ""
            yield from (f"{inner}{alias.name}" for alias in node.names)


def _folders() -> list[str]:
    """Where a user's own files are: beside the sweep file, in the current folder, and on a cluster
    where Ray has put them."""
    beside = (f for f in sys.path if f and "site-packages" not in f)
    return list(dict.fromkeys([*_own_folders(), *beside]))


def _own_folders() -> list[str]:
    return searched() or [os.path.abspath("")]


def _places_of(name: str) -> list[str]:
    return [os.path.join(f, name) for f in _folders()]
