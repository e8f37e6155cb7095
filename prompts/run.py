"""Puts one question by one strategy and streams what comes back. Knows steps and events, not the model."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

from feedback.conversations import Turn
from prompts.answers import MarkerSplit, majority, normal
from prompts.events import (
    AnswerRetried,
    AnswerText,
    Event,
    Finished,
    ReasoningText,
    Sample,
    SampleDone,
    StepDone,
    StepRetried,
    StepStarted,
    StepText,
    TraceStep,
    Try,
)
from prompts.examples import Examples
from prompts.put import Asked, Put, put
from prompts.step import Step
from prompts.strategy import Strategy
from prompts.teller import Ask, Teller


def run(
    strategy: Strategy,
    history: Sequence[Turn],
    question: str,
    teller: Teller,
    pool: Examples | None = None,
) -> Iterator[Event]:
    """Ask `question` after `history` by `strategy`; `pool`: where steps that want it take examples from.

    Every step but the last streams as StepText; the last as AnswerText, or ReasoningText until its answer
    marker. A reply without the marker is all answer: its text then comes again as one AnswerText, and
    `Finished` has no reasoning. An answer that may still be replaced, because it is checked or voted on, is
    told only once it stands. Raises HoneError when the question does not fit the window.
    """
    return _Run(strategy, tuple(history), question, teller, pool).events()


@dataclass(frozen=True)
class _Said:
    """What a step was asked and what came of it. `taken`: what counts of `answer`; `output`: all that was
    written, where it was tried.
    """

    answer: str = ""
    reasoning: str = ""
    taken: str = ""
    output: str = ""
    tries: tuple[Try, ...] = ()
    failed: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()
    votes: tuple[tuple[str, int], ...] = ()
    chosen: int = 0


@dataclass
class _Run:
    strategy: Strategy
    history: tuple[Turn, ...]
    question: str
    teller: Teller
    pool: Examples | None
    trace: list[TraceStep] = field(default_factory=list)
    dropped_turns: int = 0

    def __post_init__(self) -> None:
        self.outputs = {step.name: "" for step in self.strategy.steps}  # a step that is skipped says nothing

    def events(self) -> Iterator[Event]:
        steps = {step.name: step for step in self.strategy.steps}
        order = list(steps)
        name = order[0]
        while name != order[-1]:
            went_to = yield from self._step(steps[name])
            if self.teller.stopped:
                yield Finished("", "", tuple(self.trace), "", 0, self.dropped_turns)
                return
            name = went_to or order[order.index(name) + 1]
        yield from self._answer(steps[name])

    def _step(self, step: Step) -> Generator[Event, None, str]:
        """One step before the answer; returns the name of the step that a branch leads to, or ""."""
        put = self._put(step)
        yield StepStarted(step.name, step.title)
        said = yield from self._tried(
            step, put, lambda failed: StepRetried(step.name, failed), lambda piece: StepText(step.name, piece)
        )
        self.outputs[step.name] = said.taken
        went_to = step.otherwise if said.failed else step.go_on
        done = TraceStep(
            name=step.name,
            title=step.title,
            prompt_text=put.fitted.text,
            output=said.output,
            taken=said.taken,
            examples=put.examples,
            dropped_examples=put.dropped_examples,
            tries=said.tries,
            failed=said.failed,
            went_to=went_to,
        )
        self.trace.append(done)
        yield StepDone(done)
        return went_to

    def _answer(self, step: Step) -> Iterator[Event]:
        put = self._put(step)
        if step.samples > 1:
            said = yield from self._voted(step, put)
        elif step.retries:
            said = yield from self._tried(step, put, AnswerRetried)
            yield from _told(said.reasoning, said.answer)
        else:
            said = yield from self._streamed(step, put)
        yield Finished(
            answer=said.answer,
            reasoning=said.reasoning,
            trace=tuple(self.trace),
            prompt_text=put.fitted.text,
            prompt_tokens=put.fitted.prompt_tokens,
            dropped_turns=self.dropped_turns,
            taken=said.taken,
            examples=put.examples,
            dropped_examples=put.dropped_examples,
            tries=said.tries,
            failed=said.failed,
            samples=said.samples,
            votes=said.votes,
            chosen=said.chosen,
        )

    def _tried(
        self,
        step: Step,
        put: Put,
        retried: Callable[[Try], Event],
        heard: Callable[[str], Event] | None = None,
    ) -> Generator[Event, None, _Said]:
        """The first text that passes the step's check, or the last one that may be asked for; returns what
        was said. `retried` tells of a text that did not, `heard` of each piece as it comes.
        """
        tries: list[Try] = []
        while True:
            text = ""
            for piece in self.teller.generate(self._ask(step, put, len(tries))):
                text += piece
                if heard is not None:
                    yield heard(piece)
            output = text.strip()
            reasoning, answer = step.answer.parted(text)
            taken = step.answer.taken(answer)
            failed = self._failed(step, taken)
            if not failed or len(tries) == step.retries or self.teller.stopped:
                return _Said(answer, reasoning, taken, output, tuple(tries), failed, chosen=len(tries))
            tries.append(Try(output, failed))
            yield retried(tries[-1])

    def _streamed(self, step: Step, put: Put) -> Generator[Event, None, _Said]:
        """The answer as it comes; returns what was said."""
        split = MarkerSplit(step.answer.marker)
        for piece in self.teller.generate(self._ask(step, put)):
            yield from split.feed(piece)
        yield from split.end()
        taken = step.answer.taken(split.answer)
        return _Said(split.answer, split.reasoning, taken, failed=self._failed(step, taken))

    def _voted(self, step: Step, put: Put) -> Generator[Event, None, _Said]:
        """Self-consistency (Wang et al., 2023): the answer that most samples agree on; returns what was said.

        Told is the first sample that says so, with its reasoning. Samples that a stop cut off have no vote;
        where it left none whole, what there is of the first is told.
        """
        asks = [self._ask(step, put, draw) for draw in range(step.samples)]
        texts = [""] * step.samples
        whole: dict[int, Sample] = {}
        for which, piece in self.teller.sample(asks):
            if piece is not None:
                texts[which] += piece
            elif not self.teller.stopped:
                whole[which] = _sample(step, texts[which])
                yield SampleDone(whole[which], step.samples)
        votes = majority([whole[which].taken for which in sorted(whole)])
        chosen = min(whole, default=0)
        if votes:
            chosen = min(which for which in whole if normal(whole[which].taken) == normal(votes[0][0]))
        kept = whole.get(chosen) or _sample(step, texts[chosen])
        yield from _told(kept.reasoning, kept.answer)
        samples = tuple(whole[which] for which in sorted(whole))
        return _Said(kept.answer, kept.reasoning, kept.taken, samples=samples, votes=votes, chosen=chosen)

    def _put(self, step: Step) -> Put:
        asked = Asked(self.question, self.history, self.outputs, self.pool, self.teller.system_text)
        found = put(step, asked, self.teller, self.teller.max_tokens)
        self.dropped_turns = max(self.dropped_turns, found.fitted.dropped_turns)
        return found

    def _ask(self, step: Step, put: Put, draw: int = 0) -> Ask:
        final = step is self.strategy.steps[-1]
        return Ask(put.fitted.text, put.max_tokens, step.temperature, draw, final)

    def _failed(self, step: Step, taken: str) -> tuple[str, ...]:
        """What of the step's check does not hold. What a stop cut off is not judged."""
        return () if step.check is None or self.teller.stopped else step.check.failed(taken)


def _sample(step: Step, text: str) -> Sample:
    reasoning, answer = step.answer.parted(text)
    return Sample(answer, reasoning, step.answer.taken(answer))


def _told(reasoning: str, answer: str) -> Iterator[ReasoningText | AnswerText]:
    if reasoning:
        yield ReasoningText(reasoning)
    if answer:
        yield AnswerText(answer)
