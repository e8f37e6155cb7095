"""Asking labellers about prompts: makers answer the same questions, and the label queue gets their replies.

The quick way to votes that compare: in a trial they come as people compare of themselves. Knows the store and
one engine; no page.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from assistant import draw, registry
from assistant.draw import DRAWN, Question
from assistant.engines.interface import Engine
from feedback.conversations import Turn
from feedback.errors import HoneError
from feedback.ids import ModelVersionId, PromptVersionId, TaskId
from feedback.store import Store
from prompts import library
from prompts.library import PromptVersion

MOST_QUESTIONS = 200
FEWEST, MOST = 2, 4


@dataclass(frozen=True)
class Asked:
    """Who answers: a prompt version on a model version; None: the champion."""

    prompt_version_id: PromptVersionId
    model_version_id: ModelVersionId | None = None


def ask(
    store: Store,
    engine: Engine,
    questions: Sequence[str],
    makers: Sequence[Asked],
) -> list[TaskId]:
    """Queue each question with one reply by each of two to four makers. HoneError for none, or for a prompt
    that takes more than one plain request: what labellers see must be what people would.
    """
    asked = questions_of(questions)
    if not FEWEST <= len(makers) <= MOST:
        raise HoneError(f"Labellers rank {FEWEST} to {MOST} replies, not {len(makers)}.")
    prompts = [_plain(library.get(store, maker.prompt_version_id)) for maker in makers]
    models = [
        registry.get(store, maker.model_version_id) if maker.model_version_id else registry.champion(store)
        for maker in makers
    ]
    wanted = [Question((Turn("user", text),), tuple(prompts), tuple(models)) for text in asked]
    return draw.draw_tasks(store, engine, wanted, DRAWN)


def questions_of(lines: Sequence[str]) -> list[str]:
    """The questions that are not blank, each once. HoneError for none, or for too many."""
    found = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not found:
        raise HoneError("There are no questions.", todo="Write one or more, each on a line of its own.")
    if len(found) > MOST_QUESTIONS:
        raise HoneError(f"There are {len(found)} questions.", f"{MOST_QUESTIONS} can be asked at once.")
    return found


def _plain(version: PromptVersion) -> PromptVersion:
    """The version, if one request and its whole text are the answer."""
    step = version.strategy.steps[-1]
    if len(version.strategy.steps) > 1 or step.samples > 1 or step.check or step.answer.marker or step.pool:
        raise HoneError(
            f"Labellers cannot be asked about {version.id}.",
            "It takes more than one plain request to answer by it.",
            "Run a trial: people who compare replies in their chats judge it.",
        )
    return version
