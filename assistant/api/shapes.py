"""How the API shows what the rooms know: plain data and safe HTML. Knows no route and decides nothing."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from assistant import registry, remarks
from assistant.accounts import User
from assistant.api.answers import (
    BlindPair,
    CountedSample,
    GivenRating,
    HowMade,
    ListedConversation,
    NamedModel,
    NamedPrompt,
    Person,
    Placed,
    Record,
    Reply,
    ShownReply,
    ShownStep,
    Side,
    Step,
    Thread,
    ThreadQuestion,
    ThreadReply,
    UsedSettings,
)
from assistant.reply_record import made_of, step_of
from assistant.reply_state import ReplyState
from assistant.turns import Turns
from feedback import comparisons, conversations, demonstrations, ratings
from feedback.comparisons import Comparison
from feedback.conversations import Conversation, Message, ThreadItem
from feedback.growing_markdown import GrowingMarkdown
from feedback.ids import MessageId, UserId
from feedback.markdown import to_html
from feedback.store import Store
from prompts.answers import normal
from prompts.kept import WRITES_PROMPTS

# A thread is sent anew after each reply; its finished texts do not change.
_kept_html = lru_cache(maxsize=4096)(to_html)


def listed(item: Conversation) -> ListedConversation:
    return ListedConversation(id=item.id, title=item.title, updated_at=item.updated_at, consent=item.consent)


def reply_state(state: ReplyState) -> ShownReply:
    """A reply as it stands, for the thread."""
    render, said = _kept_html if state.finished else to_html, _said(state)
    steps = tuple(
        ShownStep(**vars(step), html=render(one.text))
        for step, one in zip(said.steps, state.steps, strict=True)
    )
    return ShownReply(
        **vars(said) | {"steps": steps},
        html=render(state.content),
        reasoning_html=render(state.reasoning) if state.reasoning else "",
        content=_content(state),
    )


def _content(state: ReplyState) -> str:
    """The text beside its HTML: once it is finished."""
    return state.content if state.finished else ""


def _said(state: ReplyState) -> Reply:
    """What every shape of a reply says beside its texts."""
    return Reply(
        id=state.reply_id,
        status=state.status,
        steps=tuple(
            Step(
                name=step.name,
                title=step.title,
                done=step.done,
                remark=remarks.step_remark(step),
                prompt=step.record.taken if step.record and step.name == WRITES_PROMPTS else "",
            )
            for step in state.steps
        ),
        agreement=remarks.agreement(state),
        made=_made(state),
        notes=tuple(remarks.notes(state)),
        dropped_turns=state.dropped_turns,
        error=state.error,
        waiting=state.waiting,
    )


def _made(state: ReplyState) -> HowMade:
    """How the answer came about. Whole texts once it is finished: they need not go out with each word."""
    made = state.made
    winner = normal(made.votes[0][0]) if made.votes else ""
    shown = made.samples if state.finished else ()
    samples = tuple(CountedSample(**vars(one), agrees=normal(one.taken) == winner) for one in shown)
    return HowMade(made.votes, samples, made.examples)


def _told(state: ReplyState, texts: list[dict[str, Any]]) -> dict[str, Any]:
    """What an event says of a reply beside its texts. `texts`: of the steps, each in its shape."""
    said = _said(state)
    return vars(said) | {"steps": [vars(step) | text for step, text in zip(said.steps, texts, strict=True)]}


class ReplyChanges:
    """One reply as a page follows it: HTML is sent as what changed since the event before.

    `{"from": n, "blocks": [...]}` says: keep the first n blocks of HTML, and put these after them.
    """

    def __init__(self) -> None:
        self._texts: defaultdict[str, GrowingMarkdown] = defaultdict(GrowingMarkdown)

    def __call__(self, state: ReplyState) -> dict[str, Any]:
        steps = [{"html": self._html(f"step {step.name}", step.text)} for step in state.steps]
        return _told(state, steps) | {
            "html": self._html("answer", state.content),
            "reasoning_html": self._html("reasoning", state.reasoning),
            "content": _content(state),
        }

    def _html(self, part: str, text: str) -> dict[str, Any]:
        change = self._texts[part].update(text)
        return {"from": change.start, "blocks": change.blocks}


def reply_text(state: ReplyState) -> dict[str, Any]:
    """As `reply_state`, for a program: the text as it was written, not HTML."""
    return _told(state, [{"text": step.text} for step in state.steps]) | {
        "content": state.content,
        "reasoning": state.reasoning,
    }


def thread(turns: Turns, user_id: UserId, items: Iterable[ThreadItem]) -> Thread:
    """Messages on show, each with its branches; a reply also with its state and one's own judgements."""
    return tuple(_thread_item(turns, user_id, item) for item in items)


def _thread_item(turns: Turns, user_id: UserId, item: ThreadItem) -> ThreadQuestion | ThreadReply:
    message = item.message
    placed = Placed(parent_id=message.parent_id, branches=item.branches, position=item.position)
    if message.role == "user":
        return ThreadQuestion(**vars(placed), id=message.id, role="user", content=message.content)
    rating = ratings.of_reply(turns.store, user_id, message.id)
    demonstration = demonstrations.of_reply(turns.store, user_id, message.id)
    return ThreadReply(
        **vars(placed) | vars(reply_state(turns.state(message.id))),
        role="assistant",
        rating=GivenRating(rating.value, rating.reason) if rating else None,
        demonstration=demonstration.content if demonstration else None,
    )


def record(store: Store, reply: Message) -> Record:
    """Everything that made a reply: versions by name, strategy, settings, and the exact prompt."""
    model = registry.get(store, reply.model_version_id) if reply.model_version_id else None
    steps, made = tuple(step_of(step) for step in reply.trace), made_of(reply.made)
    examples = [example for step in steps for example in step.examples] + list(made.examples)
    return Record(
        id=reply.id,
        status=reply.status,
        model_version=NamedModel(model.id, model.name) if model else None,
        prompt_version=NamedPrompt(reply.prompt_version_id, reply.strategy),
        strategy=reply.strategy,
        chosen_because=reply.chosen_because,
        settings=UsedSettings(reply.temperature, reply.top_p, reply.max_tokens, reply.seed),
        engine=reply.engine,
        prompt_text=reply.prompt_text,
        prompt_tokens=reply.prompt_tokens,
        reply_tokens=reply.reply_tokens,
        dropped_turns=reply.dropped_turns,
        duration_s=reply.duration_s,
        steps=steps,
        made=made if reply.made else None,
        examples=tuple(sorted({example.source for example in examples})),
        created_at=reply.created_at,
        error=reply.error,
    )


def comparison(turns: Turns, pair: Comparison) -> BlindPair:
    """A blind pair. Who wrote which side is told only once there is a vote."""
    verdict = comparisons.verdict(turns.store, pair)
    left, right = (_side(turns, reply_id, bool(verdict)) for reply_id in (pair.left_id, pair.right_id))
    return BlindPair(pair.id, pair.prompt_message_id, verdict, left, right)


def _side(turns: Turns, reply_id: MessageId, told: bool) -> Side:
    state = turns.state(reply_id)
    if not told:  # what says which strategy wrote it
        state = replace(state, chosen_because="")
    made = record(turns.store, conversations.message(turns.store, reply_id)) if told else None
    return Side(**vars(reply_state(state)), record=made)


def person(user: User) -> Person:
    return Person(user.id, user.name, tuple(sorted(user.roles)))
