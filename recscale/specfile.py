"""YAML to `SweepSpec`, with every error at once and the line it stands on."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from recscale.spec import SweepSpec
from recscale.values import Frozen

Loc = tuple[str | int, ...]
TAGS = {"data": "source", "model": "family"}  # which key says what kind of mapping it is


class SpecError(ValueError):
    """A sweep file that cannot be run: one line per error, each `file:line: key: what is wrong`."""

    def __init__(self, lines: list[str]):
        super().__init__("\n".join(lines))
        self.lines = lines


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads 1e-3 and 1e16 as numbers, as YAML 1.2 does and users expect."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def load_spec(path: str | Path) -> SweepSpec:
    """The sweep in `path`. Raises SpecError listing every error, FileNotFoundError if absent."""
    path = Path(path)
    return parse_spec(path.read_text(), str(path))


def parse_spec(text: str, name: str = "sweep") -> SweepSpec:
    """The sweep in a YAML text; `name` stands before the line number in errors."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise SpecError([f"{name}{line}: not YAML: {getattr(error, 'problem', error)}"]) from None
    if not isinstance(node, yaml.MappingNode):
        raise SpecError([f"{name}:1: a sweep file is a mapping of keys such as name, data, model"])
    lines, twice = _lines(node)
    errors = [f"{name}:{line}: {_dotted(loc)}: the key stands twice" for loc, line in twice]
    loader = _Loader("")
    try:
        raw = loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        raise SpecError([*errors, f"{name}: {error}"]) from None
    finally:
        loader.dispose()
    spec = None
    try:
        spec = SweepSpec.model_validate(raw)
    except ValidationError as error:
        errors += [_sentence(name, lines, e) for e in error.errors()]
    if errors or spec is None:
        raise SpecError(sorted(errors, key=_line_number))
    return spec


def dump_spec(spec: SweepSpec) -> str:
    """The sweep as YAML that `parse_spec` reads back to an equal object."""
    return yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False)


def scalar(text: str) -> str:
    """A text as a value or key of YAML, quoted where it would be read as something else."""
    plain = re.fullmatch(r"[A-Za-z_./][\w./-]*", text) and yaml.safe_load(text) == text
    return text if plain else json.dumps(text, ensure_ascii=False)


def expand(path: str, key: str) -> str:
    """`path` with $VARIABLES and ~ expanded. Raises SpecError naming a variable that is not set."""
    expanded = os.path.expanduser(os.path.expandvars(path))
    missing = re.search(r"\$\{?(\w+)\}?", expanded)
    if missing:
        raise SpecError(
            [f"{key}: the environment variable {missing[1]} is not set; export it or write a path"]
        )
    return expanded


def _lines(node: yaml.Node) -> tuple[dict[Loc, int], list[tuple[Loc, int]]]:
    """Line of every key and list element, and the keys that stand twice."""
    lines: dict[Loc, int] = {}
    twice: list[tuple[Loc, int]] = []

    def walk(node: yaml.Node, loc: Loc, line: int) -> None:
        if loc in lines:
            twice.append((loc, line))
        lines[loc] = line
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                walk(value, (*loc, key.value), key.start_mark.line + 1)
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                walk(value, (*loc, i), value.start_mark.line + 1)

    walk(node, (), node.start_mark.line + 1)
    return lines, twice


def _sentence(name: str, lines: dict[Loc, int], error: ErrorDetails) -> str:
    """`file:line: key: what is wrong; what is allowed` for one pydantic error."""
    loc = _in_file(error["loc"], lines)
    line = next(lines[loc[:n]] for n in range(len(loc), -1, -1) if loc[:n] in lines)
    where = f"{name}:{line}: {_dotted(loc)}"
    kind, given = error["type"], error.get("input")
    if kind == "extra_forbidden":
        tags = kinds_of(str(loc[0]))
        allowed = _keys_beside(loc, [t for t in error["loc"] if t in tags])
        near = difflib.get_close_matches(str(loc[-1]), allowed, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"allowed: {', '.join(allowed)}"
        return f"{where}: unknown key; {hint}"
    if kind == "missing":
        return f"{where}: missing; this key is required"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        key = TAGS[str(loc[0])]
        tags = ", ".join(map(repr, kinds_of(str(loc[0]))))
        if kind == "union_tag_not_found":
            return f"{where}.{key}: missing; allowed: {tags}"
        tag = given.get(key) if isinstance(given, dict) else given
        return f"{where}.{key}: {tag!r} is not a {key}; allowed: {tags}"
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
    shown = "" if isinstance(given, dict | list | tuple) else f"{given!r}: "
    return f"{where}: {shown}{message}"


def _in_file(loc: Loc, lines: dict[Loc, int]) -> Loc:
    """Drops the parts of a pydantic location that the file does not have: union tags, and the
    index 0 of what stands alone where a list may stand."""
    tags = kinds_of(str(loc[0])) if loc else []
    kept: Loc = ()
    for i, part in enumerate(loc):
        named = isinstance(part, str) and i == len(loc) - 1 and part not in tags
        if (*kept, part) in lines or named:
            kept = (*kept, part)
    return kept


def _keys_beside(loc: Loc, kinds: Sequence[str | int]) -> list[str]:
    """The keys that a mapping at the parent of `loc` may have, of the kinds that it is."""
    models: list[type[BaseModel]] = [SweepSpec]
    for part in loc[:-1]:
        if isinstance(part, str):
            models = [m for model in models for m in _models_of(model, part)]
        if part in TAGS:
            models = [m for m in models if {*_kinds(m, TAGS[str(part)])} & {*kinds}]
    return list(dict.fromkeys(f.alias or k for m in models for k, f in m.model_fields.items()))


def kinds_of(key: str) -> list[str]:
    """The kinds that a mapping of the sweep file may be."""
    if key not in TAGS:
        return []
    return [kind for m in _models_of(SweepSpec, key) for kind in _kinds(m, TAGS[key])]


def _kinds(model: type[BaseModel], tag: str) -> tuple[str, ...]:
    return get_args(model.model_fields[tag].annotation)


def _models_of(model: type[BaseModel], key: str) -> list[type[BaseModel]]:
    """The objects that may stand under a key, alone or in a list."""
    fields = {f.alias or name: f for name, f in model.model_fields.items()}
    return _objects(fields[key].annotation) if key in fields else []


def _objects(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, Frozen):
        return [annotation]
    return [m for part in get_args(annotation) for m in _objects(part)]


def _dotted(loc: Loc) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "sweep"


def _line_number(sentence: str) -> int:
    match = re.search(r":(\d+): ", sentence)
    return int(match[1]) if match else 0
