"""One chat turn: a message goes in, a reply is written by a thread of the server.

Knows no page, request or login.

As many replies are written at once as the engine has room for, each by a thread that ends with it; the rest
wait in one line that is fair between people and has an end. The champion is read from the store at the start
of each turn, so that a promotion, from this process or another, holds from the next reply on. What is written
so far goes to the store every second: a page may be closed, and a server killed, without losing it.
"""

import logging
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from assistant import registry
from assistant.engines.interface import Engine, Wanted
from assistant.fair_line import FairLine
from assistant.live import LiveReply
from assistant.partials import Partials
from assistant.reply_state import ReplyState, after, history_of, stored_state, trace_of
from assistant.teller import Job, Teller
from feedback import continuations, conversations
from feedback.continuations import Asked
from feedback.conversations import Message, ReplyEnd, ReplyStart, Sampling
from feedback.errors import ConflictError, HoneError
from feedback.ids import ConversationId, MessageId, UserId
from feedback.message import EndStatus
from feedback.store import Store
from prompts import library, run
from prompts.library import PromptVersion

log = logging.getLogger(__name__)

CLOSING_S = 10.0
MOST_WAITING = 512
SEEDS = 2**31
DEFAULT_STRATEGY = "zero-shot"


@dataclass(frozen=True)
class TurnSettings:
    """How a person or a program asked for a reply. A seed of None is drawn, and the drawn one is recorded.

    `version`: the id or name of the model version that answers; None: the champion. `wanted` holds for the
    answer, not for a strategy's steps before it.
    """

    strategy: str = DEFAULT_STRATEGY
    sampling: Sampling = field(default_factory=Sampling)
    version: str | None = None
    wanted: Wanted = field(default_factory=Wanted)


