"""The prompt page, Edit: the files of a version, checked while one types, and the exact tokens they make."""

from typing import Any

import gradio as gr

from assistant import prompt_bench
from assistant.prompt_page import html
from assistant.prompt_page.desk import Desk, version_choices
from assistant.prompt_page.serving import Picked
from feedback import parts
from feedback.errors import ConflictError, HoneError
from feedback.handlers import QUIET, say
from feedback.ids import PromptVersionId
from feedback.people import Person
from prompts import library
from prompts.kept import strategy_source
from prompts.library import NewVersion, PromptVersion
from prompts.strategy import CHAIN_FILE

Files = dict[str, str]
Kept = dict[str, Files]

QUESTION = "Why is the sky blue?"
ONE_STEP, CHAIN, WRITTEN = "One step", "A chain of two steps", "A prompt that was written"

STEP_SOURCE = """---
title: {title}
description: What it does, in a sentence.
variables: [history, question]
---
{{% message "system" %}}Answer in one sentence.{{% endmessage %}}
{{% history %}}
{{% message "user" %}}{{{{ question }}}}{{% endmessage %}}
"""
FIRST_SOURCE = """---
title: Plan
variables: [question]
max_tokens: 80
---
{% message "user" %}List what a good answer needs: {{ question }}{% endmessage %}
"""
LAST_SOURCE = """---
title: Answer
variables: [history, question, plan]
---
{% history %}
{% message "user" %}{{ question }}

Use this plan: {{ plan }}{% endmessage %}
"""


def build(desk: Desk, picked: Picked) -> tuple[gr.State, Any]:
    """Lay the part out in the current tab. Returns the files under work, and the event after which a version
    was saved.
    """
    files = gr.State({})
    parent: gr.State = gr.State(None)
    with gr.Row(elem_classes="pp-split"):
        with gr.Column(scale=3, min_width=320):
            with gr.Row(elem_classes="hone-actions"):
                file = gr.Dropdown([], label="File", elem_id="pp-file", filterable=False, min_width=180)
            code = gr.Code(
                language="jinja2",
                lines=16,
                max_lines=34,
                label="Template",
                interactive=False,  # until there is a version to change: what one typed before would be lost
                elem_id="pp-code",
                wrap_lines=True,
            )
            verdict = gr.HTML(padding=False)
            with gr.Row():
                name = gr.Textbox(label="Save as the strategy", elem_id="pp-name", max_lines=1, min_width=140)
                note = gr.Textbox(
                    label="What changed?", elem_id="pp-note", max_lines=1, scale=2, min_width=180
                )
            with gr.Row(elem_classes="hone-actions"):
                save = gr.Button("Save as a draft", variant="primary", scale=0, elem_id="pp-save")
                undo = gr.Button("Undo changes", scale=0, elem_id="pp-undo")
            with gr.Accordion("Steps and new strategies", open=False, elem_id="pp-more"):
                fresh = _more(desk, files, parent, file, code, name)
        with gr.Column(scale=2, min_width=300):
            _tokens(desk, files, name)

    def write(person: Person, text: str, at: str | None, found: Files, said: str) -> tuple[object, object]:
        # The editor leaves out a file's last line end; without it, no change would be a change.
        end = "\n" if found.get(at or "", "").endswith("\n") and not text.endswith("\n") else ""
        changed = {**found, at: text + end} if at else found
        return changed, judged(changed, said)

    def choose(person: Person, at: str | None, found: Files) -> object:
        return gr.update(value=found.get(at or "", ""), language=language(at))

    def keep(person: Person, found: Files, said: str, noted: str, made_from: str | None) -> object:
        new = NewVersion(said.strip(), renamed(found, said), noted, parent_of(made_from))
        kept = save_draft(desk, person, new)
        say(f"{kept.id} is the draft of {kept.name}. Try it under Compare, then put it in production.")
        names = gr.update(value=kept.name, choices=[kept.name])
        versions = gr.update(choices=version_choices(desk.store, kept.name), value=kept.id)
        return names, versions, kept.id, dict(kept.strategy.files), kept.id

    _opens(desk, picked, undo, [files, parent, file, code, name, note, verdict])
    typed: dict[str, Any] = {"trigger_mode": "always_last", **QUIET}
    code.input(desk.handler(write), [code, file, files, name], [files, verdict], **typed)
    file.input(desk.handler(choose), [file, files], code, **QUIET)
    saved = save.click(
        desk.handler(keep),
        [files, name, note, parent],
        [picked.strategy, picked.version, picked.shown, files, parent],
    )
    fresh.then(lambda: "", None, verdict, **QUIET)
    return files, saved


