"""/v1/chat/completions: a program's turn, written, queued and kept as one on the chat page is."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from assistant import registry
from assistant.accounts import User
from assistant.api import streams
from assistant.api.context import Chatter, Parts, Rooms
from assistant.engines.interface import Engine, SchemaError, UnableError, Wanted
from assistant.openai_api import models, shapes
from assistant.openai_api.answering import answered
from assistant.openai_api.answers import ChatCompletion, HoneIds, HoneIdsByAuto
from assistant.openai_api.bodies import ChatBody
from assistant.openai_api.shapes import Answer
from assistant.problems import ParameterError
from assistant.turns import TurnSettings
from feedback import conversations
from feedback.continuations import Asked
from feedback.message import Turn

SYSTEM = ("system", "developer")

router = APIRouter()


STREAMED = streams.described(
    "The whole answer; with `stream`, events that each add to it, `data: [DONE]` the last.",
    shapes.example("chat"),
)


@router.post("/chat/completions", response_model=ChatCompletion, responses=STREAMED)
async def create(request: Request, parts: Parts, user: Chatter, body: ChatBody) -> Response:
    """A reply to a conversation, whole or as a stream; it is kept, and can be judged by its id."""
    answer = await run_in_threadpool(_begun, parts, user, body)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for reply in answer.replies:
            if not reply.state.finished:
                loop.run_in_executor(None, parts.turns.stop, reply.reply_id)

    return await answered(request, body, answer, stop)


def _begun(parts: Rooms, user: User, body: ChatBody) -> Answer:
    """The replies, begun; refuses before anything is written what cannot be met."""
    body.check_extra()
    named, wanted, asked = models.resolve(parts.store, body.model), body.wanted(), said(body)
    check_wanted(parts.turns.engine, wanted)
    settings = [
        TurnSettings(named.strategy, sampling, named.version.id if named.version else None, wanted)
        for sampling in body.samplings(body.limit())
    ]
    replies = parts.turns.answer(user.id, asked, settings)
    first = conversations.message(parts.store, replies[0].reply_id)
    version = registry.get(parts.store, str(first.model_version_id))
    hone = HoneIds(
        first.id,
        reply_ids=tuple(reply.reply_id for reply in replies),
        conversation_id=first.conversation_id,
        model_version=version.name,
        strategy=str(first.strategy),
    )
    if first.chosen_because:
        hone = HoneIdsByAuto(**vars(hone), chosen_because=first.chosen_because)
    return Answer("chat", body.model, version.id, hone, replies)


def said(body: ChatBody) -> Asked:
    """The conversation that a request holds. Neighbours of one role are one turn, parted by an empty line."""
    system: list[str] = []
    turns: list[Turn] = []
    for place, message in enumerate(body.messages):
        text, where = message.text(place), f"messages.{place}"
        if message.role in SYSTEM:
            if turns:
                raise ParameterError(f"{where}.role", "A system message can only stand first.")
            system.append(text)
            continue
        if message.role not in ("user", "assistant"):
            raise ParameterError(
                f"{where}.role",
                f"There is no place for a message of the role {message.role[:40]}.",
                todo="Use system, user and assistant.",
            )
        if not text.strip():
            raise ParameterError(f"{where}.content", "A message is empty.")
        if turns and turns[-1].role == message.role:
            turns[-1] = Turn(turns[-1].role, f"{turns[-1].content}\n\n{text}")
        else:
            turns.append(Turn("user" if message.role == "user" else "assistant", text))
    if not turns or turns[0].role != "user" or turns[-1].role != "user":
        raise ParameterError("messages", "A conversation begins and ends with a message of the user.")
    return Asked("\n\n".join(text for text in system if text.strip()), tuple(turns))


def check_wanted(engine: Engine, wanted: Wanted) -> None:
    """ParameterError, with the parameter's name, for a wish that the engine cannot meet."""
    wishes = {
        "response_format": Wanted(json_schema=wanted.json_schema),
        "logprobs": Wanted(top_logprobs=wanted.top_logprobs),
    }
    for name, wish in wishes.items():
        try:
            engine.check(wish)
        except UnableError as error:
            code = "" if isinstance(error, SchemaError) else "unsupported_parameter"
            raise ParameterError(name, error.what, error.why, error.todo, code) from error
