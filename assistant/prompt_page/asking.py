"""The prompt page's form that asks labellers: questions in, label tasks out."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from assistant import prompt_ask
from assistant.prompt_ask import Asked
from assistant.prompt_page.desk import Desk
from feedback import parts
from feedback.handlers import say
from feedback.people import Person

CHUNK = 4
"""Questions asked between two looks at progress. Few: people who chat wait while the model answers."""


def build(desk: Desk, inputs: Sequence[Any], makers: Callable[..., Sequence[Asked]], who: str) -> None:
    """Lay the form out. `makers(*inputs)`: who answers each question; `who`: that in words."""
    with gr.Accordion("Ask labellers", open=False):
        gr.HTML(
            parts.note(f"Each question is answered by {who}; labellers then rank the replies, blind."),
            padding=False,
        )
        lines = gr.Textbox(label="Questions, one a line", lines=4, max_lines=12)
        start = gr.Button("Ask", scale=0)
        told = gr.HTML(padding=False)

    def ask(person: Person, text: str, *values: Any) -> Iterator[object]:
        questions, wanted = prompt_ask.questions_of(text.splitlines()), makers(*values)
        made = 0
        for first in range(0, len(questions), CHUNK):
            yield parts.bar(first, len(questions), f"{first} of {len(questions)} questions answered.")
            made += len(prompt_ask.ask(desk.store, desk.engine, questions[first : first + CHUNK], wanted))
        alike = "" if made == len(questions) else " The others got replies that were all alike."
        yield parts.note(f"{parts.plural(made, 'label task')} queued.{alike}", "good")
        say("The questions wait on the Label page.")

    start.click(desk.stream(ask), [lines, *inputs], told, show_progress="hidden", concurrency_limit=1)
