"""What is installed from a wheel works outside the checkout and holds what lies beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, as a folder that Python imports from; built from a copy of what git
    would ship, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source, site = folder / "source", folder / "site"
    source.mkdir()
    for name in ("recscale", "sweeps", "cluster"):
        shutil.copytree(
            REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = source.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    return site


def test_it_holds_every_module_and_every_file_beside_the_package(installed: Path):
    ours = {p.relative_to(REPOSITORY) for p in (REPOSITORY / "recscale").rglob("*.py")}
    assert {p.relative_to(installed) for p in (installed / "recscale").rglob("*.py")} >= ours
    for folder in ("sweeps", "cluster"):
        for file in (REPOSITORY / folder).rglob("*"):
            if file.is_file() and file.suffix not in (".png", ".pyc"):
                place = installed / "recscale" / file.relative_to(REPOSITORY)
                assert place.read_bytes() == file.read_bytes(), file
    assert (installed / "recscale" / "py.typed").exists()


def test_new_and_plan_work_outside_the_checkout(installed: Path, tmp_path: Path):
    """A copied example with its own family's file; prices are those of the wheel."""

    def recscale(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "recscale.cli", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(installed), "RECSCALE_FAMILIES": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    recscale("new", "mine", "--like", "own")
    assert "18 runs, 0 done" in recscale("plan", "mine.yaml")
    assert (tmp_path / "own" / "deepfm.py").is_file()
