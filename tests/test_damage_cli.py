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


def test_a_ledger_that_is_no_longer_one_is_told(sweep):
    """A folder where a file was, a file where the folder was, all of it emptied or gone."""
    store = Path(call("prepare", sweep).stdout.splitlines()[0])
    run_dir = store.parents[1] / "demo"
    spec, data = parse_spec(sweep.read_text()), load_manifest(store)
    first = Ledger(run_dir)
    first.append("plan", **plan_entry(spec, data, planned_runs(spec, data)))
    Ledger(run_dir).append("session", pid=1)  # notes the first one's file
    (run_dir / "tune").mkdir()
    whole = run_dir.with_name("whole")
    shutil.copytree(run_dir, whole)
    ledger = run_dir / "ledger"
    file = ledger / f"{first.name}.jsonl"

    def into_a_folder():
        file.unlink()
        file.mkdir()

    def into_a_link():
        file.unlink()
        file.symlink_to(file)

    def into_a_file():
        shutil.rmtree(ledger)
        ledger.write_text("x")

    def emptied():
        for each in ledger.iterdir():
            each.write_bytes(b"")

    for harm, said in (
        (into_a_folder, f"{file} is missing: it held"),
        (into_a_link, f"{file} is missing: it held"),
        (into_a_file, f"{ledger} is no folder, as a ledger is"),
        (emptied, f"{ledger} holds no entry, and {run_dir}/tune says that runs were trained"),
        (lambda: shutil.rmtree(ledger), f"{ledger} holds no entry"),
    ):
        harm()
        for words in (("plan", sweep), ("status", run_dir), ("report", run_dir), ("ask", run_dir)):
            assert said in refused(*words), (said, words)
        shutil.rmtree(run_dir)
        shutil.copytree(whole, run_dir)
    assert call("plan", sweep).exit_code == 0
    for each in ledger.iterdir():  # the way out of a lost file is open for the last one too
        each.rename(f"{each}.damaged")
        Path(f"{each}.damaged").write_bytes(b"")
    assert call("plan", sweep).exit_code == 0