def _opens(desk: Desk, picked: Picked, undo: gr.Button, editor: list[Any]) -> None:
    """The editor shows the version that is picked, with what was changed in it before and not saved; `undo`
    drops that. `editor`: files, parent, file, code, name, note, verdict.
    """
    aside = gr.State({})  # by the version's id
    files, parent = editor[:2]

    def open_version(
        person: Person, version_id: str | None, under_work: Files, made_from: str | None, kept: Kept
    ) -> tuple[object, ...]:
        left = put_aside(desk, kept, made_from, under_work)
        if version_id is None:
            return ({}, None, *[gr.skip()] * 5, left)
        version = library.get(desk.store, PromptVersionId(version_id))
        found = left.get(version_id, dict(version.strategy.files))
        told = parts.note("What you changed here and did not save.") if version_id in left else ""
        return (found, version_id, *_shown(found), version.name, "", told, left)

    def forget(person: Person, version_id: str | None, kept: Kept) -> tuple[object, ...]:
        left = {one: found for one, found in kept.items() if one != version_id}
        return open_version(person, version_id, {}, None, left)

    picked.shown.change(
        desk.handler(open_version), [picked.shown, files, parent, aside], [*editor, aside], **QUIET
    )
    undo.click(desk.handler(forget), [picked.shown, aside], [*editor, aside], **QUIET)


def _tokens(desk: Desk, files: gr.State, name: gr.Textbox) -> None:
    """The exact tokens that the files make of a question, when asked for."""
    question = gr.Textbox(QUESTION, label="Question", elem_id="pp-question", lines=2, max_lines=6)
    look = gr.Button("Show the exact tokens", elem_id="pp-look")
    nothing = parts.empty(
        "The exact text, token by token.", "Press the button; nothing is asked of the model."
    )
    tokens = gr.HTML(nothing, padding=False)

    def show(person: Person, found: Files, said: str, asked: str) -> object:
        version = prompt_bench.unsaved(said.strip(), renamed(found, said))
        return html.preview(desk.bench.preview(person.id, version.strategy, asked))

    for event in (look.click, question.submit):
        event(desk.handler(show), [files, name, question], tokens, show_progress="hidden")


