"""Following replies on the event loop: what is new in each, at most about thirty times a second.

Knows live replies, no shape and no route. A writer's thread only rings a bell; nothing is rendered, copied or
scheduled for each token, so that many streams at once cost little.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from fastapi import Request

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


class Bell:
    """Rung by writers' threads, waited for on the loop; rings before the wait are not lost, and are one."""

    def __init__(self, replies: Sequence[LiveReply], matters: Callable[[], bool] = lambda: True) -> None:
        self._loop, self._event, self._matters = asyncio.get_running_loop(), asyncio.Event(), matters
        self._rung = False
        for reply in replies:
            reply.told = self._ring

    def _ring(self) -> None:
        if self._rung or not self._matters():
            return
        self._rung = True
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:  # the loop ended before the reply did: nobody listens any more
            return

    async def wait(self, timeout_s: float) -> bool:
        """True once it has rung since the last wait; False after `timeout_s`."""
        try:
            await asyncio.wait_for(self._event.wait(), timeout_s)
        except TimeoutError:
            return False
        self._event.clear()
        self._rung = False
        return True


async def pieces(replies: Sequence[LiveReply]) -> AsyncIterator[Piece | None]:
    """What the replies grow by, until all are finished. None: still there, nothing new for a while."""
    bell, sent = Bell(replies), [0] * len(replies)
    writing = list(range(len(replies)))
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
        await asyncio.sleep(PACE_S)
        while not await bell.wait(KEEP_ALIVE_S):
            yield None


async def until_begun(replies: Sequence[LiveReply], timeout_s: float) -> None:
    """Return when a reply has text or has ended, or after `timeout_s`: early failures still get a status."""

    def begun() -> bool:
        return any(reply.state.content or reply.state.finished for reply in replies)

    bell = Bell(replies, begun)
    if not begun():
        await bell.wait(timeout_s)


async def until_finished(replies: Sequence[LiveReply], request: Request) -> bool:
    """Wait for all of them. False: whoever asked has gone away first."""

    def finished() -> bool:
        return all(reply.state.finished for reply in replies)

    bell = Bell(replies, finished)
    while not finished():
        await bell.wait(GONE_EVERY_S)
        if await request.is_disconnected():
            return False
    return True
