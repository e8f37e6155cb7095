"""What the model would read for a question: each step's exact text, its tokens, and where they come from.

Put by the strategy's own steps and the one renderer, so that it is what a chat sends. Knows an engine; no
store and no page. What an earlier step would write is not known yet: a stand-in marks its place.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from assistant.engines.interface import Engine
from prompts.chat import neutral
from prompts.examples import Examples
from prompts.put import Asked, put
from prompts.step import Step
from prompts.strategy import Strategy

Kind = Literal["template", "example", "step", "question"]
KINDS: tuple[Kind, ...] = ("template", "example", "step", "question")


@dataclass(frozen=True)
class Token:
    """One token. `text` "": it ends within a character, which the next one completes."""

    text: str
    kind: Kind


@dataclass(frozen=True)
class StepPreview:
    """One request to the model. `room`: tokens that its answer may take; `dropped`: examples left out."""

    name: str
    title: str
    text: str
    tokens: tuple[Token, ...]
    room: int
    dropped: int

    @property
    def counts(self) -> dict[Kind, int]:
        """Tokens by where they come from; together they are all of the prompt's."""
        found = Counter(token.kind for token in self.tokens)
        return {kind: found[kind] for kind in KINDS}


def preview(
    engine: Engine, strategy: Strategy, question: str, max_tokens: int, pool: Examples | None = None
) -> tuple[StepPreview, ...]:
    """Every step for `question`, without earlier turns. HoneError when it does not fit the window."""
    outputs = {step.name: f"[what the step {step.title} writes]" for step in strategy.steps}
    asked = Asked(question, outputs=outputs, pool=pool)
    return tuple(_step(engine, step, asked, max_tokens) for step in strategy.steps)


def _step(engine: Engine, step: Step, asked: Asked, max_tokens: int) -> StepPreview:
    made = put(step, asked, engine, max_tokens)
    shown: list[tuple[str, Kind]] = [
        (text, "example") for one in made.examples for text in (one.question, one.answer)
    ]
    told: list[tuple[str, Kind]] = [
        (asked.outputs[name], "step") for name in step.variables if name in asked.outputs
    ]
    sources: list[tuple[str, Kind]] = [*shown, *told, (asked.question, "question")]
    marks = engine.template.control_tokens
    kinds = kinds_of(made.fitted.text, [(neutral(text, marks), kind) for text, kind in sources])
    return StepPreview(
        step.name,
        step.title,
        made.fitted.text,
        tuple(_marked(engine.tokens(made.fitted.text), kinds)),
        made.max_tokens,
        made.dropped_examples,
    )


def kinds_of(text: str, sources: Sequence[tuple[str, Kind]]) -> list[Kind]:
    """Pure: where each character of `text` comes from. Each source is looked for where none was found yet; of
    several places the last is the question's, the first any other's. What is not found stays the template's.
    """
    kinds: list[Kind] = ["template"] * len(text)
    for source, kind in sorted(sources, key=lambda one: one[1] != "question"):
        wanted = source.strip()
        at = _free(text, wanted, kinds, from_end=kind == "question")
        if at is not None:
            kinds[at : at + len(wanted)] = [kind] * len(wanted)
    return kinds


def _free(text: str, wanted: str, kinds: Sequence[Kind], from_end: bool) -> int | None:
    """Where `wanted` stands in a part of `text` that nothing was found in."""
    at = text.rfind(wanted) if from_end else text.find(wanted)
    while wanted and at >= 0:
        if all(kind == "template" for kind in kinds[at : at + len(wanted)]):
            return at
        at = text.rfind(wanted, 0, at) if from_end else text.find(wanted, at + 1)
    return None


def _marked(pieces: Sequence[str], kinds: Sequence[Kind]) -> Iterator[Token]:
    """A token belongs to where most of its characters come from; one without any goes with the next."""
    waiting: list[Token] = []
    at = 0
    for piece in pieces:
        inside = kinds[at : at + len(piece)]
        at += len(piece)
        kind: Kind = Counter(inside).most_common(1)[0][0] if inside else "template"
        waiting.append(Token(piece, kind))
        if piece:
            yield from (replace(token, kind=kind) for token in waiting)
            waiting = []
    yield from waiting
