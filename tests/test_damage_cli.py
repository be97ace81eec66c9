"""Damage as the command line tells it: a sentence with the file, exit 2, and a way out."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from recscale.cli import main
from recscale.ledger import Ledger
from recscale.manifest import load_manifest
from recscale.planner import planned_runs
from recscale.specfile import parse_spec
from recscale.study import plan_entry

SWEEP = """
name: demo
data: {source: synthetic, rows: 2000, users: 50, items: 30}
model: {family: dlrm, embedding_dim: [4, 8], mlp_width: 16}
train: {data_fraction: [0.5, 1.0], batch_size: 64}
budget: {flop: 1e15}
"""


def call(*words) -> Result:
    return CliRunner().invoke(main, [str(w) for w in words])


@pytest.fixture
def sweep(sweep_file) -> Path:
    return sweep_file(SWEEP)


def refused(*words) -> str:
    result = call(*words)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit) and "Traceback" not in result.output
    return result.output


def test_a_damaged_manifest_is_told_and_its_remedy_helps(sweep):
    store = Path(call("prepare", sweep).stdout.splitlines()[0])
    manifest = store / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"n_train": 1', '"n_train": 2'))
    for verb in ("prepare", "plan"):
        said = refused(verb, sweep)
        assert f"{manifest} is damaged: its checksum does not fit" in said
    found = re.search(r"remove the folder (\S+):", said)
    assert found is not None
    shutil.rmtree(found[1])
    assert call("plan", sweep).exit_code == 0


def test_a_damaged_ledger_is_told_by_every_verb_and_can_be_accepted(sweep):
    store = Path(call("prepare", sweep).stdout.splitlines()[0])
    run_dir = store.parents[1] / "demo"
    spec, data = parse_spec(sweep.read_text()), load_manifest(store)
    ledger = Ledger(run_dir)
    ledger.append("plan", **plan_entry(spec, data, planned_runs(spec, data)))
    ledger.append("session", pid=1)
    ledger.append(
        "damage", run_id="r", found=["step-1/x is damaged: this checkpoint was set aside"]
    )
    assert "step-1/x is damaged" in call("status", run_dir).output
    (file,) = (run_dir / "ledger").iterdir()
    file.write_bytes(file.read_bytes().replace(b'"pid": 1', b'"pid": 7'))
    asked = (("plan", sweep), ("status", run_dir), ("report", run_dir), ("ask", run_dir))
    said = [refused(*words) for words in asked]
    named = f"{file}:2 is damaged: its checksum does not fit; it held an entry"
    assert all(named in each for each in said)
    found = re.search(r"\.damaged: mv (\S+) (\S+?);", said[0])
    assert found is not None
    Path(found[1]).rename(found[2])
    assert call("status", run_dir).exit_code == 0 and call("plan", sweep).exit_code == 0
