"""A trainer tried before anything is spent: called at the cheapest run until its second report (the
first that can count backwards), in a process of its own that ends then, or is killed when it takes
too long to tell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from recscale.families import TrainerConfig
from recscale.families.door import in_words, where
from recscale.run import RunConfig
from recscale.trainers.call import call
from recscale.trainers.heard import Heard, RanAway, TrainerError, TrainerFailed

TRY_S = 20.0
"""Seconds that the reports may take to come; later than that nothing is learnt."""


class _Enough(BaseException):
    """The reports have come; no `except Exception` of the trainer's is to catch it."""


def complaint(run: RunConfig, seconds: float = TRY_S) -> tuple[str, bool]:
    """What goes wrong until the second report of a run, empty where nothing does in so many
    seconds; and whether it would on every machine."""
    with tempfile.TemporaryDirectory(prefix="recscale-try-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, folder], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            process.communicate(run.model_dump_json().encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            return "", False
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        try:
            with open(os.path.join(folder, "verdict")) as file:
                verdict = json.load(file)
        except (OSError, ValueError):
            return f"ended its process with status {process.returncode} before any report", False
        return verdict["wrong"], verdict["always"]


def tried(run: RunConfig, folder: str) -> tuple[str, bool]:
    """`complaint`, in this process and for as long as it takes."""
    model = run.model
    assert isinstance(model, TrainerConfig)
    heard = Heard(model.loss)

    def hear(numbers: Mapping[str, Any]) -> None:
        heard.hear(numbers, 0.0)
        if len(heard.points) > 1:
            raise _Enough

    checkpoints = os.path.join(folder, "checkpoints")
    os.mkdir(checkpoints)
    try:
        call(model, run.train, checkpoints, hear)
        heard.ended()
    except (_Enough, RanAway):
        return "", False
    except TrainerError as error:
        return str(error), True
    except TrainerFailed as error:
        return str(error), False
    except BaseException as error:
        return f"raised{where(error)} {in_words(error)}", False
    return "", False


if __name__ == "__main__":
    place = sys.argv[1]
    wrong, always = tried(RunConfig.model_validate_json(sys.stdin.read()), place)
    with open(os.path.join(place, "verdict"), "w") as file:
        json.dump({"wrong": wrong, "always": always}, file)
    os._exit(0)  # threads of the trainer's may still run
