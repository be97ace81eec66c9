"""The text of a sweep file as plain values, and the line that each stands on.

A sweep file is plain YAML: mappings, lists, text, numbers, true, false and null, with aliases and
merge keys. What YAML allows beyond that is refused in a sentence, and what a file holds is counted
as it is read, so that no text can take long or fill the memory, whatever its aliases stand for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from recscale.words import shortened, shown

Loc = tuple[str | int, ...]

MOST_BYTES = 1 << 20
MOST_VALUES = 5_000
"""Values and keys of a file, aliases replaced by what they stand for."""
DEEPEST = 20
"""Mappings and lists within each other; a sweep needs five."""
LARGEST = 10**18
"""Whole numbers beyond it are read as floating point."""

PLAIN = "tag:yaml.org,2002:"


class SpecError(ValueError):
    """A sweep file that cannot be run: one line per error, each `file:line: key: what is wrong`."""

    def __init__(self, lines: list[str]):
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True)
class Document:
    """What a sweep file holds."""

    values: dict[str, Any]
    lines: dict[Loc, int]
    """Of every key and list element, from 1; () is the file's own."""
    errors: tuple[tuple[int, str], ...] = ()
    """(line, `key: what is wrong`) of what is no plain value and stands as None in `values`."""

    def line(self, loc: Loc) -> int:
        """Of a key, or of the nearest one above it that the file has."""
        return next(self.lines[loc[:n]] for n in range(len(loc), -1, -1) if loc[:n] in self.lines)


