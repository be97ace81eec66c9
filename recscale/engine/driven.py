"""Who drives a sweep, as its run directory tells: a driver that lives, one that died, or none."""

from __future__ import annotations

import time

import pyarrow.fs as pafs

from recscale.engine.presence import SUFFIX, Driver, parsed
from recscale.storage import filesystem, guarded, read
from recscale.study import Study
from recscale.words import time as time_words

SILENT_S = 3 * 60.0
"""Without a sign of life for so long a driver on another host is taken for dead: it signs every
minute."""
LIVES = "driven by "
"""Begins what is said of a sweep whose driver lives."""


def driven(study: Study, run_dir: str) -> str:
    """Whether the sweep in `run_dir` is driven now, in a sentence; empty for one that is complete
    and at rest. Raises StorageError."""
    heard = f"last heard of {_ago(study.heard_at)}"
    for driver in _drivers(run_dir):
        dead = driver.dead()
        if dead is None:
            dead = time.time() - max(study.heard_at, driver.since) > SILENT_S
        if not dead:
            return f"{LIVES}{driver.words()}"
        words = f"its driver is dead: {driver.words()}, {heard}"
        return f"{words}; the command that started it goes on"
    if study.complete:
        return ""
    if study.interrupted:
        return f"stopped {_ago(study.heard_at)}; the same command goes on"
    return f"not driven now, {heard}; `recscale run` goes on"


def _drivers(run_dir: str) -> list[Driver]:
    """Of those whose files are there, the latest that drives."""
    fs, root = filesystem(run_dir)
    with guarded(run_dir):
        found = fs.get_file_info(
            pafs.FileSelector(f"{root.rstrip('/')}/drivers", allow_not_found=True)
        )
        each = [parsed(read(fs, f.path)) for f in found if f.path.endswith(SUFFIX)]
    return sorted((d for d in each if d and d.drives), key=lambda d: -d.since)


def _ago(at: float) -> str:
    return f"{time_words(max(0.0, time.time() - at))} ago"
