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
TELLS: dict[str, Any] = {**QUIET, "queue": True}
"""For those that change a state which others follow: Gradio tells of what went through its queue alone."""


@dataclass(frozen=True)
class Part:
    """One part of a page. `draw(person, *inputs)` reads the new state of all `outputs` from the store.

    `acts`: events of this part after which everything is drawn anew. `touched`: events after which this part
    alone is. `live`: drawn every two seconds while something runs, so its `draw` must be cheap. `tells`:
    others follow the change of a state among its outputs. A draw may answer after a person has gone on, so it
    must not touch what they may be typing into, nor set a value that is as it was.
    """

    inputs: Sequence[Any]
    outputs: Sequence[Any]
    draw: Callable[..., Any]
    acts: Sequence[Any] = ()
    touched: Sequence[Any] = ()
    live: bool = False
    tells: bool = False


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


def wire(
    desk: Desk,
    parts: Sequence[Part],
    events: Sequence[Any],
    deeds: Sequence[Any] = (),
    timer: gr.Timer | None = None,
) -> None:
    """Draw every part after each of `events`, of `deeds` and of the parts' acts; a live one on each tick too.

    An event that comes while the last one's draw is under way is drawn after it, so that what stands on the
    page is what was chosen last. Several parts follow no event itself but a state that it counts up: to draw
    one of them once more Gradio 6.31 starts every handler of the event anew, and so on without end; of a
    state's change it starts that one alone.
    """
    drawn = _counted(events)
    ticked = [_counted([timer.tick])] if timer else []
    done = [*deeds, *(act for part in parts for act in part.acts)]
    for part in parts:
        draw = desk.handler(part.draw), list(part.inputs) or None, list(part.outputs)
        how = TELLS if part.tells else QUIET
        triggers = [drawn, *part.touched, *(ticked if part.live else [])]
        gr.on(triggers, *draw, trigger_mode="always_last", **how)
        for deed in done:
            deed.then(*draw, **how)


def _counted(events: Sequence[Any]) -> Any:
    """An event that comes after each of `events`: the change of their count."""
    count = gr.State(0)
    gr.on(list(events), lambda so_far: so_far + 1, count, count, trigger_mode="multiple", **TELLS)
    return count.change


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
            no = gr.Button("No, leave it", variant="secondary", size="md", elem_classes="hone-no")
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


def chosen(choices: Sequence[tuple[str, str]], value: str | None, otherwise: str | None = None) -> Any:
    """A dropdown's update: what was chosen is left alone; if it is no choice, `otherwise` or the first is.

    Left alone rather than set again, which would take back what a person picks while the page is drawn.
    """
    values = [one for _, one in choices]
    return redrawn(choices, value, value if value in values else otherwise or next(iter(values), None))


def redrawn(choices: Sequence[tuple[str, str]], before: Any, now: Any) -> Any:
    """A choice's update: from `before` to `now`; where these are the same, what is chosen is left alone."""
    changes = {} if now == before else {"value": now}
    return gr.update(choices=list(choices), **changes)
