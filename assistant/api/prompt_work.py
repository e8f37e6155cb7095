"""Work on prompts for programs: check a source, see the tokens that the model would read, try versions."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import Field, model_validator
from starlette.concurrency import run_in_threadpool

from assistant import prompt_bench
from assistant.api import shapes
from assistant.api.bodies import Body, Settings, Text, example
from assistant.api.context import Engineer, Parts, Rooms
from assistant.api.prompts import SOURCE, Said, Source
from assistant.prompt_preview import StepPreview
from assistant.prompt_tries import MOST_SIDES, PACE_S, Try
from feedback.canonical import plain
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


@router.post("/prompt-checks")
def check(parts: Parts, user: Engineer, body: NewCheck) -> dict[str, Any]:
    """Whether a source can be kept; if not, why, with file and line. Nothing is stored."""
    return {"problem": plain(prompt_bench.check(body.name, body.files))}


@router.post("/prompt-previews")
def preview(parts: Parts, user: Engineer, body: NewPreview) -> dict[str, Any]:
    """The exact text and tokens that the model would read for a question, step by step, with counts."""
    version = _previewed(parts, body)
    shown = parts.bench.preview(user.id, version.strategy, body.question, body.max_tokens)
    return {"version": version.id, "steps": [_step(one) for one in shown]}


@router.post("/prompt-tries")
async def attempt(parts: Parts, user: Engineer, body: NewTry) -> StreamingResponse:
    """Versions answer one question side by side, as server-sent events: the state of every side, at most ten
    times a second. Nothing is stored; closing the stream stops the model.
    """
    sampling = body.settings.turn().sampling

    def begin() -> tuple[list[PromptVersion], Try]:
        versions = [library.find(parts.store, said) for said in body.versions]
        return versions, parts.bench.begin_try(user.id, versions, body.question, sampling)

    versions, begun = await run_in_threadpool(begin)
    return StreamingResponse(
        _stream([version.id for version in versions], begun),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.delete("/prompt-tries")
def stop(parts: Parts, user: Engineer) -> dict[str, Any]:
    """End the try that this person has under way."""
    parts.bench.stop_try(user.id)
    return {"stopped": True}


async def _stream(ids: list[str], begun: Try) -> AsyncIterator[str]:
    told, silent_s = None, 0.0
    try:
        while True:
            states = begun.states
            silent_s = 0.0 if states != told else silent_s + PACE_S
            if states != told:
                sides = [
                    {"version": one, **shapes.reply_text(state)}
                    for one, state in zip(ids, states, strict=True)
                ]
                yield f"event: states\ndata: {json.dumps(sides)}\n\n"
                told = states
            elif silent_s > KEEP_ALIVE_S:
                silent_s = 0.0
                yield ": still here\n\n"
            if all(state.finished for state in states):
                return
            await asyncio.sleep(PACE_S)
    finally:
        begun.stop()  # also when whoever listened has gone


def _previewed(parts: Rooms, body: NewPreview) -> PromptVersion:
    if body.version is not None:
        return library.find(parts.store, body.version)
    return prompt_bench.unsaved(body.name or "", body.files or {})


def _step(shown: StepPreview) -> dict[str, Any]:
    return {
        "name": shown.name,
        "title": shown.title,
        "text": shown.text,
        "tokens": plain(shown.tokens),
        "count": len(shown.tokens),
        "counts": shown.counts,
        "room": shown.room,
        "dropped_examples": shown.dropped,
    }
