"""Work on prompts for programs: check a source, see the tokens that the model would read, try versions."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import Field, model_validator
from starlette.concurrency import run_in_threadpool

from assistant import prompt_bench
from assistant.api import shapes, streams
from assistant.api.bodies import Body, Settings, Text, example
from assistant.api.context import Engineer, Parts, Rooms
from assistant.api.prompts import SOURCE, Said, Source
from assistant.api.replies import EXAMPLE
from assistant.prompt_bench import Problem
from assistant.prompt_preview import Kind, StepPreview, Token
from assistant.prompt_tries import MOST_SIDES, PACE_S, Try
from assistant.reply_state import ReplyState
from feedback.ids import PromptVersionId
from prompts import library
from prompts.library import PromptVersion

router = APIRouter(tags=["Engineer"])

KEEP_ALIVE_S = 15.0


class NewCheck(Body):
    """`files`: file name to text."""

    model_config = example(name="zero-shot", files={"zero-shot.jinja": SOURCE})

    name: Said
    files: Source


class NewPreview(Body):
    """Either `version` (an id or its start, NAME, NAME@draft), or `name` and `files` that are not saved."""

    model_config = example(version="few-shot", question="What is rope?")

    version: Said | None = None
    name: Said | None = None
    files: Source | None = None
    question: Text
    max_tokens: int = Field(default=Settings().max_tokens, ge=1, le=8192)

    @model_validator(mode="after")
    def _one_of_both(self) -> "NewPreview":
        if (self.version is None) == (self.name is None) or (self.name is None) != (self.files is None):
            raise ValueError("give either version, or name and files")
        return self


class NewTry(Body):
    """`versions`: one to four of any strategies. Of `settings`, the strategy says nothing here."""

    model_config = example(
        versions=["zero-shot", "zero-shot@draft"], question="What is rope?", settings={"max_tokens": 32}
    )

    versions: Annotated[list[Said], Field(min_length=1, max_length=MOST_SIDES)]
    question: Text
    settings: Settings = Settings()


@dataclass(frozen=True)
class Checked:
    """`problem`: null for a source that can be kept."""

    problem: Problem | None


@dataclass(frozen=True)
class PreviewedStep:
    """One request to the model. `count`: of its tokens; `counts`: by where they come from. `room`: how many
    the answer may take.
    """

    name: str
    title: str
    text: str
    tokens: tuple[Token, ...]
    count: int
    counts: dict[Kind, int]
    room: int
    dropped_examples: int


@dataclass(frozen=True)
class Previewed:
    """`version`: its id, or `unsaved`."""

    version: PromptVersionId
    steps: list[PreviewedStep]


@dataclass(frozen=True)
class StoppedTry:
    stopped: bool


@router.post("/prompt-checks")
def check(parts: Parts, user: Engineer, body: NewCheck) -> Checked:
    """Whether a source can be kept; if not, why, with file and line. Nothing is stored."""
    return Checked(prompt_bench.check(body.name, body.files))


@router.post("/prompt-previews")
def preview(parts: Parts, user: Engineer, body: NewPreview) -> Previewed:
    """The exact text and tokens that the model would read for a question, step by step, with counts."""
    version = _previewed(parts, body)
    shown = parts.bench.preview(user.id, version.strategy, body.question, body.max_tokens)
    return Previewed(version.id, [_step(one) for one in shown])


def _sides(ids: Sequence[str], states: Sequence[ReplyState]) -> list[dict[str, Any]]:
    return [{"version": one, **shapes.reply_text(state)} for one, state in zip(ids, states, strict=True)]


STATES = streams.described(
    "An event for each change, with the states of all sides; it ends when all are finished.",
    streams.event("states", _sides(["pv_0a1b2c3d4e5f"], [EXAMPLE])),
)


@router.post("/prompt-tries", response_class=StreamingResponse, responses=STATES)
async def attempt(parts: Parts, user: Engineer, body: NewTry) -> StreamingResponse:
    """Versions answer one question side by side, as server-sent events: the state of every side, at most ten
    times a second. Nothing is stored; closing the stream stops the model.
    """
    sampling = body.settings.turn().sampling

    def begin() -> tuple[list[PromptVersion], Try]:
        versions = [library.find(parts.store, said) for said in body.versions]
        return versions, parts.bench.begin_try(user.id, versions, body.question, sampling)

    versions, begun = await run_in_threadpool(begin)
    return streams.streamed(_stream([version.id for version in versions], begun))


@router.delete("/prompt-tries")
def stop(parts: Parts, user: Engineer) -> StoppedTry:
    """End the try that this person has under way."""
    parts.bench.stop_try(user.id)
    return StoppedTry(True)


async def _stream(ids: list[str], begun: Try) -> AsyncIterator[str]:
    told, silent_s = None, 0.0
    try:
        while True:
            states = begun.states
            silent_s = 0.0 if states != told else silent_s + PACE_S
            if states != told:
                yield streams.event("states", _sides(ids, states))
                told = states
            elif silent_s > KEEP_ALIVE_S:
                silent_s = 0.0
                yield streams.STILL_HERE
            if all(state.finished for state in states):
                return
            await asyncio.sleep(PACE_S)
    finally:
        begun.stop()  # also when whoever listened has gone


def _previewed(parts: Rooms, body: NewPreview) -> PromptVersion:
    if body.version is not None:
        return library.find(parts.store, body.version)
    return prompt_bench.unsaved(body.name or "", body.files or {})


def _step(shown: StepPreview) -> PreviewedStep:
    return PreviewedStep(
        shown.name,
        shown.title,
        shown.text,
        shown.tokens,
        count=len(shown.tokens),
        counts=shown.counts,
        room=shown.room,
        dropped_examples=shown.dropped,
    )
