"""The log of the worker that trained a run: what Ray wrote of it, on the node where it ran.

A worker trains one run after another, so that each start notes how long the files were by then:
its own part ends where the next start in the same files begins. Of workers on other nodes Ray's
dashboard hands the files out, while their cluster lives.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STREAMS = {"out": 1, "err": 2}


def own_log() -> dict[str, Any]:
    """Where this process's output goes now: `node`, and of each stream its file and the bytes that
    it holds; empty outside a worker of Ray."""
    import ray

    found: dict[str, Any] = {}
    for stream, number in STREAMS.items():
        with suppress(OSError):
            (sys.stdout if number == 1 else sys.stderr).flush()
            path = os.readlink(f"/proc/self/fd/{number}")
            if Path(path).name.startswith("worker-"):
                found[stream] = [path, os.path.getsize(path)]
    if found and ray.is_initialized():
        found["node"] = ray.get_runtime_context().get_node_id()
    return found


@dataclass(frozen=True)
class Attempt:
    """A start of a run. Attributes:
    at: unix seconds.
    parts: stream -> file, first byte, and the byte after its last; None while it is its file's.
    """

    host: str
    pid: int
    at: float
    node: str
    parts: dict[str, tuple[str, int, int | None]]

    @property
    def place(self) -> str:
        """`HOST:FILE` of what it wrote; empty where nothing is known of it."""
        path = next((p for p, _, _ in self.parts.values()), "")
        return f"{self.host}:{path}" if path else ""


def attempts_of(run_id: str, entries: Sequence[dict[str, Any]]) -> list[Attempt]:
    """The starts of a run, as the entries of its ledger tell, in order."""
    starts = [e for e in entries if e["kind"] == "start" and "pid" in e]
    out = []
    for i, e in enumerate(starts):
        if e["run_id"] != run_id:
            continue
        log, parts = e.get("log", {}), {}
        for stream in STREAMS:
            if stream in log:
                path, first = log[stream]
                later = (s.get("log", {}).get(stream) for s in starts[i + 1 :])
                ends = [at for p, at in filter(None, later) if p == path and at >= first]
                parts[stream] = path, first, ends[0] if ends else None
        out.append(Attempt(e["host"], e["pid"], e["at"], log.get("node", ""), parts))
    return out


def written(attempt: Attempt) -> dict[str, str]:
    """What an attempt wrote, by stream. Raises OSError where its files cannot be had here."""
    found = {}
    for stream, (path, first, last) in attempt.parts.items():
        whole = Path(path).read_bytes() if os.path.exists(path) else _fetched(attempt, path)
        found[stream] = whole[first:last].decode(errors="replace")
    return found


def _fetched(attempt: Attempt, path: str) -> bytes:
    if not {"RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"} & set(os.environ):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    from ray.util.state import get_log

    try:
        parts = get_log(node_id=attempt.node, filename=Path(path).name, tail=-1)
        return "".join(parts).encode()
    except Exception as error:  # its errors have no class of their own
        raise OSError(f"Ray does not hand it out: {' '.join(str(error).split())}") from error
