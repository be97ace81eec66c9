"""YAML to `SweepSpec`, with every error at once and the line it stands on."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from recscale.families.door import search_in
from recscale.spec import SweepSpec
from recscale.spec.document import Document, SpecError, document, read_text
from recscale.spec.refusals import located, refusals, respelt
from recscale.spec.schema import TAGS, kinds_of
from recscale.words import shortened, shown

__all__ = [
    "TAGS", "SpecError", "check_path", "dump_spec", "expand", "kinds_of", "load_spec", "parse_spec",
    "scalar", "with_lines",
]  # fmt: skip

LONGEST = 255  # bytes of a name on every common file system
LONGEST_PATH = 4095


def load_spec(path: str | Path) -> SweepSpec:
    """The sweep in `path`, in whose folder a family of the user's own is looked for, and then in
    the current one. Raises SpecError listing every error, FileNotFoundError if absent."""
    search_in(Path(path).parent, "")
    return parse_spec(read_text(path), str(path))


def parse_spec(text: str, name: str = "sweep") -> SweepSpec:
    """The sweep in a YAML text; `name` stands before the line number in errors. Raises SpecError
    listing every error."""
    doc = document(text, name)
    spec, wrong = None, []
    try:
        spec = SweepSpec.model_validate(doc.values)
    except ValidationError as error:
        wrong = error.errors(include_url=False)
    found = [*refusals(doc, wrong), *_meant(doc, wrong)]
    if found or spec is None:
        raise SpecError([f"{name}:{line}: {sentence}" for line, sentence in sorted(set(found))])
    return spec


def _meant(doc: Document, wrong: Sequence[ErrorDetails]) -> list[tuple[int, str]]:
    """What else is wrong where a kind is only misspelt: the errors of the kind that was meant."""
    values, changed = copy.deepcopy(doc.values), False
    for error in wrong:
        if error["type"] == "union_tag_invalid":
            changed |= respelt(values, error["loc"])
    if not changed:
        return []
    try:
        SweepSpec.model_validate(values)
    except ValidationError as error:
        return refusals(doc, error.errors(include_url=False))
    return []


def with_lines(path: str | Path, sentences: str) -> str:
    """Sentences of errors, one a line: those that begin with a key of the sweep file in `path` get
    the file and the line before them."""
    try:
        doc = document(read_text(path), str(path))
    except (SpecError, OSError):  # changed or gone since it was read
        return sentences
    out = []
    for sentence in sentences.splitlines():
        line = located(doc, sentence)
        out.append(f"{path}:{line}: {sentence}" if line else sentence)
    return "\n".join(out)


def dump_spec(spec: SweepSpec) -> str:
    """The sweep as YAML that `parse_spec` reads back to an equal object."""
    return yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False)


def scalar(text: str) -> str:
    """A text as a value or key of YAML, quoted where it would be read as something else."""
    plain = re.fullmatch(r"[A-Za-z_./][\w./-]*", text) and yaml.safe_load(text) == text
    return text if plain else json.dumps(text, ensure_ascii=False)


def expand(path: str, key: str) -> str:
    """`path` with $VARIABLES and ~ expanded. Raises SpecError naming a variable that is not set, or
    a path that no file can have."""
    expanded = os.path.expanduser(os.path.expandvars(path))
    missing = list(dict.fromkeys(re.findall(r"\$\{?(\w+)\}?", expanded)))
    if missing:
        those, are = ("them", "s %s are") if len(missing) > 1 else ("it", " %s is")
        named = are % " and ".join(missing)
        raise SpecError(
            [f"{key}: the environment variable{named} not set; export {those} or write a path"]
        )
    if expanded.startswith("~"):
        user = expanded.split("/", 1)[0][1:]
        raise SpecError([f"{key}: {expanded}: no user {user!r} is known here; write a whole path"])
    check_path(expanded, key)
    return expanded


def check_path(path: str, key: str) -> None:
    """Raises SpecError for a path that no file can have."""
    if not path.strip() or "\0" in path:
        raise SpecError([f"{key}: {'is empty' if not path.strip() else shown(path)}; write a path"])
    if re.fullmatch(r"\w+:/*|.*:///*", path):
        raise SpecError([f"{key}: {path}: names no bucket or folder; write s3://bucket/folder"])
    if "://" not in path:
        long = max(path.split("/"), key=lambda part: len(os.fsencode(part)))
        for what, text, most in (("name", long, LONGEST), ("path", path, LONGEST_PATH)):
            if (size := len(os.fsencode(text))) > most:
                raise SpecError(
                    [
                        f"{key}: {shortened(text)}: a {what} of {size:,} bytes; file systems take "
                        f"{most:,} at most"
                    ]
                )
