"""Which keys may stand where in a sweep file, as the objects that it becomes say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from recscale.families import TrainerSpec
from recscale.spec.document import Loc
from recscale.spec.sweep import SweepSpec
from recscale.values import Frozen

TAGS = {"data": "source", "model": "family"}  # which key says what kind of mapping it is


def kinds_of(key: str) -> list[str]:
    """The kinds that a mapping of the sweep file may be."""
    if key not in TAGS:
        return []
    return [kind for m in _models_of(SweepSpec, key) for kind in _kinds(m, TAGS[key])]


def chosen(values: Any) -> list[str]:
    """The kinds that the mappings of a file's values say they are."""
    found = []
    for key, tag in TAGS.items():
        stands = values.get(key) if isinstance(values, dict) else None
        for each in stands if isinstance(stands, list) else [stands]:
            kind = each.get(tag) if isinstance(each, dict) else None
            found += [kind] if isinstance(kind, str) else []
    return found


def keys_beside(loc: Loc, kinds: Sequence[str | int]) -> list[str]:
    """The keys that a mapping at the parent of `loc` may have, of the kinds that it is."""
    models: list[type[BaseModel]] = [SweepSpec]
    for part in loc[:-1]:
        if isinstance(part, str):
            models = [m for model in models for m in _models_of(model, part)]
        if part in TAGS:
            models = [m for m in models if {*_kinds(m, TAGS[str(part)])} & {*kinds}]
    return list(dict.fromkeys(name for m in models for name in _fields(m)))


def places_of(key: str) -> dict[str, list[str]]:
    """Where in the file a key of this name may stand, such as `data.label_weights` -> the kinds of
    mapping that have it there, of data or of model; none named where any has it."""
    found: dict[str, list[str]] = {}
    for path, kinds in _walk(SweepSpec, ""):
        if path.rpartition(".")[2] == key:
            found.setdefault(path, []).extend(kinds)
    return found


def _walk(
    model: type[BaseModel], prefix: str, kinds: tuple[str, ...] = ()
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each key as deep as the file goes, and of which kinds of mapping it is; () of any."""
    for name in _fields(model):
        yield prefix + name, kinds
        for below in _models_of(model, name):
            of = _kinds(below, TAGS[name]) if name in TAGS and not prefix else kinds
            yield from _walk(below, f"{prefix}{name}.", of)


def _fields(model: type[BaseModel]) -> list[str]:
    return [f.alias or name for name, f in model.model_fields.items()]


def _kinds(model: type[BaseModel], tag: str) -> tuple[str, ...]:
    return get_args(model.model_fields[tag].annotation)


def _models_of(model: type[BaseModel], key: str) -> list[type[BaseModel]]:
    """The objects that may stand under a key, alone or in a list."""
    fields = {f.alias or name: f for name, f in model.model_fields.items()}
    return _objects(fields[key].annotation) if key in fields else []


def _objects(annotation: Any) -> list[type[BaseModel]]:
    if annotation is TrainerSpec:  # no mapping of a file
        return []
    if isinstance(annotation, type) and issubclass(annotation, Frozen):
        return [annotation]
    return [m for part in get_args(annotation) for m in _objects(part)]
