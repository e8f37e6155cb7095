"""Drawing label tasks: the champion answers prompts several times, and the replies are queued for ranking.

Knows the store and one engine; no page and no chat. A drawn reply is recorded as a chat's reply is, so that a
vote on it leads back to the model version, the prompt version, the settings and the exact text that made it.
"""

import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from assistant import registry
from assistant.engines.interface import Completion, Engine, Request
from assistant.registry import ModelVersion
from feedback import conversations, label
from feedback.conversations import ReplyEnd, ReplyStart, Sampling, Turn
from feedback.errors import HoneError
from feedback.ids import SYSTEM_USER, MessageId, TaskId
from feedback.store import Store
from prompts import library
from prompts.library import PromptVersion
from prompts.plain import ZERO_SHOT, plain_messages
from prompts.window import Fitted, fit

DRAWN = Sampling(temperature=0.9, top_p=0.95, max_tokens=192)
"""Warmer and shorter than a chat: replies to one prompt should differ, and somebody has to read them all."""

CHUNK_PROMPTS = 16
"""Prompts answered together. After each chunk its tasks are stored, so a kill loses one chunk at most."""

SEEDS = 2**31

Prompt = str | Sequence[Turn]
Progress = Callable[[int, int], None]
"""Called as (prompts done, prompts in all)."""


def draw_tasks(
    store: Store,
    engine: Engine,
    prompts: Sequence[Prompt],
    replies_each: int = 2,
    sampling: Sampling = DRAWN,
    on_progress: Progress | None = None,
) -> list[TaskId]:
    """Ask the champion each of `prompts` (a question, or turns that end in one) and queue its replies.

    `replies_each`: 2 to 4. Replies that are empty or repeat another are drawn once more; a prompt that still
    has fewer than two different ones leaves nothing behind, so the list may be shorter than `prompts`. With
    `sampling.seed` set, the seeds of all replies follow from it. HoneError for a prompt that cannot be asked.
    """
    if not 2 <= replies_each <= 4:
        raise HoneError(
            f"{replies_each} replies cannot be ranked on one page.", todo="Draw 2, 3 or 4 for each prompt."
        )
    if sampling.temperature <= 0:
        raise HoneError(
            "Replies drawn at temperature 0 are all alike.", todo="Choose one above 0, such as 0.9."
        )
    champion, prompt_version = registry.champion(store), library.production(store, ZERO_SHOT)
    engine.load(champion)
    drawing = _Drawing(engine, champion, prompt_version, sampling, _dice(sampling.seed))
    asked = [drawing.ask(prompt) for prompt in prompts]
    tasks: list[TaskId] = []
    for first in range(0, len(asked), CHUNK_PROMPTS):
        answered = drawing.answer(asked[first : first + CHUNK_PROMPTS], replies_each)
        tasks += [task for one in answered if (task := _keep(store, drawing, one)) is not None]
        if on_progress:
            on_progress(min(first + CHUNK_PROMPTS, len(asked)), len(asked))
    return tasks


@dataclass(frozen=True)
class _Reply:
    """One drawn reply. `duration_s`: the wall time of the batch it was part of."""

    completion: Completion
    sampling: Sampling
    duration_s: float


@dataclass(frozen=True)
class _Asked:
    """A prompt, rendered, and the different replies to it so far, in the order drawn."""

    turns: tuple[Turn, ...]
    fitted: Fitted
    replies: tuple[_Reply, ...] = ()

    def with_reply(self, reply: _Reply) -> "_Asked":
        """The same with one reply more, if it says something that no other says."""
        text = reply.completion.text.strip()
        if not text or any(text == other.completion.text.strip() for other in self.replies):
            return self
        return replace(self, replies=(*self.replies, reply))


@dataclass(frozen=True)
class _Drawing:
    """Who answers, and how. `dice` gives each reply its seed."""

    engine: Engine
    champion: ModelVersion
    prompt_version: PromptVersion
    sampling: Sampling
    dice: random.Random

    def ask(self, prompt: Prompt) -> _Asked:
        """`prompt` as the chat would put it."""
        turns = (Turn("user", prompt),) if isinstance(prompt, str) else tuple(prompt)
        if not turns or not all(turn.content.strip() for turn in turns):
            raise HoneError("A prompt is empty.", todo="Take it out of the list.")
        messages = plain_messages(turns, self.prompt_version.strategy)
        budget = self.engine.window - min(self.sampling.max_tokens, self.engine.window // 2)  # as in a chat
        return _Asked(turns, fit(messages, self.engine.template, self.engine.count_tokens, budget))

    def answer(self, asked: Sequence[_Asked], replies_each: int) -> list[_Asked]:
        """Each with up to `replies_each` different replies; what the first round lacks is drawn once more."""
        answered = list(asked)
        for _round in ("first", "again"):
            wanted = [at for at, one in enumerate(answered) for _ in range(replies_each - len(one.replies))]
            drawn = [replace(self.sampling, seed=self.dice.randrange(SEEDS)) for _ in wanted]
            if not wanted:
                break
            began = time.monotonic()
            completions = self.engine.batch(
                [
                    Request(answered[at].fitted.text, sampling, self.champion)
                    for at, sampling in zip(wanted, drawn, strict=True)
                ]
            )
            took_s = time.monotonic() - began
            for at, sampling, completion in zip(wanted, drawn, completions, strict=True):
                answered[at] = answered[at].with_reply(_Reply(completion, sampling, took_s))
        return answered


def _dice(seed: int | None) -> random.Random:
    return random.Random(secrets.randbits(64) if seed is None else seed)


def _keep(store: Store, drawing: _Drawing, asked: _Asked) -> TaskId | None:
    """Write the conversation, its replies and the task: all or nothing. None: nothing to compare."""
    if len(asked.replies) < 2:
        return None
    with store.transaction():
        conversation = conversations.create(store, SYSTEM_USER, origin="drawn")
        leaf: MessageId | None = None
        for turn in asked.turns:
            if turn.role == "user":
                leaf = conversations.add_user_message(store, conversation, leaf, turn.content)
            elif leaf is not None:
                leaf = conversations.add_given_reply(store, leaf, turn.content)
        if leaf is None:
            raise HoneError("A prompt has no question in it.")
        replies = [_record(store, drawing, asked, reply, leaf) for reply in asked.replies]
        return label.add_task(store, leaf, replies)


def _record(store: Store, drawing: _Drawing, asked: _Asked, reply: _Reply, prompt_id: MessageId) -> MessageId:
    start = ReplyStart(
        drawing.champion.id, drawing.prompt_version.id, ZERO_SHOT, reply.sampling, drawing.engine.name
    )
    reply_id = conversations.start_reply(store, prompt_id, start)
    end = ReplyEnd(
        "complete",
        reply.completion.text,
        prompt_text=asked.fitted.text,
        prompt_tokens=asked.fitted.prompt_tokens,
        reply_tokens=reply.completion.tokens,
        dropped_turns=asked.fitted.dropped_turns,
        duration_s=reply.duration_s,
    )
    conversations.finish_reply(store, reply_id, end)
    return reply_id
