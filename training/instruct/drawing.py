"""From loaded sources to questions with their answers: all that a seed decides. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from random import Random
from typing import Any

from feedback.errors import HoneError
from training.instruct import mixing
from training.instruct.sources import Example, Loaded
from training.instruct.tasks import OPTIONS, Template, UnfitError

SHOWN_CHARS = 60
"""Of a row, in an error."""


@dataclass(frozen=True)
class Settings:
    """How rows are drawn. `rows`: of the whole mix; 0: as many as the shares leave without repeating one.

    `few_shot` and `inverted` are shares of the rows, in [0, 1]; a few-shot row shows 1 to `shots` others.
    """

    seed: int = 0
    rows: int = 0
    cap: int = mixing.CAP
    few_shot: float = 0.0
    shots: int = 3
    inverted: float = 0.0


@dataclass(frozen=True)
class Drawn:
    """One question with its answer. `source`: its place among the sources. `shots`: exemplars shown before.

    `options`: those that the question lists, in its order; empty where it lists none.
    """

    source: int
    template: str
    inverted: bool
    shots: int
    options: tuple[str, ...]
    question: str
    answer: str


def draw(sources: Sequence[Loaded], settings: Settings) -> list[Drawn]:
    """The mix, shuffled. HoneError where a source has too few rows for it, or a task no template."""
    shares = mixing.rates([one.rows for one in sources], [one.source.weight for one in sources], settings.cap)
    total = settings.rows or mixing.most([one.rows for one in sources], shares)
    counts = mixing.counts(total, shares)
    _check(sources, counts, mixing.most([one.rows for one in sources], shares))
    inverted, few_shot = (_parts(total, share, counts) for share in (settings.inverted, settings.few_shot))
    found: list[Drawn] = []
    for place, loaded in enumerate(sources):
        deck = _Deck(place, loaded, settings)
        found += deck.dealt(counts[place], inverted[place], few_shot[place])
    Random(f"{settings.seed}/order").shuffle(found)
    return found


def _parts(total: int, share: float, counts: Sequence[int]) -> list[int]:
    """How many rows of each source make up `share` of the mix: the whole exact, each within 1."""
    return mixing.counts(round(share * total), [Fraction(count, total) for count in counts])


def _check(sources: Sequence[Loaded], counts: Sequence[int], most: int) -> None:
    for one, count in zip(sources, counts, strict=True):
        if count > one.rows:
            raise HoneError(
                f"{one.name} has too few rows.",
                f"Its share would be {count} of {one.rows}, and no row stands twice.",
                f"Ask for {most} rows at most, or lower its weight.",
            )


class _Deck:
    """One source in an order of its own, from which rows are dealt; another source changes nothing of it."""

    def __init__(self, place: int, loaded: Loaded, settings: Settings) -> None:
        self.place, self.loaded, self.shots = place, loaded, settings.shots
        self.random = Random(f"{settings.seed}/{loaded.name}/{loaded.source.task.name}")
        self.examples = self.random.sample(loaded.examples, len(loaded.examples))

    def dealt(self, count: int, inverted: int, few_shot: int) -> list[Drawn]:
        """The first `count` rows, so many of them inverted and with exemplars."""
        turned = set(self.random.sample(range(count), inverted))
        helped = set(self.random.sample(range(count), few_shot))
        return [self._deal(row, row in turned, self.shots if row in helped else 0) for row in range(count)]

    def _deal(self, row: int, inverted: bool, shots: int) -> Drawn:
        example, task = self.examples[row], self.loaded.source.task
        suited = [one for one in task.templates if one.inverted == inverted and self._suits(one, example)]
        if not suited:
            kind = "inverted template" if inverted else "template"
            raise HoneError(
                f"{task.name} has no {kind} for a row of {self.loaded.name}.",
                f"It has {', '.join(sorted(example.texts))}.",
                "Write a task of your own with one." if not inverted else "Ask for none: --inverted 0.",
            )
        template = self.random.choice(suited)
        exemplars = self._others(row, template, self.random.randint(1, shots)) if shots else []
        before = [self._put(template, one)[:2] for one in exemplars]
        question, answer, options = self._put(template, example)
        return Drawn(
            self.place,
            template.name,
            inverted,
            len(before),
            options if template.lists_options else (),
            with_exemplars(before, question),
            answer,
        )

    def _others(self, row: int, template: Template, most: int) -> list[Example]:
        """Rows to show before this one: about something else, from a random place of the order on."""
        subject = self.loaded.source.task.subject
        start, size = self.random.randrange(len(self.examples)), len(self.examples)
        mine = self.examples[row].texts[subject]
        others = (self.examples[(start + step) % size] for step in range(size))
        fit = (one for one in others if one.texts[subject] != mine and self._suits(template, one))
        found = list(islice(fit, most))
        if not found:
            raise HoneError(
                f"{self.loaded.name} has no other row to show as an example.",
                f"The template {template.name} suits one alone.",
                "Give more rows, or ask for none: --few-shot 0.",
            )
        return found

    def _suits(self, template: Template, example: Example) -> bool:
        if template.words and self.loaded.labels != self.loaded.source.task.labels:
            return False
        held = {*example.texts, *([OPTIONS] if example.options else [])}
        return self.loaded.source.task.told & held <= template.fields <= held

    def _put(self, template: Template, example: Example) -> tuple[str, str, tuple[str, ...]]:
        """Question, answer, and the options in the order of the question."""
        called = dict(zip(self.loaded.labels, template.words, strict=True)) if template.words else {}
        options = [called.get(one, one) for one in self.random.sample(example.options, len(example.options))]
        target = self.loaded.source.task.target
        values: dict[str, Any] = {**example.texts, OPTIONS: options}
        values[target] = called.get(example.texts[target], example.texts[target])
        try:
            return (*template.put(values), tuple(options))
        except UnfitError as error:
            raise HoneError(
                f"A row of {self.loaded.name} cannot be put by the template {template.name}.",
                f"{str(error)[0].upper()}{str(error)[1:]}; the row is {_beginning(example)}.",
                "Take the row out, or mend the template.",
            ) from error


def _beginning(example: Example) -> str:
    """A row's beginning, for people who look for it in their file."""
    text = next(iter(example.texts.values()))
    return repr(text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}...")