def _more(
    desk: Desk, files: gr.State, parent: gr.State, file: gr.Dropdown, code: gr.Code, name: gr.Textbox
) -> Any:
    """Steps of a chain, and a strategy from nothing. Returns the event after which the editor was filled."""
    with gr.Row(elem_classes="hone-actions"):
        step = gr.Textbox(
            label="Step", placeholder="a name, such as check", elem_id="pp-step", max_lines=1, min_width=160
        )
        add = gr.Button("Add the step", scale=0, elem_id="pp-add-step")
        drop = gr.Button("Remove the open file", scale=0, elem_id="pp-drop-step")
    with gr.Row(elem_classes="hone-actions"):
        kind = gr.Radio([ONE_STEP, CHAIN, WRITTEN], value=ONE_STEP, label="New strategy", elem_id="pp-kind")
        start = gr.Button("Begin it", scale=0, elem_id="pp-begin")

    def add_step(person: Person, said: str, found: Files) -> tuple[object, ...]:
        wanted = f"{said.strip()}.jinja"
        if CHAIN_FILE not in found:
            raise HoneError("Only a chain has steps.", f"It has no {CHAIN_FILE}.", "Begin a chain below.")
        if not said.strip().isidentifier() or wanted in found:
            raise HoneError(
                "This step cannot be added.", "Its name is taken, or is not letters, digits and _."
            )
        more = {**found, wanted: STEP_SOURCE.format(title=said.strip().capitalize())}
        say(f"{wanted} is added. Name it under `steps` in {CHAIN_FILE}, where it shall run.")
        return (more, *_shown(more, wanted))

    def drop_step(person: Person, at: str | None, found: Files) -> tuple[object, ...]:
        if at in (None, CHAIN_FILE) or len(found) < 3:
            raise HoneError("This file cannot be removed.", "A strategy needs it.")
        left = {one: text for one, text in found.items() if one != at}
        return (left, *_shown(left))

    written = gr.Textbox(
        label="Its text, such as meta prompting wrote it: it is put after each question", visible=False,
        lines=3, max_lines=10, elem_id="pp-written",
    )  # fmt: skip
    kind.change(lambda which: gr.update(visible=which == WRITTEN), kind, written, **QUIET)

    def begin(person: Person, which: str, text: str) -> tuple[object, ...]:
        said = library.free_name(desk.store, "chain" if which == CHAIN else "prompt")
        found = dict(strategy_source(said, text)) if which == WRITTEN else fresh_files(said, which)
        return (found, None, *_shown(found), said)

    add.click(desk.handler(add_step), [step, files], [files, file, code], **QUIET)
    drop.click(desk.handler(drop_step), [file, files], [files, file, code], **QUIET)
    return start.click(desk.handler(begin), [kind, written], [files, parent, file, code, name], **QUIET)


def fresh_files(name: str, which: str) -> Files:
    """What a new strategy begins with: it can be saved as it is."""
    if which != CHAIN:
        return {f"{name}.jinja": STEP_SOURCE.format(title=name.capitalize())}
    head = f"title: {name.capitalize()}\ndescription: It plans, then answers.\nsteps: [plan, reply]\n"
    return {CHAIN_FILE: head, "plan.jinja": FIRST_SOURCE, "reply.jinja": LAST_SOURCE}


def renamed(files: Files, name: str) -> Files:
    """The same files under a strategy's name: a single template's file is called like it."""
    if len(files) == 1 and CHAIN_FILE not in files:
        return {f"{name.strip()}.jinja": next(iter(files.values()))}
    return files


def _shown(files: Files, at: str | None = None) -> tuple[object, object]:
    """Updates of the list of files and the editor, so that `at`, or the first template, is open."""
    order = sorted(files, key=lambda one: (one == CHAIN_FILE, one))
    at = at or next(iter(order), None)
    choices = gr.update(choices=order, value=at)
    return choices, gr.update(value=files.get(at or "", ""), language=language(at), interactive=True)


def language(file: str | None) -> str:
    return "yaml" if file == CHAIN_FILE else "jinja2"


def put_aside(desk: Desk, kept: Kept, made_from: str | None, under_work: Files) -> Kept:
    """What is kept of changes once another version is opened: those of the one that was open too."""
    if made_from is None:
        return kept
    left = {one: found for one, found in kept.items() if one != made_from}
    saved = dict(library.get(desk.store, PromptVersionId(made_from)).strategy.files)
    return left if under_work in ({}, saved) else left | {made_from: under_work}


def parent_of(made_from: str | None) -> PromptVersionId | None:
    return PromptVersionId(made_from) if made_from else None


def judged(files: Files, name: str) -> parts.Markup:
    """Whether the files can be saved under this name; else why not, with the place."""
    found = renamed(files, name)
    return html.problem(prompt_bench.check(name.strip(), found), found)


def save_draft(desk: Desk, person: Person, new: NewVersion) -> PromptVersion:
    """Keep a version. ConflictError when it is what it was made from, unchanged."""
    if new.parent_id is not None:
        parent = library.get(desk.store, new.parent_id)
        if (parent.name, dict(parent.strategy.files)) == (new.name, dict(new.files)):
            raise ConflictError("Nothing was changed.", todo="Change the text first.")
    return library.add(desk.store, person.id, new)
