"""Replies: watch, stop, write again, and the full record of how one was made."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from assistant.api import shapes
from assistant.api.bodies import Again
from assistant.api.context import Chatter, Parts
from assistant.reply_state import ReplyState
from assistant.turns import Turns
from feedback.errors import ConflictError
from feedback.ids import MessageId

router = APIRouter(prefix="/replies")

EVENT_EVERY_S = 0.1
KEEP_ALIVE_S = 15.0


@router.get("/{reply_id}")
def read(parts: Parts, user: Chatter, reply_id: MessageId) -> dict[str, Any]:
    """What made this reply. ConflictError for one that is part of an open blind comparison."""
    reply = parts.turns.owned(user.id, reply_id)
    if reply.hidden_from_chat:
        raise ConflictError("This reply is being compared blind.", todo="Vote first.")
    return shapes.record(parts.store, reply)


@router.get("/{reply_id}/events")
def events(
    parts: Parts, user: Chatter, reply_id: MessageId, shape: Literal["html", "text"] = "html"
) -> StreamingResponse:
    """Server-sent events: the whole state so far, then each change (at most ten a second) until the end.

    `shape`: text is what the model wrote; html is that as safe HTML, for a page.
    """
    parts.turns.owned(user.id, reply_id)
    shaped = shapes.reply_text if shape == "text" else shapes.reply_state
    return StreamingResponse(
        _stream(parts.turns, reply_id, shaped),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream(
    turns: Turns, reply_id: MessageId, shaped: Callable[[ReplyState], dict[str, Any]]
) -> AsyncIterator[str]:
    shown: ReplyState | None = None
    quiet_s = 0.0
    while True:
        state = await run_in_threadpool(turns.state, reply_id)
        if state != shown:
            shown, quiet_s = state, 0.0
            yield f"event: state\ndata: {json.dumps(shaped(state))}\n\n"
        elif quiet_s >= KEEP_ALIVE_S:
            quiet_s = 0.0
            yield ": still here\n\n"
        if state.finished:
            return
        await asyncio.sleep(EVENT_EVERY_S)
        quiet_s += EVENT_EVERY_S


@router.post("/{reply_id}/stop")
def stop(parts: Parts, user: Chatter, reply_id: MessageId) -> dict[str, Any]:
    """End the writing; what is there is kept."""
    parts.turns.owned(user.id, reply_id)
    parts.turns.stop(reply_id)
    return {"stopped": reply_id}


@router.post("/{reply_id}/regenerate", status_code=202)
def regenerate(parts: Parts, user: Chatter, reply_id: MessageId, body: Again) -> dict[str, Any]:
    """Another reply to the same question, as a branch."""
    return {"reply_id": parts.turns.regenerate(user.id, reply_id, body.settings.turn())}
