"""What can be shown of a reply, and how a turn's events make it grow. Pure: no thread, store or page."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from assistant.reply_record import Made, from_pool, made_by, made_of, step_json, step_of
from feedback.conversations import Message, Turn
from feedback.ids import MessageId
from feedback.message import Status
from prompts import answers, events
from prompts.events import TraceStep, Try


@dataclass(frozen=True)
class StepState:
    """One step before the answer: named, filled as it runs, then done. `tries`: its texts that failed.

    `record`: all there is to say of it, once it is done.
    """

    name: str
    title: str
    text: str = ""
    tries: tuple[Try, ...] = ()
    record: TraceStep | None = None

    @property
    def done(self) -> bool:
        return self.record is not None


@dataclass(frozen=True)
class ReplyState:
    """What can be shown of a reply at one moment. `waiting`: replies ahead of it in the model's queue.
    `chosen_because`: why `auto` took its strategy; "" where whoever asked had named it.
    """

    reply_id: MessageId
    status: Status
    content: str = ""
    reasoning: str = ""
    steps: tuple[StepState, ...] = ()
    made: Made = field(default_factory=Made)
    dropped_turns: int = 0
    error: str = ""
    waiting: int = 0
    prompt_text: str = ""
    prompt_tokens: int = 0
    chosen_because: str = ""

    @property
    def finished(self) -> bool:
        return self.status != "writing"

    @property
    def begun(self) -> bool:
        """Whether there is anything to see of it."""
        return bool(self.content or self.reasoning or self.steps or self.made.samples or self.made.tries)


def history_of(path: Sequence[Message]) -> tuple[tuple[Turn, ...], str]:
    """What the model is told of a thread that ends in a person's message: earlier turns, and the question.

    A question whose reply stayed empty (it failed, or was stopped before its first word) is left out with it:
    no chat template has a place for an empty turn.
    """
    turns: list[Turn] = []
    for message in path[:-1]:
        if message.role == "assistant" and not message.content.strip():
            if turns and turns[-1].role == "user":
                turns.pop()
        else:
            turns.append(Turn(message.role, message.content))
    return tuple(turns), path[-1].content


def after(state: ReplyState, event: events.Event) -> ReplyState:
    """The reply's state once `event` has happened."""
    made = state.made
    match event:
        case events.StepStarted() | events.StepText() | events.StepRetried() | events.StepDone():
            return replace(state, steps=_grown(state.steps, event))
        case events.ReasoningText():
            return replace(state, reasoning=state.reasoning + event.text)
        case events.AnswerText():
            return replace(state, content=state.content + event.text)
        case events.AnswerRetried():
            return replace(state, made=replace(made, tries=(*made.tries, event.tried)))
        case events.SampleDone():
            samples = (*made.samples, event.sample)
            votes = answers.majority([sample.taken for sample in samples])
            return replace(
                state, made=replace(made, samples=samples, wanted_samples=event.wanted, votes=votes)
            )
        case events.Finished():
            return replace(
                state,
                content=event.answer,
                reasoning=event.reasoning,
                made=made_by(event, made.wanted_samples),
                dropped_turns=event.dropped_turns,
                prompt_text=event.prompt_text,
                prompt_tokens=event.prompt_tokens,
            )


def _grown(
    steps: Sequence[StepState],
    event: events.StepStarted | events.StepText | events.StepRetried | events.StepDone,
) -> tuple[StepState, ...]:
    if isinstance(event, events.StepStarted):
        return (*steps, StepState(event.name, event.title))
    *before, step = steps
    match event:
        case events.StepText():
            step = replace(step, text=step.text + event.text)
        case events.StepRetried():
            step = replace(step, text="", tries=(*step.tries, event.tried))
        case events.StepDone():
            record = replace(event.step, examples=from_pool(event.step.examples))
            step = replace(step, text=record.output, record=record)
    return (*before, step)


def trace_of(steps: Sequence[StepState]) -> list[dict[str, Any]]:
    """Steps as the store keeps them: the fields of prompts.events.TraceStep."""
    return [
        step_json(step.record or TraceStep(step.name, step.title, "", step.text, tries=step.tries))
        for step in steps
    ]


def steps_of(trace: Sequence[dict[str, Any]]) -> tuple[StepState, ...]:
    """The way back from `trace_of`, for a reply that is finished."""
    records = [step_of(data) for data in trace]
    return tuple(StepState(one.name, one.title, one.output, one.tries, one) for one in records)


def stored_state(message: Message) -> ReplyState:
    """The state of a reply that is not in memory. One that says `writing` belongs to another process."""
    return ReplyState(
        message.id,
        message.status,
        message.content,
        message.reasoning or "",
        steps_of(message.trace),
        made_of(message.made),
        message.dropped_turns,
        message.error or "",
        chosen_because=message.chosen_because or "",
    )
