"""Any damage to any file of a ledger is read right or told by file:line, and costs no other run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from harm import harms, put

from recscale import lines
from recscale.engine.job import Job
from recscale.engine.worker import run_job
from recscale.ledger import Ledger
from recscale.planner import planned_runs
from recscale.rescue import rescue
from recscale.run import CurvePoint, RunConfig, RunRecord
from recscale.storage import StorageError
from recscale.study import Study, StudyError, plan_entry


@pytest.fixture
def records(small, data) -> list[RunRecord]:
    """One of each planned run."""
    return [
        RunRecord(
            run_id=p.run_id,
            config=p.config,
            status="done",
            reason=p.reason,
            curve=(
                CurvePoint(
                    samples=9, train_flop=1.0, time_s=1.0, train_loss=0.5, eval_loss=0.5, metrics={}
                ),
            ),
            estimated=p.cost,
            measured=p.cost,
            workers=1,
            started_at=i,
            finished_at=i + 1,
        )
        for i, p in enumerate(planned_runs(small, data))
    ]


def written(folder: Path, small, data, records) -> Path:
    """A ledger as a driver and its workers write it."""
    driver = Ledger(folder)
    driver.append("plan", **plan_entry(small, data, planned_runs(small, data)))
    driver.append("session", pid=1)
    for record in records:
        worker = Ledger(folder, joins=True)
        worker.records()
        worker.append("start", run_id=record.run_id, pid=2, workers=1)
        worker.record(record)
        driver.records()
        driver.append("alive")
    driver.append("end", interrupted=False)
    return folder / "ledger"


def told(folder: Path) -> list[str]:
    return [f"{path}{what}" for path, what in Ledger(folder).damage()]


def unsigned(entries: list[dict]) -> list[dict]:
    return [e for e in entries if e["kind"] not in ("alive", "end")]


def test_every_byte_of_a_ledger(small, data, records, tmp_path):
    whole = written(tmp_path / "a", small, data, records)
    strange = written(tmp_path / "b", small, data, records[::-1])
    truth, count = Ledger(tmp_path / "a"), 0
    assert not truth.damage() and len(truth.records()) == len(records)
    for file, other in zip(sorted(whole.iterdir()), sorted(strange.iterdir()), strict=True):
        content = file.read_bytes()
        own = [r.run_id for r in records if r.run_id.encode() in content]
        for what, harmed in harms(content, other.read_bytes(), len(content), few=8):
            put(file, harmed)
            count += 1
            ledger = Ledger(tmp_path / "a")
            found = [f"{path}{of}" for path, of in ledger.damage()]
            kept = {r.run_id: r for r in ledger.records()}
            if not found:
                assert unsigned(ledger.entries()) == unsigned(truth.entries()), (file.name, what)
            else:
                assert any(f.startswith(str(file)) for f in found), (what, found)
                with pytest.raises(StorageError, match=f"(?s){file}.*{file}.damaged"):
                    ledger.vouch()
            for record in records:  # the others, and whatever is still read, as they were
                there = kept.get(record.run_id)
                assert there == record or record.run_id in own and there is None, what
            if file.exists():
                file.rename(f"{file}.damaged")
            else:
                Path(f"{file}.damaged").touch()
            accepted = Ledger(tmp_path / "a")
            accepted.vouch()
            assert {r.run_id for r in accepted.records()} == set(kept), what
            Path(f"{file}.damaged").unlink()
            put(file, content)
    assert count > 100


def test_a_damaged_line_is_named_with_what_may_be_missing(small, data, records, tmp_path):
    folder = written(tmp_path, small, data, records)
    file = next(f for f in folder.iterdir() if records[2].run_id.encode() in f.read_bytes()
                and b'"kind": "run"' in f.read_bytes())  # fmt: skip
    content = file.read_bytes()
    put(file, content.replace(b'"eval_loss": 0.5', b'"eval_loss": 0.4'))
    (one,) = [line for line in told(tmp_path) if ":2" in line]
    assert one == (
        f"{file}:2 is damaged: its checksum does not fit; it held the result of run "
        f"{records[2].run_id} and what that cost"
    )
    with pytest.raises(StorageError, match="trained again"):
        Study.open(str(tmp_path))
    with pytest.raises(StorageError, match="trained again"):
        Ledger(tmp_path).frame()


@pytest.mark.parametrize("back", [1, 2, 40])
def test_only_what_a_kill_tears_off_the_end_is_left_out(small, data, records, tmp_path, back: int):
    """Of one byte less the line is whole; the writer goes on behind it or in its place."""
    folder = tmp_path / "ledger"
    Ledger(tmp_path, name="w").record(records[0])
    Ledger(tmp_path, name="w").record(records[1])
    file = folder / "w.jsonl"
    put(file, file.read_bytes()[:-back])
    assert told(tmp_path) == []
    reader = Ledger(tmp_path)
    assert len(reader.records()) == 1 + (back == 1)
    for record in records[2:]:
        Ledger(tmp_path, name="w").record(record)
        assert record in reader.records()
    assert told(tmp_path) == [] and len(Ledger(tmp_path).records()) == len(records) - (back > 1)


def test_a_record_of_another_configuration_is_named(records, tmp_path):
    forged = records[0].model_copy(update={"config": records[1].config})
    Ledger(tmp_path).record(forged)
    (one,) = told(tmp_path)
    assert records[0].run_id in one and records[1].run_id in one
    assert Ledger(tmp_path).records() == []


def test_records_of_earlier_versions_are_read(records, tmp_path):
    """Of a start that said nothing in the id, and of lines without checksums."""
    config = records[0].config
    before = f"{config.run_id.rpartition('-')[0]}-{config._fingerprints()[-1][:8]}"
    assert before != config.run_id and config.is_run(before) and not config.is_run("x-12345678")
    old = records[0].model_copy(update={"run_id": before}).model_dump(mode="json")
    (tmp_path / "ledger").mkdir()
    line = json.dumps({"kind": "run", "at": 1.0, "record": old})
    (tmp_path / "ledger" / "old.jsonl").write_text(f"{line}\n{line[:30]}\n{line[:50]}")
    ledger = Ledger(tmp_path)
    assert [r.run_id for r in ledger.records()] == [before]
    (one,) = told(tmp_path)
    assert one.startswith(f"{tmp_path}/ledger/old.jsonl:2 is damaged: it is no entry")


def test_dropout_is_part_of_an_identity_only_where_there_is_some(records):
    config = records[0].config.model_dump()
    config["train"]["data_fraction"] = 1.0  # the items of a part are in the identity too
    model = dict(
        family="decoder", sequence_depth=1, sequence_width=8, heads=1, sequence_length=4, tied=True,
        negatives=None, negatives_by=None, correction=None, filter_seen=False, norm="pre",
    )  # fmt: skip
    ids = []
    for rate in (0.0, 0.1):
        model |= {"dropout": rate, "dropout_top": rate}
        ids.append(len(RunConfig.model_validate(config | {"model": model})._fingerprints()))
    assert ids == [2, 3]


def test_a_removed_run_directory_ends_in_a_sentence_and_the_result_is_kept(
    records, small, data, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run_dir = tmp_path / "run"
    written(run_dir, small, data, records[1:])
    worker = Ledger(run_dir, joins=True)
    worker.append("start", run_id=records[0].run_id, pid=1, workers=1)
    shutil.rmtree(run_dir)
    with pytest.raises(StorageError, match=f"{run_dir} is gone"):
        worker.record(records[0])
    with pytest.raises(StorageError, match="is gone"):  # nor does another one make it anew
        Ledger(run_dir, joins=True).append("start", run_id="x", pid=1, workers=1)
    assert not run_dir.exists()
    with pytest.raises(StudyError):
        Study.open(str(run_dir))
    sentence = rescue(records[0], worker.root, "w.jsonl")
    kept = tmp_path / "cache" / "recscale" / "rescued" / "w.jsonl"
    assert str(kept) in sentence and worker.root in sentence and records[0].run_id in sentence
    (run_dir / "ledger").mkdir(parents=True)
    kept.rename(run_dir / "ledger" / "w.jsonl")
    assert Ledger(run_dir).records() == [records[0]] and told(run_dir) == []


def test_a_result_that_no_disk_takes_is_printed(records, monkeypatch, capsys, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file"))
    assert "output" in rescue(records[0], "ledger", "w.jsonl")
    entry = lines.parsed(capsys.readouterr().out.encode(), sealed=True)
    assert RunRecord.model_validate(entry["record"]) == records[0]


def test_a_run_that_ends_after_its_directory_was_removed_keeps_its_result(
    small, data, store, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    planned, run_dir = planned_runs(small, data)[0], tmp_path / "run"
    Ledger(run_dir).append("plan", **plan_entry(small, data, [planned]))
    job = Job(
        config=planned.config.model_dump(mode="json"),
        run_id=planned.run_id,
        reason=planned.reason,
        run_dir=str(run_dir),
        store=str(store),
        resources=small.resources.model_dump(mode="json"),
    )

    def at_its_end(point: dict) -> None:  # before that, a sign of life would find it gone
        if point["samples"] == planned.cost.samples:
            shutil.rmtree(run_dir)

    with pytest.raises(StorageError, match=rf"{run_dir} is gone.*{planned.run_id} is kept in \S+"):
        run_job(job, 0, 1, at_its_end, lambda: None)
    (kept,) = (tmp_path / "cache" / "recscale" / "rescued").iterdir()
    assert not Ledger(run_dir).entries()
    (run_dir / "ledger").mkdir(parents=True, exist_ok=True)
    kept.rename(run_dir / "ledger" / kept.name)
    (record,) = Ledger(run_dir).records()
    assert record.run_id == planned.run_id and record.status == "done" and record.final