def with_exemplars(shown: Sequence[tuple[str, str]], question: str) -> str:
    """The question after others with their answers, as one message."""
    if not shown:
        return question
    parts = [
        f"Example {number}\n{asked}\nAnswer: {answer}" for number, (asked, answer) in enumerate(shown, 1)
    ]
    return "\n\n".join([*parts, f"Now you\n{question}"])


@dataclass(frozen=True)
class Tally:
    """What of one source, or of all, was drawn. `templates`: how often each, the most used first."""

    name: str
    task: str
    rows: int
    of: int
    repeated: int
    templates: Mapping[str, int]
    inverted: int
    few_shot: int


def tallies(sources: Sequence[Loaded], drawn: Sequence[Drawn]) -> list[Tally]:
    """One for each source, in their order."""
    return [_tally(one, [row for row in drawn if row.source == place]) for place, one in enumerate(sources)]


def _tally(loaded: Loaded, rows: Sequence[Drawn]) -> Tally:
    used = Counter(row.template for row in rows)
    return Tally(
        loaded.name,
        loaded.source.task.name,
        len(rows),
        len(loaded.examples),
        loaded.repeated,
        dict(sorted(used.items(), key=lambda one: (-one[1], one[0]))),
        sum(row.inverted for row in rows),
        sum(row.shots > 0 for row in rows),
    )


def specimens(drawn: Sequence[Drawn], most: int = 3) -> list[Drawn]:
    """A few rows to look at, of different kinds first: plain, with exemplars, inverted."""
    kinds = dict.fromkeys((row.inverted, row.shots > 0) for row in drawn)
    firsts: Iterator[Drawn] = (
        next(row for row in drawn if (row.inverted, row.shots > 0) == kind) for kind in sorted(kinds)
    )
    return list(dict.fromkeys(islice(chain(firsts, drawn), most + len(kinds))))[:most]
