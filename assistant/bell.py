"""Waiting on the event loop for replies that threads write.

Knows live replies, no shape and no route. A writer's thread only rings a bell; nothing is rendered, copied or
scheduled for each token, so that many streams at once cost little.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

from assistant.live import LiveReply


class Bell:
    """Rung by writers' threads, waited for on the loop; rings before the wait are not lost, and are one.

    A context manager: after it, replies no longer know of it. `matters`: a change that rings.
    """

    def __init__(self, replies: Sequence[LiveReply], matters: Callable[[], bool] = lambda: True) -> None:
        self._replies, self._matters, self._loop = replies, matters, asyncio.get_running_loop()
        self._event, self._end = asyncio.Event(), asyncio.Event()
        self._rung, self._ended = False, 0
        for reply in replies:
            reply.listen(self._ring)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for reply in self._replies:
            reply.forget(self._ring)

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
