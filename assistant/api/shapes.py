"""How the API shows what the rooms know: plain data and safe HTML. Knows no route and decides nothing."""

from collections import defaultdict
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from assistant import registry, remarks
from assistant.reply_record import made_of, step_of
from assistant.reply_state import ReplyState
from assistant.turns import Turns
from feedback import comparisons, conversations, demonstrations, ratings
from feedback.comparisons import Comparison
from feedback.conversations import Conversation, Message, ThreadItem
from feedback.growing_markdown import GrowingMarkdown
from feedback.ids import UserId
from feedback.markdown import to_html
from feedback.store import Store
from prompts.answers import normal
from prompts.kept import WRITES_PROMPTS

# A thread is sent anew after each reply; its finished texts do not change.
_kept_html = lru_cache(maxsize=4096)(to_html)


def conversation(item: Conversation) -> dict[str, Any]:
    return {"id": item.id, "title": item.title, "updated_at": item.updated_at, "consent": item.consent}


def reply_state(state: ReplyState) -> dict[str, Any]:
    """A reply as it stands, for the thread. `content`: once it is finished."""
    render = _kept_html if state.finished else to_html
    return _shaped(
        state,
        html=render(state.content),
        reasoning_html=render(state.reasoning) if state.reasoning else "",
        steps=[render(step.text) for step in state.steps],
    )


def _shaped(state: ReplyState, *, html: Any, reasoning_html: Any, steps: list[Any]) -> dict[str, Any]:
    return _said(state, [{"html": shown} for shown in steps]) | {
        "html": html,
        "reasoning_html": reasoning_html,
        "content": state.content if state.finished else "",
    }


def _said(state: ReplyState, texts: list[dict[str, Any]]) -> dict[str, Any]:
    """What every shape of a reply says beside its texts. `texts`: of the steps, each in its shape."""
    return {
        "id": state.reply_id,
        "status": state.status,
        "steps": [
            {"name": step.name, "title": step.title, "done": step.done, "remark": remarks.step_remark(step)}
            | {"prompt": step.record.taken if step.record and step.name == WRITES_PROMPTS else ""}
            | text
            for step, text in zip(state.steps, texts, strict=True)
        ],
        "agreement": remarks.agreement(state),
        "made": _made(state),
        "notes": [list(note) for note in remarks.notes(state)],
        "dropped_turns": state.dropped_turns,
        "error": state.error,
        "waiting": state.waiting,
    }


def _made(state: ReplyState) -> dict[str, Any]:
    """How the answer came about. Whole texts once it is finished: they need not go out with each word."""
    made = state.made
    winner = normal(made.votes[0][0]) if made.votes else ""
    shown = made.samples if state.finished else ()
    return {
        "votes": [list(vote) for vote in made.votes],
        "samples": [asdict(one) | {"agrees": normal(one.taken) == winner} for one in shown],
        "examples": [asdict(one) for one in made.examples],
    }


class ReplyChanges:
    """One reply as a page follows it: HTML is sent as what changed since the event before.

    `{"from": n, "blocks": [...]}` says: keep the first n blocks of HTML, and put these after them.
    """

    def __init__(self) -> None:
        self._texts: defaultdict[str, GrowingMarkdown] = defaultdict(GrowingMarkdown)

    def __call__(self, state: ReplyState) -> dict[str, Any]:
        return _shaped(
            state,
            html=self._html("answer", state.content),
            reasoning_html=self._html("reasoning", state.reasoning),
            steps=[self._html(f"step {step.name}", step.text) for step in state.steps],
        )

    def _html(self, part: str, text: str) -> dict[str, Any]:
        change = self._texts[part].update(text)
        return {"from": change.start, "blocks": change.blocks}


def reply_text(state: ReplyState) -> dict[str, Any]:
    """As `reply_state`, for a program: the text as it was written, not HTML."""
    return _said(state, [{"text": step.text} for step in state.steps]) | {
        "content": state.content,
        "reasoning": state.reasoning,
    }


def thread_item(turns: Turns, user_id: UserId, item: ThreadItem) -> dict[str, Any]:
    """One message on show, with its branches; for a reply also its state and one's own judgements of it."""
    message = item.message
    shape: dict[str, Any] = {
        "id": message.id,
        "parent_id": message.parent_id,
        "role": message.role,
        "content": message.content,
        "branches": list(item.branches),
        "position": item.position,
    }
    if message.role == "user":
        return shape
    rating = ratings.of_reply(turns.store, user_id, message.id)
    demonstration = demonstrations.of_reply(turns.store, user_id, message.id)
    return shape | {
        **reply_state(turns.state(message.id)),
        "rating": {"value": rating.value, "reason": rating.reason} if rating else None,
        "demonstration": demonstration.content if demonstration else None,
    }


def record(store: Store, reply: Message) -> dict[str, Any]:
    """Everything that made a reply: versions by name, strategy, settings, and the exact prompt."""
    model = registry.get(store, reply.model_version_id) if reply.model_version_id else None
    steps = [step_of(step) for step in reply.trace]
    examples = [example for step in steps for example in step.examples] + list(made_of(reply.made).examples)
    return {
        "id": reply.id,
        "status": reply.status,
        "model_version": {"id": model.id, "name": model.name} if model else None,
        "prompt_version": {"id": reply.prompt_version_id, "name": reply.strategy},
        "strategy": reply.strategy,
        "chosen_because": reply.chosen_because,
        "settings": {
            "temperature": reply.temperature,
            "top_p": reply.top_p,
            "max_tokens": reply.max_tokens,
            "seed": reply.seed,
        },
        "engine": reply.engine,
        "prompt_text": reply.prompt_text,
        "prompt_tokens": reply.prompt_tokens,
        "reply_tokens": reply.reply_tokens,
        "dropped_turns": reply.dropped_turns,
        "duration_s": reply.duration_s,
        "steps": reply.trace,
        "made": reply.made,
        "examples": sorted({example.source for example in examples}),
        "created_at": reply.created_at,
        "error": reply.error,
    }


def comparison(turns: Turns, pair: Comparison) -> dict[str, Any]:
    """A blind pair. Who wrote which side is told only once there is a vote."""
    verdict = comparisons.verdict(turns.store, pair)
    sides: dict[str, Any] = {}
    for side, reply_id in (("left", pair.left_id), ("right", pair.right_id)):
        state = reply_state(turns.state(reply_id) if verdict else _blind(turns.state(reply_id)))
        made = (
            {"record": record(turns.store, conversations.message(turns.store, reply_id))} if verdict else {}
        )
        sides[side] = state | made
    return {"id": pair.id, "prompt_message_id": pair.prompt_message_id, "verdict": verdict, **sides}


def _blind(state: ReplyState) -> ReplyState:
    """Without what says which strategy wrote it."""
    return replace(state, chosen_because="")


def person(user: Any) -> dict[str, Any]:
    return {"id": user.id, "name": user.name, "roles": sorted(user.roles)}
