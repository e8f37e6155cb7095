"""What every part of the operator page works with, and the one way in which its handlers run.

A handler runs as somebody: the role is asked for again each time. A HoneError becomes a notice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from assistant import accounts
from assistant.base import BaseChoice
from assistant.engines.interface import Engine
from assistant.fair_line import Traffic
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import UserId
from feedback.people import CurrentUser, Person, allowed
from feedback.store import Store
from training.jobs import Jobs
from training.page.html import text


@dataclass(frozen=True)
class Desk:
    """The rooms' doors that the page knocks at."""

    store: Store
    home: Home
    engine: Engine
    current_user: CurrentUser
    choice: BaseChoice
    traffic: Callable[[], Traffic]
    jobs: Jobs = field(default_factory=Jobs)

    def handler(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """`act(person, *inputs)` as a Gradio handler for operators only."""

        def handle(request: gr.Request, *inputs: Any) -> Any:
            try:
                return act(allowed(self.current_user(request), "operator"), *inputs)
            except HoneError as error:
                gr.Warning(text(error), title="Not done")  # Gradio shows a notice as HTML
                return gr.skip()

        return handle

    def deed(self, act: Callable[..., None]) -> Callable[..., None]:
        """The same for an `act` that gives nothing back: what it did is seen when the page is drawn anew."""
        run = self.handler(act)

        def handle(request: gr.Request, *inputs: Any) -> None:
            run(request, *inputs)

        return handle


@dataclass(frozen=True)
class Part:
    """One part of the page. `draw(person, *inputs)` reads the new state of all `outputs` from the store.

    `acts`: events of this part after which everything is drawn anew. `live`: drawn every two seconds while
    something runs, so its `draw` must be cheap and must not touch what a person may be typing into.
    """

    inputs: Sequence[Any]
    outputs: Sequence[Any]
    draw: Callable[..., Any]
    acts: Sequence[Any] = ()
    live: bool = False


def say(words: str) -> None:
    """Tell the operator that it is done."""
    gr.Info(text(words), title="Done", duration=6)


def name_of(store: Store, user_id: str) -> str:
    """A person's name, as it is today."""
    return accounts.get(store, UserId(user_id)).name


def button(enabled: bool) -> Any:
    """A button's update: it can be pressed, or not."""
    return gr.update(interactive=enabled)


def shown(visible: bool) -> Any:
    """An element's update: it is there, or not."""
    return gr.update(visible=visible)


@dataclass(frozen=True)
class Confirmation:
    """A question that stands between a button and its deed. Hidden until `opener` is pressed."""

    group: gr.Column
    question: gr.HTML
    reason: gr.Textbox
    yes: gr.Button


def confirmation(desk: Desk, opener: gr.Button, yes: str, tone: str = "primary") -> Confirmation:
    """Build it in the current layout. The caller says what the question is, and wires `yes`."""
    with gr.Column(visible=False, elem_classes="op-confirm") as group:
        question = gr.HTML()
        reason = gr.Textbox(label="Why? The audit log keeps it.", visible=False, max_lines=3)
        with gr.Row():
            sure = gr.Button(yes, variant="primary" if tone == "primary" else "stop", size="md")
            no = gr.Button("No, leave it", variant="secondary", size="md")
    opener.click(desk.handler(lambda person: shown(True)), None, group, queue=False, show_progress="hidden")
    no.click(desk.handler(lambda person: shown(False)), None, group, queue=False, show_progress="hidden")
    return Confirmation(group, question, reason, sure)


__all__ = ["Confirmation", "Desk", "Part", "Person", "button", "confirmation", "name_of", "say", "shown"]
