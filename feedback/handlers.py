"""How a page's handlers run: as somebody, whose role is asked for each time; a HoneError becomes a notice.

Gradio guards no handler, so every one of a page goes through `for_role`. Knows Gradio; no page and no rule.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gradio as gr

from feedback.errors import HoneError
from feedback.parts import text
from feedback.people import CurrentUser, Role, allowed

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
"""For events that only draw."""


@dataclass(frozen=True)
class Part:
    """One part of a page. `draw(person, *inputs)` reads the new state of all `outputs` from the store.

    `acts`: events of this part after which everything is drawn anew. `live`: drawn every two seconds while
    something runs, so its `draw` must be cheap and must not touch what a person may be typing into.
    """

    inputs: Sequence[Any]
    outputs: Sequence[Any]
    draw: Callable[..., Any]
    acts: Sequence[Any] = ()
    live: bool = False


def for_role(current_user: CurrentUser, role: Role, act: Callable[..., Any]) -> Callable[..., Any]:
    """`act(person, *inputs)` as a Gradio handler for those who hold `role`."""

    def handle(request: gr.Request, *inputs: Any) -> Any:
        try:
            return act(allowed(current_user(request), role), *inputs)
        except HoneError as error:
            gr.Warning(text(error), title="Not done")  # Gradio shows a notice as HTML
            return gr.skip()

    return handle


def deed_for_role(current_user: CurrentUser, role: Role, act: Callable[..., None]) -> Callable[..., None]:
    """The same for an `act` that gives nothing back: what it did is seen when the page is drawn anew."""
    run = for_role(current_user, role, act)

    def handle(request: gr.Request, *inputs: Any) -> None:
        run(request, *inputs)

    return handle


def stream_for_role(
    current_user: CurrentUser, role: Role, act: Callable[..., Iterator[Any]]
) -> Callable[..., Iterator[Any]]:
    """`act(person, *inputs)`, which gives one state after another, as a Gradio handler for that role."""

    def handle(request: gr.Request, *inputs: Any) -> Iterator[Any]:
        try:
            yield from act(allowed(current_user(request), role), *inputs)
        except HoneError as error:
            gr.Warning(text(error), title="Not done")
            yield gr.skip()

    return handle


class Desk(Protocol):
    """Whatever makes a page's handlers."""

    def handler(self, act: Callable[..., Any]) -> Callable[..., Any]: ...


@dataclass(frozen=True)
class Confirmation:
    """A question that stands between a button and its deed. Hidden until `opener` is pressed."""

    group: gr.Column
    question: gr.HTML
    reason: gr.Textbox
    yes: gr.Button


def confirmation(desk: Desk, opener: gr.Button, yes: str, tone: str = "primary") -> Confirmation:
    """Build it in the current layout. The caller says what the question is, and wires `yes`."""
    with gr.Column(visible=False, elem_classes="hone-confirm") as group:
        question = gr.HTML()
        reason = gr.Textbox(label="Why? The audit log keeps it.", visible=False, max_lines=3)
        with gr.Row():
            sure = gr.Button(yes, variant="primary" if tone == "primary" else "stop", size="md")
            no = gr.Button("No, leave it", variant="secondary", size="md")
    opener.click(desk.handler(lambda person: shown(True)), None, group, **QUIET)
    no.click(desk.handler(lambda person: shown(False)), None, group, **QUIET)
    return Confirmation(group, question, reason, sure)


def say(words: str) -> None:
    """Tell the person that it is done."""
    gr.Info(text(words), title="Done", duration=6)


def button(enabled: bool) -> Any:
    """A button's update: it can be pressed, or not."""
    return gr.update(interactive=enabled)


def shown(visible: bool) -> Any:
    """An element's update: it is there, or not."""
    return gr.update(visible=visible)


def chosen(choices: Sequence[tuple[str, str]], value: str | None) -> Any:
    """A dropdown's update that keeps what was chosen, and takes the first while nothing is."""
    values = [one for _, one in choices]
    return gr.update(choices=list(choices), value=value if value in values else next(iter(values), None))