class Turns:
    """Starts, stops and shows replies. `close()` stops what is being written, and keeps it."""

    def __init__(self, store: Store, engine: Engine, most_waiting: int = MOST_WAITING) -> None:
        self.store, self.engine = store, engine
        self._jobs: dict[MessageId, Job] = {}
        self._line = FairLine(engine.capacity, most_waiting)
        self._lock = threading.RLock()  # around the three above and the threads
        # One new reply at a time: the line cannot fill up between the look at it and the place in it.
        self._door = threading.Lock()
        self._closing = False
        self._writers: set[threading.Thread] = set()
        conversations.recover(store)
        self._partials = Partials(store, self._growing)

    def send(
        self,
        user_id: UserId,
        conversation_id: ConversationId | None,
        parent_id: MessageId | None,
        content: str,
        settings: TurnSettings,
    ) -> MessageId:
        """Add a message under `parent_id` (None: at the root) and start its reply; returns the reply's id.

        A conversation of None is a new one.

        ConflictError while another reply of this conversation is being written, BusyError when too many wait;
        nothing is added then.
        """
        if conversation_id is not None:
            conversations.get(self.store, user_id, conversation_id)
        prompt = library.production(self.store, settings.strategy)
        with self._door:
            with self.store.transaction():
                into = conversation_id or conversations.create(self.store, user_id)
                message_id = conversations.add_user_message(self.store, into, parent_id, content)
                job = self._begin(user_id, message_id, prompt, settings, hidden=False)
            return self._enqueue(job)

    def answer(self, user_id: UserId, asked: Asked, settings: Sequence[TurnSettings]) -> list[LiveReply]:
        """Write down what a program asks and start a reply to it for each of `settings`: all, or nothing.

        Given back live, so that how they ended can be told even when that is at once. Loads the versions
        named. UnableError for a wish that the engine cannot meet, BusyError when too many wait.
        """
        for one in settings:
            self.engine.check(one.wanted)
            if one.version is not None:
                self.engine.load(registry.get(self.store, one.version))
        prompts = [library.production(self.store, one.strategy) for one in settings]
        with self._door:
            with self.store.transaction():
                message_id = continuations.keep(self.store, user_id, asked)
                jobs = [
                    self._begin(user_id, message_id, prompt, one, hidden=False)
                    for prompt, one in zip(prompts, settings, strict=True)
                ]
            for job in jobs:
                self._enqueue(job)
        return [job.live for job in jobs]

    def edit(self, user_id: UserId, message_id: MessageId, content: str, settings: TurnSettings) -> MessageId:
        """Ask again in other words: a branch beside `message_id`, and its reply."""
        message = self.owned(user_id, message_id)
        if message.role != "user":
            raise HoneError("Only your own messages can be edited.", todo="Write a better answer instead.")
        return self.send(user_id, message.conversation_id, message.parent_id, content, settings)

    def regenerate(self, user_id: UserId, reply_id: MessageId, settings: TurnSettings) -> MessageId:
        """Another reply to the same question, as a branch."""
        return self.redraw(user_id, reply_id, settings, hidden=False)

    def redraw(
        self, user_id: UserId, reply_id: MessageId, settings: TurnSettings, *, hidden: bool
    ) -> MessageId:
        """Another reply beside `reply_id`; a hidden one is no branch until `conversations.reveal`."""
        reply = self.owned(user_id, reply_id)
        if reply.role != "assistant" or reply.parent_id is None:
            raise HoneError("Only a reply can be written again.")
        prompt = library.production(self.store, settings.strategy)
        with self._door:
            with self.store.transaction():
                job = self._begin(user_id, reply.parent_id, prompt, settings, hidden=hidden)
            return self._enqueue(job)

    def owned(self, user_id: UserId, message_id: MessageId) -> Message:
        """A message of one's own conversation; NotFoundError for any other."""
        message = conversations.message(self.store, message_id)
        conversations.get(self.store, user_id, message.conversation_id)
        return message

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
            self._finish(job, "stopped", Teller(self.engine, job), time.monotonic())

    def state(self, reply_id: MessageId) -> ReplyState:
        """What can be shown of a reply now, from memory while it is being written, else from the store."""
        live = self.live(reply_id)
        return live.state if live else stored_state(conversations.message(self.store, reply_id))

    def live(self, reply_id: MessageId) -> LiveReply | None:
        """A reply that is being written, or waits for it, in this process."""
        job = self._jobs.get(reply_id)
        return job.live if job else None

    def events(self, reply_id: MessageId) -> Iterator[ReplyState]:
        """Everything so far, then each newer state until the reply is finished. Blocks; many may watch."""
        live = self.live(reply_id)
        if live is None:
            yield stored_state(conversations.message(self.store, reply_id))
        else:
            yield from live.watch()

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
            writers = list(self._writers)
        for job in waiting:
            self._finish(job, "stopped", Teller(self.engine, job), time.monotonic())
        for writer in writers:
            writer.join(max(0.0, until - time.monotonic()))
        self._partials.close(max(0.0, until - time.monotonic()))

    def _begin(
        self,
        user_id: UserId,
        parent_id: MessageId,
        prompt: PromptVersion,
        settings: TurnSettings,
        *,
        hidden: bool,
    ) -> Job:
        """Open the reply in the store, in the caller's transaction, inside the door."""
        if self._closing:
            raise ConflictError("The server is shutting down.", todo="Try again in a moment.")
        with self._lock:
            self._line.check_room()
        sampling = settings.sampling
        if sampling.seed is None:
            sampling = replace(sampling, seed=secrets.randbelow(SEEDS))
        named = settings.version
        model = registry.champion(self.store) if named is None else registry.get(self.store, named)
        start = ReplyStart(model.id, prompt.id, prompt.name, sampling, self.engine.name)
        reply_id = conversations.start_reply(self.store, parent_id, start, hidden=hidden)
        system_text = conversations.system_text_of(self.store, parent_id)
        return Job(
            LiveReply(reply_id), user_id, parent_id, model, prompt, sampling, system_text, settings.wanted
        )

    def _enqueue(self, job: Job) -> MessageId:
        """Let the reply be written when its turn comes; after the commit, inside the door."""
        # After the commit: a reply that is in memory is in the store too.
        reply_id = job.live.reply_id
        with self._lock:
            self._jobs[reply_id] = job
            too_late = self._closing
            if not too_late:
                self._line.join(job.user_id, reply_id)
                if (first := self._next()) is not None:
                    self._start_writer(first)
        if too_late:
            self._finish(job, "stopped", Teller(self.engine, job), time.monotonic())
        return reply_id

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
        return [state for state in states if state.content or state.reasoning or state.steps]

    def _start_writer(self, job: Job) -> None:
        writer = threading.Thread(
            target=self._work, args=(job,), name=f"hone-reply-{job.live.reply_id}", daemon=True
        )
        self._writers.add(writer)
        writer.start()

    def _work(self, job: Job | None) -> None:
        """One writer: this reply, then others as long as somebody waits."""
        try:
            while job is not None:
                self._write(job)
                with self._lock:
                    self._line.done(job.live.reply_id)
                    job = self._next()
        finally:
            self.store.close()
            with self._lock:
                self._writers.discard(threading.current_thread())

    def _write(self, job: Job) -> None:
        teller, started = Teller(self.engine, job), time.monotonic()
        try:
            history, question = history_of(conversations.path(self.store, job.parent_id))
            for event in run.run(job.prompt.strategy, history, question, teller):
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

    def _finish(self, job: Job, status: EndStatus, teller: Teller, started: float) -> None:
        """Store first, then tell: whoever hears that a reply is finished finds it in the store."""
        state = job.live.state
        end = ReplyEnd(
            status=status,
            content=state.content,
            reasoning=state.reasoning,
            trace=trace_of(state.steps),
            prompt_text=state.prompt_text,
            prompt_tokens=state.prompt_tokens,
            reply_tokens=teller.completion.tokens if teller.completion else 0,
            dropped_turns=state.dropped_turns,
            duration_s=time.monotonic() - started,
            error=state.error or None,
            ended=teller.ended,
        )
        conversations.finish_reply(self.store, state.reply_id, end)
        job.live.completion = teller.completion
        self._release(job, status)

    def _release(self, job: Job, status: EndStatus) -> None:
        with self._lock:
            self._jobs.pop(job.live.reply_id, None)
        job.live.change(status=status)
