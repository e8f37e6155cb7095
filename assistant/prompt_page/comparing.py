"""The prompt page, Compare: what a version changes of another, and both on one question."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from assistant import prompt_bench
from assistant.prompt_page import html
from assistant.prompt_page.desk import Desk, titled, version_choices
from assistant.prompt_page.editor import QUESTION, Files, renamed
from assistant.prompt_page.serving import Picked, named
from feedback import parts
from feedback.conversations import Sampling
from feedback.handlers import QUIET, Part, redrawn
from feedback.ids import PromptVersionId
from feedback.people import Person
from feedback.store import Store
from prompts import diff, labels, library, overview
from prompts.library import PromptVersion

TRIES_AT_ONCE = 8
UNSAVED = "What is in the editor, unsaved"


def build(desk: Desk, picked: Picked, files: gr.State) -> Part:
    """Lay the part out in the current tab. `files`: what is under work in the editor."""
    against = gr.Dropdown([], label="Against", elem_id="pp-against", filterable=False)
    about = gr.State(None)  # the version that `against` was chosen for
    with gr.Row(elem_classes="hone-actions"):
        question = gr.Textbox(
            QUESTION, label="Question", elem_id="pp-try-question", lines=2, max_lines=6, min_width=260
        )
        temperature = gr.Slider(0, 2, 0.7, step=0.05, label="Temperature", min_width=150)
        longest = gr.Slider(16, 1024, 256, step=16, label="Longest answer, in tokens", min_width=150)
    unsaved = gr.Checkbox(
        False,
        label="Try what is in the editor, in place of the version chosen above",
        elem_id="pp-try-unsaved",
    )
    with gr.Row(elem_classes="hone-actions"):
        start = gr.Button("Try both", variant="primary", scale=0, elem_id="pp-try")
        stop = gr.Button("Stop", scale=0, elem_id="pp-stop", interactive=False)
        gr.HTML(
            parts.note("By the model that answers now, with one seed for both. Nothing is kept."),
            padding=False,
        )
    with gr.Row(elem_classes="pp-sides"):
        sides = [gr.HTML(padding=False, min_width=280) for _ in range(2)]
    changes = gr.HTML(padding=False)

    def attempt(  # noqa: PLR0913, PLR0917 - the controls, in their order
        person: Person,
        version_id: str | None,
        other_id: str | None,
        asked: str,
        warm: float,
        most: int,
        from_editor: bool,
        found: Files,
    ) -> Iterator[tuple[object, ...]]:
        one = library.get(desk.store, named(version_id))
        if from_editor:
            one = prompt_bench.unsaved(one.name, renamed(found, one.name))
        versions = [one, library.get(desk.store, named(other_id))]
        begun = desk.bench.begin_try(
            person.id, versions, asked, Sampling(temperature=warm, max_tokens=int(most))
        )
        names = [_name(desk.store, version) for version in versions]
        for states in begun.watch():
            shown = [html.side(name, state) for name, state in zip(names, states, strict=True)]
            yield (*shown, gr.update(interactive=not begun.finished))

    def end(person: Person) -> None:
        desk.bench.stop_try(person.id)

    inputs = [picked.shown, against, question, temperature, longest, unsaved, files]
    for event in (start.click, question.submit):
        event(
            desk.stream(attempt), inputs, [*sides, stop],
            show_progress="hidden", concurrency_limit=TRIES_AT_ONCE, concurrency_id="prompt-tries",
        )  # fmt: skip
    stop.click(desk.deed(end), None, None, **QUIET)

    def compare(person: Person, version_id: str | None, other_id: str | None) -> object:
        return changes_html(desk.store, version_id, other_id)

    against.input(desk.handler(compare), [picked.shown, against], changes, **QUIET)

    def draw(
        person: Person, name: str | None, version_id: str | None, other: str | None, was_about: str | None
    ) -> tuple[object, ...]:
        choices = other_choices(desk.store, name)
        fits = was_about == version_id and other in [value for _, value in choices]
        kept = other if fits else rival(desk.store, name, version_id, choices)
        return redrawn(choices, other, kept), version_id, changes_html(desk.store, version_id, kept)

    return Part([picked.strategy, picked.shown, against, about], [against, about, changes], draw)


def rival(
    store: Store, name: str | None, version_id: str | None, choices: Sequence[tuple[str, str]]
) -> str | None:
    """What a version is held against at first: what serves; for what serves, another of its own strategy."""
    serving = labels.in_production(store, name) if name else None
    others = [value for _, value in choices if value != version_id]
    return serving if serving and serving != version_id else next(iter(others), None)


def other_choices(store: Store, name: str | None) -> list[tuple[str, str]]:
    """What a version can be held against: its own strategy's first, then what others have in production."""
    others = [
        (f"{titled(one)}, production", str(one.production))
        for one in overview.read(store)
        if one.production and one.name != name
    ]
    return [*version_choices(store, name), *others]


def changes_html(store: Store, version_id: str | None, other_id: str | None) -> parts.Markup:
    """What the version looked at changes of the other."""
    if not version_id or not other_id:
        return parts.Markup("")
    one = library.get(store, PromptVersionId(version_id))
    other = library.get(store, PromptVersionId(other_id))
    title = parts.tag("h3", parts.text(f"What {one.id} changes of {other.id}"))
    return parts.join(title, html.diff(diff.between(other.strategy, one.strategy), other.id, one.id))


def _name(store: Store, version: PromptVersion) -> str:
    if version.id == prompt_bench.UNSAVED:
        return UNSAVED
    said = " ".join(labels.labels_of(store, version.id))
    return f"{version.strategy.title}, {version.id}" + (f" ({said})" if said else "")


__all__: list[Any] = ["build", "changes_html"]
