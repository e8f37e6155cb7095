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
from feedback.conversations import SEEDS, ReplyEnd, ReplyStart, Sampling, Turn
from feedback.errors import HoneError
from feedback.ids import SYSTEM_USER, MessageId, TaskId
from feedback.store import Store
from prompts import library
from prompts.library import PromptVersion
from prompts.plain import ZERO_SHOT, plain_messages
from prompts.window import Fitted, fit, prompt_budget

DRAWN = Sampling(temperature=0.9, top_p=0.95, max_tokens=192)
"""Warmer and shorter than a chat: replies to one prompt should differ, and somebody has to read them all."""

CHUNK_PROMPTS = 16
"""Prompts answered together. After each chunk its tasks are stored, so a kill loses one chunk at most."""


Prompt = str | Sequence[Turn]
"""A question, or turns that end in one."""
Progress = Callable[[int, int], None]
"""Called as (prompts done, prompts in all)."""


@dataclass(frozen=True)
class Question:
    """What is asked, and in which ways: one prompt version for each reply, two to four of them.

    `models`: which model answers in each way, in their order; none: the champion in all.
    """

    turns: tuple[Turn, ...]
    ways: tuple[PromptVersion, ...]
    models: tuple[ModelVersion, ...] = ()

    def __post_init__(self) -> None:
        if self.models and len(self.models) != len(self.ways):
            raise HoneError(f"{len(self.ways)} ways need as many models, not {len(self.models)}.")
        if not self.turns or not all(turn.content.strip() for turn in self.turns):
            raise HoneError("A prompt is empty.", todo="Take it out of the list.")
        if not 2 <= len(self.ways) <= 4:
            raise HoneError(
                f"{len(self.ways)} replies cannot be ranked on one page.",
                todo="Draw 2, 3 or 4 for each prompt.",
            )


def question(prompt: Prompt, ways: Sequence[PromptVersion]) -> Question:
    """`prompt`, to be asked once in each of `ways`. Raises HoneError for what cannot be asked."""
    return Question((Turn("user", prompt),) if isinstance(prompt, str) else tuple(prompt), tuple(ways))


def plainly(store: Store, prompts: Sequence[Prompt], replies_each: int = 2) -> list[Question]:
    """Each prompt asked `replies_each` times (2 to 4) as a chat begins: zero-shot."""
    zero_shot = library.production(store, ZERO_SHOT)
    return [question(prompt, [zero_shot] * replies_each) for prompt in prompts]


def draw_tasks(
    store: Store,
    engine: Engine,
    questions: Sequence[Question],
    sampling: Sampling = DRAWN,
    on_progress: Progress | None = None,
) -> list[TaskId]:
    """Ask each of `questions` and queue the replies, by the champion where no model is named.

    Replies that are empty or repeat another are drawn once more; a question that still has fewer than two
    different ones leaves nothing behind, so the list may be shorter than `questions`. With `sampling.seed`
    set, the seeds of all replies follow from it. HoneError for a question that does not fit the window.
    """
    if sampling.temperature <= 0:
        raise HoneError(
            "Replies drawn at temperature 0 are all alike.", todo="Choose one above 0, such as 0.9."
        )
    champion = registry.champion(store)
    engine.load(champion)
    for model in {model.id: model for one in questions for model in one.models}.values():
        engine.load(model)
    drawing = _Drawing(engine, champion, sampling, _dice(sampling.seed))
    asked = [drawing.ask(one) for one in questions]
    tasks: list[TaskId] = []
    for first in range(0, len(asked), CHUNK_PROMPTS):
        answered = drawing.answer(asked[first : first + CHUNK_PROMPTS])
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
    """A question, rendered in each of its ways, and the reply to each, where there is one yet."""

    question: Question
    fitted: tuple[Fitted, ...]
    replies: tuple[_Reply | None, ...]

    def with_reply(self, way: int, reply: _Reply) -> "_Asked":
        """The same with a reply in one way, if it says something that no other says."""
        said = [other.completion.text.strip() for other in self.replies if other is not None]
        text = reply.completion.text.strip()
        if not text or text in said:
            return self
        return replace(self, replies=(*self.replies[:way], reply, *self.replies[way + 1 :]))


