"""What an evaluation asks, items in datasets, and what says how much a reply is worth. Plain data; knows no
file, no model.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from feedback.canonical import sha256_of
from feedback.errors import HoneError
from prompts.evaluation.units import SHARE, Unit


@dataclass(frozen=True)
class Item:
    """One question with its gold answer, if it has one.

    `options`: the answers to choose from; () where anything may be answered. `worked`: the way to the answer
    in words, for examples that show one; "" where the data have none. `group`: the part of the data that it
    belongs to, such as a subject: its examples come from there. `extra`: what the metric needs beside, as
    JSON text.
    """

    id: str
    question: str
    answer: str
    options: tuple[str, ...] = ()
    worked: str = ""
    group: str = ""
    extra: str = "{}"


@dataclass(frozen=True)
class Reply:
    """What was answered to `item`. `text`: all that a person reads. `taken`: what the answer's rule took of
    it; the text where there is no rule. `ended`: the model came to its end; False: it was cut off.
    """

    item: Item
    text: str
    taken: str
    ended: bool


@dataclass(frozen=True)
class Score:
    """What a reply is worth, in the unit of its metric. `read`: what the metric read in it."""

    value: float
    read: str


class Metric(Protocol):
    """What replies are worth.

    `name` and `rule` say to people what counts; `unit` in what.
    """

    @property
    def name(self) -> str: ...

    @property
    def rule(self) -> str: ...

    @property
    def unit(self) -> Unit: ...

    def judge(self, replies: Sequence[Reply]) -> list[Score | HoneError]:
        """The score of each; the reason where one cannot be judged: that is no score of 0."""
        ...


class ByRule(ABC):
    """A metric that looks at one answer at a time, and says what share of it is right."""

    unit = SHARE

    @abstractmethod
    def score(self, said: str, item: Item) -> Score:
        """0 to 1. Raises HoneError when `said` cannot be judged."""

    def judge(self, replies: Sequence[Reply]) -> list[Score | HoneError]:
        """See `Metric`."""
        return [self._judged(reply) for reply in replies]

    def _judged(self, reply: Reply) -> Score | HoneError:
        try:
            return self.score(reply.taken, reply.item)
        except HoneError as error:
            return error


@dataclass(frozen=True)
class Dataset:
    """Items to be asked, and examples to show.

    `name`: for people, such as `sst2:dev.jsonl`. `train`: never asked, only shown in few-shot prompts.
    `content_free`: question texts that ask the same of nothing, for contextual calibration; () where the
    format has none. `judge`: gives the metric; called when work is planned, so that a heavy library opens
    only when used. `whole`: options are whole replies, whose ends count, and not their beginnings.
    """

    name: str
    items: tuple[Item, ...]
    judge: Callable[[], Metric]
    train: tuple[Item, ...] = ()
    content_free: tuple[str, ...] = ()
    whole: bool = False

    def limited(self, most: int | None) -> "Dataset":
        """At most so many items: those whose hash is smallest, so that any file order gives a fair draw, the
        same each time and in whatever words it is asked, and a larger limit asks the same items and more.
        """
        if most is None or most >= len(self.items):
            return self
        chosen = sorted(self.items, key=lambda item: sha256_of(item.id))[:most]
        kept = {item.id for item in chosen}
        items = tuple(item for item in self.items if item.id in kept)
        return replace(self, items=items)


def extra_of(item: Item) -> Mapping[str, Any]:
    """`item.extra`, read."""
    found: Mapping[str, Any] = json.loads(item.extra)
    return found
