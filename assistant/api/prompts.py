"""Prompts for programs: the strategies and their versions, saved, compared, exported, put in production."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field, StringConstraints

from assistant.api.bodies import Body, Text, example
from assistant.api.context import Engineer, Parts
from feedback.ids import PromptVersionId, TrialId
from feedback.store import Store
from prompts import diff, files, labels, library, overview, service, trials
from prompts.diff import FileDiff
from prompts.kept import strategy_source
from prompts.labels import Move
from prompts.library import NewVersion, PromptVersion, VersionRecord
from prompts.overview import Overview
from prompts.service import Served
from prompts.trials import Trial

router = APIRouter(tags=["Engineer"])

Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=labels.LONGEST_NOTE)]
Source = Annotated[dict[str, str], Field(min_length=1, max_length=library.MOST_FILES)]

ZIP_TYPE = "application/zip"
SOURCE = """---
title: Zero-shot
description: The question alone.
variables: [history, question]
---
{% history %}
{% message "user" %}{{ question }}{% endmessage %}
"""


class Draft(Body):
    """`files`: file name to text, as under prompts/templates. `parent`: the version it was made from."""

    model_config = example(files={"zero-shot.jinja": SOURCE}, note="As it was shipped")

    files: Source
    note: Note = ""
    parent: Said | None = None


class Written(Body):
    """`title`: what the picker shows; empty: the first words of `text`."""

    model_config = example(text="Answer in one sentence.", note="Shorter")

    text: Text
    title: Annotated[str, StringConstraints(max_length=200)] = ""
    note: Note = ""


class Placement(Body):
    """`version`: an id or its start, or NAME@draft."""

    model_config = example(version="zero-shot@draft", note="Won its trial")

    version: Said
    note: Note = ""


class Reason(Body):
    model_config = example(note="It was worse.")

    note: Note = ""


@dataclass(frozen=True)
class ListedStrategy(Overview):
    """One strategy. `production`, `draft`: versions; `count`: of all. `trial`: the one that runs now."""

    can_go_back: bool
    trial: Trial | None


@dataclass(frozen=True)
class ReadStrategy(ListedStrategy):
    __doc__ = ListedStrategy.__doc__

    versions: list[VersionRecord]
    moves: list[Move]
    trials: list[Trial]


@dataclass(frozen=True)
class ListedStrategies:
    strategies: list[ListedStrategy]


@dataclass(frozen=True)
class ReadVersion(VersionRecord):
    """One version. `parent_id`: what it was made from, where that is known. `files`: file name to text."""

    title: str
    description: str
    files: dict[str, str]


@dataclass(frozen=True)
class Differences:
    """`unified`: as `diff -u` writes it."""

    old: PromptVersionId
    new: PromptVersionId
    files: tuple[FileDiff, ...]
    unified: str


@dataclass(frozen=True)
class Placed:
    """What a move of the production label did. `production`: the version that answers now; null: none."""

    name: str
    before: PromptVersionId | None
    production: PromptVersionId | None
    ended_trial: TrialId | None


@router.get("/prompts")
def listing(parts: Parts, user: Engineer) -> ListedStrategies:
    """Every strategy: what is in production, the draft, and how many versions there are."""
    return ListedStrategies([_strategy(parts.store, one) for one in overview.read(parts.store)])


@router.get("/prompts/{name}")
def read(parts: Parts, user: Engineer, name: str) -> ReadStrategy:
    """One strategy with all its versions, the moves of its production label, and its trials, latest first."""
    return ReadStrategy(
        **vars(_strategy(parts.store, overview.of(parts.store, name))),
        versions=library.versions(parts.store, name),
        moves=labels.moves(parts.store, name),
        trials=trials.history(parts.store, name),
    )


@router.post("/prompts/{name}/versions", status_code=201)
def save(parts: Parts, user: Engineer, name: str, body: Draft) -> ReadVersion:
    """Keep a version, or import one, and put the draft label on it; a bad file is refused with its line."""
    parent = library.find(parts.store, body.parent).id if body.parent else None
    version = library.add(parts.store, user.id, NewVersion(name, body.files, body.note, parent))
    return _version(parts.store, version)


@router.post("/prompts/{name}/written", status_code=201)
def keep(parts: Parts, user: Engineer, name: str, body: Written) -> ReadVersion:
    """Keep a prompt that a model or a person wrote as a draft: its text is put after each question."""
    source = strategy_source(name, body.text, body.title)
    return _version(parts.store, library.add(parts.store, user.id, NewVersion(name, source, body.note)))


@router.get("/prompt-versions/{version}")
def version(parts: Parts, user: Engineer, version: str) -> ReadVersion:
    """One version with its files: an id or its start, NAME, NAME@draft or NAME@production."""
    return _version(parts.store, library.find(parts.store, version))


@router.get("/prompt-versions/{version}/diff/{other}")
def differences(parts: Parts, user: Engineer, version: str, other: str) -> Differences:
    """What `other` changes of `version`: line by line, and as one unified diff."""
    old, new = library.find(parts.store, version), library.find(parts.store, other)
    return Differences(
        old.id,
        new.id,
        files=diff.between(old.strategy, new.strategy),
        unified=diff.unified(old.strategy, new.strategy, old.id, new.id),
    )


ZIP: dict[int | str, dict[str, Any]] = {200: {"description": "A zip.", "content": {ZIP_TYPE: {}}}}


@router.get("/prompt-versions/{version}/export", response_class=Response, responses=ZIP)
def export(parts: Parts, user: Engineer, version: str) -> Response:
    """The version as files in a zip, as `hone prompts import` and the page take them."""
    found = library.find(parts.store, version)
    headers = {"Content-Disposition": f'attachment; filename="{found.name}-{found.id}.zip"'}
    return Response(files.zipped([found.strategy]), media_type=ZIP_TYPE, headers=headers)


@router.get("/prompt-archive", response_class=Response, responses=ZIP)
def archive(parts: Parts, user: Engineer) -> Response:
    """All that is in production as files in one zip, for a backup or another home."""
    found = [version.strategy for version in library.serving(parts.store)]
    headers = {"Content-Disposition": 'attachment; filename="prompts.zip"'}
    return Response(files.zipped(found), media_type=ZIP_TYPE, headers=headers)


@router.put("/prompts/{name}/production")
def put(parts: Parts, user: Engineer, name: str, body: Placement) -> Placed:
    """Put a version in production: it answers from the next reply on, and a trial of its strategy ends."""
    found = library.of(parts.store, name, body.version)
    return _placed(service.put(parts.store, user.id, found.id, body.note))


@router.post("/prompts/{name}/production/back")
def go_back(parts: Parts, user: Engineer, name: str, body: Reason) -> Placed:
    """Take back the last move of the production label that still stands; a trial ends with it."""
    return _placed(service.go_back(parts.store, user.id, name, body.note))


@router.put("/prompts/{name}/draft")
def draft(parts: Parts, user: Engineer, name: str, body: Placement) -> ListedStrategy:
    """Put the draft label on a version. Saving does so by itself."""
    found = library.of(parts.store, name, body.version)
    labels.move_draft(parts.store, user.id, found.id)
    return _strategy(parts.store, overview.of(parts.store, name))


def _strategy(store: Store, one: Overview) -> ListedStrategy:
    can_go_back = labels.can_go_back(store, one.name)
    return ListedStrategy(**vars(one), can_go_back=can_go_back, trial=trials.running(store, one.name))


def _version(store: Store, version: PromptVersion) -> ReadVersion:
    told, strategy = library.record(store, version.id), version.strategy
    return ReadVersion(
        **vars(told),
        title=strategy.title,
        description=strategy.description,
        files=dict(strategy.files),
    )


def _placed(moved: Served) -> Placed:
    return Placed(moved.name, moved.before, moved.version_id, moved.ended_trial)
