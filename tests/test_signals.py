"""What ends a driver beside its runs; real signals are tried in tests/test_engine.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from recscale.ledger import Ledger

DRIVER = """
import socket, sys, time
from recscale.engine import signals
from recscale.engine.presence import Presence
from recscale.ledger import Ledger
signals.HEAD_S, signals.PATIENCE_S = 0.05, 0.5
head = socket.create_server(("127.0.0.1", 0))
with Presence(sys.argv[1]) as presence:
    with signals.Signals(Ledger(sys.argv[1]), presence) as driver:
        driver.watch("127.0.0.1:%d" % head.getsockname()[1])
        time.sleep(1)
        print("it is there", flush=True)
        head.close()
        time.sleep(60)
print("never told")
"""


def test_a_driver_whose_head_is_gone_says_so_and_ends(tmp_path: Path):
    ended = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path)], capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    first, *rest = ended.stdout.splitlines()
    assert first == "it is there" and ended.returncode == 2, ended.stdout + ended.stderr
    assert len(rest) == 1 and rest[0].startswith("the head of Ray at 127.0.0.1:")
    assert "the same command, which goes on" in rest[0] and "Traceback" not in ended.stderr
    assert [e["interrupted"] for e in Ledger(tmp_path).entries() if e["kind"] == "end"] == [True]
    assert not list((tmp_path / "drivers").iterdir())


FORKED = """
import os, sys
from recscale.engine import signals
from recscale.engine.presence import Presence
from recscale.ledger import Ledger
met = []  # what a hook meets before a fork, and after it
def hook():
    if met:
        raise met.pop(0)
os.register_at_fork(before=hook, after_in_parent=hook)
with Presence(sys.argv[1]) as presence, signals.Signals(Ledger(sys.argv[1]), presence):
    for met in [ValueError("of another kind")], [SystemExit(), KeyError("of the half cut off")]:
        if not os.fork():
            os._exit(0)
        os.wait()
"""


def test_what_a_hook_misses_after_an_exit_cut_it_short_is_not_printed(tmp_path: Path):
    """A signal while Ray starts a process: the hooks round a fork cannot pass its exit on."""
    ended = subprocess.run(
        [sys.executable, "-c", FORKED, str(tmp_path)], capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0 and "of another kind" in ended.stderr, ended.stderr
    assert "SystemExit" not in ended.stderr and "cut off" not in ended.stderr
