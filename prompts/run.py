"""Puts one question by one strategy and streams what comes back. Knows steps and events, not the model.

The model is whatever `Teller` the caller brings: an engine behind a chat turn, or a stand-in in a test.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from feedback.conversations import Turn
from prompts.chat import ChatTemplate, with_system
from prompts.strategy import Step, Strategy
from prompts.window import Fitted, fit


class Teller(Protocol):
    """Who answers: one model version with the person's sampling settings."""

    @property
    def template(self) -> ChatTemplate: ...

    @property
    def window(self) -> int:
        """Tokens that prompt and reply may take together."""
        ...

    @property
    def max_tokens(self) -> int:
        """The person's limit on a reply's tokens."""
        ...

    @property
    def system_text(self) -> str:
        """What stands before everything else in each prompt, from a program that asks; "" for none."""
        ...

    @property
    def stopped(self) -> bool:
        """True once the person has stopped this reply: no further step runs."""
        ...

    def count_tokens(self, text: str) -> int: ...

    def generate(self, prompt_text: str, max_tokens: int) -> Iterator[str]:
        """The reply to this exact text, piece by piece; ends early when stopped."""
        ...


@dataclass(frozen=True)
class TraceStep:
    """A step that ran before the answer: the exact text the model received, and what it wrote."""

    name: str
    title: str
    prompt_text: str
    output: str


@dataclass(frozen=True)
class StepStarted:
    name: str
    title: str


@dataclass(frozen=True)
class StepText:
    name: str
    text: str


@dataclass(frozen=True)
class StepDone:
    name: str
    prompt_text: str
    output: str


@dataclass(frozen=True)
class ReasoningText:
    text: str


@dataclass(frozen=True)
class AnswerText:
    text: str


@dataclass(frozen=True)
class Finished:
    """The whole reply; comes last, always, and outranks the pieces before it.

    `trace` holds the steps before the answer. `prompt_text` and `prompt_tokens` are the answer's, "" and 0
    when a stop kept it from being asked. `dropped_turns` is the most that any step had to leave out.
    """

    answer: str
    reasoning: str
    trace: tuple[TraceStep, ...]
    prompt_text: str
    prompt_tokens: int
    dropped_turns: int


Event = StepStarted | StepText | StepDone | ReasoningText | AnswerText | Finished


def run(strategy: Strategy, history: Sequence[Turn], question: str, teller: Teller) -> Iterator[Event]:
    """Ask `question` after `history` by `strategy`.

    Every step but the last streams as StepText; the last as AnswerText, or ReasoningText until its answer
    marker. A reply without the marker is all answer: its text then comes again as one AnswerText, and
    `Finished` has no reasoning. Raises HoneError when the question does not fit the window.
    """
    trace: list[TraceStep] = []
    outputs: dict[str, str] = {}
    dropped = 0
    for step in strategy.steps[:-1]:
        fitted, limit = _put(step, history, question, outputs, teller)
        dropped = max(dropped, fitted.dropped_turns)
        yield StepStarted(step.name, step.title)
        pieces: list[str] = []
        for piece in teller.generate(fitted.text, limit):
            pieces.append(piece)
            yield StepText(step.name, piece)
        outputs[step.name] = "".join(pieces).strip()
        trace.append(TraceStep(step.name, step.title, fitted.text, outputs[step.name]))
        yield StepDone(step.name, fitted.text, outputs[step.name])
        if teller.stopped:
            yield Finished("", "", tuple(trace), "", 0, dropped)
            return
    fitted, limit = _put(strategy.steps[-1], history, question, outputs, teller)
    split = MarkerSplit(strategy.steps[-1].marker)
    for piece in teller.generate(fitted.text, limit):
        yield from split.feed(piece)
    yield from split.end()
    yield Finished(
        split.answer,
        split.reasoning,
        tuple(trace),
        fitted.text,
        fitted.prompt_tokens,
        max(dropped, fitted.dropped_turns),
    )


def _put(
    step: Step, history: Sequence[Turn], question: str, outputs: dict[str, str], teller: Teller
) -> tuple[Fitted, int]:
    """The step's prompt, fitted, and the tokens that its text may take."""
    limit = min(step.max_tokens or teller.max_tokens, teller.max_tokens)
    # A limit is not a wish: who allows very long replies still gets half the window for the conversation.
    reserve = min(limit, teller.window // 2)
    messages = with_system(step.messages(question, history, outputs), teller.system_text)
    fitted = fit(messages, teller.template, teller.count_tokens, teller.window - reserve)
    return fitted, min(limit, teller.window - fitted.prompt_tokens)


class MarkerSplit:
    """Parts a stream into reasoning and answer at the first `marker`, even when pieces cut the marker.

    Without a marker all is answer, unchanged. `answer` and `reasoning` are complete after `end()`.
    """

    def __init__(self, marker: str | None) -> None:
        self._marker = marker
        self._held = ""  # the end of what came, while it may still become the marker
        self._before: list[str] = []
        self._after: list[str] = []
        self._in_answer = marker is None

    def feed(self, piece: str) -> Iterator[ReasoningText | AnswerText]:
        if self._marker is None or self._in_answer:
            yield from self._answer(piece)
            return
        text = self._held + piece
        before, found, after = text.partition(self._marker)
        keep = 0 if found else overlap(text, self._marker)
        self._held = text[len(text) - keep :]
        before = before[: len(before) - keep] if not found else before
        if before:
            self._before.append(before)
            yield ReasoningText(before)
        if found:
            self._in_answer = True
            yield from self._answer(after)

    def end(self) -> Iterator[AnswerText]:
        if not self._in_answer:
            whole = "".join(self._before) + self._held
            self._before, self._held = [], ""
            if whole:
                self._after.append(whole)
                yield AnswerText(whole)

    def _answer(self, piece: str) -> Iterator[AnswerText]:
        if self._marker is not None and not self._after:
            piece = piece.lstrip()  # the space after the marker belongs to it
        if piece:
            self._after.append(piece)
            yield AnswerText(piece)

    @property
    def answer(self) -> str:
        return "".join(self._after)

    @property
    def reasoning(self) -> str:
        return "".join(self._before).strip()


def overlap(text: str, marker: str) -> int:
    """The length of the longest end of `text` that begins `marker`."""
    return next((n for n in range(min(len(marker) - 1, len(text)), 0, -1) if text.endswith(marker[:n])), 0)
