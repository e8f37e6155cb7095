"""Prompts for programs: the strategies and their versions, saved, compared, exported, put in production."""

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field, StringConstraints

from assistant.api.bodies import Body, Text, example
from assistant.api.context import Engineer, Parts
from feedback.canonical import plain
from feedback.store import Store
from prompts import diff, files, labels, library, overview, service, trials
from prompts.kept import strategy_source
from prompts.library import NewVersion, PromptVersion
from prompts.overview import Overview
from prompts.service import Served

router = APIRouter(tags=["Engineer"])

Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=labels.LONGEST_NOTE)]
Source = Annotated[dict[str, str], Field(min_length=1, max_length=library.MOST_FILES)]

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


@router.get("/prompts")
def listing(parts: Parts, user: Engineer) -> dict[str, Any]:
    """Every strategy: what is in production, the draft, and how many versions there are."""
    return {"strategies": [_strategy(parts.store, one) for one in overview.read(parts.store)]}


@router.get("/prompts/{name}")
def read(parts: Parts, user: Engineer, name: str) -> dict[str, Any]:
    """One strategy with all its versions, the moves of its production label, and its trials, latest first."""
    return {
        **_strategy(parts.store, overview.of(parts.store, name)),
        "versions": plain(library.versions(parts.store, name)),
        "moves": plain(labels.moves(parts.store, name)),
        "trials": plain(trials.history(parts.store, name)),
    }


@router.post("/prompts/{name}/versions", status_code=201)
def save(parts: Parts, user: Engineer, name: str, body: Draft) -> dict[str, Any]:
    """Keep a version, or import one, and put the draft label on it; a bad file is refused with its line."""
    parent = library.find(parts.store, body.parent).id if body.parent else None
    version = library.add(parts.store, user.id, NewVersion(name, body.files, body.note, parent))
    return _version(parts.store, version)


@router.post("/prompts/{name}/written", status_code=201)
def keep(parts: Parts, user: Engineer, name: str, body: Written) -> dict[str, Any]:
    """Keep a prompt that a model or a person wrote as a draft: its text is put after each question."""
    source = strategy_source(name, body.text, body.title)
    return _version(parts.store, library.add(parts.store, user.id, NewVersion(name, source, body.note)))


@router.get("/prompt-versions/{version}")
def version(parts: Parts, user: Engineer, version: str) -> dict[str, Any]:
    """One version with its files: an id or its start, NAME, NAME@draft or NAME@production."""
    return _version(parts.store, library.find(parts.store, version))


@router.get("/prompt-versions/{version}/diff/{other}")
def differences(parts: Parts, user: Engineer, version: str, other: str) -> dict[str, Any]:
    """What `other` changes of `version`: line by line, and as one unified diff."""
    old, new = library.find(parts.store, version), library.find(parts.store, other)
    return {
        "old": old.id,
        "new": new.id,
        "files": plain(diff.between(old.strategy, new.strategy)),
        "unified": diff.unified(old.strategy, new.strategy, old.id, new.id),
    }


@router.get("/prompt-versions/{version}/export")
def export(parts: Parts, user: Engineer, version: str) -> Response:
    """The version as files in a zip, as `hone prompts import` and the page take them."""
    found = library.find(parts.store, version)
    headers = {"Content-Disposition": f'attachment; filename="{found.name}-{found.id}.zip"'}
    return Response(files.zipped([found.strategy]), media_type="application/zip", headers=headers)


@router.get("/prompt-archive")
def archive(parts: Parts, user: Engineer) -> Response:
    """All that is in production as files in one zip, for a backup or another home."""
    found = [version.strategy for version in library.serving(parts.store)]
    headers = {"Content-Disposition": 'attachment; filename="prompts.zip"'}
    return Response(files.zipped(found), media_type="application/zip", headers=headers)


@router.put("/prompts/{name}/production")
def put(parts: Parts, user: Engineer, name: str, body: Placement) -> dict[str, Any]:
    """Put a version in production: it answers from the next reply on, and a trial of its strategy ends."""
    found = library.of(parts.store, name, body.version)
    return _served(service.put(parts.store, user.id, found.id, body.note))


@router.post("/prompts/{name}/production/back")
def go_back(parts: Parts, user: Engineer, name: str, body: Reason) -> dict[str, Any]:
    """Take back the last move of the production label that still stands; a trial ends with it."""
    return _served(service.go_back(parts.store, user.id, name, body.note))


@router.put("/prompts/{name}/draft")
def draft(parts: Parts, user: Engineer, name: str, body: Placement) -> dict[str, Any]:
    """Put the draft label on a version. Saving does so by itself."""
    found = library.of(parts.store, name, body.version)
    labels.move_draft(parts.store, user.id, found.id)
    return _strategy(parts.store, overview.of(parts.store, name))


def _strategy(store: Store, one: Overview) -> dict[str, Any]:
    return {
        **plain(one),
        "can_go_back": labels.can_go_back(store, one.name),
        "trial": plain(trials.running(store, one.name)),
    }


def _version(store: Store, version: PromptVersion) -> dict[str, Any]:
    told = plain(library.record(store, version.id))
    about = {"title": version.strategy.title, "description": version.strategy.description}
    return {**told, **about, "files": dict(version.strategy.files)}


def _served(moved: Served) -> dict[str, Any]:
    return {
        "name": moved.name,
        "before": moved.before,
        "production": moved.version_id,
        "ended_trial": moved.ended_trial,
    }
