"""The notebooks of `sweeps/` run from their first cell to the last, outside the checkout, and are
kept without outputs. They hold plain Python only, so that an interpreter runs them as a kernel
would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
NOTEBOOKS = sorted((REPOSITORY / "sweeps").glob("*.ipynb"))
RUNS = """
import ast, json, sys

cells = [c for c in json.load(open(sys.argv[1]))["cells"] if c["cell_type"] == "code"]
names = {"__name__": "__main__"}
for cell in cells:
    tree, shown = ast.parse("".join(cell["source"])), None
    if isinstance(tree.body[-1], ast.Expr):
        shown = ast.Expression(tree.body.pop().value)
    exec(compile(tree, cell["id"], "exec"), names)
    value = eval(compile(shown, cell["id"], "eval"), names) if shown else None
    if value is not None:
        html = getattr(value, "_repr_html_", None)  # what a notebook shows of it
        print(cell["id"], type(value).__name__, (html() if html else repr(value)) or repr(value))
"""
SHOWN = {
    "fit_any_table": ("constants DataFrame", "alpha_N", "mix DataFrame", "draw Figure"),
    "read_a_study": ("plan DataFrame", "9 of 9 runs done", "alpha_hidden", "draw Figure",
                     "report.html"),
}  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[p.stem for p in NOTEBOOKS])
def test_a_notebook_runs_outside_the_checkout(path: Path, tmp_path: Path):
    ended = subprocess.run(
        [sys.executable, "-c", RUNS, str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    for words in SHOWN[path.stem]:
        assert words in ended.stdout


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[p.stem for p in NOTEBOOKS])
def test_a_notebook_is_kept_without_outputs(path: Path):
    found = json.loads(path.read_text())
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    ids = [c["id"] for c in found["cells"]]
    assert len(ids) == len(set(ids))
    for cell in found["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None, cell["id"]
