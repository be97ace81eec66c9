"""Shared fixtures: one small prepared world, and sweeps on it."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from data_files import events_spec, prepared, sequence_log
from loopback_ray import OF_LOOPBACK, loopback

from recscale.data.prepare import prepare
from recscale.data.store import Store
from recscale.manifest import Manifest, load_manifest
from recscale.spec import SweepSpec
from recscale.specfile import parse_spec

slow = pytest.mark.skipif(
    "RECSCALE_SLOW" not in os.environ, reason="takes minutes; set RECSCALE_SLOW=1"
)
# Tests of Ray wait more than they compute: three Rays beside each other, the tests of each in turn,
# and the others after them. Ray's workers would be nice by 15, and whatever runs beside them takes
# their cores.
os.environ.update(RAY_worker_niceness="0")
with_ray = tuple(pytest.mark.xdist_group(f"ray-{i}") for i in range(3))

SMALL = """
name: small
data: {source: synthetic, rows: 20000, users: 500, items: 300}
model:
  family: dlrm
  embedding_dim: [4, 8]
  mlp_width: 16
  sequence_depth: [0, 1]
  sequence_width: 16
  sequence_length: 6
train: {data_fraction: [0.25, 1.0], batch_size: 256}
budget: {flop: 1e15}
"""


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared world of the `SMALL` sweep."""
    return prepare(parse_spec(SMALL).data, tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def data(store: Path) -> Manifest:
    return load_manifest(store)


@pytest.fixture(scope="session")
def sequence_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Users' walks round a ring of items, for the next-item models."""
    folder = tmp_path_factory.mktemp("sequences")
    sequence_log(folder / "log.parquet")
    spec = events_spec(folder / "log.parquet", task="next_item", refuse_above=0.3)
    return prepared(folder, spec)


@pytest.fixture
def small() -> SweepSpec:
    return parse_spec(SMALL)


@pytest.fixture
def sweep_file(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a sweep file whose storage is this test's own folder."""

    def write(text: str, name: str = "sweep.yaml") -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text) + f"\nstorage: {tmp_path}/runs\n")
        return path

    return write


@pytest.fixture(scope="session")
def standing() -> Iterator[str]:
    """Address of a Ray of two CPUs: one for all tests of a group, each of which starts drivers."""
    with loopback(num_cpus=2) as nodes:
        yield str(nodes.address)


@pytest.fixture
def ray_stands(standing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**OF_LOOPBACK, "RAY_ADDRESS": standing}.items():
        monkeypatch.setenv(name, value)
