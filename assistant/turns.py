"""One chat turn: a message goes in, a reply is written by a thread of the server.

Knows no page, request or login.

The replies stand in one queue, first come first served; a few are written at once, and the engine shares the
model. The champion is read from the store at the start of each turn, so that a promotion, from this process
or another, holds from the next reply on. What is written so far goes to the store every second: a page may be
closed, and a server killed, without losing it.
"""

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from assistant import registry
from assistant.engines.interface import Completion, Engine, Request, Wanted, check_able
from assistant.live import LiveReply
from assistant.registry import ModelVersion
from assistant.reply_state import ReplyState, after, history_of, stored_state, trace_of
from feedback import conversations
from feedback.conversations import Message, ReplyEnd, ReplyStart, Sampling, Turn
from feedback.errors import ConflictError, HoneError
from feedback.ids import ConversationId, MessageId, UserId
from feedback.message import EndStatus
from feedback.store import Store
from prompts import library, run
from prompts.chat import ChatTemplate
from prompts.library import PromptVersion

log = logging.getLogger(__name__)

SAVE_EVERY_S = 1.0
CLOSING_S = 10.0
WRITERS = 4
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


@dataclass(frozen=True)
class _Job:
    """A reply that is to be written, with everything decided."""

    live: LiveReply
    history: tuple[Turn, ...]
    question: str
    model: ModelVersion
    prompt: PromptVersion
    sampling: Sampling
    system_text: str
    wanted: Wanted


class _Teller:
    """Puts rendered prompts to the engine for one reply; remembers the last one and what came of it."""

    def __init__(self, engine: Engine, job: _Job) -> None:
        self._engine, self._job = engine, job
        self._steps_left = len(job.prompt.strategy.steps)
        self.prompt_text = ""
        self.completion: Completion | None = None

    @property
    def ended(self) -> bool:
        """Whether the model itself ended the reply. With stop texts nobody can tell, so it teaches no end."""
        done = self.completion
        return done is not None and done.finish == "stop" and not self._job.wanted.stop_texts

    @property
    def template(self) -> ChatTemplate:
        return self._engine.template

    @property
    def window(self) -> int:
        return self._engine.window

    @property
    def max_tokens(self) -> int:
        return self._job.sampling.max_tokens

    @property
    def system_text(self) -> str:
        return self._job.system_text

    @property
    def stopped(self) -> bool:
        return self._job.live.stop.is_set()

    def count_tokens(self, text: str) -> int:
        return self._engine.count_tokens(text)

    def generate(self, prompt_text: str, max_tokens: int) -> Iterator[str]:
        """Pieces of what the model writes; `max_tokens` is this step's limit."""
        self.prompt_text, self.completion = prompt_text, None
        self._steps_left -= 1
        sampling = replace(self._job.sampling, max_tokens=max_tokens)
        wanted = Wanted() if self._steps_left else self._job.wanted
        request = Request(prompt_text, sampling, self._job.model, self._job.live.stop, wanted)
        self.completion = yield from self._engine.stream(request)


