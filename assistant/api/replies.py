"""Replies: watch, stop, write again, and the full record of how one was made."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from assistant.accounts import User
from assistant.api import shapes, streams
from assistant.api.answers import Begun, Record
from assistant.api.bodies import Again
from assistant.api.context import Chatter, Parts, Rooms
from assistant.bell import Bell
from assistant.reply_state import ReplyState
from assistant.turns import Turns
from feedback import conversations
from feedback.errors import ConflictError
from feedback.ids import MessageId

router = APIRouter(prefix="/replies", tags=["Chatter"])

EVENT_EVERY_S = 0.1
KEEP_ALIVE_S = 15.0
OTHERS_EVERY_S = 1.0


@dataclass(frozen=True)
class StoppedReply:
    stopped: MessageId


@router.get("/{reply_id}")
def read(parts: Parts, user: Chatter, reply_id: MessageId) -> Record:
    """What made this reply. ConflictError for one that is part of an open blind comparison."""
    reply = parts.turns.owned(user.id, reply_id)
    if reply.hidden_from_chat:
        raise ConflictError("This reply is being compared blind.", todo="Vote first.")
    return shapes.record(parts.store, reply)


EXAMPLE = ReplyState(MessageId("m_0a1b2c3d4e5f"), "writing", "Strands of fibre,")
EVENTS = streams.described(
    "An event for the state now and for each newer one; the last one's `status` is not `writing`. Here with"
    " `shape` text.",
    streams.event("state", shapes.reply_text(EXAMPLE)),
)


@router.get("/{reply_id}/events", response_class=StreamingResponse, responses=EVENTS)
def events(
    parts: Parts, user: Chatter, reply_id: MessageId, shape: Literal["html", "text"] = "html"
) -> StreamingResponse:
    """Server-sent events: the whole state so far, then each change (at most ten a second) until the end.

    `shape`: text is what the model wrote, whole in each event; html is that as safe HTML, for a page: each
    event has what differs from the one before, as `{"from": n, "blocks": [...]}`: keep the first n blocks,
    and put these after them.
    """
    parts.turns.owned(user.id, reply_id)
    shaped = shapes.reply_text if shape == "text" else shapes.ReplyChanges()
    return streams.streamed(_stream(parts.turns, reply_id, shaped))


def begun(parts: Rooms, user: User, reply_id: MessageId, last: int) -> Begun:
    """The answer to whatever begins a reply: its id, and the `last` messages on show, which are new."""
    conversation_id = conversations.message(parts.store, reply_id).conversation_id
    items = conversations.thread(parts.store, conversation_id, last)
    return Begun(reply_id=reply_id, thread=shapes.thread(parts.turns, user.id, items))


async def _stream(
    turns: Turns, reply_id: MessageId, shaped: Callable[[ReplyState], dict[str, Any]]
) -> AsyncIterator[str]:
    async for state in _states(turns, reply_id):
        yield streams.event("state", shaped(state)) if state else streams.STILL_HERE


async def _states(turns: Turns, reply_id: MessageId) -> AsyncIterator[ReplyState | None]:
    """The state now and each newer one, the first word as soon as it is there; None after a long silence."""
    live = turns.live(reply_id)
    while live is None:
        state = await run_in_threadpool(turns.state, reply_id)
        yield state
        if state.finished:
            return
        await asyncio.sleep(OTHERS_EVERY_S)  # another process writes it
    with Bell([live]) as bell:
        yield (seen := live.state)
        while not seen.finished:
            if seen.waiting or seen.begun:
                await bell.rest(EVENT_EVERY_S)
            while not await bell.wait(KEEP_ALIVE_S):
                yield None
            if live.state is not seen:
                yield (seen := live.state)


@router.post("/{reply_id}/stop")
def stop(parts: Parts, user: Chatter, reply_id: MessageId) -> StoppedReply:
    """End the writing; what is there is kept."""
    parts.turns.owned(user.id, reply_id)
    parts.turns.stop(reply_id)
    return StoppedReply(reply_id)


@router.post("/{reply_id}/regenerate", status_code=202)
def regenerate(parts: Parts, user: Chatter, reply_id: MessageId, body: Again) -> Begun:
    """Another reply to the same question, as a branch."""
    return begun(parts, user, parts.turns.regenerate(user.id, reply_id, body.settings.turn()), last=1)
