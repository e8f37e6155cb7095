"""/v1/completions, the older kind: the prompt is put to the model as it is, and nothing is kept.

No conversation, template or strategy, so there is nothing to vote on either. For scripts and benchmarks.
"""

import logging
import threading

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from assistant import registry
from assistant.api import streams
from assistant.api.context import Chatter, Parts, Rooms
from assistant.engines.interface import Completion, Engine
from assistant.engines.interface import Request as EngineRequest
from assistant.live import LiveReply
from assistant.openai_api import models, shapes
from assistant.openai_api.answering import answered
from assistant.openai_api.answers import TextCompletion
from assistant.openai_api.bodies import MOST_REPLIES, CompletionBody
from assistant.openai_api.chat import check_wanted
from assistant.openai_api.shapes import Answer
from assistant.problems import ParameterError
from assistant.turns import DEFAULT_STRATEGY
from feedback.errors import BusyError, HoneError
from feedback.ids import MessageId, new_id

MOST_AT_ONCE = 64
RETRY_AFTER_S = 5
STREAMED = streams.described(
    "The whole text; with `stream`, events that each add to it, `data: [DONE]` the last.",
    shapes.example("text"),
)

log = logging.getLogger(__name__)


class Writers:
    """Threads that write texts of which nothing is kept; `most` at once, inside the engine's own line."""

    def __init__(self, most: int = MOST_AT_ONCE) -> None:
        self._most, self._running, self._lock = most, 0, threading.Lock()

    def begin(self, engine: Engine, requests: list[EngineRequest]) -> list[LiveReply]:
        """Start them all, or none: BusyError."""
        with self._lock:
            if self._running + len(requests) > self._most:
                raise BusyError(
                    "The model is busy.", f"{self._running} texts are being written.",
                    "Try again in a few seconds.", retry_after_s=RETRY_AFTER_S,
                )  # fmt: skip
            self._running += len(requests)
        replies = [LiveReply(MessageId(new_id("text")), request.stop) for request in requests]
        for request, reply in zip(requests, replies, strict=True):
            threading.Thread(
                target=self._write, args=(engine, request, reply), name="hone-text", daemon=True
            ).start()
        return replies

    def _write(self, engine: Engine, request: EngineRequest, reply: LiveReply) -> None:
        status = "failed"
        try:
            reply.change(prompt_text=request.prompt, prompt_tokens=engine.count_tokens(request.prompt))
            reply.completion = _streamed(engine, request, reply)
            status = "stopped" if request.stop.is_set() else "complete"
        except HoneError as error:
            reply.failure = error
        except Exception as error:  # the thread's edge: whatever broke, the answer must say so
            log.exception("A completion failed")
            reply.change(error=f"The model broke off while writing ({type(error).__name__}).")
        finally:
            with self._lock:
                self._running -= 1
            reply.change(status=status)


def _streamed(engine: Engine, request: EngineRequest, reply: LiveReply) -> Completion:
    stream, text = engine.stream(request), ""
    while True:
        try:
            text += next(stream)
        except StopIteration as end:
            completion: Completion = end.value
            return completion
        reply.change(content=text)


def router() -> APIRouter:
    """The route, with writers that last as long as the server."""
    made, writers = APIRouter(), Writers()

    @made.post("/completions", response_model=TextCompletion, responses=STREAMED)
    async def create(request: Request, parts: Parts, user: Chatter, body: CompletionBody) -> Response:
        """Text after the prompt, which is put to the model as it is; nothing is kept."""
        answer = await run_in_threadpool(_begun, parts, body, writers)

        def stop() -> None:
            for reply in answer.replies:
                reply.stop.set()

        return await answered(request, body, answer, stop)

    return made


def _begun(parts: Rooms, body: CompletionBody, writers: Writers) -> Answer:
    body.check_extra()
    named, engine = models.resolve(parts.store, body.model), parts.turns.engine
    if named.strategy != DEFAULT_STRATEGY:
        raise ParameterError(
            "model",
            "A strategy cannot be used here.",
            "The prompt is put as it is.",
            "Use /v1/chat/completions.",
        )
    if len(body.prompt) * body.replies > MOST_REPLIES:
        raise ParameterError("n", f"At most {MOST_REPLIES} texts can be asked for at once.")
    check_wanted(engine, body.wanted())
    version = named.version or registry.champion(parts.store)
    engine.load(version)
    requests = [
        EngineRequest(prompt, sampling, version, threading.Event(), body.wanted())
        for prompt in body.prompt
        for sampling in body.samplings(body.limit())
    ]
    return Answer("text", body.model, version.id, None, writers.begin(engine, requests))
