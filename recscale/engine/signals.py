"""Ctrl-C and SIGTERM end a sweep cleanly, to the driver alone or to its whole process group."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from recscale.engine.presence import Presence
from recscale.ledger import Ledger

INTERRUPTED = 130
LOOK_S = 0.2
DEAF_S = 3.0
"""Seconds after which the main thread, which hears of signals between two lines of Python, is taken
to wait inside Ray for processes that the signal has ended too."""
HEAD_S, PATIENCE_S = 5.0, 30.0
"""How often Ray's head is looked for, and for how long it may be gone: Ray itself ends the process
after 60 s, with lines of its own and no word of what to do."""
GONE = 2
END = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """From before Ray starts until Tune has ended. A second signal ends the sweep at once. Tune
    stops cleanly on SIGUSR1, and its own handling of SIGINT is turned off so that one place
    decides; before it runs there is nothing to stop, and the process ends. The ledger hears of it
    first: `ray job stop` waits three seconds only, unless the head is told otherwise, before it
    kills."""

    def __init__(
        self, ledger: Ledger, presence: Presence, on_leave: Callable[[], None] = lambda: None
    ) -> None:
        """`on_leave` is called where the process ends without a return."""
        self.ledger, self.presence, self.on_leave = ledger, presence, on_leave
        self.caught = self.exited = False
        self.over = threading.Event()
        self.leaving = threading.Lock()

    def __enter__(self) -> Signals:
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
        self._before = {s: signal.getsignal(s) for s in (*END, signal.SIGUSR1)}
        self._unraisable = sys.unraisablehook
        sys.unraisablehook = self._untold
        self.hears()
        signal.signal(signal.SIGUSR1, lambda *_: self._leave("before its first run"))
        mine, system = socket.socketpair()
        system.setblocking(False)
        signal.set_wakeup_fd(system.fileno(), warn_on_full_buffer=False)
        self._ends = mine, system
        threading.Thread(target=self._hear, args=(mine,), name="signals", daemon=True).start()
        return self

    def hears(self) -> None:
        """Takes the signals; once more after `ray.init`, which takes them for itself."""
        for number in END:
            signal.signal(number, self._stop)

    def watch(self, head: str) -> None:
        """Ends the process with a sentence where Ray's head, `host:port`, is gone for good."""
        threading.Thread(target=self._look_for, args=(head,), name="head", daemon=True).start()

    def _look_for(self, head: str) -> None:
        host, _, port = head.rpartition(":")
        seen = time.monotonic()
        while not self.over.wait(HEAD_S):
            with suppress(OSError):
                socket.create_connection((host.strip("[]"), int(port)), HEAD_S).close()
                seen = time.monotonic()
            if time.monotonic() - seen > PATIENCE_S:
                with suppress(Exception):
                    Ledger(self.ledger.place).append("end", interrupted=True)
                self._exit(
                    f"the head of Ray at {head} has been gone for {PATIENCE_S:.0f} s; what has "
                    "ended is in the ledger: start Ray again and give the same command, which goes "
                    "on",
                    GONE,
                )

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is SystemExit and not self.caught:  # of the handler that a Ray that starts has set
            self._leave("while Ray started")
        self.over.set()
        sys.unraisablehook = self._unraisable
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        for end in self._ends:
            end.close()

    def _stop(self, number: int, frame: object) -> None:
        from ray._private import worker  # nothing public silences it

        worker._worker_logs_enabled = False  # of how its own processes end, where they get it too
        self.caught = True
        for other in END:
            signal.signal(other, lambda *_: self._at_once())
        threading.Thread(target=self._leave_with_ray, daemon=True).start()
        os.kill(os.getpid(), signal.SIGUSR1)
        self.ledger.append("end", interrupted=True)

    def _hear(self, mine: socket.socket) -> None:
        """Ends the process where the main thread is deaf, or a Ray that starts has taken the
        signals for itself."""
        ends = 0
        with suppress(OSError):
            while heard := mine.recv(1):
                if heard[0] not in END:
                    continue
                ends += 1
                if ends > 1 and not self.over.wait(LOOK_S):
                    self._at_once()
                if signal.getsignal(heard[0]) == self._stop:
                    threading.Timer(DEAF_S, self._leave_if_deaf).start()
                else:
                    self._leave_if_deaf()

    def _leave_if_deaf(self) -> None:
        if not (self.caught or self.over.is_set()):
            self._leave("while Ray started")

    def _untold(self, unraisable: Any) -> None:
        """A Ray that starts exits from within whatever the signal met, and Python would print the
        traceback where that cannot be passed on: of the exit, and of what then misses the half that
        it cut off (before a fork and after it, say)."""
        self.exited |= unraisable.exc_type is SystemExit
        if not self.exited:
            self._unraisable(unraisable)

    def _leave(self, when: str) -> None:
        """The process ends now, whatever it meets."""
        if not self.leaving.acquire(timeout=DEAF_S):  # of two threads the first says so
            os._exit(INTERRUPTED)
        with suppress(Exception):
            self.ledger.append("end", interrupted=True)
        self._exit(f"stopped {when}; the same command goes on")

    def _at_once(self) -> None:
        """The process ends in whatever it was about, which may be the word of its end: another
        writer says it."""
        with suppress(Exception):
            Ledger(self.ledger.place).append("end", interrupted=True)
        self._exit("stopped at once by a second signal; the same command goes on")

    def _exit(self, words: str, code: int = INTERRUPTED) -> None:
        """The process ends now, and a Ray of its own with it."""
        from ray._private import worker  # nothing public tells of the processes of one's own Ray

        with suppress(Exception):
            self.presence.leave()
            self.on_leave()
        node: Any = worker._global_node
        with suppress(Exception):
            if node and node.is_head():
                node.kill_all_processes(check_alive=False, allow_graceful=False)
        print(words, flush=True)
        os._exit(code)

    def _leave_with_ray(self) -> None:
        """A signal to the process group ends the Ray of our own with us, and without it Tune would
        wait for a minute and be ended by Ray with an error."""
        from ray._private import worker  # nothing public tells of the processes of one's own Ray

        node: Any = worker._global_node
        before = False
        while node and node.is_head() and not self.over.wait(LOOK_S):
            dead = bool(node.dead_processes())  # the first at once, others in ten seconds
            if dead and before:  # not in the moment in which Ray itself has just ended it
                self._exit("stopped with the Ray of this sweep; the same command goes on")
            before = dead
