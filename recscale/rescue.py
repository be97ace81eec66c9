"""A result that cannot be written where it belongs, because its run directory is gone."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from recscale import lines
from recscale.run import RunRecord


def rescue(record: RunRecord, ledger: str, file: str) -> str:
    """Keeps a record on this machine, as `file` of the folder `ledger`, and says in a sentence
    where, and what to do with it."""
    entry = {"kind": "run", "at": time.time(), "record": record.model_dump(mode="json")}
    data = lines.written(entry)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for folder in (Path(home) / "recscale" / "rescued", Path(tempfile.gettempdir())):
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(data)
            return (
                f"the result of {record.run_id} is kept in {folder / file} on "
                f"{socket.gethostname()}: move it into {ledger} before the command is given again, "
                "and the run counts as done"
            )
    print(data.decode(), end="", flush=True)
    return f"the result of {record.run_id} is in the worker's output, as a line of a ledger"
