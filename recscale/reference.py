"""Every key of the sweep file in words: type, default and meaning, as its own code states them.

The meaning is the string under a field. It is read from the source only when asked for, so that
nobody else's start pays for it.
"""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
import re
import sys
from collections.abc import Iterator
from collections.abc import Mapping as Mapping_
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from recscale.families.declared import sweep_of
from recscale.families.door import load
from recscale.families.trainer import TrainerSpec
from recscale.spec import SweepSpec
from recscale.specfile import TAGS, kinds_of
from recscale.values import Frozen, as_axis, one_or_more, share

Node = type[Frozen]
OWN = "module:Class"
"""What stands for the kind of a family of the user's own."""


class UnknownKey(ValueError):
    """A key that no sweep file has; the sentence names the nearest one."""


@dataclass(frozen=True)
class Key:
    """One key of the sweep file."""

    path: str
    """`train.learning_rate.tune`; below a union with the kind, as `model.dlrm.mlp_width`."""
    type: str
    default: str | None
    """As it would be written, empty for a mapping; None where the key is required."""
    meaning: str
    below: tuple[Node, ...]
    """The mappings that may stand there."""

    @property
    def standing(self) -> str:
        """Whether it may be left out, and what holds then."""
        if self.default is None:
            return "required"
        return f"default {self.default}" if self.default else "may be left out"


@dataclass(frozen=True)
class Mapping:
    """What may stand at a key."""

    kind: str
    """`events` below `data`, `dlrm` below `model`; empty where there is but one. Kinds that are
    written alike stand together, with a bar between."""
    meaning: str
    keys: list[Key]


def sections() -> list[Key]:
    """The keys on the file's first level."""
    return _keys(SweepSpec, "")


def every_key() -> Iterator[Key]:
    """Each key of each kind of mapping, as deep as the sweep file goes."""
    yield from _walk(SweepSpec, "")


def look_up(path: str) -> list[Key]:
    """The keys that `path` names: one, or one of each kind of mapping that has it.

    A kind may stand in the path or be left out: `data.events.columns` and `data.columns` name the
    same. Raises UnknownKey.
    """
    wanted, keys = path.split("."), list(every_key())
    found = [k for k in keys if _fits(k.path.split("."), wanted)]
    found = found or [k for k in keys if _without_kind(k.path).split(".") == wanted]
    if not found:
        raise UnknownKey(_unknown(path, keys))
    return found


def mapping_at(path: str) -> Mapping | None:
    """The kind of mapping that `path` ends in, such as `model.dlrm` or, of a family of the user's
    own, `model.my_model:MyFamily`; None for a key. Raises FamilyError."""
    top, _, kind = path.partition(".")
    if top == "model" and ":" in kind and kind != OWN:
        cls = load(kind).cls
        meaning = " ".join((cls.__dict__.get("__doc__") or "").split())
        return Mapping(kind, meaning, _keys(sweep_of(cls), f"{path}.", _docstrings(cls)))
    if kind not in kinds_of(top):
        return None
    (key,) = look_up(top)
    return next(m for m in mappings_of(key) if kind in m.kind.split("|"))


def mappings_of(key: Key) -> list[Mapping]:
    """Each mapping that may stand at a key."""
    return [
        Mapping(kind, " ".join((node.__dict__.get("__doc__") or "").split()), _keys(node, prefix))
        for node in key.below
        for kind, prefix in [_place(key, node)]
    ]


def _walk(node: Node, prefix: str) -> Iterator[Key]:
    for key in _keys(node, prefix):
        yield key
        for below in key.below:
            yield from _walk(below, _place(key, below)[1])


def _place(key: Key, node: Node) -> tuple[str, str]:
    """The kind of a mapping that may stand at a key, and the path of what stands in it."""
    tag = TAGS.get(key.path)
    kind = "|".join(get_args(node.model_fields[tag].annotation)) or OWN if tag else ""
    return kind, f"{key.path}.{kind}." if kind else f"{key.path}."


def _keys(node: Node, prefix: str, docs: Mapping_[str, str] | None = None) -> list[Key]:
    """The keys of one mapping; `docs` of their meanings, where it has none of its own."""
    docs = _docstrings(node) if docs is None else docs
    return [
        Key(
            path=prefix + (field.alias or name),
            type=_words(field.annotation, field.metadata),
            default=None if field.is_required() else _written(field),
            meaning=docs.get(name) or field.description or "",
            below=tuple(_nodes(field.annotation)),
        )
        for name, field in node.model_fields.items()
    ]


def _fits(path: list[str], wanted: list[str]) -> bool:
    """Whether they are the same; `a|b` in the path stands for either kind."""
    pairs = zip(path, wanted, strict=False)
    return len(path) == len(wanted) and all(w in p.split("|") for p, w in pairs)


def _without_kind(path: str) -> str:
    """`data.events.path` as it stands in the file: `data.path`."""
    top, *below = path.split(".")
    return ".".join([top, *below[1:]]) if top in TAGS and below else path


