"""Following replies on the event loop: what is new in each, at most about thirty times a second.

Knows live replies, no shape and no route.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from fastapi import Request

from assistant.bell import Bell
from assistant.live import LiveReply

PACE_S = 1 / 30
KEEP_ALIVE_S = 15.0
GONE_EVERY_S = 0.5
"""How often somebody who waits for a whole reply is looked for."""


@dataclass(frozen=True)
class Piece:
    """New text of the reply at `index`; the last one says so."""

    index: int
    text: str
    last: bool


async def pieces(replies: Sequence[LiveReply]) -> AsyncIterator[Piece | None]:
    """What the replies grow by, until all are finished. None: still there, nothing new for a while."""
    sent, writing = [0] * len(replies), list(range(len(replies)))
    with Bell(replies) as bell:
        while True:
            for index in list(writing):
                state = replies[index].state
                text = state.content[sent[index] :]
                if state.finished:
                    writing.remove(index)
                if text or state.finished:
                    sent[index] += len(text)
                    yield Piece(index, text, state.finished)
            if not writing:
                return
            await bell.rest(PACE_S)
            while not await bell.wait(KEEP_ALIVE_S):
                yield None


async def until_begun(replies: Sequence[LiveReply], timeout_s: float) -> None:
    """Return when a reply has text or has ended, or after `timeout_s`: early failures still get a status."""

    def begun() -> bool:
        return any(reply.state.content or reply.state.finished for reply in replies)

    with Bell(replies, begun) as bell:
        if not begun():
            await bell.wait(timeout_s)


async def until_finished(replies: Sequence[LiveReply], request: Request) -> bool:
    """Wait for all of them. False: whoever asked has gone away first."""

    def finished() -> bool:
        return all(reply.state.finished for reply in replies)

    with Bell(replies, finished) as bell:
        while not finished():
            await bell.wait(GONE_EVERY_S)
            if await request.is_disconnected():
                return False
    return True
