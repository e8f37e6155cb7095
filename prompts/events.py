"""What happens while a strategy runs, and the record that is left. Plain data; knows no model."""

from dataclasses import dataclass

from prompts.examples import Example


@dataclass(frozen=True)
class Try:
    """A text that failed a check, after which the step was asked again. `failed`: the checks, in words."""

    output: str
    failed: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """One of the answers of self-consistency. `taken`: what the answer's rule took of it: its vote."""

    answer: str
    reasoning: str
    taken: str


@dataclass(frozen=True)
class TraceStep:
    """A step that ran before the answer: the exact text the model received, and what it wrote.

    `taken`: what later steps were given of `output`. `tries`: the texts before this one that failed a check.
    `failed`: the checks that `output` fails too. `went_to`: the step that a branch led to; "": the next.
    """

    name: str
    title: str
    prompt_text: str
    output: str
    taken: str = ""
    examples: tuple[Example, ...] = ()
    dropped_examples: int = 0
    tries: tuple[Try, ...] = ()
    failed: tuple[str, ...] = ()
    went_to: str = ""


@dataclass(frozen=True)
class StepStarted:
    name: str
    title: str


@dataclass(frozen=True)
class StepText:
    name: str
    text: str


@dataclass(frozen=True)
class StepRetried:
    """What came of this step so far failed a check: it is asked again, and its text begins anew."""

    name: str
    tried: Try


@dataclass(frozen=True)
class StepDone:
    step: TraceStep


@dataclass(frozen=True)
class ReasoningText:
    text: str


@dataclass(frozen=True)
class AnswerText:
    text: str


@dataclass(frozen=True)
class AnswerRetried:
    """An answer failed a check, so it is asked again. Nothing of it was told."""

    tried: Try


@dataclass(frozen=True)
class SampleDone:
    """One more of `wanted` samples is whole."""

    sample: Sample
    wanted: int


@dataclass(frozen=True)
class Finished:
    """The whole reply; comes last, always, and outranks the pieces before it.

    `answer`: all that the person reads; `taken`: what the answer's rule took of it (the same without a rule),
    which is what counts where answers are compared. `trace` holds the steps before the answer. `prompt_text`
    and `prompt_tokens` are the answer's, "" and 0 when a stop kept it from being asked. `dropped_turns` is
    the most that any step had to leave out.

    Of the answer's own prompt: `examples` as it showed them, the best first, and how many more were left out
    for lack of room. `tries` and `failed`: as in TraceStep. `samples`: of self-consistency, in the order they
    were asked, without those that a stop cut off; `votes`: each different answer with its number, the winner
    first; `chosen`: which draw became the reply.
    """

    answer: str
    reasoning: str
    trace: tuple[TraceStep, ...]
    prompt_text: str
    prompt_tokens: int
    dropped_turns: int
    taken: str = ""
    examples: tuple[Example, ...] = ()
    dropped_examples: int = 0
    tries: tuple[Try, ...] = ()
    failed: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()
    votes: tuple[tuple[str, int], ...] = ()
    chosen: int = 0


Event = (
    StepStarted
    | StepText
    | StepRetried
    | StepDone
    | ReasoningText
    | AnswerText
    | AnswerRetried
    | SampleDone
    | Finished
)