@dataclass(frozen=True)
class _Drawing:
    """Who answers, and how. `dice` gives each reply its seed."""

    engine: Engine
    champion: ModelVersion
    sampling: Sampling
    dice: random.Random

    def model(self, asked: Question, way: int) -> ModelVersion:
        """Who answers `asked` in this way."""
        return asked.models[way] if asked.models else self.champion

    def ask(self, asked: Question) -> _Asked:
        """`asked` as the chat would put it, in each of its ways."""
        budget = prompt_budget(self.sampling.max_tokens, self.engine.window)
        fitted = [
            fit(
                plain_messages(asked.turns, way.strategy),
                self.engine.template,
                self.engine.count_tokens,
                budget,
            )
            for way in asked.ways
        ]
        return _Asked(asked, tuple(fitted), (None,) * len(fitted))

    def answer(self, asked: Sequence[_Asked]) -> list[_Asked]:
        """Each with as many different replies as it has ways; what the first round lacks is drawn again."""
        answered = list(asked)
        for _round in ("first", "again"):
            wanted = [
                (at, way)
                for at, one in enumerate(answered)
                for way, reply in enumerate(one.replies)
                if reply is None
            ]
            if not wanted:
                break
            drawn = [replace(self.sampling, seed=self.dice.randrange(SEEDS)) for _ in wanted]
            began = time.monotonic()
            completions = self.engine.batch(
                [
                    Request(answered[at].fitted[way].text, sampling, self.model(answered[at].question, way))
                    for (at, way), sampling in zip(wanted, drawn, strict=True)
                ]
            )
            took_s = time.monotonic() - began
            for (at, way), sampling, completion in zip(wanted, drawn, completions, strict=True):
                answered[at] = answered[at].with_reply(way, _Reply(completion, sampling, took_s))
        return answered


def _dice(seed: int | None) -> random.Random:
    return random.Random(secrets.randbits(64) if seed is None else seed)


def _keep(store: Store, drawing: _Drawing, asked: _Asked) -> TaskId | None:
    """Write the conversation, its replies and the task: all or nothing. None: nothing to compare."""
    drawn = [(way, reply) for way, reply in enumerate(asked.replies) if reply is not None]
    if len(drawn) < 2:
        return None
    with store.transaction():
        conversation = conversations.create(store, SYSTEM_USER, origin="drawn")
        leaf: MessageId | None = None
        for turn in asked.question.turns:
            if turn.role == "user":
                leaf = conversations.add_user_message(store, conversation, leaf, turn.content)
            elif leaf is not None:
                leaf = conversations.add_given_reply(store, leaf, turn.content)
        if leaf is None:
            raise HoneError("A prompt has no question in it.")
        replies = [_record(store, drawing, asked, way, reply, leaf) for way, reply in drawn]
        return label.add_task(store, leaf, replies)


def _record(
    store: Store, drawing: _Drawing, asked: _Asked, way: int, reply: _Reply, prompt_id: MessageId
) -> MessageId:
    prompt, fitted = asked.question.ways[way], asked.fitted[way]
    model = drawing.model(asked.question, way)
    start = ReplyStart(model.id, prompt.id, prompt.name, reply.sampling, drawing.engine.name)
    reply_id = conversations.start_reply(store, prompt_id, start)
    end = ReplyEnd(
        "complete",
        reply.completion.text,
        prompt_text=fitted.text,
        prompt_tokens=fitted.prompt_tokens,
        reply_tokens=reply.completion.tokens,
        dropped_turns=fitted.dropped_turns,
        duration_s=reply.duration_s,
        ended=reply.completion.finish == "stop",
    )
    conversations.finish_reply(store, reply_id, end)
    return reply_id


def already_drawn(store: Store) -> set[str]:
    """The questions that drawn conversations have asked, so that a caller can ask others first."""
    rows = store.rows(
        """SELECT m.content FROM messages m JOIN conversations c ON c.id = m.conversation_id
           WHERE c.user_id = ? AND c.deleted_at IS NULL AND m.role = 'user'""",
        SYSTEM_USER,
    )
    return {row["content"] for row in rows}
