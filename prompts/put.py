"""A step's prompt for one question: examples chosen, rendered, fitted into the window. Asks no model.

A chat puts it to its model; a preview shows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from feedback.conversations import Turn
from prompts.chat import ChatMessage, ChatTemplate, with_system
from prompts.examples import Example, Examples
from prompts.step import Step
from prompts.window import Fitted, fit_examples, prompt_budget


class Reader(Protocol):
    """The model as far as a prompt is made for it."""

    @property
    def template(self) -> ChatTemplate: ...

    @property
    def window(self) -> int:
        """Tokens that prompt and reply may take together."""
        ...

    def count_tokens(self, text: str) -> int: ...


@dataclass(frozen=True)
class Asked:
    """What a step takes in. `outputs`: what earlier steps wrote, by their names. `pool`: where a step that
    wants it takes examples from. `system_text`: a program's; it stands before everything else.
    """

    question: str
    history: tuple[Turn, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    pool: Examples | None = None
    system_text: str = ""


@dataclass(frozen=True)
class Put:
    """A step's prompt, fitted, and the tokens that its text may take. `examples`: those shown, best first."""

    fitted: Fitted
    max_tokens: int
    examples: tuple[Example, ...]
    dropped_examples: int


def put(step: Step, asked: Asked, reader: Reader, max_tokens: int) -> Put:
    """`max_tokens`: the person's limit on a reply. HoneError when the question does not fit the window."""
    limit = min(step.max_tokens or max_tokens, max_tokens)
    chosen = step.chosen(asked.question, asked.pool) if "examples" in step.variables else ()

    def messages_with(count: int) -> list[ChatMessage]:
        written = step.messages(asked.question, asked.history, asked.outputs, chosen[:count])
        return with_system(written, asked.system_text)

    budget = prompt_budget(limit, reader.window)
    kept, fitted = fit_examples(messages_with, len(chosen), reader.template, reader.count_tokens, budget)
    room = min(limit, reader.window - fitted.prompt_tokens)
    return Put(fitted, room, chosen[:kept], len(chosen) - kept)
