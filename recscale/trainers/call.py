"""Runs a trainer: a function in this process, or a command as a process of its own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recscale.families import TrainerConfig
from recscale.families.command import filled, home, program
from recscale.families.door import load_function
from recscale.run import TrainConfig
from recscale.trainers.heard import TrainerError, TrainerFailed, line_of

Hear = Callable[[Mapping[str, Any]], None]
LOOK_S = 0.1  # seconds between looks at a file that a command writes
GRACE_S = 2.0  # seconds that a command's children may outlive it
LAST = 20  # lines of a command's errors that are kept
LONGEST = 500  # characters of one of them that an error quotes


def call(config: TrainerConfig, train: TrainConfig, checkpoints: str, hear: Hear) -> None:
    """Trains one run to its end; `hear` is told of each report and may raise to end it.

    Args:
        checkpoints: a folder of this machine in which the trainer finds what it left there.

    Raises:
        TrainerFailed: a command that ended with an error, in its last words.
        TrainerError: a command that never reported.
        Whatever a function, or `hear`, raises.
    """
    given = config.given(train)
    if config.command:
        _command(config, {**given, "checkpoint_dir": checkpoints}, hear)
        return
    found = load_function(config.family)

    def report(*, samples: float, **numbers: Any) -> None:
        """After `samples` training samples in all; numbers of the evaluation by name, among them
        the loss. Those that are called like a column of every run, or an axis, are left out."""
        hear({"samples": samples, **numbers})

    report.__qualname__ = "report"  # as errors of a wrong call have it
    with contextlib.nullcontext() if found.installed else _inside(os.path.dirname(found.top)):
        try:
            found.cls(config=given, report=report, checkpoint_dir=checkpoints)
        except SystemExit as error:
            if error.code not in (None, 0):
                raise TrainerFailed(f"it called sys.exit({error.code!r})") from None


@contextlib.contextmanager
def _inside(folder: str) -> Iterator[None]:
    """Runs in a folder: where the trainer's file lies, its own paths are right."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _command(config: TrainerConfig, values: Mapping[str, Any], hear: Hear) -> None:
    command = config.command
    argv = [program(command), *(filled(text, values) for text in command[1:])]
    folder = home(command)
    file = Path(folder, filled(config.metrics, values)) if config.metrics else None
    tail = Tail(file) if file else None
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}  # its lines come as it prints them
    process = subprocess.Popen(
        argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, errors="replace", preexec_fn=_dies_with_us,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout and process.stderr
    errors, printed = deque[str](maxlen=LAST), deque[str](maxlen=LAST)
    follow = threading.Thread(target=_follow, args=(process.stderr, errors), daemon=True)
    follow.start()
    threading.Thread(target=_end_group, args=(process,), daemon=True).start()
    told = 0

    def each(lines: Sequence[str]) -> int:
        found = [line_of(line, config.loss) for line in lines]
        for report in found:
            if report is not None:
                hear(report)
        return sum(report is not None for report in found)

    try:
        if tail:
            drain = threading.Thread(target=_follow, args=(process.stdout, printed), daemon=True)
            drain.start()
            while process.poll() is None:
                told += each(tail.lines())
                time.sleep(LOOK_S)
            told += each(tail.lines(whole=True))
        else:
            for line in process.stdout:
                printed.append(line)
                told += each([line])
                if line_of(line, config.loss) is None:
                    sys.stdout.write(line)
        status = process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also what it has left running
        process.wait()
    follow.join(timeout=1)
    if status:
        how = (
            f"was killed by signal {-status}" if status < 0 else f"ended with exit status {status}"
        )
        last = _last(errors) or _last(printed)
        raise TrainerFailed(f"{' '.join(command[:2])} {how}" + (f": {last}" if last else ""))
    if not told:
        where = f"in {file}" if file else "on its output"
        last = "" if file else _last(printed)
        said = f"; the last line was {last!r}" if last else ""
        raise TrainerError(
            f"{' '.join(command[:2])} ended without a JSON line {where} that holds samples and "
            f'{config.loss}, such as {{"samples": 1000, "{config.loss}": 0.5}}{said}'
        )


def _dies_with_us() -> None:
    """In the new process: it is killed when this one is (Linux's PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _end_group(process: subprocess.Popen[str]) -> None:
    """Ends what a command has left running, which would hold its output open for ever."""
    process.wait()
    time.sleep(GRACE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _follow(stream: Any, kept: deque[str]) -> None:
    for line in stream:
        kept.append(line)
        sys.stderr.write(line)


def _last(lines: Sequence[str]) -> str:
    """The last line that says something."""
    said = [line.strip() for line in lines if line.strip()]
    return said[-1][:LONGEST] if said else ""


class Tail:
    """The lines that a command adds to a file; what stood there before it began is an earlier
    attempt's. A file that is written anew is read from its start."""

    def __init__(self, path: Path):
        self.path = path
        self.at, self.mark = 0, b""
        self.rest = b""
        if path.is_file():
            self._move(path.read_bytes())

    def lines(self, whole: bool = False) -> list[str]:
        """Those that are new and complete; with `whole` also a last one without its end."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return []
        if len(data) < self.at or not data[: self.at].endswith(self.mark):
            self.at, self.rest = 0, b""
        new = self.rest + data[self.at :]
        self._move(data)
        *complete, self.rest = new.split(b"\n")
        if whole:
            complete, self.rest = [*complete, self.rest], b""
        return [line.decode(errors="replace") for line in complete]

    def _move(self, data: bytes) -> None:
        self.at, self.mark = len(data), data[-64:]
