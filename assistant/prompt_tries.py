"""Tries: versions of a prompt that answer one question side by side, to be looked at and forgotten.

Nothing is stored and nobody votes: whoever wrote a prompt is no blind judge of it. Written as a chat's reply
is, by the same steps through the same engine, one thread a version; a stop stops the model. Knows no page.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from assistant.engines.interface import Engine, Wanted
from assistant.live import LiveReply
from assistant.registry import ModelVersion
from assistant.reply_state import ReplyState, after
from assistant.teller import Job, Teller
from feedback.conversations import Sampling
from feedback.errors import HoneError
from feedback.ids import MessageId, UserId
from prompts.examples import Examples
from prompts.library import PromptVersion
from prompts.run import run

log = logging.getLogger(__name__)

PACE_S = 0.1
NO_MESSAGE = MessageId("m_try")
MOST_SIDES = 4


@dataclass(frozen=True)
class Asked:
    """What is tried: a question, put by each of `versions` to one model. `pools`: their examples in order."""

    user_id: UserId
    model: ModelVersion
    versions: Sequence[PromptVersion]
    question: str
    sampling: Sampling
    pools: Sequence[Examples | None]


class Try:
    """One question being answered, one thread a version."""

    def __init__(self, engine: Engine, asked: Asked) -> None:
        self._bell = threading.Event()
        jobs = [
            Job(
                LiveReply(NO_MESSAGE),
                asked.user_id,
                NO_MESSAGE,
                asked.model,
                version,
                asked.sampling,
                "",
                Wanted(),
            )
            for version in asked.versions
        ]
        self._lives = [job.live for job in jobs]
        for live in self._lives:
            live.listen(self._bell.set)
        for job, pool in zip(jobs, asked.pools, strict=True):
            side = (engine, job, asked.question, pool)
            threading.Thread(target=_write, args=side, name="hone-try", daemon=True).start()

    @property
    def states(self) -> tuple[ReplyState, ...]:
        """What can be shown now, in the order of the versions."""
        return tuple(live.state for live in self._lives)

    @property
    def finished(self) -> bool:
        return all(state.finished for state in self.states)

    def stop(self) -> None:
        """End the writing of every side; what is there stays."""
        for live in self._lives:
            live.stop.set()

    def watch(self) -> Iterator[tuple[ReplyState, ...]]:
        """The states now, then each newer, at most ten times a second, until all are finished. Who leaves off
        watching ends the writing.
        """
        try:
            while True:
                self._bell.clear()
                states = self.states
                yield states
                if all(state.finished for state in states):
                    return
                self._bell.wait()
                threading.Event().wait(PACE_S)
        finally:
            self.stop()


class Tries:
    """Each person's try under way: a new one ends the one before, so that nobody fills the engine."""

    def __init__(self) -> None:
        self._running: dict[UserId, Try] = {}
        self._lock = threading.Lock()

    def begin(self, user_id: UserId, make: Callable[[], Try]) -> Try:
        """The try that `make` begins, in place of this person's earlier one."""
        with self._lock:
            if before := self._running.get(user_id):
                before.stop()
            self._running[user_id] = make()
            return self._running[user_id]

    def stop(self, user_id: UserId) -> None:
        """End what this person tries, if anything."""
        with self._lock:
            if running := self._running.get(user_id):
                running.stop()


def _write(engine: Engine, job: Job, question: str, pool: Examples | None) -> None:
    """One side, to its end, whatever that is."""
    teller, live = Teller(engine, job), job.live
    try:
        for event in run(job.prompt.strategy, (), question, teller, pool):
            live.update(after(live.state, event))
        live.completion = teller.completion
        live.change(status="stopped" if teller.stopped else "complete")
    except HoneError as error:
        live.change(status="failed", error=str(error))
    except Exception as error:  # the thread's edge: whatever broke, the page must say so
        log.exception("a try failed")
        sentence = f"The model broke off ({type(error).__name__})."
        live.update(replace(live.state, status="failed", error=sentence))
