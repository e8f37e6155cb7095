"""From replies that are being written to an HTTP answer, whole or as server-sent events.

Ends the replies when whoever asked has gone away: a stop stops the model. Knows no store and no body.
"""

import json
from collections.abc import AsyncIterator, Callable

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from assistant.api import streams
from assistant.openai_api.bodies import Asking
from assistant.openai_api.following import pieces, until_begun, until_finished
from assistant.openai_api.shapes import DONE, WHOLE, Answer, Frames
from assistant.problems import openai_error

STATUS_WITHIN_S = 2.0
"""How long a stream waits for its first text, so that an early failure is told by the status."""

GONE = 499
"""What is logged for somebody who has gone away; nobody reads it."""

Stop = Callable[[], None]


async def answered(request: Request, asking: Asking, answer: Answer, stop: Stop) -> Response:
    """The answer to `request`. `stop`: ends what is still being written; cheap, never blocks."""
    headers = {"X-Hone-Reply-Id": ",".join(answer.hone.reply_ids)} if answer.hone else {}
    try:
        if asking.streams:
            await until_begun(answer.replies, STATUS_WITHIN_S)
        elif not await until_finished(answer.replies, request):
            stop()
            return Response(status_code=GONE)
    except BaseException:
        stop()
        raise
    if failure := answer.failure():
        stop()
        raise failure
    if not asking.streams:
        return Response(WHOLE.dump_json(answer.whole()), media_type="application/json", headers=headers)
    events = _events(answer, asking.counts_in_stream, stop)
    return StreamingResponse(events, media_type=streams.MEDIA_TYPE, headers=headers | streams.HEADERS)


async def _events(answer: Answer, counts: bool, stop: Stop) -> AsyncIterator[str]:
    frames, said = Frames(answer, counts), False
    started = set()
    try:
        async for piece in pieces(answer.replies):
            if piece is None:
                yield streams.STILL_HERE
                continue
            if failure := answer.failure():
                yield f"data: {json.dumps(openai_error(failure))}\n\n"
                return
            event = "" if piece.index in started else frames.start(piece.index)
            started.add(piece.index)
            if piece.text:
                event += frames.text(piece.index, piece.text)
            if piece.last:
                event += frames.end(piece.index)
            if event:
                yield event
        yield frames.usage() + DONE
        said = True
    finally:
        if not said:
            stop()
