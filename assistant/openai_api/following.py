"""Following replies on the event loop: what is new in each, at most about thirty times a second.

Knows live replies, no shape and no route. A writer's thread only rings a bell; nothing is rendered, copied or
scheduled for each token, so that many streams at once cost little.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
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
        self._replies, self._matters, self._loop = replies, matters, asyncio.get_running_loop()
        self._event, self._end = asyncio.Event(), asyncio.Event()
        self._rung, self._ended = False, 0
        for reply in replies:
            reply.told = self._ring

    def _ring(self) -> None:
        ended = sum(reply.state.finished for reply in self._replies)
        if ended > self._ended:
            self._ended = ended
            self._set(self._end)
        if not self._rung and self._matters():
            self._rung = True
            self._set(self._event)

    def _set(self, event: asyncio.Event) -> None:
        with suppress(RuntimeError):  # the loop ended before the reply did: nobody listens any more
            self._loop.call_soon_threadsafe(event.set)

    async def wait(self, timeout_s: float) -> bool:
        """True once it has rung since the last wait; False after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):  # wait_for would make a task for each piece of text
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        self._rung = False
        return True

    async def rest(self, pace_s: float) -> None:
        """Let so much time pass, less where a reply ends: its end is told at once."""
        with suppress(TimeoutError):
            async with asyncio.timeout(pace_s):
                await self._end.wait()
        self._end.clear()


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
        await bell.rest(PACE_S)
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
