"""The prompt page, Files: in from files, out as files."""

from pathlib import Path
from typing import Any

import gradio as gr

from assistant.prompt_page.desk import Desk, version_choices
from assistant.prompt_page.serving import Picked
from feedback import parts
from feedback.errors import HoneError
from feedback.handlers import Part, say
from feedback.people import Person
from feedback.store import Store
from prompts import files, labels, library
from prompts.files import Source
from prompts.library import NewVersion, PromptVersion


def build(desk: Desk, picked: Picked) -> Part:
    """Lay the part out in the current tab."""
    gr.HTML(
        parts.note(
            "A .jinja file is a strategy of one step; a zip may hold many, a chain as a folder of its own."
        ),
        padding=False,
    )
    given = gr.File(
        label="Import", file_count="multiple", file_types=[".jinja", ".zip"], elem_id="pp-import", height=140
    )
    said = gr.HTML(padding=False)
    export = gr.HTML(padding=False)

    def take(person: Person, paths: list[str] | None) -> tuple[object, ...]:
        try:
            kept = keep(desk.store, person, [Path(path) for path in paths or ()])
        except HoneError as error:
            return None, parts.note(str(error), "bad"), *[gr.skip()] * 3
        last = kept[-1]
        say(f"{parts.plural(len(kept), 'draft')} imported.")
        return (
            None,
            parts.note("; ".join(f"{one.id} is the draft of {one.name}" for one in kept) + ".", "good"),
            gr.update(value=last.name, choices=[last.name]),
            gr.update(value=last.id, choices=version_choices(desk.store, last.name)),
            last.id,
        )

    done = given.upload(
        desk.handler(take),
        given,
        [given, said, picked.strategy, picked.version, picked.shown],
        show_progress="hidden",
    )

    def draw(person: Person, version_id: str | None) -> object:
        return (export_html(version_id),)

    return Part([picked.shown], [export], draw, [done])


def keep(store: Store, person: Person, paths: list[Path]) -> list[PromptVersion]:
    """Keep the strategies in these files as drafts: all, or none. HoneError, with file and line."""
    sources = [source for path in paths for source in files.from_bytes(path.name, path.read_bytes())]
    if not sources:
        raise HoneError("There is no strategy here.", todo="Choose a .jinja file or a zip.")
    with store.transaction():
        return [library.add(store, person.id, _new(store, source)) for source in sources]


def _new(store: Store, source: Source) -> NewVersion:
    return NewVersion(source.name, source.files, "Imported", labels.in_production(store, source.name))


def export_html(version_id: str | None) -> parts.Markup:
    """Links that a browser downloads by."""
    one = (
        f'<a class="pp-link" href="/api/prompt-versions/{parts.text(version_id)}/export" download>'
        "Export the version above</a>"
        if version_id
        else ""
    )
    every = '<a class="pp-link" href="/api/prompt-archive" download>Export all that is in production</a>'
    return parts.join(f'<div class="pp-links">{one}{every}</div>')


__all__: list[Any] = ["build", "export_html", "keep"]
