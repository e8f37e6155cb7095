"""How a reply came about, as the store keeps it and the pages show it. Pure: plain data to JSON and back."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from prompts.events import Finished, Sample, TraceStep, Try
from prompts.examples import Example


@dataclass(frozen=True)
class Made:
    """How an answer came about, beyond its prompt: the fields of prompts.events.Finished that say so.

    `examples`: those of a pool; a template's own stand in its source. `wanted_samples`: how many were asked
    for, of which `samples` are whole.
    """

    examples: tuple[Example, ...] = ()
    dropped_examples: int = 0
    tries: tuple[Try, ...] = ()
    failed: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()
    wanted_samples: int = 0
    votes: tuple[tuple[str, int], ...] = ()
    chosen: int = 0


def made_by(end: Finished, wanted_samples: int) -> Made:
    """What stands in a reply's record once it is finished."""
    return Made(
        from_pool(end.examples),
        end.dropped_examples,
        end.tries,
        end.failed,
        end.samples,
        wanted_samples,
        end.votes,
        end.chosen,
    )


def from_pool(examples: Sequence[Example]) -> tuple[Example, ...]:
    return tuple(example for example in examples if example.source)


def made_json(made: Made) -> dict[str, Any] | None:
    """`made` for the store; None when there is nothing to say."""
    return None if made == Made() else asdict(made)


def made_of(data: Mapping[str, Any] | None) -> Made:
    """The way back from `made_json`."""
    if not data:
        return Made()
    return Made(
        examples=_examples(data["examples"]),
        dropped_examples=data["dropped_examples"],
        tries=_tries(data["tries"]),
        failed=tuple(data["failed"]),
        samples=tuple(Sample(**sample) for sample in data["samples"]),
        wanted_samples=data["wanted_samples"],
        votes=tuple((answer, count) for answer, count in data["votes"]),
        chosen=data["chosen"],
    )


def step_json(step: TraceStep) -> dict[str, Any]:
    """A step before the answer, for the store."""
    return asdict(step)


def step_of(data: Mapping[str, Any]) -> TraceStep:
    """The way back from `step_json`. Replies of earlier versions of Hone have the first four fields alone."""
    first = (data["name"], data["title"], data["prompt_text"], data["output"])
    if "taken" not in data:
        return TraceStep(*first, taken=data["output"])
    return TraceStep(
        *first,
        taken=data["taken"],
        examples=_examples(data["examples"]),
        dropped_examples=data["dropped_examples"],
        tries=_tries(data["tries"]),
        failed=tuple(data["failed"]),
        went_to=data["went_to"],
    )


def _examples(items: Sequence[Mapping[str, Any]]) -> tuple[Example, ...]:
    return tuple(Example(**item) for item in items)


def _tries(items: Sequence[Mapping[str, Any]]) -> tuple[Try, ...]:
    return tuple(Try(item["output"], tuple(item["failed"])) for item in items)