class Turns:
    """Starts, stops and shows replies. `close()` stops what is being written, and keeps it."""

    def __init__(self, store: Store, engine: Engine, writers: int = WRITERS) -> None:
        self.store, self.engine = store, engine
        self._live: dict[MessageId, LiveReply] = {}
        self._waiting: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._closing = False
        conversations.recover(store)
        self._writers = [
            threading.Thread(target=self._work, name=f"hone-replies-{n}", daemon=True) for n in range(writers)
        ]
        for writer in self._writers:
            writer.start()

    def send(
        self,
        user_id: UserId,
        conversation_id: ConversationId,
        parent_id: MessageId | None,
        content: str,
        settings: TurnSettings,
    ) -> MessageId:
        """Add a message under `parent_id` (None: at the root) and start its reply; returns the reply's id.

        ConflictError while another reply of this conversation is being written; nothing is added then.
        """
        conversations.get(self.store, user_id, conversation_id)
        prompt = library.production(self.store, settings.strategy)
        with self.store.transaction():
            message_id = conversations.add_user_message(self.store, conversation_id, parent_id, content)
            job = self._begin(message_id, prompt, settings, hidden=False)
        return self._enqueue(job)

    def answer(
        self, user_id: UserId, message_id: MessageId, settings: Sequence[TurnSettings]
    ) -> list[LiveReply]:
        """Start a reply to `message_id`, a question of one's own, for each of `settings`: all, or none.

        Given back live, so that how they ended can be told even when that is at once. Loads the versions
        named; UnableError for a wish that the engine cannot meet.
        """
        self.owned(user_id, message_id)
        for one in settings:
            check_able(self.engine, one.wanted)
            if one.version is not None:
                self.engine.load(registry.get(self.store, one.version))
        prompts = [library.production(self.store, one.strategy) for one in settings]
        with self.store.transaction():
            jobs = [
                self._begin(message_id, prompt, one, hidden=False)
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
        with self.store.transaction():
            job = self._begin(reply.parent_id, prompt, settings, hidden=hidden)
        return self._enqueue(job)

    def owned(self, user_id: UserId, message_id: MessageId) -> Message:
        """A message of one's own conversation; NotFoundError for any other."""
        message = conversations.message(self.store, message_id)
        conversations.get(self.store, user_id, message.conversation_id)
        return message

    def stop(self, reply_id: MessageId) -> None:
        """End a reply's writing; what is there is kept. Nothing happens to a reply that is finished."""
        with self._wake:
            live = self._live.get(reply_id)
            if live is None:
                return
            live.stop.set()
            waiting = next((job for job in self._waiting if job.live is live), None)
            if waiting is not None:
                self._waiting.remove(waiting)
        if waiting is not None:
            self._finish(waiting, "stopped", _Teller(self.engine, waiting), time.monotonic())

    def state(self, reply_id: MessageId) -> ReplyState:
        """What can be shown of a reply now, from memory while it is being written, else from the store."""
        live = self._live.get(reply_id)
        return live.state if live else stored_state(conversations.message(self.store, reply_id))

    def events(self, reply_id: MessageId) -> Iterator[ReplyState]:
        """Everything so far, then each newer state until the reply is finished. Blocks; many may watch."""
        live = self._live.get(reply_id)
        if live is None:
            yield stored_state(conversations.message(self.store, reply_id))
        else:
            yield from live.watch()

    def close(self) -> None:
        """Stop what is being written, keep it, and end the thread. Waits some seconds at most."""
        with self._wake:
            self._closing = True
            for live in self._live.values():
                live.stop.set()
            waiting, self._waiting = list(self._waiting), deque()
            self._wake.notify_all()
        for job in waiting:
            self._finish(job, "stopped", _Teller(self.engine, job), time.monotonic())
        for writer in self._writers:
            writer.join(CLOSING_S)

    def _begin(
        self, parent_id: MessageId, prompt: PromptVersion, settings: TurnSettings, *, hidden: bool
    ) -> _Job:
        if self._closing:
            raise ConflictError("The server is shutting down.", todo="Try again in a moment.")
        sampling = settings.sampling
        if sampling.seed is None:
            sampling = replace(sampling, seed=secrets.randbelow(SEEDS))
        named = settings.version
        model = registry.champion(self.store) if named is None else registry.get(self.store, named)
        start = ReplyStart(model.id, prompt.id, prompt.name, sampling, self.engine.name)
        reply_id = conversations.start_reply(self.store, parent_id, start, hidden=hidden)
        path = conversations.path(self.store, parent_id)
        history, question = history_of(path)
        system_text = conversations.system_text(self.store, path[-1].conversation_id)
        return _Job(
            LiveReply(reply_id), history, question, model, prompt, sampling, system_text, settings.wanted
        )

    def _enqueue(self, job: _Job) -> MessageId:
        # After the commit: a reply that is in memory is in the store too.
        with self._wake:
            job.live.change(waiting=max(0, len(self._live) + 1 - len(self._writers)))
            self._live[job.live.reply_id] = job.live
            self._waiting.append(job)
            self._wake.notify_all()
        return job.live.reply_id

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                job = self._waiting.popleft()
                for ahead, other in enumerate(self._waiting):
                    other.live.change(waiting=ahead + 1)
                job.live.change(waiting=0)
            self._write(job)

    def _write(self, job: _Job) -> None:
        teller, started, saved = _Teller(self.engine, job), time.monotonic(), time.monotonic()
        try:
            for event in run.run(job.prompt.strategy, job.history, job.question, teller):
                job.live.update(after(job.live.state, event))
                if time.monotonic() - saved >= SAVE_EVERY_S:
                    state, saved = job.live.state, time.monotonic()
                    conversations.save_partial(
                        self.store, state.reply_id, state.content, state.reasoning, trace_of(state.steps)
                    )
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

    def _fail(self, job: _Job, sentence: str, teller: _Teller, started: float) -> None:
        job.live.change(error=sentence, prompt_text=job.live.state.prompt_text or teller.prompt_text)
        try:
            self._finish(job, "failed", teller, started)
        except Exception:  # the store is out of reach; recover() will mend the row
            log.exception("reply %s could not be stored", job.live.reply_id)
            self._release(job, "failed")

    def _finish(self, job: _Job, status: EndStatus, teller: _Teller, started: float) -> None:
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

    def _release(self, job: _Job, status: EndStatus) -> None:
        with self._wake:
            self._live.pop(job.live.reply_id, None)
        job.live.change(status=status)
