"""The folders that come with recscale: example sweeps, price lists and cluster files. In a checkout
they lie beside the package; a wheel holds the same files inside it, by a rule of pyproject.toml."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def shipped(folder: str) -> Path:
    """`sweeps` or `cluster`, wherever this recscale has it."""
    package = Path(str(files("recscale")))
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder
