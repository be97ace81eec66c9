"""What is heard of a trainer of a user's own: its reports, and the words of what went wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recscale.trainers import Heard, RanAway, TrainerError, verdict
from recscale.trainers.call import Tail
from recscale.trainers.heard import MOST, line_of


def heard(*points: dict[str, Any], **more: Any) -> Heard:
    found = Heard("loss", **more)
    for i, point in enumerate(points):
        found.hear(point, float(i))
    return found


def test_reports_become_a_curve():
    numbers = {"auc": np.float32(0.5), "name": "x", "train_loss": 0.2, "hidden": 3, "nan": math.nan}
    last = {"samples": 20.0, "loss": np.float64(0.5), **numbers}
    found = heard({"samples": 10, "loss": 1.0}, last, taken=["hidden"])
    assert [(p.samples, p.loss, p.time_s) for p in found.points] == [(10, 1.0, 0), (20, 0.5, 1)]
    assert found.points[-1].metrics == {"auc": 0.5, "nan": None}
    assert found.points[-1].train_loss == 0.2 and found.gap == 10 and found.ended().samples == 20


def test_two_reports_of_the_same_samples_are_one_point():
    found = heard({"samples": 1, "loss": 2.0, "a": 1}, {"samples": 1, "loss": 1.0, "b": 2})
    assert [(p.loss, p.metrics) for p in found.points] == [(1.0, {"a": 1, "b": 2})]


@pytest.mark.parametrize(
    ("points", "kind", "words"),
    [
        ([{"samples": 1, "loss": math.nan}], TrainerError, "loss nan at 1 samples, its first"),
        ([{"samples": 1, "loss": 1}, {"samples": 2, "loss": math.inf}], RanAway, "loss inf at 2"),
        ([{"samples": 2, "loss": 1}, {"samples": 1, "loss": 1}], TrainerError, "only grow"),
        ([{"samples": 1, "val": 1}], TrainerError, "reported no loss at 1 samples, but val"),
        ([{"samples": "many", "loss": 1}], TrainerError, "should be a number from 0 on"),
        ([{"samples": math.nan, "loss": 1}], TrainerError, "should be a number"),
        ([{"loss": 1}], TrainerError, "should be a number"),
        ([{"samples": 1, "loss": "low"}], TrainerError, "no number"),
    ],
)
def test_reports_of_no_training_are_told(points: list, kind: type[Exception], words: str):
    with pytest.raises(kind, match=words):
        heard(*points)


def test_a_report_that_was_refused_is_remembered():
    found = heard({"samples": 5, "loss": 1.0})
    with pytest.raises(TrainerError):
        found.hear({"samples": 1, "loss": 1.0}, 0.0)
    for _ in range(2):
        with pytest.raises(TrainerError, match="only grow"):
            found.ended()
    with pytest.raises(TrainerError, match="without a report of samples and loss"):
        heard().ended()


def test_an_attempt_that_goes_on_from_before_replaces_what_comes_again():
    first = heard(*({"samples": n, "loss": 1 / n} for n in (1, 2, 3)))
    again = Heard("loss", before=tuple(first.points))
    again.hear({"samples": 2, "loss": 0.9}, 9.0)
    assert [(p.samples, p.loss) for p in again.points] == [(1, 1.0), (2, 0.9)]


def test_a_long_curve_keeps_its_last_point():
    found = heard(*({"samples": n, "loss": 1.0} for n in range(5 * MOST)))
    assert len(found.points) <= MOST and found.points[-1].samples == 5 * MOST - 1


def test_lines_of_reports_are_told_from_others():
    assert line_of('{"samples": 1, "loss": NaN}\n', "loss") is not None
    assert line_of('{"samples": 1, "loss": null}', "loss") is None
    for line in ("", "loss: 3", "{", "[1]", '{"samples": 1}', '{"loss": 1}', "{'samples': 1}"):
        assert line_of(line, "loss") is None


def test_only_what_is_new_in_a_file_is_read(tmp_path: Path):
    file = tmp_path / "log"
    file.write_text("old\n")
    tail = Tail(file)
    assert tail.lines() == []
    with file.open("a") as out:
        out.write("new\nhal")
    assert tail.lines() == ["new"]
    with file.open("a") as out:
        out.write("f\n")
    assert tail.lines() == ["half"]
    file.write_text("written anew, and longer than before\n")
    assert tail.lines() == ["written anew, and longer than before"]
    with file.open("a") as out:
        out.write("last")
    assert tail.lines() == [] and tail.lines(whole=True) == ["last"]


def test_what_failed_is_said_in_the_trainers_words():
    trace = "Traceback ...\nrecscale.trainers.heard.TrainerError: reported 1 after 2\n"
    assert verdict(trace) == ("the trainer reported 1 after 2", False)
    assert verdict("x\nrecscale.trainers.heard.TrainerFailed: ended with 3") == (
        "the trainer ended with 3", True,
    )  # fmt: skip
    assert verdict("ValueError: boom") == ("ValueError: boom", True)
