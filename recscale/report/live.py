"""The page of a sweep while it runs, written by its driver beside the ledger.

A thread makes it, as `recscale report` would, whenever runs have ended since; the driver goes on
meanwhile. Making it never takes more than a share of the driver's time, and what goes wrong with
it is said and ends nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from recscale.report.page import MAIN, halted, living, pages, path_of, write_all
from recscale.study import Study

EVERY_S = 60
"""Seconds between two pages, and between the page's own loads."""
SIGN_S = 300.0
"""Seconds after which a page without news is written again, as a sign of life."""
SHARE = 0.1
"""Most of the driver's time that may go into pages."""
PATIENCE_S = 5.0
"""Seconds that the end of a sweep waits for a page that is being written."""


class LivePage:
    """Of the sweep in `run_dir`; `say` hears of troubles, each once."""

    def __init__(
        self,
        run_dir: str,
        say: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ):
        self.run_dir, self.say, self.now = run_dir, say, now
        self.path = path_of(MAIN, run_dir)
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.pages: dict[str, str] = {}
        """As last made, without a mark of life."""
        self.shown: object = None
        """Of what they were made."""
        self.due = self.written_at = float("-inf")
        self.heard_at = 0.0
        self.closed = False
        self.troubles: set[str] = set()

    def __enter__(self) -> LivePage:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """The sweep runs no more: the last page says so."""
        self.closed = True
        if self.lock.acquire(timeout=PATIENCE_S):
            try:
                self._write({n: halted(p, self.heard_at) for n, p in self.pages.items()})
            finally:
                self.lock.release()

    def update(self, study: Study) -> None:
        """Makes the page anew in a thread, where there is news and it is time. Returns at once."""
        if self.now() < self.due or (self.thread and self.thread.is_alive()):
            return
        if _news(study) == self.shown and self.now() - self.written_at < SIGN_S:
            return
        self.due = self.now() + EVERY_S
        self.thread = threading.Thread(target=self._make, args=(study,), name="page", daemon=True)
        self.thread.start()

    def finish(self, study: Study) -> None:
        """The sweep has ended: the page of what came of it, which loads itself no more."""
        try:
            made = pages(study)
        except Exception as error:
            self._trouble(error)
            return
        with self.lock:
            self.closed, self.pages = True, {}
            self._write({name: page.encode() for name, page in made.items()})

    def _make(self, study: Study) -> None:
        began = self.now()
        try:
            news = _news(study)
            if news != self.shown:
                self.pages, self.shown = pages(study), news
        except Exception as error:  # whatever it is, the runs are worth more than their page
            self._trouble(error)
        self.due = max(self.due, self.now() + (self.now() - began) / SHARE)
        with self.lock:
            if not self.closed:
                self.heard_at = time.time()
                marked = {n: living(p, self.heard_at, EVERY_S) for n, p in self.pages.items()}
                self._write(marked)

    def _write(self, contents: dict[str, bytes]) -> None:
        try:
            write_all(contents, self.run_dir)
            self.written_at = self.now()
        except Exception as error:
            self._trouble(error)

    def _trouble(self, error: Exception) -> None:
        words = f"the page was not written: {' '.join(str(error).split()) or type(error).__name__}"
        if words not in self.troubles:
            self.troubles.add(words)
            self.say(words)


def write_once(study: Study, run_dir: str, lives: bool) -> str:
    """Writes the page once, and returns its path; it follows a sweep that `lives`, whose driver
    writes it anew. Raises StorageError."""
    made = pages(study)
    now = {n: living(p, study.heard_at, EVERY_S) if lives else p.encode() for n, p in made.items()}
    return write_all(now, run_dir)[0]


def _news(study: Study) -> object:
    """Equal for studies of which the page says the same."""
    last = study.attempts[-1].finished_at if study.attempts else 0.0
    return len(study.attempts), last, len(study.planned), len(study.decisions), len(study.damage)
