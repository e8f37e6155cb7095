"""One chat turn: a message goes in, and a reply to it is opened in the store and given to be written.

Knows no page, request or login, and not how replies are written: that is `assistant.writing`.

The champion and the version of the strategy are read from the store at the start of each turn, so that a
promotion, or a prompt put in production, from this process or another, holds from the next reply on.
"""

import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from assistant import registry
from assistant.engines.interface import Engine, Wanted
from assistant.fair_line import Traffic
from assistant.live import LiveReply
from assistant.registry import ModelVersion
from assistant.reply_state import ReplyState, stored_state
from assistant.teller import Job
from assistant.writing import ReplyWriters
from feedback import continuations, conversations
from feedback.continuations import Asked
from feedback.conversations import SEEDS, Message, ReplyStart, Sampling
from feedback.errors import HoneError, NotFoundError
from feedback.ids import ConversationId, MessageId, PromptVersionId, UserId
from feedback.store import Store
from prompts import library, service
from prompts.auto import Auto, Choice
from prompts.library import PromptVersion
from prompts.plain import AUTO

MOST_WAITING = 512
DEFAULT_STRATEGY = "zero-shot"


@dataclass(frozen=True)
class TurnSettings:
    """How a person or a program asked for a reply. A seed of None is drawn, and the drawn one is recorded.

    `version`: the id or name of the model version that answers; None: the champion. `wanted` holds for the
    answer, not for a strategy's steps before it. `prompt_version`: a version of the strategy; None: the one
    that serves this conversation, by a trial or the production label. The strategy `auto` leaves it to
    `prompts.auto`: the reply has the chosen one's name, and `chosen_because`, which Turns fills in.
    """

    strategy: str = DEFAULT_STRATEGY
    sampling: Sampling = field(default_factory=Sampling)
    version: str | None = None
    wanted: Wanted = field(default_factory=Wanted)
    prompt_version: PromptVersionId | None = None
    chosen_because: str | None = None


class Turns:
    """Starts, stops and shows replies. `close()` stops what is being written, and keeps it."""

    def __init__(self, store: Store, engine: Engine, most_waiting: int = MOST_WAITING) -> None:
        self.store, self.engine = store, engine
        # One new reply at a time: the line cannot fill up between the look at it and the place in it.
        self._door = threading.Lock()
        conversations.recover(store)
        self._auto = Auto(store)
        self._writers = ReplyWriters(store, engine, most_waiting)

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
        settings = self._chosen(settings, content)
        with self._door:
            self._writers.check_room(1)
            with self.store.transaction():
                into = conversation_id or conversations.create(self.store, user_id)
                message_id = conversations.add_user_message(self.store, into, parent_id, content)
                job = self._begin(user_id, message_id, into, settings, hidden=False)
            self._writers.enqueue(job)
        return job.live.reply_id

    def answer(self, user_id: UserId, asked: Asked, settings: Sequence[TurnSettings]) -> list[LiveReply]:
        """Write down what a program asks and start a reply to it for each of `settings`: all, or nothing.

        Given back live, so that how they ended can be told even when that is at once. Loads the versions
        named. UnableError for a wish that the engine cannot meet, BusyError when too many wait.
        """
        for one in settings:
            self.engine.check(one.wanted)
            if one.version is not None:
                self.engine.load(registry.get(self.store, one.version))
        settings = [self._chosen(one, asked.turns[-1].content) for one in settings]
        with self._door:
            self._writers.check_room(len(settings))
            with self.store.transaction():
                message_id = continuations.keep(self.store, user_id, asked)
                into = conversations.message(self.store, message_id).conversation_id
                jobs = [self._begin(user_id, message_id, into, one, hidden=False) for one in settings]
            for job in jobs:
                self._writers.enqueue(job)
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
        settings = self._chosen(settings, conversations.message(self.store, reply.parent_id).content)
        with self._door:
            self._writers.check_room(1)
            with self.store.transaction():
                job = self._begin(user_id, reply.parent_id, reply.conversation_id, settings, hidden=hidden)
            self._writers.enqueue(job)
        return job.live.reply_id

    def owned(self, user_id: UserId, message_id: MessageId) -> Message:
        """A message of one's own conversation; NotFoundError for any other."""
        message = conversations.message(self.store, message_id)
        conversations.get(self.store, user_id, message.conversation_id)
        return message

    def stop(self, reply_id: MessageId) -> None:
        """End a reply's writing; what is there is kept. Nothing happens to a reply that is finished."""
        self._writers.stop(reply_id)

    def state(self, reply_id: MessageId) -> ReplyState:
        """What can be shown of a reply now, from memory while it is being written, else from the store."""
        live = self.live(reply_id)
        return live.state if live else stored_state(conversations.message(self.store, reply_id))

    def live(self, reply_id: MessageId) -> LiveReply | None:
        """A reply that is being written, or waits for it, in this process."""
        return self._writers.live(reply_id)

    def events(self, reply_id: MessageId) -> Iterator[ReplyState]:
        """Everything so far, then each newer state until the reply is finished. Blocks; many may watch."""
        live = self.live(reply_id)
        if live is None:
            yield stored_state(conversations.message(self.store, reply_id))
        else:
            yield from live.watch()

    def traffic(self) -> Traffic:
        """How many replies are being written and how many wait, at this moment."""
        return self._writers.traffic()

    def close(self) -> None:
        """Stop what is being written, keep it, and end the threads. Waits some seconds at most."""
        self._writers.close()

    def choice(self, question: str, version: str | None = None) -> Choice:
        """What `auto` takes for `question` on a model version, or on the champion."""
        return self._auto.choose(question, self._model(version).id)

    def _chosen(self, settings: TurnSettings, question: str) -> TurnSettings:
        """With a strategy in place of `auto`. Outside of any transaction: there may be much to read."""
        if settings.strategy != AUTO:
            return settings
        choice = self.choice(question, settings.version)
        return replace(settings, strategy=choice.name, chosen_because=choice.because)

    def _model(self, named: str | None) -> ModelVersion:
        """Who answers."""
        return registry.champion(self.store) if named is None else registry.get(self.store, named)

    def _begin(
        self,
        user_id: UserId,
        parent_id: MessageId,
        conversation_id: ConversationId,
        settings: TurnSettings,
        *,
        hidden: bool,
    ) -> Job:
        """Open the reply in the store, in the caller's transaction. It is enqueued after the commit: a reply
        that is in memory is in the store too.
        """
        sampling = settings.sampling
        if sampling.seed is None:
            sampling = replace(sampling, seed=secrets.randbelow(SEEDS))
        prompt = self._prompt(conversation_id, settings)
        model, why = self._model(settings.version), settings.chosen_because
        start = ReplyStart(model.id, prompt.id, prompt.name, sampling, self.engine.name, why)
        reply_id = conversations.start_reply(self.store, parent_id, start, hidden=hidden)
        system_text = conversations.system_text_of(self.store, parent_id)
        return Job(
            LiveReply(reply_id, chosen_because=why or ""),
            user_id,
            parent_id,
            model,
            prompt,
            sampling,
            system_text,
            settings.wanted,
        )

    def _prompt(self, conversation_id: ConversationId, settings: TurnSettings) -> PromptVersion:
        """How the question is put. NotFoundError for a strategy out of service, or another one's version."""
        named = settings.prompt_version
        if named is None:
            return service.version_for(self.store, settings.strategy, conversation_id)
        found = library.get(self.store, named)
        if found.name != settings.strategy:
            raise NotFoundError(f"{named} is no version of {settings.strategy}.")
        return found