def _unknown(path: str, keys: list[Key]) -> str:
    known = {_without_kind(k.path) for k in keys}
    known |= {f"{key}.{kind}" for key in TAGS for kind in kinds_of(key)}
    last = {k.rsplit(".", 1)[-1]: k for k in sorted(known, key=len, reverse=True)}
    near = difflib.get_close_matches(path, known, 1, 0.6)
    near = near or [last[n] for n in difflib.get_close_matches(path.rsplit(".", 1)[-1], last, 1)]
    hint = f"did you mean {near[0]}?" if near else f"sections: {', '.join(SECTIONS)}"
    return f"{path}: no key of the sweep file; {hint}"


def _docstrings(node: Node) -> dict[str, str]:
    """Field -> the string under it, in the class or in the nearest of its bases that has one."""
    docs: dict[str, str] = {}
    for base in reversed(node.__mro__):
        docs |= _of_module(base.__module__).get(base.__name__, {})
    return docs


@functools.cache
def _of_module(name: str) -> dict[str, dict[str, str]]:
    """Class -> field -> the string that stands right under the field."""
    if name.startswith(("pydantic", "builtins", "typing", "abc")):
        return {}
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(sys.modules[name])).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = {}
            for field, below in zip(node.body, node.body[1:], strict=False):
                match field, below:
                    case (
                        ast.AnnAssign(target=ast.Name(id=key)),
                        ast.Expr(value=ast.Constant(value=str(text))),
                    ):
                        found[node.name][key] = " ".join(text.split())
    return found


def _nodes(annotation: Any) -> list[Node]:
    """The mappings in an annotation that a file may hold."""
    if isinstance(annotation, type) and issubclass(annotation, Frozen):
        return [annotation]
    parts = get_args(annotation)
    return [node for part in parts if not _is_trainer(part) for node in _nodes(part)]


def _is_trainer(annotation: Any) -> bool:
    """Whether it stands under `model` in ledgers alone."""
    return getattr(annotation, "__origin__", annotation) is TrainerSpec


def _words(annotation: Any, metadata: Any = ()) -> str:
    """An annotation as a user would say it."""
    readers = [m.func for m in metadata if isinstance(m, BeforeValidator)]
    if hasattr(annotation, "__metadata__"):
        return _words(annotation.__origin__, (*annotation.__metadata__, *metadata))
    parts, origin = get_args(annotation), get_origin(annotation)
    parts = tuple(p for p in parts if not _is_trainer(p))
    if share in readers:
        return "share, such as 10% or 0.1"
    if origin is Literal:
        return " | ".join(map(str, parts))
    if origin in (Union, UnionType):
        given = [_words(p) for p in parts if p is not type(None)]
        if all(_nodes(p) for p in parts):
            return "mapping"
        return " or ".join([*given, *(["null"] if type(None) in parts else [])])
    if origin is tuple:
        return _list_words(parts, readers)
    if origin is dict:
        return f"mapping of {_words(parts[0])} to {_words(parts[1])}"
    if _nodes(annotation):
        return "mapping"
    name = {int: "whole number", float: "number", bool: "true | false", str: "text"}[annotation]
    return name + _bounds(metadata)


def _list_words(parts: tuple[Any, ...], readers: list[Any]) -> str:
    if parts[-1] is not Ellipsis:
        return "[" + ", ".join(_words(p) for p in parts) + "]"
    each = _words(parts[0])
    if as_axis in readers:
        return f"{each}; a list is an axis"
    if one_or_more in readers or each == "mapping":
        return f"{each}, or a list of them"
    return f"list of {each}"


def _bounds(metadata: Any) -> str:
    """` >= 1`, as far as the type says so."""
    signs = {Ge: (">=", "ge"), Gt: (">", "gt"), Le: ("<=", "le"), Lt: ("<", "lt")}
    flat = [m for each in metadata for m in getattr(each, "metadata", [each])]
    said = {signs[type(m)][0]: getattr(m, signs[type(m)][1]) for m in flat if type(m) in signs}
    return " " + ", ".join(f"{sign} {limit}" for sign, limit in said.items()) if said else ""


def _written(field: FieldInfo) -> str:
    """A default as the file would hold it."""
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Frozen):
        return ""
    axis = any(isinstance(m, BeforeValidator) and m.func is as_axis for m in field.metadata)
    return _scalar(value[0] if axis and len(value) == 1 else value)


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    if isinstance(value, float):
        digits, _, power = f"{value:g}".partition("e")
        # without a point YAML reads a power of ten as text
        return f"{digits}{'' if '.' in digits or not power else '.0'}{power and 'e' + power}"
    if isinstance(value, int):
        return str(value)
    return str(value) if re.fullmatch(r"\w+|{}", str(value)) else repr(value)


SECTIONS = tuple(f.alias or name for name, f in SweepSpec.model_fields.items())
