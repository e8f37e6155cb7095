"""Replies being written: threads that write them, as many at once as the engine has room for.

The rest wait in one line that is fair between people and has an end. Knows no page, no request, and nothing
of how a reply is asked for: it is given jobs with everything decided, and stores what comes of them. What is
written so far goes to the store every second: a page may be closed, and a server killed, without losing it.
"""

import logging
import threading
import time

from assistant.engines.interface import Engine
from assistant.example_pools import ExamplePools
from assistant.fair_line import FairLine, Traffic
from assistant.live import LiveReply
from assistant.partials import Partials
from assistant.reply_record import made_json
from assistant.reply_state import ReplyState, after, history_of, trace_of
from assistant.teller import Job, Teller
from feedback import conversations
from feedback.conversations import ReplyEnd
from feedback.errors import ConflictError, HoneError
from feedback.ids import MessageId
from feedback.message import EndStatus
from feedback.store import Store
from prompts.run import run

log = logging.getLogger(__name__)

CLOSING_S = 10.0


class ReplyWriters:
    """Writes what it is given, in fair order. `close()` stops what is being written, and keeps it."""

    def __init__(self, store: Store, engine: Engine, most_waiting: int) -> None:
        self._store, self._engine, self._pools = store, engine, ExamplePools(store)
        self._jobs: dict[MessageId, Job] = {}
        self._line = FairLine(engine.capacity, most_waiting)
        self._threads: set[threading.Thread] = set()
        self._closing = False
        self._lock = threading.RLock()  # around the four above
        self._partials = Partials(store, self._growing)

    def check_room(self, joining: int) -> None:
        """BusyError when so many more may not join, ConflictError when none may any more."""
        with self._lock:
            if self._closing:
                raise ConflictError("The server is shutting down.", todo="Try again in a moment.")
            self._line.check_room(joining)

    def traffic(self) -> Traffic:
        """How many replies are being written and how many wait, at this moment."""
        with self._lock:
            return self._line.traffic()

    def enqueue(self, job: Job) -> None:
        """Let the reply be written when its turn comes. Its row must be committed to the store already."""
        reply_id = job.live.reply_id
        with self._lock:
            self._jobs[reply_id] = job
            too_late = self._closing
            if not too_late:
                self._line.join(job.user_id, reply_id)
                if (first := self._next()) is not None:
                    self._start_thread(first)
        if too_late:
            self._finish_unwritten(job)

    def stop(self, reply_id: MessageId) -> None:
        """End a reply's writing; what is there is kept. Nothing happens to a reply that is finished."""
        with self._lock:
            job = self._jobs.get(reply_id)
            if job is None:
                return
            job.live.stop.set()
            waited = self._line.leave(reply_id)
            if waited:
                self._tell_places()
        if waited:
            self._finish_unwritten(job)

    def live(self, reply_id: MessageId) -> LiveReply | None:
        """A reply that is being written, or waits for it."""
        job = self._jobs.get(reply_id)
        return job.live if job else None

    def close(self) -> None:
        """Stop what is being written, keep it, and end the threads. Waits some seconds at most."""
        until = time.monotonic() + CLOSING_S
        with self._lock:
            self._closing = True
            for job in self._jobs.values():
                job.live.stop.set()
            waiting = [self._jobs[reply_id] for reply_id in self._line.order()]
            for job in waiting:
                self._line.leave(job.live.reply_id)
            threads = list(self._threads)
        for job in waiting:
            self._finish_unwritten(job)
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._partials.close(max(0.0, until - time.monotonic()))

    def _next(self) -> Job | None:
        """Whose turn it is, if a place is free. Under the lock; everyone else is told their new place."""
        reply_id = self._line.start()
        self._tell_places()
        if reply_id is None:
            return None
        self._jobs[reply_id].live.change(waiting=0)
        return self._jobs[reply_id]

    def _tell_places(self) -> None:
        for place, reply_id in enumerate(self._line.order(), 1):
            live = self._jobs[reply_id].live
            if live.state.waiting != place:
                live.change(waiting=place)

    def _growing(self) -> list[ReplyState]:
        with self._lock:
            states = [job.live.state for job in self._jobs.values()]
        return [state for state in states if state.begun]

    def _start_thread(self, job: Job) -> None:
        thread = threading.Thread(
            target=self._work, args=(job,), name=f"hone-reply-{job.live.reply_id}", daemon=True
        )
        self._threads.add(thread)
        thread.start()

    def _work(self, job: Job | None) -> None:
        """One thread: this reply, then others as long as somebody waits."""
        try:
            while job is not None:
                self._write(job)
                with self._lock:
                    self._line.done(job.live.reply_id)
                    job = self._next()
        finally:
            self._store.release()
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _write(self, job: Job) -> None:
        teller, started = Teller(self._engine, job), time.monotonic()
        try:
            history, question = history_of(conversations.path(self._store, job.parent_id))
            pool = self._pools.of(job.user_id, job.prompt.strategy)
            for event in run(job.prompt.strategy, history, question, teller, pool):
                job.live.update(after(job.live.state, event))
            self._finish(job, "stopped" if teller.stopped else "complete", teller, started)
        except HoneError as error:
            job.live.failure = error
            self._fail(job, str(error), teller, started)
        except Exception as error:  # the thread's edge: whatever broke, the reply must say so
            log.exception("reply %s failed", job.live.reply_id)
            self._fail(
                job,
                f"The model broke off while writing this reply ({type(error).__name__}).",
                teller,
                started,
            )

    def _fail(self, job: Job, sentence: str, teller: Teller, started: float) -> None:
        job.live.change(error=sentence, prompt_text=job.live.state.prompt_text or teller.prompt_text)
        try:
            self._finish(job, "failed", teller, started)
        except Exception:  # the store is out of reach; recover() will mend the row
            log.exception("reply %s could not be stored", job.live.reply_id)
            self._release(job, "failed")

    def _finish_unwritten(self, job: Job) -> None:
        """A reply that was stopped while it waited."""
        self._finish(job, "stopped", Teller(self._engine, job), time.monotonic())

    def _finish(self, job: Job, status: EndStatus, teller: Teller, started: float) -> None:
        """Store first, then tell: whoever hears that a reply is finished finds it in the store."""
        state = job.live.state
        end = ReplyEnd(
            status=status,
            content=state.content,
            reasoning=state.reasoning,
            trace=trace_of(state.steps),
            made=made_json(state.made),
            prompt_text=state.prompt_text,
            prompt_tokens=state.prompt_tokens,
            reply_tokens=teller.completion.tokens if teller.completion else 0,
            dropped_turns=state.dropped_turns,
            duration_s=time.monotonic() - started,
            error=state.error or None,
            ended=teller.ended,
        )
        conversations.finish_reply(self._store, state.reply_id, end)
        job.live.completion = teller.completion
        self._release(job, status)

    def _release(self, job: Job, status: EndStatus) -> None:
        with self._lock:
            self._jobs.pop(job.live.reply_id, None)
        job.live.change(status=status)
