"""Ctrl-C and SIGTERM end a sweep cleanly, to the driver alone or to its whole process group."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import Any

from recscale.engine.presence import Presence
from recscale.ledger import Ledger

INTERRUPTED = 130
LOOK_S = 0.2


class Signals:
    """While Tune runs. A second signal ends the sweep at once. Tune stops cleanly on SIGUSR1, and
    its own handling of SIGINT is turned off so that one place decides. The ledger hears of it
    first: `ray job stop` waits three seconds only, unless the head is told otherwise, before it
    kills."""

    def __init__(self, ledger: Ledger, presence: Presence) -> None:
        self.ledger, self.presence = ledger, presence
        self.caught = False
        self.over = threading.Event()

    def __enter__(self) -> Signals:
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
        self._before = {s: signal.signal(s, self._stop) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception: object) -> None:
        self.over.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: object) -> None:
        self.caught = True
        for other, handler in self._before.items():
            signal.signal(other, handler)
        threading.Thread(target=self._leave_with_ray, daemon=True).start()
        os.kill(os.getpid(), signal.SIGUSR1)
        self.ledger.append("end", interrupted=True)

    def _leave_with_ray(self) -> None:
        """A signal to the process group ends the Ray of our own with us, and without it Tune would
        wait for a minute and be ended by Ray with an error."""
        from ray._private import worker  # nothing public tells of the processes of one's own Ray

        node: Any = worker._global_node
        before = False
        while node and node.is_head() and not self.over.wait(LOOK_S):
            dead = bool(node.dead_processes())  # the first at once, others in ten seconds
            if dead and before:  # not in the moment in which Ray itself has just ended it
                with suppress(Exception):  # whatever it meets, this process ends now
                    node.kill_all_processes(check_alive=False, allow_graceful=False)
                self.presence.leave()
                print("stopped with the Ray of this sweep; the same command goes on", flush=True)
                os._exit(INTERRUPTED)
            before = dead
