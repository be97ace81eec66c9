"""Names that torch takes, of tables that are called whatever the log calls its columns."""

from __future__ import annotations

from functools import cache
from urllib.parse import unquote

_QUOTED = str.maketrans({c: f"%{ord(c):02X}" for c in "%.@"})


@cache
def module_name(name: str) -> str:
    """A name for a module: torch refuses points, the empty name, and names of its own attributes
    such as `type`; torchrec cuts a feature's name at an @."""
    return ":" + name.translate(_QUOTED)


def plain_name(module: str) -> str:
    """The inverse of `module_name`."""
    return unquote(module[1:])
