"""A floor imports only floors below it, and floors 0 and 1 import neither torch nor ray."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "recscale"
FLOORS = {
    "laws": 1,
    "data": 2,
    "models": 2,
    "train": 2,
    "testing": 2,
    "engine": 3,
    "report": 4,
    "cli": 4,
    "notebook": 4,
}
FLOOR_1 = {"planner", "study", "advice"}


def floor(module: str) -> int:
    """Floor of `recscale.x.y` by its first part."""
    first = (module.split(".") + [""])[1]
    return FLOORS.get(first, 1 if first in FLOOR_1 else 0)


def imports(path: Path) -> set[str]:
    """Modules imported at the top of a file: what loading it loads."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=[str(p.relative_to(PACKAGE)) for p in MODULES])
def test_imports_go_down_the_stairs(path: Path):
    here = floor("recscale." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts))
    for module in imports(path):
        if module.split(".")[0] == "recscale":
            assert floor(module) <= here, f"{module} is above"
        if here <= 1:
            assert module.split(".")[0] not in {"torch", "torchrec", "ray"}


def test_what_answers_at_once_loads_neither_torch_nor_ray():
    script = (
        "import sys, recscale.cli, recscale.study, recscale.laws, recscale.advice, "
        "recscale.engine.ready, recscale.report.page\n"
        "print([m for m in ('torch', 'torchrec', 'ray') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
