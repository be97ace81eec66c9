"""What is installed from a wheel works outside the checkout and holds what lies beside it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import with_ray

REPOSITORY = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what git would ship, so that nothing is left in the
    checkout."""
    source = tmp_path_factory.mktemp("source")
    for name in ("recscale", "sweeps", "cluster"):
        shutil.copytree(
            REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (built,) = source.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, as a folder that Python imports from."""
    site = tmp_path_factory.mktemp("site")
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


TINY = """
import yaml, recscale
spec = yaml.safe_load(open("clicks.yaml"))
spec["model"] |= {"embedding_dim": [4, 8], "mlp_width": 8}
spec["train"] |= {"seeds": 1, "data_fraction": [0.5, 1.0]}
yaml.safe_dump(spec, open("tiny.yaml", "w"))
sweep = recscale.load("tiny.yaml")
assert len(sweep.plan()) == 3
print(sweep.run())
"""


@pytest.mark.skipif(
    not UV.is_file(), reason="uv, which knows the lowest versions, is not installed"
)
@with_ray[1]
def test_the_lowest_versions_that_are_allowed_plan_train_and_report(wheel: Path, tmp_path: Path):
    """In an environment of its own; what pyproject pins together stays as it is here."""
    here = {d.name.lower(): d.version for d in distributions()}
    together = [f"{n}=={v}" for n, v in here.items() if re.match("torch$|torchrec|fbgemm|ray$", n)]
    pins = tmp_path / "pins.txt"
    pins.write_text("\n".join(together))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment.pop("RECSCALE_FAMILIES", None)

    def ran(*words: object, cwd: Path = tmp_path) -> str:
        done = subprocess.run(
            [str(w) for w in words], cwd=cwd, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    bin = tmp_path / "env" / "bin"
    ran(UV, "venv", "-q", "--python", sys.executable, tmp_path / "env")
    build = "gpu" if "fbgemm-gpu" in here else "cpu"
    links = environment.get("PIP_FIND_LINKS")
    torch = ["--find-links", links] if links else ["--torch-backend", build] * (build == "cpu")
    # in the source's folder, where uv finds what pyproject says of torchrec's dependencies
    ran(UV, "pip", "install", "-q", "--python", bin / "python", "--resolution", "lowest-direct",
        "-c", pins, *torch, f"{wheel}[{build}]", cwd=wheel.parent)  # fmt: skip
    # else every process of Ray's compiles it by itself, and none is up in time
    ran(bin / "python", "-m", "compileall", "-q", *(tmp_path / "env").glob("lib/*/*/ray"))

    rng, n = np.random.default_rng(0), 3000
    clicks = {"user": rng.integers(0, 100, n), "item": rng.integers(0, 50, n)}
    clicks |= {"time": 1_700_000_000 + 60 * np.arange(n), "clicked": rng.integers(0, 2, n)}
    pd.DataFrame(clicks).to_csv(tmp_path / "clicks.csv", index=False)
    sizes = {"N": rng.uniform(1e6, 1e9, 40), "D": rng.uniform(1e8, 1e11, 40)}
    table = pd.DataFrame(sizes).assign(loss=lambda t: 1.8 + 480 / t.N**0.35 + 2100 / t.D**0.37)
    table.to_csv(tmp_path / "runs.csv", index=False)

    ran(bin / "recscale", "new", "clicks", "--from", "clicks.csv")
    assert "0 done" in ran(bin / "recscale", "plan", "clicks.yaml")
    told = ran(bin / "python", "-c", TINY)
    assert "3/3" in told and "<3 of 3 runs done in " in told
    assert "report.html" in ran(bin / "recscale", "report", "runs/clicks")
    fit = ("fit", "runs.csv", "--variables", "N,D", "--report", "law.html")
    assert "converged" in ran(bin / "recscale", *fit)
    assert (tmp_path / "law.html").is_file()
