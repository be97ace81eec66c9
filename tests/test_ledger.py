"""The ledger: crash-safe, many writers, one record a run."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

import recscale.ledger
from recscale.ledger import Ledger
from recscale.manifest import Manifest
from recscale.planner import planned_runs
from recscale.run import CurvePoint, RunRecord
from recscale.spec import SweepSpec
from recscale.storage import StorageError


def point(samples: int = 100, loss: float = 0.5) -> CurvePoint:
    return CurvePoint(
        samples=samples,
        train_flop=1e9,
        time_s=1.0,
        train_loss=loss,
        eval_loss=loss,
        metrics={"eval_ne": loss * 2, "eval_auc": None, "eval_calibration": 1.0},
    )


@pytest.fixture
def make(small: SweepSpec, data: Manifest):
    """Records of the small sweep's runs."""
    planned = planned_runs(small, data)

    def record(i: int, status: str = "done", at: float = 0.0, loss: float = 0.5) -> RunRecord:
        p = planned[i]
        return RunRecord(
            run_id=p.run_id,
            config=p.config,
            status=status,  # type: ignore[arg-type]
            reason=p.reason,
            curve=() if status == "failed" else (point(50, loss - 0.1), point(100, loss)),
            estimated=p.cost,
            measured=None if status == "failed" else p.cost,
            workers=1,
            started_at=at,
            finished_at=at + 1,
        )

    return record


def test_a_record_comes_back_as_it_was_written(tmp_path: Path, make):
    record = make(0)
    Ledger(tmp_path).record(record)
    assert Ledger(tmp_path).records() == [record]


def test_the_earliest_done_record_counts_whoever_wrote_it(tmp_path: Path, make):
    Ledger(tmp_path).record(make(0, "failed", at=30.0))
    Ledger(tmp_path).record(make(0, at=20.0, loss=0.6))
    Ledger(tmp_path).record(make(0, at=10.0, loss=0.7))
    ledger = Ledger(tmp_path)
    (counted,) = ledger.records()
    assert (counted.status, counted.finished_at) == ("done", 21.0)  # whatever its clock says
    assert len(ledger.attempts()) == 3


def test_entries_are_in_the_order_of_cause_whatever_the_clocks(tmp_path: Path, monkeypatch):
    """Two writers answer each other; one clock is hours ahead, and the other is set back."""
    one, other = Ledger(tmp_path), Ledger(tmp_path)
    clock = {one: 9e9, other: 1e9}
    now = [0.0]
    monkeypatch.setattr(recscale.ledger.time, "time", lambda: now[0])
    for i in range(40):
        writer = (one, other)[i % 3 == 0]
        clock[writer] += -7000.0 if i % 5 == 0 else 1.0
        writer.entries()
        now[0] = clock[writer]
        writer.append("said", i=i)
    assert [e["i"] for e in Ledger(tmp_path).entries()] == list(range(40))


def test_a_ledger_without_order_is_read_by_its_times(tmp_path: Path):
    folder = tmp_path / "ledger"
    folder.mkdir()
    (folder / "a.jsonl").write_text(
        '{"kind": "x", "at": 1, "i": 0}\n{"kind": "x", "at": 5, "i": 2}\n'
    )
    (folder / "b.jsonl").write_text('{"kind": "x", "at": 3, "i": 1}\n')
    Ledger(tmp_path).append("x", i=3)
    assert [e["i"] for e in Ledger(tmp_path).entries()] == [0, 1, 2, 3]


@pytest.mark.parametrize("cut", [1, 40])
def test_a_torn_last_line_costs_nothing_else(tmp_path: Path, make, cut: int):
    writer = Ledger(tmp_path, name="w")
    writer.record(make(0))
    writer.record(make(1))
    path = tmp_path / "ledger" / "w.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    assert {r.run_id for r in Ledger(tmp_path).records()} >= {make(0).run_id}
    Ledger(tmp_path, name="w").record(make(2))
    ids = {r.run_id for r in Ledger(tmp_path).records()}
    assert {make(0).run_id, make(2).run_id} <= ids


def test_a_ledger_of_another_version_is_named_and_left_alone(tmp_path: Path, make):
    record = make(0).model_dump(mode="json")
    record["measured"]["carbon_kg"] = 1.0
    Ledger(tmp_path).append("run", record=record)
    (written,) = tmp_path.glob("ledger/*.jsonl")
    before = written.read_bytes()
    reader = Ledger(tmp_path)
    for _ in range(2):  # it is not read as empty the second time
        with pytest.raises(StorageError, match=f"{tmp_path}.*another version.*carbon_kg.*storage"):
            reader.records()
    assert written.read_bytes() == before


def test_a_reader_sees_what_is_appended_later(tmp_path: Path, make):
    reader, writer = Ledger(tmp_path), Ledger(tmp_path)
    assert reader.records() == []
    writer.record(make(0))
    assert len(reader.records()) == 1
    writer.record(make(1))
    assert len(reader.records()) == 2


def _write(path: str, entries: int) -> None:
    ledger = Ledger(path)
    for i in range(entries):
        ledger.append("alive", i=i, padding="x" * 5000)


def test_many_writers_lose_nothing(tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(str(tmp_path), 50)) for _ in range(3)]
    for w in writers:
        w.start()
    for w in writers:
        w.join()
    assert len(Ledger(tmp_path).entries()) == 150


def test_an_object_store_serves_as_well(make):
    pytest.importorskip("fsspec")
    ledger = Ledger("memory://bucket/study")
    ledger.record(make(0))
    ledger.record(make(1))
    assert len(Ledger("memory://bucket/study").records()) == 2


def test_an_unknown_scheme_is_refused():
    with pytest.raises(StorageError, match="nosuch"):
        Ledger("nosuch://bucket/study")


def test_the_frame_keeps_final_and_best_apart(tmp_path: Path, make):
    ledger = Ledger(tmp_path)
    ledger.record(make(0, loss=0.6))
    ledger.record(make(1, "failed"))
    frame = ledger.frame().set_index("run_id")
    row = frame.loc[make(0).run_id]
    assert row.eval_loss == 0.6
    assert row.best_eval_loss == 0.5
    assert row.enters_law
    assert frame.loc[make(1).run_id, "left_out"] == "failed"
    assert len(ledger.curves()) == 2


def test_the_best_learning_rate_factor_enters_the_law(tmp_path: Path, make):
    ledger = Ledger(tmp_path)
    good, bad = make(0, loss=0.4), make(0, loss=0.5)
    train = bad.config.train.model_copy(update={"rate_factor": 3.0})
    config = bad.config.model_copy(update={"train": train})
    ledger.record(good)
    ledger.record(bad.model_copy(update={"config": config, "run_id": config.run_id}))
    frame = ledger.frame().set_index("run_id")
    assert frame.loc[good.run_id, "enters_law"]
    assert not frame.loc[config.run_id, "enters_law"]
