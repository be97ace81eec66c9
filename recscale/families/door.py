"""The door of a user's own code: from a dotted path to the class or function, and its fingerprint.

`my_pkg.my_model:MyFamily` and `my_pkg.train:train` are searched in the folders of
`RECSCALE_FAMILIES` (that of the sweep file and the current one; reading a sweep file sets it, and
workers inherit it), then among what is installed.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import inspect
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, resolve_name
from pathlib import Path
from types import ModuleType
from typing import Any

from recscale.families.declared import Declared

FOLDERS = "RECSCALE_FAMILIES"
PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
DIGITS = 16  # of the fingerprint: 64 bits


class FamilyError(ValueError):
    """A family of a user's own that cannot be used; the sentence says why and what to do."""


@dataclass(frozen=True)
class Loaded:
    """A family's class or a trainer's function, as it was imported."""

    path: str
    cls: Any
    code: str
    """Fingerprint of its source: of the files of `files`."""
    files: tuple[str, ...]
    """The module's own, and of those beside it that it takes something from."""
    top: str
    """The top-level package's folder, or the file of a module that stands alone."""
    installed: bool
    """Whether it was found among what is installed, and not in a folder."""


def search_in(*folders: str | Path) -> None:
    """Lets families be found in these folders too, before those known already; here and in the
    processes that are started from now on."""
    known = os.environ.get(FOLDERS, "").split(os.pathsep)
    each = dict.fromkeys([*(os.path.abspath(f) for f in folders), *filter(None, known)])
    os.environ[FOLDERS] = os.pathsep.join(each)


def search_below(folders: Iterable[str]) -> None:
    """Lets families be found in the current folder, and in those of these that lie below it: what a
    ledger names is not trusted with more than a user's own project."""
    here = os.path.abspath("")
    search_in("", *(f for f in folders if os.path.abspath(f).startswith(os.path.join(here, ""))))


def home(path: str) -> str:
    """The folder in which a family's package or module lies; empty where it is installed."""
    found = load(path)
    return "" if found.installed else os.path.dirname(found.top)


def is_path(family: str) -> bool:
    """Whether it is meant as a dotted path, well written or not: built-in names hold neither."""
    return ":" in family or "." in family


@cache
def load(path: str) -> Loaded:
    """The class at a dotted path. Raises FamilyError."""
    cls, folders = _named(path, "my_pkg.my_model:MyFamily", _near)
    if not (isinstance(cls, type) and issubclass(cls, Declared)):
        name = path.partition(":")[2]
        raise FamilyError(
            f"{path}: {name} is no family; let it extend recscale.Family: "
            f"class {name}(recscale.Family)"
        )
    try:
        cls.check_declared()
    except ValueError as error:
        raise FamilyError(f"{path}: {error}") from None
    return _loaded(path, cls, sys.modules[cls.__module__], folders)


@cache
def load_function(path: str) -> Loaded:
    """The function at a dotted path, which takes `TRAINER`'s parameters. Raises FamilyError."""
    function, folders = _named(path, "my_pkg.train:train", _near_function)
    if wrong := _no_trainer(function):
        name = path.partition(":")[2]
        write = f"write def {name}({', '.join(TRAINER)})"
        raise FamilyError(f"{path}: {name} {wrong}; {write}")
    return _loaded(path, function, sys.modules[inspect.unwrap(function).__module__], folders)


TRAINER = ("config", "report", "checkpoint_dir")
"""What a trainer is called with, by these names."""


def _no_trainer(function: Any) -> str:
    """Why it cannot be called as a trainer; empty where it can."""
    if not callable(function) or isinstance(function, type):
        return "is no function"
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        return "does not run when it is called, being async or a generator"
    if not hasattr(inspect.unwrap(function), "__module__"):
        return "is no function of a module"
    try:
        takes = inspect.signature(function)
    except (TypeError, ValueError):
        return "does not say which parameters it takes"
    try:
        takes.bind(**dict.fromkeys(TRAINER))
    except TypeError:
        return f"takes {takes} and is called with {', '.join(TRAINER)}, by these names"
    return ""


def _named(
    path: str, example: str, near: Callable[[ModuleType, str], str]
) -> tuple[Any, list[str]]:
    """What stands at a dotted path, and the folders that were searched. Raises FamilyError."""
    if not PATH.fullmatch(path):
        raise FamilyError(f"{path!r} is no dotted path; write {example}")
    name, _, inner = path.partition(":")
    folders = searched()
    module = _imported(path, name, folders)
    found = getattr(module, inner, None)
    if found is None:
        raise FamilyError(f"{path}: the module {name} has no {inner}{near(module, inner)}")
    return found, folders


def _loaded(path: str, found: Any, home: ModuleType, folders: list[str]) -> Loaded:
    files = dict(sorted(_sources(home)))
    if not files:
        raise FamilyError(
            f"{path}: its source is no .py file, so that nothing could tell one version of it from "
            "another; write it into a module"
        )
    top = sys.modules[home.__name__.partition(".")[0]]
    place = top.__file__ if not hasattr(top, "__path__") else next(iter(top.__path__))
    place = os.path.abspath(str(place))
    inside = any(place.startswith(os.path.join(f, "")) for f in folders)
    return Loaded(path, found, digest(files), tuple(files.values()), place, not inside)


