"""A model that says what a test wants, when the test wants it, and the store and server around it."""

import re
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from assistant import registry
from assistant.base import Base
from assistant.engines.interface import (
    Ability,
    Answered,
    AnswerLogprob,
    Completion,
    Finish,
    Progress,
    Request,
    TokenLogprob,
    Wanted,
    check_able,
)
from assistant.engines.stop_texts import StopTexts
from assistant.registry import ModelVersion
from feedback import conversations
from feedback.conversations import ReplyEnd, ReplyStart, Sampling
from feedback.ids import LOCAL_USER, ConversationId, ModelVersionId
from feedback.store import Store
from prompts import library
from tests import build
from tests.build import chatml
from tests.described import Described


class ScriptedEngine:
    """A model that says `says`, one piece for each word, and notes what it was asked.

    While held, it writes one piece and waits: `go_on()` lets it write the rest, a stop ends it. A prompt with
    the word BREAK breaks it. SEED in what it says becomes the seed. Each word's log-probability is -0.5.
    """

    name = "scripted"
    window = 2048
    abilities: frozenset[Ability] = frozenset(("token_logprobs",))

    def __init__(self, says: str = "The sky is blue.", held: bool = False, capacity: int = 4) -> None:
        self.says, self.capacity = says, capacity
        self.template = chatml()
        self.requests: list[Request] = []
        self.pause_s = 0.0  # before each piece
        self._going = threading.Event()
        if not held:
            self._going.set()

    def hold(self) -> None:
        self._going.clear()

    def go_on(self) -> None:
        self._going.set()

    def check(self, wanted: Wanted) -> None:
        check_able(self, wanted)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def tokens(self, text: str) -> list[str]:
        return re.findall(r"\s*\S+\s*?(?=\s|$)|\s+$", text)

    def stream(self, request: Request) -> Generator[str, None, Completion]:
        self.requests.append(request)
        if "BREAK" in request.prompt:
            raise RuntimeError("a part of the model is broken")
        written: list[str] = []
        stops = StopTexts(request.wanted.stop_texts)
        said = re.findall(r"\S+\s*", self.says.replace("SEED", str(request.sampling.seed)))
        for piece in said[: request.sampling.max_tokens]:
            while written and not self._going.wait(0.01) and not request.stop.is_set():
                pass
            if request.stop.is_set():
                return Completion("".join(written), len(written), "stopped")
            time.sleep(self.pause_s)
            written.append(stops.push(piece))
            yield written[-1]
            if stops.found:
                break
        written.append(stops.rest())
        yield written[-1]
        top = request.wanted.top_logprobs
        logprobs = [] if top is None else [TokenLogprob(word, -0.5, ((word, -0.5),) * top) for word in said]
        count = min(len(said), request.sampling.max_tokens)
        finish: Finish = "stop" if stops.found or count == len(said) else "length"
        return Completion("".join(written), count, finish, cached_tokens=1, logprobs=tuple(logprobs[:count]))

    def batch(self, requests: Sequence[Request], on_progress: Progress | None = None) -> list[Completion]:
        return [drained(self.stream(request))[1] for request in requests]

    def logprobs(
        self, answers: Sequence[Answered], version: ModelVersion, on_progress: Progress | None = None
    ) -> list[AnswerLogprob]:
        counts = [self.count_tokens(one.answer) for one in answers]
        return [AnswerLogprob(-0.5 * count, count) for count in counts]

    def load(self, version: ModelVersion) -> None:
        pass

    def warm_up(self, version: ModelVersion) -> None:
        pass

    def close(self) -> None:
        pass


def drained(stream: Generator[str, None, Completion]) -> tuple[list[str], Completion]:
    """What is left of a stream, and its return value."""
    pieces = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            return pieces, end.value


def answering(home: Path, engine: ScriptedEngine) -> Store:
    """A store that a server can start with: shipped prompts, and the scripted model's base as champion."""
    made = build.shipped_store(home / "hone.db")
    registry.ensure_base(
        made, Base("scripted", "Scripted", home, "float32", "none", "cpu", ""), engine.template
    )
    return made


def long_conversation(store: Store, exchanges: int, answer: str = "Answer {}.") -> ConversationId:
    """A conversation of so many numbered questions, and answers as `answer` says with the number in it."""
    conversation, leaf = conversations.create(store, LOCAL_USER), None
    prompt = library.production(store, "zero-shot")
    start = ReplyStart(registry.champion(store).id, prompt.id, "zero-shot", Sampling(), "test")
    with store.transaction():
        for number in range(exchanges):
            asked = conversations.add_user_message(store, conversation, leaf, f"Question {number}?")
            leaf = conversations.start_reply(store, asked, start)
            conversations.finish_reply(store, leaf, ReplyEnd("complete", answer.format(number)))
    return conversation


def version(store: Store, name: str) -> ModelVersion:
    """Another model version of the scripted model's base; not the champion."""
    old = registry.champion(store)
    made = replace(old, id=ModelVersionId(f"mv_{name}"), name=name)
    store.execute(
        "INSERT INTO model_versions (id, name, base_id, chat_template_sha256, created_at)"
        " VALUES (?, ?, ?, ?, ?)",
        *(made.id, made.name, made.base_id, made.chat_template_sha256, made.created_at),
    )
    return made


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """A server on a real socket of this machine; gives its address. AssertionError at the end where an answer
    was not as the server's description says.
    """
    described = Described(app)
    with on_a_socket(described) as address:
        yield address
    assert not described.wrong, "\n".join(described.wrong)


@contextmanager
def on_a_socket(app: object) -> Iterator[str]:
    """An app on a real socket of this machine; gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
