"""Who drives a sweep, as its run directory tells: a driver that lives, one that died, or none."""

from __future__ import annotations

import time
from typing import Any

import pyarrow.fs as pafs

from recscale.engine.presence import SUFFIX, Driver, parsed
from recscale.ledger import Ledger
from recscale.storage import filesystem, guarded, read
from recscale.words import time as time_words

SILENT_S = 3 * 60.0
"""Without a sign of life for so long a driver on another host is taken for dead: it signs every
minute."""


def driven(run_dir: str, complete: bool) -> str:
    """Whether a sweep is driven now, in a sentence; empty for one that is complete and at rest.
    Raises StorageError."""
    entries = Ledger(run_dir).entries()
    signed = max((float(e["at"]) for e in entries), default=0.0)
    for driver in _drivers(run_dir):
        dead = driver.dead()
        if dead is None:
            dead = time.time() - max(signed, driver.since) > SILENT_S
        if not dead:
            return f"driven by {driver.words()}"
        return (
            f"its driver is dead: {driver.words()}, last heard of {_ago(signed)}; the command that "
            "started it goes on"
        )
    if complete:
        return ""
    if _interrupted(entries):
        return f"stopped {_ago(signed)}; the same command goes on"
    return (
        f"not driven now, last heard of {_ago(signed)}; `recscale run` goes on" if entries else ""
    )


def _drivers(run_dir: str) -> list[Driver]:
    """Of those whose files are there, the latest that drives."""
    fs, root = filesystem(run_dir)
    with guarded(run_dir):
        found = fs.get_file_info(
            pafs.FileSelector(f"{root.rstrip('/')}/drivers", allow_not_found=True)
        )
        each = [parsed(read(fs, f.path)) for f in found if f.path.endswith(SUFFIX)]
    return sorted((d for d in each if d and d.drives), key=lambda d: -d.since)


def _interrupted(entries: list[dict[str, Any]]) -> bool:
    ends = [e for e in entries if e["kind"] in ("end", "session")]
    return bool(ends) and ends[-1]["kind"] == "end" and bool(ends[-1]["interrupted"])


def _ago(at: float) -> str:
    return f"{time_words(max(0.0, time.time() - at))} ago"
