"""What is said of how a reply came about, in sentences, for every page and terminal. Pure."""

from collections.abc import Sequence

from assistant.reply_state import ReplyState, StepState
from prompts.events import Try


def agreement(state: ReplyState) -> str:
    """How self-consistency stands: "7 of 9 agreed", or how many answers there are so far; "" without it."""
    made = state.made
    if not made.wanted_samples:
        return ""
    if not state.finished:
        return f"{len(made.samples)} of {made.wanted_samples} answers so far"
    return f"{made.votes[0][1]} of {len(made.samples)} agreed" if made.votes else "No answer could be counted"


def step_remark(step: StepState) -> str:
    """What stands beside a step's title: retries, what failed, where a branch led, examples; often ""."""
    said = [f"asked again {_times(step.tries)}"] if step.tries else []
    if step.record is not None:
        record = step.record
        said += [f"its text {' and '.join(record.failed)}"] if record.failed else []
        said += [f"went on to {record.went_to}"] if record.went_to else []
        said += [_count(len(record.examples), "example") + " from people here"] if record.examples else []
        dropped = record.dropped_examples
        said += [f"{_count(dropped, 'example')} left out for lack of room"] if dropped else []
    return "; ".join(said)


def notes(state: ReplyState) -> list[tuple[str, str]]:
    """What stands under an answer: (kind, sentence)."""
    made = state.made
    said = [("chosen", state.chosen_because)] if state.chosen_because else []
    if turns := state.dropped_turns:
        oldest = "oldest message was" if turns == 1 else f"oldest {turns} messages were"
        said.append(
            (
                "dropped",
                f"The conversation is longer than the model can read: the {oldest} left out of this reply.",
            )
        )
    if dropped := made.dropped_examples:
        were = "1 example was" if dropped == 1 else f"{dropped} examples were"
        said.append(
            (
                "dropped-examples",
                f"The prompt is longer than the model can read: {were} left out of it.",
            )
        )
    if made.tries:
        why = " and ".join(made.tries[-1].failed)
        said.append(("retried", f"The model was asked again {_times(made.tries)}: its answer {why}."))
    if made.failed:
        said.append(("check-failed", f"This answer does not pass its check: it {' and '.join(made.failed)}."))
    return said


def _times(tries: Sequence[Try]) -> str:
    return "once" if len(tries) == 1 else f"{len(tries)} times"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