def digest(files: Mapping[str, str]) -> str:
    """Fingerprint of source files, by name."""
    found = hashlib.sha256()
    for each, file in files.items():
        found.update(f"{each}\0".encode() + Path(file).read_bytes() + b"\0")
    return found.hexdigest()[:DIGITS]


def searched() -> list[str]:
    """The folders in which a user's own code is looked for."""
    return [f for f in os.environ.get(FOLDERS, "").split(os.pathsep) if f]


def _imported(path: str, name: str, folders: list[str]) -> ModuleType:
    """The module. Its first part is looked for in the folders before all that is installed; what
    stands beside it can be imported by it, but hides nothing that is installed."""
    warnings.filterwarnings("ignore", r'Field name "\w+" in')  # told as a refusal, in our words
    sys.path += [f for f in folders if f not in sys.path]
    importlib.invalidate_caches()
    first = name.partition(".")[0]
    try:
        found = None if first in sys.modules else PathFinder.find_spec(first, folders)
        if found is not None and name != first and found.submodule_search_locations is None:
            found = None
        if found is not None:
            module = sys.modules[first] = module_from_spec(found)
            if found.loader is not None:
                try:
                    found.loader.exec_module(module)
                except BaseException:
                    del sys.modules[first]
                    raise
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (error.name == name or name.startswith(f"{error.name}.")):
            where = ", ".join(folders) or "no folder"
            raise FamilyError(
                f"{path}: there is no module {error.name}; searched {where} and what is installed "
                "here: put its file beside the sweep file, install its package, or export "
                f"{FOLDERS}=FOLDER"
            ) from None
        raise FamilyError(_failed(path, name, error)) from None
    except (Exception, SystemExit) as error:
        raise FamilyError(_failed(path, name, error)) from None


def _failed(path: str, name: str, error: BaseException) -> str:
    words = in_words(error)
    return f"{path}: the module {name} cannot be imported{where(error)}: {words}"


def in_words(error: BaseException) -> str:
    """An error of a user's code in one line: its kind and the first line of what it says."""
    text = str(error).strip()
    if untyped := re.search(r"non-annotated attribute was detected: `(\w+) = (.+?)`", text):
        name, value = untyped.groups()
        return f"{name} = {value} has no type; write {name}: int = {value}, or ClassVar"
    if strange := re.search(r"[Uu]nable to generate pydantic-core schema for (.+?)\. ", text):
        return f"an axis of type {strange[1]}; axes are int, float, bool, str or Literal"
    if shadows := re.search(r'Field name "(\w+)"', text):
        return f"an axis called {shadows[1]}, a name that recscale uses itself; call it otherwise"
    first = text.splitlines()[0] if text else ""
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def where(error: BaseException) -> str:
    """` (my_model.py, line 12)`: the last line of a user's own that an error came through."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({os.path.basename(error.filename)}, line {error.lineno})"
    at, last = error.__traceback__, ""
    while at is not None:
        file = at.tb_frame.f_code.co_filename
        if not _ours(file):
            last = f" ({os.path.basename(file)}, line {at.tb_lineno})"
        at = at.tb_next
    return last


def _ours(file: str) -> bool:
    """Whether a line is recscale's, a library's or Python's, and not the user's."""
    here = str(Path(__file__).parents[1])
    return (
        file.startswith((here, "<"))
        or "site-packages" in file
        or file.startswith(os.path.dirname(os.__file__))
    )


def _is_family(value: Any) -> bool:
    is_class = isinstance(value, type) and issubclass(value, Declared)
    return is_class and not value.__module__.startswith("recscale.")


def _near(module: ModuleType, name: str) -> str:
    families = [k for k, v in vars(module).items() if _is_family(v)]
    near = difflib.get_close_matches(name, families, 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; its families: {', '.join(families)}" if families else "; it holds no family at all"


def _near_function(module: ModuleType, name: str) -> str:
    own = [k for k, v in vars(module).items() if inspect.isfunction(v)]
    near = difflib.get_close_matches(name, own, 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; its functions: {', '.join(own)}" if own else "; it holds no function at all"


def _sources(module: ModuleType) -> Iterator[tuple[str, str]]:
    """(name, file) of a module and of those beside it that it imports: those of its own top-level
    package, or in the folder of a module that stands alone."""
    first = module.__name__.partition(".")[0]
    folder = os.path.dirname(os.path.abspath(getattr(module, "__file__", None) or ""))
    alone = "." not in module.__name__ and not hasattr(module, "__path__")
    near = folder if alone and "site-packages" not in folder else None
    todo, seen = [module], set[str]()
    while todo:
        here = todo.pop()
        file = getattr(here, "__file__", None)
        if here.__name__ in seen or not file or not file.endswith(".py"):
            continue
        seen.add(here.__name__)
        yield here.__name__, file
        for name in _imports(here, file):
            other = sys.modules.get(name)
            place = getattr(other, "__file__", None)
            if other is None or place is None:
                continue
            beside = near is not None and os.path.dirname(os.path.abspath(place)) == near
            if beside or name.partition(".")[0] == first:
                todo.append(other)


def _imports(module: ModuleType, file: str) -> Iterator[str]:
    """Names of the modules that a module imports, and of what may be one, as its text has it."""
    for node in ast.walk(ast.parse(Path(file).read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = getattr(module, "__package__", None) or ""
            of = resolve_name("." * node.level + (node.module or ""), package)
            yield of
            yield from (f"{of}.{alias.name}" for alias in node.names)
