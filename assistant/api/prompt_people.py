"""What people say of prompts, for programs: trials, win rates, and whether to prompt or to retrain."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from assistant import prompt_ask, prompt_people, registry
from assistant.api.bodies import Body, Text, example
from assistant.api.context import Engineer, Parts
from assistant.api.prompts import Note, Said
from assistant.prompt_ask import FEWEST, MOST, Asked
from assistant.prompt_people import Answer
from feedback.ids import PromptVersionId, TaskId
from prompts import library, standings, trials
from prompts.standings import Standing
from prompts.trials import MOST_ARMS, Arm, Trial

router = APIRouter(tags=["Engineer"])


class NewArm(Body):
    """`share`: of the conversations; shares need not sum to 1, only their proportion counts."""

    version: Said
    share: float = Field(default=1.0, gt=0, le=1000)


class NewTrial(Body):
    model_config = example(arms=[{"version": "zero-shot"}, {"version": "zero-shot@draft", "share": 0.5}])

    arms: Annotated[list[NewArm], Field(min_length=2, max_length=MOST_ARMS)]
    note: Note = ""


class NewMaker(Body):
    """`model`: name or id of a model version; null: the champion."""

    version: Said
    model: Said | None = None


class NewQuestions(Body):
    model_config = example(
        questions=["What is rope?"], makers=[{"version": "zero-shot"}, {"version": "zero-shot@draft"}]
    )

    questions: Annotated[list[Text], Field(min_length=1, max_length=20)]
    makers: Annotated[list[NewMaker], Field(min_length=FEWEST, max_length=MOST)]


@dataclass(frozen=True)
class QueuedTasks:
    tasks: list[TaskId]


@dataclass(frozen=True)
class ReadTrial:
    trial: Trial


@dataclass(frozen=True)
class Standings:
    """`against`: the version that all are compared with."""

    against: PromptVersionId
    worthwhile: float
    standings: list[Standing]


@router.post("/prompt-questions", status_code=201)
def ask(parts: Parts, user: Engineer, body: NewQuestions) -> QueuedTasks:
    """Have two to four makers answer the same questions, and queue the replies for labellers to rank."""
    makers = [
        Asked(
            library.find(parts.store, one.version).id,
            registry.get(parts.store, one.model).id if one.model else None,
        )
        for one in body.makers
    ]
    return QueuedTasks(prompt_ask.ask(parts.store, parts.turns.engine, body.questions, makers))


@router.post("/prompts/{name}/trial", status_code=201)
def start(parts: Parts, user: Engineer, name: str, body: NewTrial) -> ReadTrial:
    """Divide a strategy's conversations between versions; each conversation stays with the one it fell to."""
    arms = [Arm(library.of(parts.store, name, arm.version).id, arm.share) for arm in body.arms]
    return ReadTrial(trials.start(parts.store, user.id, name, arms, body.note))


@router.delete("/prompts/{name}/trial")
def stop(parts: Parts, user: Engineer, name: str) -> ReadTrial:
    """End the running trial: the version in production answers again."""
    return ReadTrial(trials.stop(parts.store, user.id, name))


@router.get("/prompts/{name}/standings")
def standing(
    parts: Parts,
    user: Engineer,
    name: str,
    against: Said | None = None,
    worthwhile: Annotated[float, Query(gt=0.5, lt=1)] = standings.WORTHWHILE,
) -> Standings:
    """How each version does with people against one of them (left out: what is in production): win rate from
    votes, share of thumbs up, and how many votes a win rate of `worthwhile` would still need to be told.
    """
    reference = library.find(parts.store, against or name)
    versions = [one.id for one in library.versions(parts.store, name)]
    found = standings.standings(standings.read(parts.store), versions, reference.id, worthwhile)
    return Standings(reference.id, worthwhile, found)


@router.get("/prompt-or-retrain")
def prompt_or_retrain(
    parts: Parts,
    user: Engineer,
    old: Said | None = None,
    new: Said | None = None,
    best: Said | None = None,
) -> Answer:
    """The best prompt on the old model, the plain prompt on the new, and both, from the same votes. Left out:
    `new` is the champion, `old` the champion before it (of a candidate, the present one), `best` what most
    surely beats zero-shot on `old`.
    """
    return prompt_people.prompt_or_retrain(parts.store, old, new, best)
