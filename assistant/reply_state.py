"""What can be shown of a reply, and how a turn's events make it grow. Pure: no thread, store or page."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from feedback.conversations import Message, Turn
from feedback.ids import MessageId
from prompts import run
from prompts.run import TraceStep


@dataclass(frozen=True)
class StepState:
    """One step of a chain, or the prompt that meta prompting wrote: named, filled as it runs, then done."""

    name: str
    title: str
    text: str = ""
    done: bool = False
    prompt: str = ""


@dataclass(frozen=True)
class ReplyState:
    """What can be shown of a reply at one moment. `waiting`: replies ahead of it in the model's queue."""

    reply_id: MessageId
    status: str  # writing, complete, stopped, failed
    content: str = ""
    reasoning: str = ""
    steps: tuple[StepState, ...] = ()
    dropped_turns: int = 0
    error: str = ""
    waiting: int = 0
    prompt_text: str = ""
    prompt_tokens: int = 0

    @property
    def finished(self) -> bool:
        return self.status != "writing"


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


def after(state: ReplyState, event: object) -> ReplyState:
    """The reply's state once `event` (of prompts.run) has happened."""
    steps = {step.name: step for step in state.steps}
    match event:
        case run.StepStarted():
            steps[event.name] = StepState(event.name, event.title)
        case run.StepText():
            steps[event.name] = replace(steps[event.name], text=steps[event.name].text + event.text)
        case run.StepDone():
            steps[event.name] = replace(
                steps[event.name], text=event.output, done=True, prompt=event.prompt_text
            )
        case run.ReasoningText():
            return replace(state, reasoning=state.reasoning + event.text)
        case run.AnswerText():
            return replace(state, content=state.content + event.text)
        case run.Finished():
            return replace(
                state,
                content=event.answer,
                reasoning=event.reasoning,
                dropped_turns=event.dropped_turns,
                prompt_text=event.prompt_text,
                prompt_tokens=event.prompt_tokens,
            )
    return replace(state, steps=tuple(steps.values()))


def trace_of(steps: Sequence[StepState]) -> list[dict[str, Any]]:
    """Steps as the store keeps them: the fields of prompts.run.TraceStep."""
    return [asdict(TraceStep(step.name, step.title, step.prompt, step.text)) for step in steps]


def steps_of(trace: Sequence[dict[str, Any]]) -> tuple[StepState, ...]:
    """The way back from `trace_of`, for a reply that is finished."""
    return tuple(StepState(s["name"], s["title"], s["output"], True, s["prompt_text"]) for s in trace)


def stored_state(message: Message) -> ReplyState:
    """The state of a reply that is not in memory. One that says `writing` belongs to another process."""
    return ReplyState(
        message.id,
        message.status,
        message.content,
        message.reasoning or "",
        steps_of(message.trace),
        message.dropped_turns,
        message.error or "",
    )