def read_text(path: str | Path) -> str:
    """The text of a sweep file. Raises SpecError, FileNotFoundError."""
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SpecError([f"{path}: cannot be read: {error.strerror}"]) from None
    if len(content) > MOST_BYTES:
        raise SpecError(
            [f"{path}: is larger than {MOST_BYTES / 1e6:.1f} MB, the most that a sweep file has"]
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecError(
            [
                f"{path}:{line}: the byte 0x{content[error.start]:02x} is not UTF-8; save the file "
                "as UTF-8"
            ]
        ) from None


def _remedy(text: str, mark: yaml.Mark | None) -> str:
    """What to do about the character that YAML stumbles over."""
    lines = text.split("\n")
    rest = lines[mark.line][max(0, mark.column - 1) :] if mark and mark.line < len(lines) else ""
    if "\t" in rest[:2]:
        return "; indent with spaces, not tabs"
    if set("*&!%@`") & set(rest[:2]):
        return '; a value that begins with such a sign stands in quotes, as "*.csv" does'
    return ""


def document(text: str, name: str) -> Document:
    """The values of a YAML text; `name` stands before the line in errors. Raises SpecError."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpecError(
            [f"{name}:{line}: the character U+{_code(error):04X} may not stand in YAML; remove it"]
        ) from None
    except _TooMuch as error:
        raise SpecError([f"{name}:{error.line}: {error.sentence}"]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        words = " ".join(filter(None, [error.context, error.problem]))
        raise SpecError([f"{name}{line}: not YAML: {words}{_remedy(text, mark)}"]) from None
    if not isinstance(node, yaml.MappingNode):
        raise SpecError([f"{name}:1: a sweep file is a mapping of keys such as name, data, model"])
    walk = _Walk()
    try:
        values = walk.value(node, (), node.start_mark.line + 1)
    except _TooMuch as error:
        raise SpecError([f"{name}:{error.line}: {error.sentence}"]) from None
    return Document(values, walk.lines, tuple(walk.errors))


def dotted(loc: Loc) -> str:
    """`model.embedding_dim[1]`"""
    text = ""
    for part in loc:
        word = part if isinstance(part, int) else shortened(str(part))
        text += f"[{word}]" if isinstance(part, int) else f".{word}" if text else str(word)
    return text or "sweep"


class _TooMuch(Exception):
    """Larger than a sweep file may be."""

    def __init__(self, line: int, sentence: str):
        self.line, self.sentence = line, sentence


def _too_many(loc: Loc, line: int) -> _TooMuch:
    last = loc[-1] if loc else ""
    key, many = (loc[:-1], f"a list of more than {last:,}") if isinstance(last, int) else (loc, "")
    return _TooMuch(
        line,
        f"{dotted(key)}: {many or 'too many'} values; a sweep file holds {MOST_VALUES:,} in all, "
        "aliases counted as what they stand for: name fewer",
    )


def _too_deep(loc: Loc, line: int) -> _TooMuch:
    return _TooMuch(
        line,
        f"{dotted(loc[:5])}: more than {DEEPEST} mappings or lists stand within each other; no key "
        "needs so many: is a bracket missing?",
    )


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads 1e-3 and 1e16 as numbers, as YAML 1.2 does and users expect, and that
    counts as it goes. Raises _TooMuch."""

    def __init__(self, text: str):
        super().__init__(text)
        self._met, self._depth, self._loc = 0, 0, ()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        outer = self._loc
        if index is not None:
            self._loc = (*outer, _word(index) if isinstance(index, yaml.Node) else index)
        self._met += 1
        self._depth += 1
        line = self.line + 1
        if self._met > MOST_VALUES:
            raise _too_many(self._loc[:3], line)
        if self._depth > DEEPEST:
            raise _too_deep(self._loc, line)
        try:
            return super().compose_node(parent, index)  # pyright: ignore[reportArgumentType]
        finally:
            self._depth -= 1
            self._loc = outer


_Loader.add_implicit_resolver(
    f"{PLAIN}float",
    re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+0123456789."),
)
_NUMBERS = _Loader("")  # for its readers of single numbers, which hold no state
_OLD = re.compile(r"[-+]?0\d|.*:")  # octal and base 60 in YAML 1.1, text in YAML 1.2


@dataclass
class _Walk:
    """From nodes to values."""

    lines: dict[Loc, int] = field(default_factory=dict)
    errors: list[tuple[int, str]] = field(default_factory=list)
    _met: int = 0
    _within: list[int] = field(default_factory=list)

    def value(self, node: yaml.Node, loc: Loc, line: int) -> Any:
        self.lines[loc] = line
        self._met += 1
        if self._met > MOST_VALUES:
            raise _too_many(loc[:3], line)
        if id(node) in self._within:
            self._wrong(line, loc, "an alias stands for something that holds the alias itself")
            return None
        if len(self._within) >= DEEPEST:
            raise _too_deep(loc, line)
        kind = {yaml.MappingNode: "map", yaml.SequenceNode: "seq"}.get(type(node))
        if kind and node.tag != PLAIN + kind:
            self._tag(node, loc, line)
            return None
        self._within.append(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, loc)
            if isinstance(node, yaml.SequenceNode):
                each = enumerate(node.value)
                return [self.value(v, (*loc, i), v.start_mark.line + 1) for i, v in each]
            assert isinstance(node, yaml.ScalarNode)
            return self._scalar(node, loc, line)
        finally:
            self._within.pop()

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == f"{PLAIN}merge":
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(source, yaml.MappingNode):
                        merged = (self.value(source, loc, line) or {}) | merged
                    else:
                        self._wrong(line, loc, "'<<' takes in mappings only")
                continue
            if not isinstance(key, yaml.ScalarNode) or not key.tag.startswith(PLAIN):
                self._wrong(line, loc, "a key is a word, not a list, mapping or tag")
                continue
            if key.value in own:
                self._wrong(line, (*loc, key.value), "the key stands twice")
            self._text(key.value, (*loc, key.value), line)
            own[key.value] = self.value(value, (*loc, key.value), line)
        return merged | own

    def _scalar(self, node: yaml.ScalarNode, loc: Loc, line: int) -> Any:
        text, kind = node.value, node.tag.removeprefix(PLAIN)
        plain = node.tag.startswith(PLAIN)
        if kind == "null" and plain:
            return None
        if kind == "bool" and text.lower() in yaml.SafeLoader.bool_values and plain:
            return yaml.SafeLoader.bool_values[text.lower()]
        if kind in ("int", "float") and plain and not _OLD.match(text):
            return self._number(node, loc, line)
        if kind in ("str", "int", "float", "timestamp", "value", "merge") and plain:
            return self._text(text, loc, line)
        self._tag(node, loc, line)
        return None

    def _number(self, node: yaml.ScalarNode, loc: Loc, line: int) -> int | float | None:
        read = _NUMBERS.construct_yaml_int if node.tag.endswith("int") else (
            _NUMBERS.construct_yaml_float
        )  # fmt: skip
        try:
            number = read(node)
            return float(number) if abs(number) > LARGEST else number
        except OverflowError:
            self._wrong(line, loc, f"{shown(node.value)}: is beyond the largest number there is")
        except (ValueError, IndexError):
            self._wrong(line, loc, f"{shown(node.value)}: cannot be read as a number")
        return None

    def _text(self, text: str, loc: Loc, line: int) -> str:
        for code in _strange(text):
            self._wrong(line, loc, f"{shown(text)}: holds U+{code:04X}, which no text may hold")
            break
        return text

    def _tag(self, node: yaml.Node, loc: Loc, line: int) -> None:
        tag = shortened(node.tag.replace(PLAIN, "!!"))
        self._wrong(line, loc, f"the tag {tag} means nothing here; write the value without it")

    def _wrong(self, line: int, loc: Loc, sentence: str) -> None:
        self.errors.append((line, f"{dotted(loc)}: {sentence}"))


def _strange(text: str) -> Iterator[int]:
    """The zero byte, and halves of surrogate pairs, which escapes can write."""
    return (ord(c) for c in text if c == "\0" or "\ud800" <= c <= "\udfff")


def _word(key: yaml.Node) -> str:
    return key.value if isinstance(key.value, str) else "?"


def _code(error: yaml.reader.ReaderError) -> int:
    return error.character if isinstance(error.character, int) else ord(error.character)
