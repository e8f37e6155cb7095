"""One step of a strategy: a request to the model as data, and the messages that it puts. Knows no files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jinja2 import TemplateError

from feedback.conversations import Turn
from feedback.errors import HoneError
from prompts.answers import AnswerRule
from prompts.chat import ChatMessage
from prompts.checks import Check
from prompts.examples import Choice, Example, Examples
from prompts.sandbox import compile_body, line_of, render_messages

GIVEN = ("question", "history", "examples", "instruction")
"""The variables that every template may declare, beside the outputs of earlier steps."""


@dataclass(frozen=True)
class FromPool:
    """The step's examples come from a pool: at most `count`, chosen so."""

    count: int
    choose: Choice


@dataclass(frozen=True)
class Step:
    """One request to the model.

    `file`: where it was written. `body`: Jinja, its line numbers those of the file. `variables` are what it
    takes in, its name is what it hands on. `instruction`: what the template puts where it says so.
    `examples`: its own, or, with `pool`, those for an empty pool.
    `max_tokens`: at most this many for this step; None: the person's limit. `temperature`: likewise, and it
    outranks the person's. `samples`: how many answers are asked for and voted on.

    `check`: what must hold of its answer. `retries`: how often it is asked again while it does not.
    `otherwise`: the later step to go to when it still does not hold; `go_on`: the one to go to when it does,
    or when nothing is checked. "": the next in order.
    """

    name: str
    title: str
    file: str
    body: str
    variables: tuple[str, ...]
    instruction: str = ""
    examples: tuple[Example, ...] = ()
    pool: FromPool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    samples: int = 1
    answer: AnswerRule = field(default_factory=AnswerRule)
    check: Check | None = None
    retries: int = 0
    otherwise: str = ""
    go_on: str = ""

    def chosen(self, question: str, pool: Examples | None) -> tuple[Example, ...]:
        """The examples for this question, the best first."""
        if self.pool is None or pool is None:
            return self.examples
        return pool.choose(question, self.pool.count, self.pool.choose) or self.examples

    def messages(
        self,
        question: str,
        history: Sequence[Turn] = (),
        outputs: Mapping[str, str] | None = None,
        examples: Sequence[Example] | None = None,
    ) -> list[ChatMessage]:
        """The messages that put `question`, after `history`, with the `outputs` of earlier steps by name.

        `examples`, the best first; None: the step's own. The nearest is put last, next to the question, which
        small models read best. Values are data: nothing in them is read as template. Raises HoneError when
        the template fails.
        """
        shown = tuple(self.examples if examples is None else examples)
        if self.pool is not None and self.pool.choose == "nearest":
            shown = shown[::-1]
        given = {"question": question, "history": tuple(history), "examples": shown}
        known = {**given, "instruction": self.instruction, **(outputs or {})}
        try:
            template = compile_body(self.body, self.variables)
            return render_messages(template, {name: known[name] for name in self.variables})
        except (TemplateError, TypeError, ValueError) as error:
            raise refused(self.file, line_of(error), str(error)) from error


def refused(file: str, line: int | None, reason: str) -> HoneError:
    """A template that cannot be used: which file, which line, why."""
    why = f"Line {line}: {reason}" if line else f"{reason[:1].upper()}{reason[1:]}"
    return HoneError(
        f"The template {file} cannot be used.",
        f"{why.rstrip('.')}.",
        "Mend the file; docs/prompts.md says what a template may hold.",
    )
