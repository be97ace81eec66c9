"""What ends a driver beside its runs; signals themselves are tried in tests/test_engine.py."""

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
