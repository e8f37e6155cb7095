"""Examples for few-shot prompts, and pools to choose them from. Knows no store, no model, no template.

Nearest means by BM25 (Robertson and Zaragoza, 2009) over the words of the questions: no model to load, the
same choice on every machine, and on short questions hard to beat by much.
"""

import math
import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Literal, Protocol

Choice = Literal["nearest", "first"]

K1, B = 1.5, 0.75
"""BM25's usual settings: how fast a repeated word stops counting, and how much long questions pay."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Example:
    """A question and the answer that a few-shot prompt shows.

    `source`: what it came from, such as a demonstration's or a reply's id, or a dataset's row; "": the
    template's own.
    """

    question: str
    answer: str
    source: str = ""


class Examples(Protocol):
    """Where a step's examples come from when its template names none of its own."""

    def choose(self, question: str, count: int, how: Choice) -> tuple[Example, ...]:
        """At most `count` examples, the best first. Fewer when there are not so many."""
        ...


class ExamplePool:
    """Examples in memory, with an index over the words of their questions, made when it is first needed. Safe
    to use from many threads.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = tuple(examples)
        self._weights: dict[str, list[tuple[int, float]]] | None = None
        self._indexing = threading.Lock()

    def __len__(self) -> int:
        return len(self._examples)

    def choose(self, question: str, count: int, how: Choice) -> tuple[Example, ...]:
        """`first`: in the pool's order. `nearest`: by BM25, the nearest first; ties in the pool's order, and
        so too what shares no word with the question, after everything that does.
        """
        if how == "first":
            return self._examples[:count]
        weights = self.index()
        scores = dict.fromkeys(range(len(self._examples)), 0.0)
        for word in sorted(set(words(question))):  # sorted: sums of floats come out the same each time
            for index, weight in weights.get(word, ()):
                scores[index] += weight
        best = nsmallest(count, scores, key=lambda index: (-scores[index], index))
        return tuple(self._examples[index] for index in best)

    def index(self) -> Mapping[str, Sequence[tuple[int, float]]]:
        """Each word with the examples that have it and its weight there. Asked for early where no question
        shall wait for it.
        """
        with self._indexing:
            if self._weights is None:
                self._weights = _index(self._examples)
            return self._weights


def _index(examples: Sequence[Example]) -> dict[str, list[tuple[int, float]]]:
    counts = [Counter(words(example.question)) for example in examples]
    lengths = [count.total() for count in counts]
    mean = sum(lengths) / len(lengths) if any(lengths) else 1.0
    found: dict[str, list[tuple[int, float]]] = {}
    for index, count in enumerate(counts):
        for word, times in count.items():
            damped = times + K1 * (1 - B + B * lengths[index] / mean)
            found.setdefault(word, []).append((index, times * (K1 + 1) / damped))
    return {word: _weigh(places, len(counts)) for word, places in found.items()}


def words(text: str) -> list[str]:
    """The words of `text` in small letters, in order."""
    return _WORD.findall(text.casefold())


def _weigh(places: list[tuple[int, float]], total: int) -> list[tuple[int, float]]:
    """Term weights times the word's rarity (the idf that stays positive, as Lucene has it)."""
    rarity = math.log(1 + (total - len(places) + 0.5) / (len(places) + 0.5))
    return [(index, weight * rarity) for index, weight in places]
