"""Long work that the server does for operators: one piece at a time, in a thread, progress in memory.

What such work makes is in the store as soon as it is made; only the progress is lost with the server.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from feedback.errors import ConflictError, HoneError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One piece of work. `number`: from 1 since the server's start. `said`: what came of it, or the sentence
    that says why it failed.
    """

    title: str
    number: int
    done: int = 0
    total: int = 0
    running: bool = True
    failed: bool = False
    stopping: bool = False
    said: str = ""


Report = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


class Jobs:
    """At most one job at a time, because all of them want the one model."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: Job | None = None
        self._stop = threading.Event()

    @property
    def latest(self) -> Job | None:
        """The running job, or the one that ended last; None since the server's start."""
        return self._now

    def start(self, title: str, work: Callable[[Report, threading.Event], str]) -> None:
        """Run `work(report, stop)` in a thread; it returns what to say then. ConflictError while one runs."""
        with self._lock:
            if self._now and self._now.running:
                raise ConflictError(
                    f"{self._now.title} is still under way.", todo="Wait for it, or stop it first."
                )
            number = self._now.number + 1 if self._now else 1
            self._now, self._stop = Job(title, number), threading.Event()
            stop = self._stop
        threading.Thread(target=self._run, args=(work, stop), name="hone-job", daemon=True).start()

    def stop(self) -> None:
        """Ask the running job to end at its next step. What it has made so far stays."""
        self._stop.set()
        self._change(stopping=True)

    def _run(self, work: Callable[[Report, threading.Event], str], stop: threading.Event) -> None:
        try:
            said = work(self._report, stop)
        except HoneError as error:
            self._change(running=False, failed=True, said=str(error))
        except Exception:  # the edge of a thread: nobody above could tell the operator
            log.exception("A job of the operator page failed")
            self._change(
                running=False, failed=True, said="It failed unexpectedly. The server's log says more."
            )
        else:
            self._change(running=False, said=said)

    def _report(self, what: str, done: int, total: int) -> None:
        self._change(title=what, done=done, total=total)

    def _change(self, **changes: str | int | bool) -> None:
        with self._lock:
            if self._now:
                self._now = replace(self._now, **changes)  # type: ignore[arg-type]
