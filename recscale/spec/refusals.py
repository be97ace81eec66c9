"""What is wrong with a sweep file's values, as sentences with the line and the key."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from recscale.families import is_path, keys_of
from recscale.spec.document import Document, Loc, dotted
from recscale.spec.schema import TAGS, chosen, keys_beside, kinds_of, places_of
from recscale.words import shown

KEY = re.compile(r"(?<!\S)[a-z_]+(?:\.[\w-]+|\[\d+\])*(?=[: ])")
"""A key in a sentence."""

NOUNS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number up to 1e18",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text; put it in quotes",
    "tuple_type": "a list, in brackets",
    "too_long": "[least, most]",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
EXAMPLES = {
    "train.learning_rate": "{dense: 1e-3, sparse: 5e-2}, or {tune: [0.3, 1, 3]}",
    "budget": "{usd: 10}, or {flop: 1e15}",
    "data.holdout": "{last: 10%}",
    "data.columns": "{user: customer_id, item: sku, time: at}",
    "search": "{strategy: axes}",
}
"""Mappings that are often written as one value."""
MOST_PLACES = 3  # named for one key
ALIKE = 0.8  # from here on another spelling is likelier than another place
BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


def refusals(doc: Document, errors: Iterable[ErrorDetails]) -> list[tuple[int, str]]:
    """(line, `key: what is wrong; what is allowed`), one for each place that pydantic complains
    of, and those of the document itself."""
    out = list(doc.errors)
    told = {line for line, _ in doc.errors}
    places: dict[Loc, list[ErrorDetails]] = defaultdict(list)
    for error in errors:
        places[_in_file(error, doc.lines)].append(error)
    for loc, each in places.items():
        deeper = any(other[: len(loc)] == loc and other != loc for other in places)
        if deeper and all(_takes_no_mapping(e) for e in each):
            continue  # where text or a mapping may stand, the mapping is what was meant
        unsaid = doc.line(loc) not in told and not (
            doc.errors and each[0]["type"] == "string_unicode"
        )
        if unsaid:
            out.append(_sentence(doc, loc, each))
    return out


def located(doc: Document, sentence: str) -> int | None:
    """The line of the key that a sentence begins with, or has before its colon; of the nearest one
    above it, where that is not in the file; None where the file has neither."""
    for found in KEY.finditer(sentence):
        starts, colon = found.start() == 0, sentence[found.end()] == ":"
        colon = colon or sentence[found.end() :].startswith(" '")  # data.columns.time 'at'
        parts = _parts(found[0])
        known = parts[:1] in doc.lines and (colon or len(parts) > 1)  # else a word such as `data`
        if (starts and known) or (colon and len(parts) > 1 and parts in doc.lines):
            return doc.line(parts)
    return None


def respelt(values: Any, loc: Sequence[int | str]) -> bool:
    """Puts, in a file's values, the nearest kind that there is in place of the misspelt one of the
    mapping at `loc` (pydantic's); false where none is near, or the mapping is none."""
    for part in loc:
        if (isinstance(values, dict) and part in values) or isinstance(values, list):
            values = values[part]  # type: ignore[index]
    key = TAGS.get(str(loc[0]), "")
    near = _near(str(loc[0]), values.get(key)) if isinstance(values, dict) else None
    if near:
        values[key] = near
    return bool(near)


def _near(section: str, tag: Any) -> str | None:
    """The kind of a section's mapping whose name is nearest to a misspelt one."""
    found = difflib.get_close_matches(tag, kinds_of(section), 1) if isinstance(tag, str) else []
    return found[0] if found else None


def _sentence(doc: Document, loc: Loc, errors: Sequence[ErrorDetails]) -> tuple[int, str]:
    """(line, sentence) of all that is wrong at one place."""
    error = errors[0]
    kind, given, context = error["type"], error.get("input"), error.get("ctx", {})
    where = dotted(loc)
    if kind == "extra_forbidden":
        tags = kinds_of(str(loc[0]))
        own = _at(doc.values, loc[:-1]).get("family") if loc[0] == "model" else None
        if isinstance(own, str) and is_path(own):
            allowed = keys_of(own)
        else:
            allowed = keys_beside(loc, [t for t in error["loc"] if t in tags])
        return doc.line(loc), f"{where}: unknown key; {_hint(doc, loc, allowed)}"
    if kind == "missing":
        if isinstance(loc[-1], int):
            return doc.line(loc), f"{dotted(loc[:-1])}: should be [least, most]"
        return doc.line(loc), f"{where}: missing; this key is required"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        key = TAGS[str(loc[0])]
        tags = ", ".join(map(repr, kinds_of(str(loc[0]))))
        if kind == "union_tag_not_found":
            return doc.line(loc), f"{where}.{key}: missing; allowed: {tags}"
        tag = shown(given.get(key) if isinstance(given, dict) else given)
        own = ", or one of your own, such as my_pkg.my_model:MyFamily" if key == "family" else ""
        near = _near(str(loc[0]), given.get(key) if isinstance(given, dict) else None)
        hint = f"did you mean '{near}'? Allowed" if near else "allowed"
        said = f"{where}.{key}: {tag} is not a {key}; {hint}: {tags}{own}"
        return doc.line((*loc, key)), said
    if kind == "value_error":
        return _own_words(doc, loc, str(context["error"]), given)
    if kind in BOUNDS:
        word, bound = BOUNDS[kind]
        return doc.line(loc), f"{where}: {shown(given)}: should be {word} {context[bound]:,g}"
    allowed = " or ".join(_allowed(errors))
    return doc.line(loc), f"{where}: {shown(given)}: should be {allowed}{_example(loc, allowed)}"


def _hint(doc: Document, loc: Loc, allowed: Sequence[str]) -> str:
    """What may be meant by an unknown key: one spelt alike; one of this name that stands elsewhere
    in the file, or in another kind of mapping; one spelt a little alike; else what is allowed."""
    key, here = str(loc[-1]), dotted(tuple(part for part in loc if isinstance(part, str)))
    kinds, near = {*chosen(doc.values)}, difflib.get_close_matches(key, allowed, n=1)
    alike = difflib.get_close_matches(key, allowed, n=1, cutoff=ALIKE)
    stands = places_of(key)
    usable = [at for at, of in stands.items() if at != here and (not of or kinds & {*of})]
    if alike or (near and not stands):
        return f"did you mean {' or '.join([repr(near[0]), *usable[:MOST_PLACES]])}?"
    if usable:
        return f"it belongs at {' or '.join(usable[:MOST_PLACES])}"
    if stands.get(here):
        tag = TAGS[str(loc[0])]
        return f"{tag} {', '.join(stands[here])} has it; allowed: {', '.join(allowed)}"
    for at, of in stands.items():
        return f"it belongs at {at}, of {TAGS[at.partition('.')[0]]} {', '.join(of)}"
    return f"allowed: {', '.join(allowed)}"


def _allowed(errors: Sequence[ErrorDetails]) -> Iterator[str]:
    """What may stand at a place, each once."""
    nouns = []
    for error in errors:
        if error["type"] == "literal_error":
            nouns.append(str(error.get("ctx", {}).get("expected")))
        elif error["type"] in NOUNS:
            nouns.append(NOUNS[error["type"]])
    if "a number" in nouns:
        nouns = [n for n in nouns if n != "a whole number"]
    return iter(dict.fromkeys(nouns) or ["another value; `recscale help` says which"])


def _example(loc: Loc, allowed: str) -> str:
    """`, such as {dense: ..., sparse: ...}`, where a mapping of known keys is meant."""
    if allowed != NOUNS["dict_type"]:
        return ""
    if example := EXAMPLES.get(dotted(loc)):
        return f"; write {example}"
    if kinds := kinds_of(str(loc[-1])) if len(loc) == 1 else []:
        return f", such as {{{TAGS[str(loc[0])]}: {kinds[0]}, ...}}"
    keys = keys_beside((*loc, ""), [])
    return f", such as {{{', '.join(f'{k}: ...' for k in keys[:2])}}}" if keys else ""


def _own_words(doc: Document, loc: Loc, message: str, given: Any) -> tuple[int, str]:
    """A sentence of ours, at the key that it begins with: one below `loc`, or in full."""
    found = KEY.match(message)
    for base in (loc, ()):
        parts = (*base, *_parts(found[0])) if found else ()
        if found and parts in doc.lines:
            return doc.line(parts), f"{dotted(parts)}: {message[found.end() :].lstrip(': ')}"
    shows = isinstance(given, dict | list | tuple) or message.startswith("'")
    value = "" if shows else f"{shown(given)}: "
    return doc.line(loc), f"{dotted(loc)}: {value}{message}" if loc else message


def _takes_no_mapping(error: ErrorDetails) -> bool:
    return error["type"] == "literal_error" or error["type"].endswith(("_type", "_parsing"))


def _at(values: Any, loc: Loc) -> Any:
    """What stands at a place of a file, aliases and all."""
    for part in loc:
        values = values[part]
    return values


def _parts(key: str) -> Loc:
    """`model.heads[1]` -> ("model", "heads", 1)"""
    found = re.findall(r"\[(\d+)\]|([\w-]+)", key)
    return tuple(int(number) if number else word for number, word in found)


def _in_file(error: ErrorDetails, lines: dict[Loc, int]) -> Loc:
    """Where an error stands, without what the file does not have: union tags, names of types, and
    the index 0 of what stands alone where a list may stand."""
    kept: Loc = ()
    last = len(error["loc"]) - 1
    for i, part in enumerate(error["loc"]):
        absent = i == last and error["type"] == "missing"
        if (*kept, part) in lines or absent:
            kept = (*kept, part)
    return kept
